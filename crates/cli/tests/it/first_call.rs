//! The shortest way through everything: a request, a stream, an error.

use crate::server;
use callsheet_testkit::FakeBackend;
use serde_json::json;

#[tokio::test]
async fn a_request_is_answered_by_the_backend_that_offers_its_model() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("gpu-1")).start().await;
    let body = json!({"model": "test-model", "messages": [{"role": "user", "content": "hello"}]});
    let reply = server.post_json("/v1/chat/completions", &body).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-callsheet-backend"), Some("gpu-1"));
    let content = reply.json()["choices"][0]["message"]["content"].clone();
    assert!(content.as_str().unwrap().contains("hello"), "{content}");
    assert_eq!(backend.requests()[0].body, body.to_string().as_bytes());
}

#[tokio::test]
async fn a_stream_arrives_event_by_event_and_ends_as_the_backend_ended_it() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("gpu-1")).start().await;
    let body = json!({"model": "test-model", "stream": true,
        "messages": [{"role": "user", "content": "hello"}]});
    let stream = server.stream("/v1/chat/completions", &body).await;
    assert_eq!(stream.status, 200);
    let end = stream.rest().await;
    assert!(end.is_clean && end.text().ends_with("data: [DONE]\n\n"), "{}", end.text());
}

#[tokio::test]
async fn an_unknown_model_is_an_error_in_openais_shape() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("gpu-1")).start().await;
    let reply = server.post_json("/v1/chat/completions", &json!({"model": "nope"})).await;
    assert_eq!(reply.status, 404);
    let error = reply.json()["error"].clone();
    assert_eq!(error["code"], "model_not_found");
    assert_eq!(error["param"], "model");
    assert_eq!(error["request_id"].as_str(), reply.header("x-request-id"));
}

#[tokio::test]
async fn the_demo_answers_streams_and_fails_over() {
    let server = server("").args(["--demo"]).start().await;
    let ask =
        |text: &str| json!({"model": "demo", "messages": [{"role": "user", "content": text}]});
    for _ in 0..4 {
        let reply = server.post_json("/v1/chat/completions", &ask("please fail")).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-callsheet-backend"), Some("demo-2"));
    }
}

#[tokio::test]
async fn the_demo_leaves_nothing_in_the_store() {
    let server = server("").args(["--demo"]).start().await;
    let refreshed = server.cli(["model", "refresh"]).await;
    assert_eq!(refreshed.code, 0, "{refreshed:?}");
    assert!(refreshed.stdout.starts_with("nothing to refresh"), "{refreshed:?}");
    assert_eq!(server.cli(["changes", "--json"]).await.json(), json!([]));
}
