//! Each key of `[log]`, and that a request can be found by its id.

use crate::{observe::chat, server};
use callsheet_testkit::{FakeBackend, TestServer};
use serde_json::Value;

/// Everything that a daemon wrote from its start to its end, after one good request.
async fn log_of(config: &str) -> (String, String) {
    let backend = FakeBackend::start().await;
    let mut server = server(&format!("{config}{}", backend.config("gpu-1"))).start().await;
    let reply = chat(&server, "test-model").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let id = reply.header("x-request-id").expect("a request id").to_owned();
    (server.stop().await, id)
}

/// Returns the only line about a request.
fn line_of<'a>(log: &'a str, id: &str) -> &'a str {
    let lines: Vec<_> = log.lines().filter(|line| line.contains(id)).collect();
    assert_eq!(lines.len(), 1, "{log}");
    lines[0]
}

#[tokio::test]
async fn format_json_makes_each_line_an_object() {
    let (log, id) = log_of("[log]\nformat = \"json\"\n").await;
    for line in log.lines() {
        let value: Value = serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(value[key].is_string(), "{key} in {line}");
        }
    }
    let line: Value = serde_json::from_str(line_of(&log, &id)).unwrap();
    assert_eq!(line["request_id"], *id);
    let of = |key: &str| line[key].clone();
    assert_eq!((of("backend"), of("model")), ("gpu-1".into(), "test-model".into()));
    assert_eq!((of("status"), of("outcome"), of("attempts")), (200.into(), "ok".into(), 1.into()));
    assert_eq!(of("path"), "/v1/chat/completions");
    assert!(of("total_ms").as_f64() >= of("first_byte_ms").as_f64(), "{line}");
    assert!(of("sent_bytes").as_u64() > Some(100), "{line}");
}

#[tokio::test]
async fn format_text_makes_each_request_one_line_for_people() {
    let (log, id) = log_of("[log]\nformat = \"text\"\n").await;
    let line = line_of(&log, &id);
    assert!(serde_json::from_str::<Value>(line).is_err(), "{line}");
    let shown = " 200 POST \"/v1/chat/completions\" model=\"test-model\" backend=gpu-1 outcome=ok";
    assert!(line.contains(shown) && line.ends_with(&format!("id={id}")), "{line}");
    assert!(!log.contains('\u{1b}'), "no colours in a log");
}

#[tokio::test]
async fn a_client_cannot_forge_a_line_of_the_text_log() {
    let mut server = server("[log]\nformat = \"text\"\n").start().await;
    let body = br#"{"model":"x\n2026-01-01T00:00:00Z 200 forged"}"#;
    let headers = [("X-Request-Id", "mine-1")];
    let reply = server.request("POST", "/v1/chat/completions", &headers, body).await;
    assert_eq!(reply.status, 404);
    let log = server.stop().await;
    assert!(!log.lines().any(|line| line.starts_with("2026-01-01T00:00:00Z")), "{log}");
    assert_eq!(log.lines().filter(|line| line.contains("forged")).count(), 1, "{log}");
}

#[tokio::test]
async fn level_says_how_much_is_written() {
    let ready = "every backend has been probed";
    let (info, _) = log_of("[log]\nlevel = \"info\"\n").await;
    assert!(info.contains(ready), "{info}");
    let (error, id) = log_of("[log]\nlevel = \"error\"\n").await;
    assert!(!error.contains(ready), "{error}");
    assert!(error.contains(&id), "requests have a key of their own: {error}");
    for (level, is_there) in [("info", false), ("debug", true)] {
        let mut server = server(&format!("[log]\nlevel = \"{level}\"\n")).start().await;
        server.raw(b"no HTTP at all\r\n\r\n").await;
        let log = server.stop().await;
        assert_eq!(log.contains("a client's connection ended early"), is_there, "{level}: {log}");
    }
}

#[tokio::test]
async fn requests_false_leaves_requests_out() {
    let (log, id) = log_of("[log]\nrequests = false\n").await;
    assert!(log.contains("every backend has been probed"), "{log}");
    assert!(!log.contains(&id), "{log}");
}

#[tokio::test]
async fn the_request_id_is_the_callers_own_where_it_sends_one() {
    let backend = FakeBackend::start().await;
    let mut server: TestServer = server(&backend.config("gpu-1")).start().await;
    let headers = [("X-Request-Id", "trace-42"), ("Content-Type", "application/json")];
    let body = crate::observe::ask("nobody-has-it").to_string();
    let path = "/v1/chat/completions";
    let reply = server.request("POST", path, &headers, body.as_bytes()).await;
    assert_eq!(reply.header("x-request-id"), Some("trace-42"));
    assert_eq!(reply.json()["error"]["request_id"], "trace-42");
    let log = server.stop().await;
    let line: Value = serde_json::from_str(line_of(&log, "trace-42")).unwrap();
    assert_eq!((&line["status"], &line["outcome"]), (&404.into(), &"model_not_found".into()));
}
