//! The stand-in itself: it answers well, misbehaves exactly, and counts truthfully.

#![allow(clippy::unwrap_used, reason = "a test may fail this way")]

use std::time::Duration;

use callsheet_testkit::{
    Behaviour, Chunking, End, FakeBackend, Gate, Kind, RawStep, Reply, StreamReply, client, within,
};
use serde_json::{Value, json};

async fn post(backend: &FakeBackend, path: &str, body: &Value) -> std::io::Result<Reply> {
    let body = body.to_string();
    within("a reply", client::request(backend.address(), "POST", path, &[], body.as_bytes())).await
}

async fn stream(backend: &FakeBackend, body: &Value) -> StreamReply {
    let body = body.to_string();
    let path = "/v1/chat/completions";
    within("a head", client::open(backend.address(), "POST", path, &[], body.as_bytes()))
        .await
        .unwrap()
}

fn chat(text: &str) -> Value {
    json!({"model": "test-model", "messages": [{"role": "user", "content": text}]})
}

fn streamed_chat(text: &str) -> Value {
    let mut body = chat(text);
    body["stream"] = json!(true);
    body
}

async fn get(backend: &FakeBackend, path: &str) -> Reply {
    within("a reply", client::request(backend.address(), "GET", path, &[], b"")).await.unwrap()
}

#[tokio::test]
async fn chat_echoes_and_is_recorded() {
    let backend = FakeBackend::start().await;
    let reply = post(&backend, "/v1/chat/completions", &chat("hello there")).await.unwrap();
    assert_eq!(reply.status, 200);
    assert_eq!(reply.json()["choices"][0]["message"]["content"], "hello there");
    assert_eq!(reply.json()["usage"]["total_tokens"], 4);
    let requests = backend.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].json(), chat("hello there"));
    assert_eq!((backend.probe_count(), backend.connection_count()), (0, 1));
    backend.wait_until_idle().await;
    assert_eq!((backend.max_open(), backend.disconnect_count()), (1, 0));
}

#[tokio::test]
async fn a_tool_is_called_plainly_and_streamed() {
    let backend = FakeBackend::start().await;
    let mut body = chat("please call it");
    body["tools"] = json!([{"type": "function", "function": {"name": "weather"}}]);
    let reply = post(&backend, "/v1/chat/completions", &body).await.unwrap().json();
    assert_eq!(reply["choices"][0]["finish_reason"], "tool_calls");
    let call = &reply["choices"][0]["message"]["tool_calls"][0]["function"];
    assert_eq!(call["name"], "weather");

    body["stream"] = json!(true);
    let mut answer = stream(&backend, &body).await;
    let mut arguments = String::new();
    while let Some(event) = answer.next_event().await {
        let Ok(event) = serde_json::from_str::<Value>(&event["data: ".len()..]) else { continue };
        let delta = &event["choices"][0]["delta"]["tool_calls"][0]["function"]["arguments"];
        arguments.push_str(delta.as_str().unwrap_or_default());
    }
    assert_eq!(call["arguments"], arguments);
}

#[tokio::test]
async fn a_stream_ends_as_it_is_told() {
    let backend = FakeBackend::start().await;
    let whole = stream(&backend, &streamed_chat("a b")).await.rest().await;
    assert!(whole.is_clean);
    assert!(whole.text().ends_with("data: [DONE]\n\n"), "{}", whole.text());
    for (end, is_clean) in [
        (End::Done, true),
        (End::CleanEndWithoutDone, true),
        (End::CloseWithoutDone, false),
        (End::Reset, false),
    ] {
        backend.script(Behaviour::stream(["1", "2"], end));
        let answer = stream(&backend, &streamed_chat("")).await.rest().await;
        assert_eq!(answer.is_clean, is_clean, "{end:?}");
        assert_eq!(answer.text().contains("[DONE]"), end == End::Done, "{end:?}");
    }
}

#[tokio::test]
async fn chunking_changes_the_chunks_and_never_the_bytes() {
    let backend = FakeBackend::start().await;
    let expected = "data: é\n\n: c\n\ndata: [DONE]\n\n";
    for (chunking, count) in [
        (Chunking::EachEvent, 3),
        (Chunking::Bytes(1), expected.len()),
        (Chunking::Bytes(5), expected.len().div_ceil(5)),
        (Chunking::Merged, 1),
    ] {
        backend.script(Behaviour::Stream {
            events: vec!["é".to_owned(), ": c\n\n".to_owned()],
            end: End::Done,
            chunking,
            gap: Duration::ZERO,
        });
        let mut answer = stream(&backend, &streamed_chat("")).await;
        let mut chunks = Vec::new();
        while let Some(chunk) = answer.try_chunk().await.unwrap() {
            chunks.push(chunk);
        }
        assert_eq!(String::from_utf8(chunks.concat()).unwrap(), expected);
        assert_eq!(chunks.len(), count, "{chunking:?}");
    }
}

