//! Before an answer has begun, whatever goes wrong with one backend is another one's turn.

use crate::{
    scene::{CHAT, Pair, ask, ask_stream, assert_error, error_of},
    server,
};
use callsheet_testkit::{Behaviour, Chunking, End, FakeBackend, RawStep};
use std::{collections::HashSet, time::Duration};

/// Failures leave no trace in routing, and no connection waits in a pool: each request meets what
/// the first backend was told to do last.
const FORGETFUL: &str = "eject_after = 0\neject_for = \"1us\"\neject_for_at_most = \"1us\"\nretries_per_second = 1000.0";
const NO_POOL: &str = "[limits]\npool_size = 0\nfirst_byte_timeout = \"300ms\"";

fn raw(text: &str, end: RawStep) -> Behaviour {
    Behaviour::Raw(vec![RawStep::text(text), RawStep::Flush, end])
}

const JSON_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
const STREAM_HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";

async fn the_second_serves_after(cases: Vec<(&str, Behaviour)>, streams: bool) {
    let Pair { first, second, server } = Pair::start(FORGETFUL, NO_POOL).await;
    let body = if streams { ask_stream("hello") } else { ask("hello") };
    for (case, behaviour) in cases {
        let asked = (first.request_count(), second.request_count());
        first.script(behaviour);
        let reply = server.post_json(CHAT, &body).await;
        assert_eq!(reply.status, 200, "{case}: {}", reply.text());
        assert_eq!(reply.header("x-callsheet-backend"), Some("second"), "{case}");
        assert_eq!(reply.header("x-callsheet-attempts"), Some("2"), "{case}");
        assert!(reply.text().contains("hello"), "{case}: {}", reply.text());
        assert!(!reply.text().contains("error"), "{case}: {}", reply.text());
        assert_eq!(second.request_count(), asked.1 + 1, "{case}");
        assert!(first.request_count() <= asked.0 + 1, "{case}: asked twice");
    }
}

#[tokio::test]
async fn a_status_that_is_the_backends_fault_is_served_elsewhere() {
    the_second_serves_after(
        vec![
            ("429", Behaviour::status(429)),
            ("429 until later", Behaviour::status_with_header(429, "Retry-After", "1")),
            ("401", Behaviour::status(401)),
            ("500", Behaviour::status(500)),
            ("502", Behaviour::status(502)),
            ("503", Behaviour::status(503)),
            ("503 until later", Behaviour::status_with_header(503, "Retry-After", "1")),
            ("529", Behaviour::status(529)),
            ("a redirect", Behaviour::status_with_header(302, "Location", "http://127.0.0.1:1/")),
        ],
        false,
    )
    .await;
}

#[tokio::test]
async fn a_broken_connection_is_served_elsewhere() {
    the_second_serves_after(
        vec![
            ("a reset at once", Behaviour::ResetOnAccept),
            ("a reset instead of an answer", Behaviour::ResetAfterRequest),
            ("a close instead of an answer", Behaviour::Raw(vec![RawStep::Close])),
            ("no first byte", Behaviour::Stall),
            ("half a head", raw("HTTP/1.1 200 OK\r\nContent-Ty", RawStep::Stall)),
            ("half a head and a close", raw("HTTP/1.1 200 OK\r\nContent-Ty", RawStep::Close)),
            ("no HTTP", raw("SSH-2.0-OpenSSH_9.9\r\n", RawStep::Stall)),
            ("bytes", raw("\u{0}\u{1}\u{2}\r\n\r\n", RawStep::Close)),
        ],
        false,
    )
    .await;
}

#[tokio::test]
async fn an_answer_that_is_none_is_served_elsewhere() {
    let cut = format!("{JSON_HEAD}Content-Length: 100\r\n\r\n{{\"choices\": [");
    let chunk = format!("{JSON_HEAD}Transfer-Encoding: chunked\r\n\r\n5\r\n{{\"a\":\r\n");
    let open_end = format!("{JSON_HEAD}\r\n{{\"choices\": [");
    let html = "<html><body>Sign in to the hotel's network</body></html>";
    the_second_serves_after(
        vec![
            ("less than Content-Length", raw(&cut, RawStep::Close)),
            ("less than Content-Length, by a reset", raw(&cut, RawStep::Reset)),
            ("chunks without the last", raw(&chunk, RawStep::Close)),
            ("half an object without a length", raw(&open_end, RawStep::Close)),
            ("HTML", Behaviour::body(html)),
            ("nothing", Behaviour::body("")),
        ],
        false,
    )
    .await;
}

