//! What tests of the data plane share: questions to ask, two backends in a known order, and what
//! the daemon says of itself.

use crate::server;
use callsheet_testkit::{FakeBackend, PATIENCE, Reply, TestServer};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

pub(crate) const CHAT: &str = "/v1/chat/completions";

/// A chat request.
pub(crate) fn ask(text: &str) -> Value {
    json!({"model": "test-model", "messages": [{"role": "user", "content": text}]})
}

/// A chat request whose answer is to be a stream.
pub(crate) fn ask_stream(text: &str) -> Value {
    json!({"model": "test-model", "stream": true, "messages": [{"role": "user", "content": text}]})
}

/// Two backends of `test-model`; the first gets every request that it can be given.
pub(crate) struct Pair {
    pub(crate) first: FakeBackend,
    pub(crate) second: FakeBackend,
    pub(crate) server: TestServer,
}

impl Pair {
    /// Starts both with further keys of `[routing]`, and further tables.
    pub(crate) async fn start(routing: &str, tables: &str) -> Self {
        let (first, second) = (FakeBackend::start().await, FakeBackend::start().await);
        let config = format!(
            "{}priority = 1\n{}priority = 2\n[routing]\nstrategy = \"priority\"\n{routing}\n{tables}",
            first.config("first"),
            second.config("second"),
        );
        let server = server(&config).start().await;
        Self { first, second, server }
    }
}

/// A daemon with one backend and further keys of `[limits]`.
pub(crate) async fn limited(limits: &str) -> (FakeBackend, TestServer) {
    let backend = FakeBackend::start().await;
    let config = format!("{}[limits]\n{limits}\n", backend.config("only"));
    let server = server(&config).start().await;
    (backend, server)
}

/// Returns the error of an answer, having checked that it is one of OpenAI's shape.
pub(crate) fn error_of(reply: &Reply) -> Value {
    let error = reply.json()["error"].clone();
    for field in ["message", "type", "code", "request_id"] {
        assert!(error[field].is_string(), "{field} of {}: {}", reply.status, reply.text());
    }
    assert_eq!(error["request_id"].as_str(), reply.header("x-request-id"));
    error
}

/// Checks that an answer is an error with this status and this stable code.
pub(crate) fn assert_error(reply: &Reply, status: u16, code: &str) {
    let said = error_of(reply);
    assert_eq!((reply.status, said["code"].as_str()), (status, Some(code)), "{}", reply.text());
}

/// Returns what `/api/v1/backends` shows of one backend.
pub(crate) async fn view(server: &TestServer, name: &str) -> Value {
    server.get(&format!("/api/v1/backends/{name}")).await.json()
}

/// Returns a metric without labels.
pub(crate) async fn metric(server: &TestServer, name: &str) -> f64 {
    let text = server.get("/metrics").await.text();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    let value = line.and_then(|line| line.split(' ').nth(1)?.parse().ok());
    value.unwrap_or_else(|| panic!("no {name} in {text}"))
}

/// Asks the daemon again and again until it gives the answer that is waited for.
pub(crate) async fn until<T>(what: &str, mut look: impl AsyncFnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look().await {
            Ok(found) => return found,
            Err(seen) => assert!(Instant::now() < deadline, "waited for {what}, but {seen}"),
        }
        // Nothing in another process could wake this task.
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

/// Waits until a metric has this value.
pub(crate) async fn until_metric(server: &TestServer, name: &str, expected: f64) {
    let what = format!("{name} to be {expected}");
    until(&what, async || {
        let value = metric(server, name).await;
        if (value - expected).abs() < f64::EPSILON { Ok(()) } else { Err(format!("{value}")) }
    })
    .await;
}

/// Waits until nothing is under way: no request at any backend, none in the queue, no body held.
pub(crate) async fn until_at_rest(server: &TestServer) {
    until("nothing to be under way", async || {
        let backends = server.get("/api/v1/backends").await.json();
        let backends = backends.as_array().expect("a list of backends");
        if backends.iter().all(|backend| backend["pending_requests"] == json!(0)) {
            Ok(())
        } else {
            Err(format!("{backends:?}"))
        }
    })
    .await;
    until_metric(server, "callsheet_queue_length", 0.0).await;
    until_metric(server, "callsheet_held_body_bytes", 0.0).await;
}

/// Returns a line of the daemon's `/proc/PID/status`, in bytes.
pub(crate) fn memory_bytes(server: &TestServer, field: &str) -> u64 {
    let path = format!("/proc/{}/status", server.pid());
    let status = std::fs::read_to_string(path).expect("Linux, and a daemon that runs");
    let line = status.lines().find(|line| line.starts_with(field)).expect("this field");
    let kibibytes = line.split_whitespace().nth(1).and_then(|number| number.parse::<u64>().ok());
    kibibytes.expect("a number of kibibytes") * 1024
}