#[tokio::test]
async fn a_held_answer_waits_and_a_lost_client_is_counted() {
    let backend = FakeBackend::start().await;
    let gate = Gate::new();
    backend.script_next(1, Behaviour::Answer.held_by(&gate));
    let body = chat("x");
    let held = post(&backend, "/v1/chat/completions", &body);
    let observed = async {
        backend.wait_for_open(1).await;
        gate.open();
    };
    let (reply, ()) = tokio::join!(held, observed);
    assert_eq!(reply.unwrap().status, 200);

    backend.script(Behaviour::stream(["1"], End::Stall));
    let mut answer = stream(&backend, &streamed_chat("")).await;
    assert_eq!(answer.next_event().await.as_deref(), Some("data: 1"));
    assert_eq!(backend.open_requests(), 1);
    drop(answer);
    backend.wait_for_disconnects(1).await;
    backend.wait_until_idle().await;
}

#[tokio::test]
async fn resets_and_raw_bytes_reach_the_client() {
    let backend = FakeBackend::start().await;
    for behaviour in [
        Behaviour::ResetOnAccept,
        Behaviour::ResetAfterRequest,
        Behaviour::Raw(vec![RawStep::text("HTTP/1.1 2"), RawStep::Reset]),
        Behaviour::Raw(vec![RawStep::text("SSH-2.0-hello\r\n\r\n"), RawStep::Close]),
    ] {
        backend.script_next(1, behaviour.clone());
        assert!(post(&backend, "/v1/completions", &json!({})).await.is_err(), "{behaviour:?}");
    }
    let reply = post(&backend, "/v1/completions", &json!({"prompt": "p"})).await.unwrap();
    assert_eq!(reply.json()["choices"][0]["text"], "p", "the script is over");
}

#[tokio::test]
async fn probes_answer_by_kind_and_by_script() {
    let kind = Kind::LlamaCpp { has_health: false };
    let backend = FakeBackend::builder().models(["a", "b"]).kind(kind).start().await;
    assert_eq!(get(&backend, "/health").await.status, 404);
    assert_eq!(get(&backend, "/v1/models").await.json()["data"][1]["id"], "b");
    backend.models_answer(Behaviour::body("garbage"));
    assert_eq!(get(&backend, "/v1/models").await.text(), "garbage");
    backend.models_answer(Behaviour::Answer);
    backend.set_models(Vec::<String>::new());
    assert_eq!(get(&backend, "/v1/models").await.json()["data"], json!([]));
    assert_eq!((backend.probe_count(), backend.request_count()), (4, 0));

    let ollama = FakeBackend::builder().kind(Kind::Ollama).start().await;
    assert_eq!(get(&ollama, "/api/tags").await.json()["models"][0]["name"], "test-model");
}

#[tokio::test]
async fn it_stops_and_comes_back_on_its_port() {
    let backend = FakeBackend::start().await;
    let mut idle = tokio::net::TcpStream::connect(backend.address()).await.unwrap();
    backend.stop().await;
    assert!(post(&backend, "/v1/completions", &json!({})).await.is_err());
    let ended = tokio::io::AsyncReadExt::read(&mut idle, &mut [0; 1]).await;
    assert!(matches!(ended, Ok(0) | Err(_)), "open connections end too: {ended:?}");
    backend.restart().await;
    assert_eq!(post(&backend, "/v1/completions", &json!({})).await.unwrap().status, 200);
}

#[tokio::test]
async fn embeddings_come_as_numbers_or_base64() {
    let backend = FakeBackend::start().await;
    let mut body = json!({"model": "m", "input": ["a", "b"]});
    let numbers = post(&backend, "/v1/embeddings", &body).await.unwrap().json();
    assert_eq!(numbers["data"][1]["embedding"], json!([98.0, 0.5, -0.25, 1.0]));
    body["encoding_format"] = json!("base64");
    let coded = post(&backend, "/v1/embeddings", &body).await.unwrap().json();
    assert_eq!(coded["data"][1]["embedding"], "AADEQgAAAD8AAIC+AACAPw==");
}