#[tokio::test]
async fn a_stream_that_fails_before_its_first_whole_event_is_served_elsewhere() {
    let chunked = format!("{STREAM_HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let partial = format!("{chunked}9\r\ndata: {{\"a\r\n");
    let silent = |end| Behaviour::stream(Vec::<String>::new(), end);
    the_second_serves_after(
        vec![
            ("garbage for an event", Behaviour::stream(["<html>\n\n"], End::Done)),
            ("an event that is no JSON", Behaviour::stream(["{\"cut"], End::Done)),
            ("a reset before any event", silent(End::Reset)),
            ("a close before any event", silent(End::CloseWithoutDone)),
            ("an end before any event", silent(End::CleanEndWithoutDone)),
            ("silence instead of an event", silent(End::Stall)),
            ("comments and an end", Behaviour::stream([": ping\n\n"], End::CleanEndWithoutDone)),
            ("comments and silence", Behaviour::stream([": ping\n\n"], End::Stall)),
            ("half an event and a reset", raw(&partial, RawStep::Reset)),
            ("half an event and a close", raw(&partial, RawStep::Close)),
            ("half an event and silence", raw(&partial, RawStep::Stall)),
            ("broken chunks", raw(&format!("{chunked}zz\r\n"), RawStep::Stall)),
        ],
        true,
    )
    .await;
}

#[tokio::test]
async fn a_refused_connection_is_served_elsewhere() {
    let Pair { first, second, server } = Pair::start("eject_after = 0", "").await;
    first.stop().await;
    for served in 1..=3 {
        let reply = server.post_json(CHAT, &ask("hello")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-callsheet-attempts"), Some("2"));
        assert_eq!(second.request_count(), served);
    }
}

#[tokio::test]
async fn no_backend_is_asked_twice_while_a_peer_is_free() {
    let backends =
        [FakeBackend::start().await, FakeBackend::start().await, FakeBackend::start().await];
    let mut config = String::from("[routing]\neject_after = 0\nretries_per_second = 1000.0\n");
    for (index, backend) in backends.iter().enumerate() {
        config.push_str(&backend.config(&format!("b{index}")));
    }
    let server = server(&config).start().await;
    backends[0].script(Behaviour::status(500));
    backends[1].script(Behaviour::status(503));
    let requests = (0..40).map(|number| {
        let (address, body) = (server.address(), ask("hello").to_string());
        tokio::spawn(async move {
            let id = format!("request-{number}");
            let headers = [("x-request-id", id.as_str())];
            callsheet_testkit::client::request(address, "POST", CHAT, &headers, body.as_bytes())
                .await
        })
    });
    for request in requests.collect::<Vec<_>>() {
        let reply = request.await.unwrap().unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-callsheet-backend"), Some("b2"));
    }
    for backend in &backends {
        let requests = backend.requests();
        let ids: HashSet<_> = requests.iter().map(|r| r.header("x-request-id").unwrap()).collect();
        assert_eq!(ids.len(), requests.len(), "{} was asked twice", backend.url());
    }
    assert_eq!(backends[2].request_count(), 40);
    assert!(backends[0].request_count() > 0, "nothing failed, so nothing was shown");
}

#[tokio::test]
async fn when_all_fail_the_client_hears_what_happened_last() {
    let Pair { first, second, server } = Pair::start(FORGETFUL, NO_POOL).await;
    for (case, behaviour, status, code) in [
        ("500", Behaviour::status(500), 502, "backend_failed"),
        ("503", Behaviour::status(503), 503, "backend_failed"),
        ("401", Behaviour::status(401), 502, "backend_unauthorized"),
        ("429", Behaviour::status(429), 429, "backend_rate_limited"),
        ("a time-out", Behaviour::Stall, 504, "backend_timeout"),
        ("a reset", Behaviour::ResetAfterRequest, 502, "backend_failed"),
        ("HTML", Behaviour::body("<html>"), 502, "backend_failed"),
    ] {
        let asked = (first.request_count(), second.request_count());
        first.script(behaviour.clone());
        second.script(behaviour);
        let reply = server.post_json(CHAT, &ask("hello")).await;
        let error = error_of(&reply);
        assert_eq!((reply.status, error["code"].as_str()), (status, Some(code)), "{case}: {error}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains("first ") && message.contains("second "), "{case}: {message}");
        let now = (first.request_count(), second.request_count());
        assert_eq!(now, (asked.0 + 1, asked.1 + 1), "{case}: each is asked once");
    }
}

#[tokio::test]
async fn when_all_are_rate_limited_the_client_hears_when_the_first_will_not_be() {
    let Pair { first, second, server } = Pair::start(FORGETFUL, NO_POOL).await;
    first.script(Behaviour::status_with_header(429, "Retry-After", "40"));
    second.script(Behaviour::status_with_header(429, "Retry-After", "20"));
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&reply, 429, "backend_rate_limited");
    assert_eq!(reply.header("retry-after"), Some("20"));
}

#[tokio::test]
async fn a_lone_backend_that_fails_is_asked_once() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("only")).start().await;
    backend.script(Behaviour::status(500));
    for asked in 1..=5 {
        let reply = server.post_json(CHAT, &ask("hello")).await;
        assert_error(&reply, 502, "backend_failed");
        assert!(reply.text().contains("stand-in says 500"), "{}", reply.text());
        assert_eq!(backend.request_count(), asked, "one request, and no ejection");
    }
}

#[tokio::test]
async fn what_is_wrong_with_the_request_itself_is_passed_on_untouched() {
    let Pair { first, second, server } = Pair::start("", "").await;
    let body = "{ \"error\" : {\"message\":\"na\u{ef}ve\", \"extra\": [1.0, 2e3]} }\n";
    for code in [400, 402, 403, 404, 409, 413, 422, 451] {
        let headers = vec![("X-Reason".to_owned(), "because".to_owned())];
        first.script(Behaviour::Status { code, headers, body: body.to_owned() });
        let reply = server.post_json(CHAT, &ask("hello")).await;
        assert_eq!((reply.status, reply.text().as_str()), (code, body));
        assert_eq!(reply.header("x-reason"), Some("because"));
        assert_eq!(reply.header("x-callsheet-attempts"), Some("1"));
    }
    assert_eq!(second.request_count(), 0);
}

#[tokio::test]
async fn a_connection_that_went_stale_in_the_pool_is_no_failure() {
    let Pair { first, second, server } = Pair::start("", "").await;
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    first.restart().await;
    let reply = server.post_json(CHAT, &ask("after a restart")).await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("first"), "{}", reply.text());
    assert_eq!(reply.header("x-callsheet-attempts"), Some("1"));
    // The connection still looks alive when the request is written to it.
    let (asked, connections) = (first.request_count(), first.connection_count());
    first.script_next(1, Behaviour::ResetAfterRequest);
    let reply = server.post_json(CHAT, &ask("after a reset")).await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("first"), "{}", reply.text());
    assert_eq!(reply.header("x-callsheet-attempts"), Some("1"));
    assert_eq!(first.request_count(), asked + 2);
    assert_eq!(first.connection_count(), connections + 1);
    assert_eq!(second.request_count(), 0);
}

