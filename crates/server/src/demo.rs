//! Two small backends inside the daemon, for a first look at routing, streaming and failover.
//!
//! They are real servers on loopback, known to the fleet as any other. They repeat what they are
//! told; when that has the word "fail" in it, the first of them breaks, so that the second answers.

use axum::{
    Json, Router,
    body::Body,
    extract::State,
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::{get, post},
};
use bytes::Bytes;
use callsheet_types::{BackendName, BackendSpec, BackendUrl};
use http_body::Frame;
use hyper::{server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use std::{
    collections::VecDeque,
    convert::Infallible,
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};
use tokio::{
    net::TcpListener,
    task::JoinHandle,
    time::{Interval, interval},
};
use tower::ServiceExt;

/// The running demo backends; they stop when it is dropped.
pub(crate) struct Demo {
    backends: Vec<BackendSpec>,
    tasks: Vec<JoinHandle<()>>,
}

const NAMES: [&str; 2] = ["demo-1", "demo-2"];

/// Between two words of a stream, so that one can see it stream.
const WORD_PAUSE: Duration = Duration::from_millis(40);

impl Demo {
    pub(crate) async fn start() -> io::Result<Self> {
        let mut demo = Self { backends: Vec::new(), tasks: Vec::new() };
        for name in NAMES {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            let url = format!("http://{}", listener.local_addr()?);
            let (Ok(url), Ok(key)) = (BackendUrl::new(&url), BackendName::new(name)) else {
                return Err(io::ErrorKind::AddrNotAvailable.into());
            };
            demo.backends.push(BackendSpec::new(key, url));
            demo.tasks.push(tokio::spawn(serve(listener, router(name))));
        }
        Ok(demo)
    }

    pub(crate) fn backends(&self) -> Vec<BackendSpec> {
        self.backends.clone()
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        self.tasks.iter().for_each(JoinHandle::abort);
    }
}

async fn serve(listener: TcpListener, router: Router) {
    while let Ok((stream, _)) = listener.accept().await {
        let _ = stream.set_nodelay(true);
        let router = router.clone();
        let service = service_fn(move |request: http::Request<hyper::body::Incoming>| {
            router.clone().oneshot(request.map(Body::new))
        });
        tokio::spawn(async move {
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

fn router(name: &'static str) -> Router {
    Router::new()
        .route("/v1/models", get(models))
        .route("/v1/chat/completions", post(chat))
        .route("/v1/completions", post(completion))
        .route("/v1/embeddings", post(embeddings))
        .with_state(name)
}

async fn models() -> Json<Value> {
    Json(json!({ "object": "list", "data": [
        { "id": "demo", "object": "model", "owned_by": "callsheet", "context_length": 8192 },
    ]}))
}

async fn chat(State(name): State<&'static str>, Json(request): Json<Value>) -> Response {
    let said = request["messages"].as_array().and_then(|messages| messages.last());
    let said = said.map(|message| &message["content"]).and_then(Value::as_str).unwrap_or("nothing");
    if let Some(failure) = failure(name, said) {
        return failure;
    }
    let text = format!("This is {name}. You said: {said}");
    let id = format!("chatcmpl-{name}");
    if request["stream"] != json!(true) {
        return Json(json!({
            "id": id, "object": "chat.completion", "created": now(), "model": "demo",
            "choices": [{ "index": 0, "message": { "role": "assistant", "content": text },
                          "finish_reason": "stop" }],
            "usage": usage(said, &text),
        }))
        .into_response();
    }
    let chunk = |delta: Value, finish: Value| {
        let chunk = json!({
            "id": id, "object": "chat.completion.chunk", "created": now(), "model": "demo",
            "choices": [{ "index": 0, "delta": delta, "finish_reason": finish }],
        });
        format!("data: {chunk}\n\n")
    };
    let mut events: VecDeque<String> = VecDeque::new();
    events.push_back(chunk(json!({ "role": "assistant", "content": "" }), Value::Null));
    events.extend(
        text.split_inclusive(' ').map(|word| chunk(json!({ "content": word }), Value::Null)),
    );
    events.push_back(chunk(json!({}), json!("stop")));
    events.push_back("data: [DONE]\n\n".to_owned());
    stream(events)
}

async fn completion(State(name): State<&'static str>, Json(request): Json<Value>) -> Response {
    let prompt = request["prompt"].as_str().unwrap_or("nothing");
    if let Some(failure) = failure(name, prompt) {
        return failure;
    }
    let text = format!(" … said {name}.");
    let answer = |text: &str, finish: Value| {
        json!({
            "id": format!("cmpl-{name}"), "object": "text_completion", "created": now(),
            "model": "demo", "choices": [{ "index": 0, "text": text, "finish_reason": finish }],
        })
    };
    if request["stream"] != json!(true) {
        let mut whole = answer(&text, json!("stop"));
        whole["usage"] = usage(prompt, &text);
        return Json(whole).into_response();
    }
    let words =
        text.split_inclusive(' ').map(|word| format!("data: {}\n\n", answer(word, Value::Null)));
    let end = [format!("data: {}\n\n", answer("", json!("stop"))), "data: [DONE]\n\n".to_owned()];
    stream(words.chain(end).collect())
}

async fn embeddings(Json(request): Json<Value>) -> Json<Value> {
    let inputs = match &request["input"] {
        Value::Array(inputs) => inputs.clone(),
        one => vec![one.clone()],
    };
    // No meaning, but the same numbers for the same text.
    let embed = |text: &str| -> Vec<f64> {
        (1..=8)
            .map(|i| text.bytes().map(|b| f64::from(b) * f64::from(i)).sum::<f64>().sin())
            .collect()
    };
    let data: Vec<_> = inputs
        .iter()
        .enumerate()
        .map(|(index, input)| {
            let vector = embed(input.as_str().unwrap_or_default());
            json!({ "object": "embedding", "index": index, "embedding": vector })
        })
        .collect();
    Json(json!({
        "object": "list", "model": "demo", "data": data,
        "usage": { "prompt_tokens": inputs.len(), "total_tokens": inputs.len() },
    }))
}

fn failure(name: &str, said: &str) -> Option<Response> {
    let breaks =
        name == NAMES[0] && said.split_whitespace().any(|word| word.trim_matches('.') == "fail");
    let body = json!({ "error": { "message": "you asked me to fail", "type": "server_error" } });
    breaks.then(|| (StatusCode::INTERNAL_SERVER_ERROR, Json(body)).into_response())
}

fn usage(prompt: &str, answer: &str) -> Value {
    let (prompt, answer) = (prompt.split_whitespace().count(), answer.split_whitespace().count());
    json!({ "prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer })
}

fn now() -> i64 {
    jiff::Timestamp::now().as_second()
}

fn stream(events: VecDeque<String>) -> Response {
    let body = Body::new(Words { events, pace: interval(WORD_PAUSE) });
    ([(header::CONTENT_TYPE, "text/event-stream")], body).into_response()
}

/// A body that gives one event at each tick.
struct Words {
    events: VecDeque<String>,
    pace: Interval,
}

impl http_body::Body for Words {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.events.is_empty() {
            return Poll::Ready(None);
        }
        ready!(self.pace.poll_tick(cx));
        let event = self.events.pop_front().map(|event| Ok(Frame::data(Bytes::from(event))));
        Poll::Ready(event)
    }
}
