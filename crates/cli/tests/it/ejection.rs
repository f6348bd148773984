//! A backend that keeps failing is left alone for a while, and comes back through one request.

use crate::{
    scene::{CHAT, Pair, ask, assert_error, until, view},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, RawStep, TestServer, client};
use serde_json::json;

async fn until_due(server: &TestServer, name: &str) {
    until("the end of an ejection", async || {
        let left = view(server, name).await["ejected_for_ms"].clone();
        if left == json!(0) { Ok(()) } else { Err(left.to_string()) }
    })
    .await;
}

#[tokio::test]
async fn a_backend_that_keeps_failing_gets_no_further_requests() {
    let Pair { first, second, server } =
        Pair::start("eject_after = 3\neject_for = \"1m\"", "").await;
    first.script(Behaviour::status(500));
    assert_eq!(view(&server, "first").await["ejected_for_ms"], json!(null));
    for _ in 0..20 {
        assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    }
    assert_eq!((first.request_count(), second.request_count()), (3, 20));
    let shown = view(&server, "first").await;
    let left = shown["ejected_for_ms"].as_u64().unwrap();
    assert!((30_000..=60_000).contains(&left), "{shown}");
    assert_eq!(shown["status"], "healthy", "its probes are another matter");
    assert_eq!(view(&server, "second").await["ejected_for_ms"], json!(null));
}

#[tokio::test]
async fn a_success_in_between_starts_the_count_anew() {
    let Pair { first, second: _second, server } =
        Pair::start("eject_after = 2\neject_for = \"1m\"", "").await;
    for _ in 0..5 {
        first.script_next(1, Behaviour::status(500));
        first.script_next(1, Behaviour::Answer);
        for _ in 0..2 {
            assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
        }
    }
    assert_eq!(first.request_count(), 10);
}

#[tokio::test]
async fn at_most_half_of_a_models_backends_are_ejected() {
    for (count, most) in [(1, 0), (2, 1), (3, 1), (4, 2)] {
        let mut config = String::from("[routing]\neject_after = 1\neject_for = \"1m\"\n");
        let mut backends = Vec::new();
        for index in 0..count {
            let backend = FakeBackend::start().await;
            backend.script(Behaviour::status(500));
            config.push_str(&backend.config(&format!("b{index}")));
            backends.push(backend);
        }
        let server = server(&config).start().await;
        for _ in 0..10 {
            assert_error(&server.post_json(CHAT, &ask("hello")).await, 502, "backend_failed");
        }
        let views = server.get("/api/v1/backends").await.json();
        let ejected =
            views.as_array().unwrap().iter().filter(|b| !b["ejected_for_ms"].is_null()).count();
        assert_eq!(ejected, most, "of {count}: {views}");
        let metrics = server.get("/metrics").await.text();
        let counted = metrics.lines().filter(|l| l.starts_with("callsheet_backend_ejected{"));
        assert_eq!(counted.filter(|line| line.ends_with(" 1")).count(), most, "{metrics}");
    }
}

#[tokio::test]
async fn an_ejected_backend_comes_back_through_a_single_trial() {
    let Pair { first, second, server } =
        Pair::start("eject_after = 1\neject_for = \"50ms\"", "").await;
    first.script_next(1, Behaviour::status(500));
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    until_due(&server, "first").await;
    let gate = Gate::new();
    first.script(Behaviour::Answer.held_by(&gate));
    let ask_from_elsewhere = || {
        let (address, body) = (server.address(), ask("hello").to_string());
        tokio::spawn(
            async move { client::request(address, "POST", CHAT, &[], body.as_bytes()).await },
        )
    };
    let requests: Vec<_> = (0..20).map(|_| ask_from_elsewhere()).collect();
    // All but the trial are answered although the trial is not.
    second.wait_for_requests(20).await;
    assert_eq!(first.request_count(), 2, "the failure and the trial");
    gate.open();
    let mut served_by_first = 0;
    for request in requests {
        let reply = request.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        served_by_first += usize::from(reply.header("x-callsheet-backend") == Some("first"));
    }
    assert_eq!(served_by_first, 1);
    assert_eq!(view(&server, "first").await["ejected_for_ms"], json!(null));
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("first"));
}

#[tokio::test]
async fn each_ejection_in_a_row_lasts_twice_as_long_up_to_the_longest() {
    let routing = "eject_after = 1\neject_for = \"20ms\"\neject_for_at_most = \"70ms\"";
    let Pair { first, second: _second, server } = Pair::start(routing, "").await;
    first.script(Behaviour::status(500));
    for (asked, lasts) in [(1, 20), (2, 40), (3, 70), (4, 70)] {
        assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
        assert_eq!(first.request_count(), asked, "a trial that failed is no reason to stay");
        let line = format!("\"for_ms\":{lasts}");
        until(&line, async || {
            let log = server.stderr();
            let count = log.lines().filter(|l| l.contains("\"for_ms\":")).count();
            if count == asked && log.contains(&line) { Ok(()) } else { Err(log) }
        })
        .await;
        until_due(&server, "first").await;
    }
    first.script(Behaviour::Answer);
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    first.script(Behaviour::status(500));
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    until("the first length again", async || {
        let log = server.stderr();
        if log.matches("\"for_ms\":20").count() == 2 { Ok(()) } else { Err(log) }
    })
    .await;
}

#[tokio::test]
async fn a_good_head_alone_does_not_pass_a_trial() {
    let routing = "eject_after = 1\neject_for = \"20ms\"";
    let Pair { first, second: _second, server } = Pair::start(routing, "").await;
    let half = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{";
    first.script(Behaviour::Raw(vec![RawStep::text(half), RawStep::Close]));
    for (asked, lasts) in [(1, 20), (2, 40), (3, 80)] {
        assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
        assert_eq!(first.request_count(), asked);
        server.wait_for_stderr(&format!("\"for_ms\":{lasts}")).await;
        until_due(&server, "first").await;
    }
}

#[tokio::test]
async fn a_client_that_leaves_during_the_trial_leaves_the_backend_due() {
    let Pair { first, second, server } =
        Pair::start("eject_after = 1\neject_for = \"20ms\"", "").await;
    first.script_next(1, Behaviour::status(500));
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    until_due(&server, "first").await;
    first.script_next(1, Behaviour::Stall);
    let body = ask("hello").to_string();
    let trial = client::request(server.address(), "POST", CHAT, &[], body.as_bytes());
    tokio::select! {
        reply = trial => panic!("{reply:?}"),
        () = first.wait_for_requests(2) => {}
    }
    first.wait_for_disconnects(1).await;
    crate::scene::until_at_rest(&server).await;
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("first"), "{}", reply.text());
    assert_eq!(second.request_count(), 1);
}

#[tokio::test]
async fn retry_after_lets_a_backend_rest_for_as_long_as_it_asked() {
    for (code, asked, least, most) in
        [(429, "60", 50_000, 60_000), (503, "60", 50_000, 60_000), (429, "900", 290_000, 300_000)]
    {
        let Pair { first, second, server } = Pair::start("eject_after = 100", "").await;
        first.script(Behaviour::status_with_header(code, "Retry-After", asked));
        for _ in 0..5 {
            assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
        }
        assert_eq!((first.request_count(), second.request_count()), (1, 5));
        let left = view(&server, "first").await["ejected_for_ms"].as_u64().unwrap();
        assert!((least..=most).contains(&left), "{code} {asked}: {left}");
    }
}