#[tokio::test]
async fn where_retry_is_safe_nothing_that_may_have_been_served_is_sent_twice() {
    let safe = format!("{FORGETFUL}\nretry = \"safe\"");
    let in_config = Pair::start(&safe, NO_POOL).await;
    let in_header = Pair::start(FORGETFUL, NO_POOL).await;
    let by_header = [("x-callsheet-retry", "safe")];
    for (pair, headers) in [(&in_config, &[][..]), (&in_header, &by_header[..])] {
        let ask = async || {
            let body = ask("hello").to_string();
            pair.server.request("POST", CHAT, headers, body.as_bytes()).await
        };
        for (behaviour, status, code) in [
            (Behaviour::ResetAfterRequest, 502, "backend_failed"),
            (Behaviour::Stall, 504, "backend_timeout"),
            (Behaviour::body("<html>"), 502, "backend_failed"),
        ] {
            pair.first.script(behaviour);
            assert_error(&ask().await, status, code);
            assert_eq!(pair.second.request_count(), 0);
        }
        for (served, code) in [429, 500, 503, 401].into_iter().enumerate() {
            pair.first.script(Behaviour::status(code));
            let reply = ask().await;
            assert_eq!(reply.header("x-callsheet-backend"), Some("second"), "{}", reply.text());
            assert_eq!(pair.second.request_count(), served + 1);
        }
        pair.first.stop().await;
        let reply = ask().await;
        assert_eq!(reply.header("x-callsheet-backend"), Some("second"), "{}", reply.text());
    }
    in_config.first.restart().await;
    in_config.first.script(Behaviour::ResetAfterRequest);
    let body = ask("hello").to_string();
    let always = [("x-callsheet-retry", "always")];
    let reply = in_config.server.request("POST", CHAT, &always, body.as_bytes()).await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("second"), "{}", reply.text());
}

#[tokio::test]
async fn where_retry_is_safe_not_even_a_stale_connection_repeats_a_request() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("only")).start().await;
    let safe = [("x-callsheet-retry", "safe")];
    let body = ask("hello").to_string();
    assert_eq!(server.request("POST", CHAT, &safe, body.as_bytes()).await.status, 200);
    backend.script_next(1, Behaviour::ResetAfterRequest);
    let reply = server.request("POST", CHAT, &safe, body.as_bytes()).await;
    assert_error(&reply, 502, "backend_failed");
    assert_eq!(backend.request_count(), 2);
}

