//! Each key of `[routing]` that says who gets a request. Failures have their own file.

use crate::{
    observe::{backend, chat, config_of, refusal, served_by},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, TestServer};
use serde_json::json;
use std::time::Duration;

/// Two backends that offer the same model.
async fn two() -> (FakeBackend, FakeBackend) {
    (FakeBackend::start().await, FakeBackend::start().await)
}

async fn send(server: &TestServer, count: usize) {
    for _ in 0..count {
        served_by(server, "test-model").await;
    }
}

fn strategy(name: &str, backends: &str) -> String {
    format!("[routing]\nstrategy = \"{name}\"\n{backends}")
}

#[tokio::test]
async fn strategy_round_robin_gives_each_its_turn() {
    let (a, b) = two().await;
    let c = FakeBackend::start().await;
    let server = server(&strategy("round_robin", &config_of(&[&a, &b, &c]))).start().await;
    send(&server, 12).await;
    assert_eq!([a.request_count(), b.request_count(), c.request_count()], [4, 4, 4]);
}

#[tokio::test]
async fn strategy_weighted_shares_by_weight() {
    let (a, b) = two().await;
    let idle = FakeBackend::start().await;
    let backends = format!(
        "{}weight = 3\n{}weight = 1\n{}weight = 0\n",
        a.config("a"),
        b.config("b"),
        idle.config("idle")
    );
    let server = server(&strategy("weighted", &backends)).start().await;
    send(&server, 200).await;
    // 150 are expected, give or take 6; a chance of one in a thousand million is outside.
    assert!((112..=188).contains(&a.request_count()), "{}", a.request_count());
    assert_eq!((a.request_count() + b.request_count(), idle.request_count()), (200, 0));
}

#[tokio::test]
async fn strategy_priority_keeps_to_the_lowest_that_can() {
    let (first, second) = two().await;
    let backends = format!(
        "{}priority = 5\n{}priority = -5\nmax_concurrent = 1\n",
        second.config("second"),
        first.config("first")
    );
    let server = server(&strategy("priority", &backends)).start().await;
    send(&server, 8).await;
    assert_eq!((first.request_count(), second.request_count()), (8, 0));
    let gate = Gate::new();
    first.script_next(1, Behaviour::Answer.held_by(&gate));
    let stream = ask_and_hold(&server, &first, 9).await;
    assert_eq!(served_by(&server, "test-model").await, "second");
    gate.open();
    assert_eq!(stream.await.unwrap(), "first");
}

/// Sends a request in the background and waits until it has reached the backend.
async fn ask_and_hold(
    server: &TestServer,
    backend: &FakeBackend,
    its_number: usize,
) -> tokio::task::JoinHandle<String> {
    let address = server.address();
    let asked = tokio::spawn(async move {
        let body = crate::observe::ask("test-model").to_string();
        let headers = [("Content-Type", "application/json")];
        let path = "/v1/chat/completions";
        let reply =
            callsheet_testkit::client::request(address, "POST", path, &headers, body.as_bytes());
        reply.await.unwrap().header("x-callsheet-backend").unwrap().to_owned()
    });
    backend.wait_for_requests(its_number).await;
    asked
}

#[tokio::test]
async fn strategy_least_pending_avoids_who_is_busy() {
    let (a, b) = two().await;
    let server = server(&strategy("least_pending", &config_of(&[&a, &b]))).start().await;
    let gate = Gate::new();
    a.script(Behaviour::Answer.held_by(&gate));
    b.script(Behaviour::Answer.held_by(&gate));
    let address = server.address();
    let held = tokio::spawn(async move {
        let body = crate::observe::ask("test-model").to_string();
        let path = "/v1/chat/completions";
        callsheet_testkit::client::request(address, "POST", path, &[], body.as_bytes()).await
    });
    let (busy, free) = tokio::select! {
        () = a.wait_for_requests(1) => (&a, &b),
        () = b.wait_for_requests(1) => (&b, &a),
    };
    free.script(Behaviour::Answer);
    send(&server, 10).await;
    assert_eq!((busy.request_count(), free.request_count()), (1, 10));
    gate.open();
    assert_eq!(held.await.unwrap().unwrap().status, 200);
}

