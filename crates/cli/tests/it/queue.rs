//! Waiting for a backend with room: in order, not too many, not too long.

use crate::{
    scene::{CHAT, ask, assert_error, until_at_rest, until_metric},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, Reply, TestServer, client, within};
use serde_json::json;
use std::time::Duration;
use tokio::task::JoinHandle;

/// Asks from another task.
pub(crate) fn asked(server: &TestServer, id: &str) -> JoinHandle<Reply> {
    let (address, id, body) = (server.address(), id.to_owned(), ask("hello").to_string());
    tokio::spawn(async move {
        let headers = [("x-request-id", id.as_str())];
        let reply = client::request(address, "POST", CHAT, &headers, body.as_bytes());
        within("an answer", reply).await.unwrap()
    })
}

/// A daemon with one backend that takes so many requests at once, and further keys of `[limits]`.
pub(crate) async fn narrow(places: usize, limits: &str) -> (FakeBackend, TestServer) {
    let backend = FakeBackend::start().await;
    let config =
        format!("{}max_concurrent = {places}\n[limits]\n{limits}\n", backend.config("only"));
    let server = server(&config).start().await;
    (backend, server)
}

#[tokio::test]
async fn a_backend_never_has_more_requests_than_it_takes() {
    let (backend, server) = narrow(3, "").await;
    backend.script(Behaviour::Answer.after(Duration::from_millis(2)));
    let requests: Vec<_> = (0..40).map(|n| asked(&server, &format!("r{n}"))).collect();
    for request in requests {
        let reply = request.await.unwrap();
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(backend.max_open(), 3);
    until_at_rest(&server).await;
}

#[tokio::test]
async fn the_queue_is_served_in_order() {
    let (backend, server) = narrow(1, "").await;
    let gate = Gate::new();
    backend.script_next(1, Behaviour::Answer.held_by(&gate));
    let mut requests = vec![asked(&server, "r0")];
    backend.wait_for_requests(1).await;
    for number in 1..=8_u32 {
        requests.push(asked(&server, &format!("r{number}")));
        until_metric(&server, "callsheet_queue_length", f64::from(number)).await;
    }
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    let order: Vec<_> =
        backend.requests().iter().map(|r| r.header("x-request-id").unwrap().to_owned()).collect();
    assert_eq!(order, (0..=8).map(|n| format!("r{n}")).collect::<Vec<_>>());
    assert_eq!(backend.max_open(), 1);
}

#[tokio::test]
async fn a_full_queue_refuses() {
    let (backend, server) = narrow(1, "queue_size = 2").await;
    let gate = Gate::new();
    backend.script(Behaviour::Answer.held_by(&gate));
    let mut requests = vec![asked(&server, "r0")];
    backend.wait_for_requests(1).await;
    for number in 1..=2_u32 {
        requests.push(asked(&server, &format!("r{number}")));
        until_metric(&server, "callsheet_queue_length", f64::from(number)).await;
    }
    let refused = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&refused, 503, "queue_full");
    assert_eq!(refused.header("retry-after"), Some("1"));
    gate.open();
    for request in requests {
        assert_eq!(request.await.unwrap().status, 200);
    }
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
}

#[tokio::test]
async fn a_wait_in_the_queue_ends() {
    let (backend, server) = narrow(1, "queue_timeout = \"100ms\"").await;
    let gate = Gate::new();
    backend.script(Behaviour::Answer.held_by(&gate));
    let running = asked(&server, "running");
    backend.wait_for_requests(1).await;
    let refused = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&refused, 503, "queue_timeout");
    assert_eq!(refused.header("retry-after"), Some("1"));
    gate.open();
    assert_eq!(running.await.unwrap().status, 200);
    until_at_rest(&server).await;
}

#[tokio::test]
async fn nobody_waits_for_a_backend_that_is_no_longer_there() {
    for (change, method, status, code) in
        [("/drain", "POST", 503, "no_backend_available"), ("", "DELETE", 404, "model_not_found")]
    {
        let backend = FakeBackend::start().await;
        let server = server("").start().await;
        let spec = json!({"name": "only", "url": backend.url(), "max_concurrent": 1});
        assert_eq!(server.post_json("/api/v1/backends", &spec).await.status, 201);
        let gate = Gate::new();
        backend.script(Behaviour::Answer.held_by(&gate));
        let running = asked(&server, "running");
        backend.wait_for_requests(1).await;
        let waiting = asked(&server, "waiting");
        until_metric(&server, "callsheet_queue_length", 1.0).await;
        let path = format!("/api/v1/backends/only{change}");
        assert_eq!(server.request(method, &path, &[], b"").await.status, 200);
        assert_error(&waiting.await.unwrap(), status, code);
        gate.open();
        assert_eq!(running.await.unwrap().status, 200, "what runs is finished");
        assert_eq!(backend.request_count(), 1);
    }
}

#[tokio::test]
async fn whoever_waits_is_served_by_a_backend_that_comes_new() {
    let (backend, server) = narrow(1, "").await;
    let gate = Gate::new();
    backend.script(Behaviour::Answer.held_by(&gate));
    let running = asked(&server, "running");
    backend.wait_for_requests(1).await;
    let waiting = asked(&server, "waiting");
    until_metric(&server, "callsheet_queue_length", 1.0).await;
    let second = FakeBackend::start().await;
    let spec = json!({"name": "second", "url": second.url()});
    assert_eq!(server.post_json("/api/v1/backends", &spec).await.status, 201);
    let reply = waiting.await.unwrap();
    assert_eq!(reply.header("x-callsheet-backend"), Some("second"), "{}", reply.text());
    gate.open();
    assert_eq!(running.await.unwrap().status, 200);
}