#[tokio::test]
async fn a_wish_that_is_not_understood_is_refused() {
    let Pair { first, server, .. } = Pair::start("", "").await;
    for value in ["", "Always", "never", "safe, always", "1"] {
        let headers = [("x-callsheet-retry", value)];
        let body = ask("hello").to_string();
        let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
        assert_error(&reply, 400, "invalid_header");
        assert!(reply.text().contains("x-callsheet-retry"), "{}", reply.text());
    }
    assert_eq!(first.request_count(), 0);
}

#[tokio::test]
async fn a_retry_budget_of_nothing_allows_no_retry() {
    let routing = "retry_ratio = 0.0\nretries_per_second = 0.0\neject_after = 0";
    let Pair { first, second, server } = Pair::start(routing, "").await;
    first.script(Behaviour::status(500));
    for asked in 1..=5 {
        assert_error(&server.post_json(CHAT, &ask("hello")).await, 502, "backend_failed");
        assert_eq!((first.request_count(), second.request_count()), (asked, 0));
    }
}

#[tokio::test]
async fn an_outage_does_not_double_the_load() {
    let routing = "retry_ratio = 0.1\nretries_per_second = 0.0\neject_after = 0";
    let Pair { first, second, server } = Pair::start(routing, "").await;
    first.script(Behaviour::status(500));
    second.script(Behaviour::status(500));
    for _ in 0..50 {
        assert_error(&server.post_json(CHAT, &ask("hello")).await, 502, "backend_failed");
    }
    assert_eq!(first.request_count(), 50);
    // One is saved up at the start, and each request earns a tenth.
    let retries = second.request_count();
    assert!((4..=6).contains(&retries), "{retries} retries");
}

#[tokio::test]
async fn a_failed_request_waits_for_a_busy_peer_rather_than_failing() {
    let (failing, busy) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!(
        "{}priority = 1\n{}priority = 2\nmax_concurrent = 1\n[routing]\nstrategy = \"priority\"\neject_after = 0\n",
        failing.config("failing"),
        busy.config("busy"),
    );
    let server = server(&config).start().await;
    let gate = callsheet_testkit::Gate::new();
    busy.script_next(1, Behaviour::Answer.held_by(&gate));
    failing.script(Behaviour::status(500));
    let body = ask("hello");
    let occupying = server.post_json(CHAT, &body);
    let waiting = async {
        busy.wait_for_requests(1).await;
        let request = server.post_json(CHAT, &body);
        let open = async {
            failing.wait_for_requests(2).await;
            crate::scene::until_metric(&server, "callsheet_queue_length", 1.0).await;
            gate.open();
        };
        tokio::join!(request, open).0
    };
    let (occupying, waiting) = tokio::join!(occupying, waiting);
    assert_eq!(occupying.header("x-callsheet-backend"), Some("busy"), "{}", occupying.text());
    assert_eq!(waiting.header("x-callsheet-backend"), Some("busy"), "{}", waiting.text());
    assert_eq!(failing.request_count(), 2);
}

#[tokio::test]
async fn a_failure_is_told_at_once_though_the_backend_that_failed_is_busy() {
    let backend = FakeBackend::start().await;
    let config = format!("{}max_concurrent = 1\n", backend.config("only"));
    let server = server(&config).start().await;
    let (fails, holds) = (callsheet_testkit::Gate::new(), callsheet_testkit::Gate::new());
    backend.script_next(1, Behaviour::status(500).held_by(&fails));
    backend.script_next(1, Behaviour::Answer.held_by(&holds));
    let body = ask("hello");
    let first = async {
        let reply = server.post_json(CHAT, &body).await;
        // The other request has the backend's only place now, and keeps it until here.
        holds.open();
        reply
    };
    let second = async {
        backend.wait_for_requests(1).await;
        let second = server.post_json(CHAT, &body);
        let fail = async {
            crate::scene::until_metric(&server, "callsheet_queue_length", 1.0).await;
            fails.open();
        };
        tokio::join!(second, fail).0
    };
    let (first, second) = tokio::join!(first, second);
    assert_error(&first, 502, "backend_failed");
    assert_eq!(second.status, 200, "{}", second.text());
}

#[tokio::test]
async fn pauses_between_the_bytes_of_a_first_event_do_not_make_it_fail() {
    let Pair { first, second, server } = Pair::start("", "").await;
    first.script(Behaviour::Stream {
        events: vec!["{\"x\":\"slow\"}".to_owned()],
        end: End::Done,
        chunking: Chunking::Bytes(3),
        gap: Duration::from_millis(1),
    });
    let reply = server.post_json(CHAT, &ask_stream("hello")).await;
    assert_eq!(reply.text(), "data: {\"x\":\"slow\"}\n\ndata: [DONE]\n\n");
    assert_eq!((first.request_count(), second.request_count()), (1, 0));
}