#[tokio::test]
async fn strategy_adaptive_prefers_the_faster() {
    let (slow, fast) = two().await;
    slow.script(Behaviour::Answer.after(Duration::from_millis(30)));
    let server = server(&strategy("adaptive", &config_of(&[&slow, &fast]))).start().await;
    send(&server, 60).await;
    // Until both are measured chance decides; then the slow one gets nothing more.
    assert!(slow.request_count() <= 20, "{}", slow.request_count());
    assert_eq!(slow.request_count() + fast.request_count(), 60);
}

#[tokio::test]
async fn unknown_capabilities_allow_or_refuse_who_does_not_say() {
    let backend = FakeBackend::start().await;
    let mut body = crate::observe::ask("test-model");
    body["tools"] = json!([{"type": "function", "function": {"name": "f"}}]);
    for (value, expected) in [("allow", 200), ("refuse", 400)] {
        let config =
            format!("[routing]\nunknown_capabilities = \"{value}\"\n{}", backend.config("a"));
        let server = server(&config).start().await;
        let reply = server.post_json("/v1/chat/completions", &body).await;
        assert_eq!(reply.status, expected, "{value}: {}", reply.text());
        if expected == 400 {
            assert_eq!(refusal(&reply), "400 capability_unavailable");
            assert!(reply.text().contains("does not say whether it can call tools"));
        }
    }
}

#[tokio::test]
async fn zone_prefers_backends_of_the_same_zone() {
    let (east, west) = two().await;
    let backends =
        format!("{}zone = \"east\"\n{}zone = \"west\"\n", east.config("e"), west.config("w"));
    let server = server(&format!("[routing]\nzone = \"west\"\n{backends}")).start().await;
    send(&server, 8).await;
    assert_eq!((east.request_count(), west.request_count()), (0, 8));
    west.stop().await;
    assert_eq!(served_by(&server, "test-model").await, "e", "the other zone is better than none");
}

#[tokio::test]
async fn bytes_per_token_is_the_estimate_of_what_a_prompt_fills() {
    let backend = FakeBackend::start().await;
    let models = "models = [{ id = \"test-model\", context_length = 100 }]\n";
    let mut body = crate::observe::ask("test-model");
    body["messages"][0]["content"] = "x".repeat(240).into();
    for (bytes_per_token, expected) in [("4.0", "200"), ("2.0", "400 capability_unavailable")] {
        let config = format!(
            "[routing]\nbytes_per_token = {bytes_per_token}\n{}{models}",
            backend.config("a")
        );
        let server = server(&config).start().await;
        let reply = server.post_json("/v1/chat/completions", &body).await;
        let got = if reply.status == 200 { "200".to_owned() } else { refusal(&reply) };
        assert_eq!(got, expected, "{}", reply.text());
    }
}

#[tokio::test]
async fn aliases_are_other_names_of_models() {
    let fake = FakeBackend::start().await;
    let config = format!("[routing.aliases]\nfast = \"test-model\"\n{}", fake.config("a"));
    let server = server(&config).start().await;
    assert_eq!(served_by(&server, "fast").await, "a");
    assert_eq!(fake.requests()[0].json()["model"], "test-model");
    let listed = server.get("/v1/models").await.json();
    let ids: Vec<_> = listed["data"].as_array().unwrap().iter().map(|m| m["id"].clone()).collect();
    assert_eq!(ids, ["fast", "test-model"]);
    assert_eq!(refusal(&chat(&server, "slow").await), "404 model_not_found");
}

#[tokio::test]
async fn fallbacks_are_tried_when_a_model_cannot_be_served() {
    let (main, spare) = two().await;
    main.set_models(["big"]);
    spare.set_models(["small"]);
    let config = format!("[routing.fallbacks]\nbig = [\"small\"]\n{}", config_of(&[&main, &spare]));
    let server = server(&config).start().await;
    assert_eq!(served_by(&server, "big").await, "a");
    main.stop().await;
    assert_eq!(served_by(&server, "big").await, "b");
    assert_eq!(spare.requests()[0].json()["model"], "small");
    assert_eq!(backend(&server, "b").await["total_requests"], 1);
}
