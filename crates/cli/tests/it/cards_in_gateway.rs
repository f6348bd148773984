//! What is known of a model beside what its backend says: in `/v1/models`, in routing, and in what
//! `callsheet route` says of it.

use crate::{
    observe::{ask, chat, refusal, until},
    refresh_scene::model,
    server,
};
use callsheet_testkit::{FakeBackend, FakeProvider, Speaks, TestServer};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::time::{Duration, Instant};

const NO_ASKING: &str = "[models]\nrefresh_backends = false\n";

/// A daemon with a backend `a` that says of `test-model` only that it has it, and further config;
/// the model is in the store.
async fn scene(further: &str) -> (FakeBackend, TestServer) {
    let fake = FakeBackend::start().await;
    let server = server(&format!("{}{NO_ASKING}{further}", fake.config("a"))).start().await;
    good(&server, &["model", "refresh", "--provider", "a"]).await;
    (fake, server)
}

async fn good(server: &TestServer, args: &[&str]) {
    let output = server.cli(args).await;
    assert_eq!(output.code, 0, "{output:?}");
}

/// Returns what `/v1/models` says of a model.
async fn listed(server: &TestServer, id: &str) -> Value {
    let list = server.get("/v1/models").await.json();
    let found = list["data"].as_array().unwrap().iter().find(|model| model["id"] == id).cloned();
    let mut found = found.unwrap_or_else(|| panic!("{list}"));
    found["created"].take();
    found
}

#[tokio::test]
async fn the_list_says_what_the_card_says() {
    let (_fake, server) = scene("").await;
    assert_eq!(
        listed(&server, "test-model").await,
        json!({"id": "test-model", "object": "model", "created": null, "owned_by": "a"})
    );
    let set = [
        "context_window=128k",
        "max_output_tokens=4096",
        "prices.prompt=2.55",
        "capabilities=chat,tools",
    ];
    good(&server, &[&["model", "set", "a:test-model"][..], &set].concat()).await;
    let seen = until("the card in the list", async || {
        let model = listed(&server, "test-model").await;
        (model["context_length"] == 128_000).then_some(model)
    })
    .await;
    assert_eq!(
        seen,
        json!({
            "id": "test-model", "object": "model", "created": null, "owned_by": "a",
            "context_length": 128_000, "max_output_tokens": 4096, "capabilities": ["tools"],
            "pricing": [{"what": "prompt", "per": "mtok", "amount": "2.55"}],
        })
    );
    let one = server.get("/v1/models/test-model").await.json();
    assert_eq!(one["pricing"][0]["amount"], "2.55");
}

#[tokio::test]
async fn a_service_that_is_a_backend_too_has_the_cards_of_its_provider() {
    let router = FakeProvider::start(Speaks::OpenRouter, [model("acme/m")]).await;
    // On the same machine, and somebody else.
    let stranger = FakeBackend::builder().models(["acme/other"]).start().await;
    let backend =
        format!("[[backends]]\nname = \"or\"\ntype = \"openai\"\nurl = \"{}\"\n", router.url());
    let config =
        format!("{backend}{}{NO_ASKING}{}", stranger.config("stranger"), router.config("router"));
    let server = server(&config).start().await;
    good(&server, &["model", "refresh", "--provider", "router"]).await;
    let model = until("the provider's card", async || {
        let model = listed(&server, "acme/m").await;
        (!model["pricing"].is_null()).then_some(model)
    })
    .await;
    assert_eq!((&model["owned_by"], &model["context_length"]), (&json!("or"), &json!(8192)));
    assert_eq!(model["pricing"][1]["amount"], "1");
    router.set_models([super::refresh_scene::model("acme/other")]);
    good(&server, &["model", "refresh", "router:acme/other"]).await;
    let other = listed(&server, "acme/other").await;
    assert!(other["pricing"].is_null(), "the price of one is not the other's: {other}");
}

#[tokio::test]
async fn a_model_is_reached_by_its_canonical_id_and_as_its_service_has_it() {
    let gpu = FakeBackend::builder().models(["gpt-1", "acme/m"]).start().await;
    let other = FakeBackend::builder().models(["gpt-1", "acme/m"]).start().await;
    // One model is known before the thread that looks cards up begins, another comes later.
    let declared = "models = [{ id = \"gpt-1\" }, { id = \"acme/m\" }]\n";
    let service = format!("[providers.service]\ntype = \"generic\"\nurl = \"{}\"\n", gpu.url());
    let aliases = "[routing.aliases]\nbest = \"service:acme/m\"\n";
    let config = format!(
        "{}{declared}{}{NO_ASKING}{aliases}{service}",
        gpu.config("gpu"),
        other.config("other")
    );
    let server = server(&config).start().await;
    let sent = async |name: &'static str| {
        until(name, async || {
            let reply = chat(&server, name).await;
            (reply.status == 200).then(|| reply.header("x-callsheet-backend").unwrap().to_owned())
        })
        .await
    };
    for _ in 0..4 {
        assert_eq!(sent("service:acme/m").await, "gpu");
        assert_eq!(sent("best").await, "gpu");
    }
    assert_eq!(refusal(&chat(&server, "x-ai/Gpt-9").await), "404 model_not_found");
    good(&server, &["model", "refresh", "--provider", "gpu"]).await;
    good(&server, &["model", "refresh", "--provider", "other"]).await;
    good(&server, &["model", "set", "gpu:gpt-1", "canonical=x-ai/Gpt-9"]).await;
    for name in ["x-ai/Gpt-9", "xai/gpt-9"] {
        sent(name).await;
    }
    let route = server.cli(["route", "xai/gpt-9"]).await;
    assert!(route.stdout.starts_with("xai/gpt-9 \u{2192} gpt-1 goes to "), "{route:?}");
    for request in [gpu.requests(), other.requests()].concat() {
        let model = request.json()["model"].clone();
        assert!(model == "gpt-1" || model == "acme/m", "{model}");
    }
    // A reload leaves it; and where an id is two models, it matters whose it is.
    good(&server, &["config", "reload"]).await;
    assert_eq!(chat(&server, "xai/gpt-9").await.status, 200);
    good(&server, &["model", "set", "other:gpt-1", "canonical=acme/else"]).await;
    for _ in 0..4 {
        assert_eq!(sent("acme/else").await, "other");
        assert_eq!(sent("xai/gpt-9").await, "gpu");
    }
    good(&server, &["model", "unset", "gpu:gpt-1", "canonical"]).await;
    until("the end of a name", async || {
        let reply = chat(&server, "xai/gpt-9").await;
        (reply.status != 200).then(|| assert_eq!(refusal(&reply), "404 model_not_found"))
    })
    .await;
}

/// Returns what `callsheet route` says of `a`, for a request with such a need.
async fn verdict(server: &TestServer, flag: &str, value: &str) -> String {
    let output = server.cli(["route", "test-model", flag, value]).await;
    let row = output.stdout.lines().find(|line| line.starts_with("a "));
    let row = row.unwrap_or_else(|| panic!("{output:?}"));
    let verdict = row.split("  ").map(str::trim).filter(|cell| !cell.is_empty()).nth(1);
    format!("exit code {}: {}", output.code, verdict.unwrap_or(row))
}

/// A chat request with this text, and further fields.
fn request(text: &str, further: &Value) -> Value {
    let mut body = ask("test-model");
    body["messages"][0]["content"] = json!(text);
    for (key, value) in further.as_object().into_iter().flatten() {
        body[key] = value.clone();
    }
    body
}

async fn send(server: &TestServer, body: &Value) -> String {
    let reply = server.post_json("/v1/chat/completions", body).await;
    if reply.status == 200 { "200".to_owned() } else { refusal(&reply) }
}

/// Waits until a request fares like this.
async fn until_sent(server: &TestServer, body: &Value, expected: &str) {
    until(expected, async || (send(server, body).await == expected).then_some(())).await;
}

#[tokio::test]
async fn what_a_card_says_is_too_much_is_refused() {
    let (fake, server) = scene("").await;
    let long = request(&"word ".repeat(4000), &json!({}));
    let picture = json!({"messages": [{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,AA=="}}]}]});
    let picture = request("", &picture);
    assert_eq!(send(&server, &long).await, "200");
    assert_eq!(send(&server, &picture).await, "200");
    good(&server, &["model", "set", "a:test-model", "context_window=2000"]).await;
    until_sent(&server, &long, "400 capability_unavailable").await;
    good(&server, &["model", "set", "a:test-model", "input_modalities=text"]).await;
    until_sent(&server, &picture, "400 capability_unavailable").await;
    assert_eq!(chat(&server, "test-model").await.status, 200);
    let asked = fake.request_count();
    assert_eq!(send(&server, &long).await, "400 capability_unavailable");
    assert_eq!(fake.request_count(), asked, "the backend is not even asked");
    assert_snapshot!(verdict(&server, "--min-context", "4000").await, @"exit code 1: has a context of 2000 tokens only, by its card");
    assert_snapshot!(verdict(&server, "--needs", "vision").await, @"exit code 1: takes no images, by its card");
    good(&server, &["model", "unset", "a:test-model", "context_window", "input_modalities"]).await;
    until_sent(&server, &long, "200").await;
    until_sent(&server, &picture, "200").await;
}

#[tokio::test]
async fn a_card_speaks_where_what_is_unknown_is_refused() {
    let (_fake, server) = scene("[routing]\nunknown_capabilities = \"refuse\"\n").await;
    let tools = json!({"tools": [{"type": "function", "function": {"name": "f"}}]});
    let tools = request("hello", &tools);
    assert_eq!(send(&server, &tools).await, "400 capability_unavailable");
    assert_snapshot!(verdict(&server, "--needs", "tools").await, @"exit code 1: does not say whether it can call tools");
    good(
        &server,
        &["model", "set", "a:test-model", "capabilities=chat,tools", "context_window=8k"],
    )
    .await;
    until_sent(&server, &tools, "200").await;
}

#[tokio::test]
async fn the_backends_own_word_goes_first() {
    let fake = FakeBackend::start().await;
    let declared =
        "models = [{ id = \"test-model\", context_length = 100000, supports_vision = true }]\n";
    let config = format!("{}{declared}{NO_ASKING}", fake.config("a"));
    let server = server(&config).start().await;
    good(&server, &["model", "refresh", "--provider", "a"]).await;
    good(
        &server,
        &[
            "model",
            "set",
            "a:test-model",
            "context_window=10",
            "max_output_tokens=77",
            "input_modalities=text",
        ],
    )
    .await;
    let model = until("the card", async || {
        let model = listed(&server, "test-model").await;
        (model["max_output_tokens"] == 77).then_some(model)
    })
    .await;
    assert_eq!(model["context_length"], 100_000);
    let long = request(&"word ".repeat(4000), &json!({}));
    assert_eq!(send(&server, &long).await, "200");
    assert_snapshot!(verdict(&server, "--min-context", "100001").await, @"exit code 1: has a context of 100000 tokens only");
}

#[tokio::test]
async fn a_correction_is_in_force_within_a_second() {
    let (_fake, server) = scene("").await;
    let long = request(&"word ".repeat(4000), &json!({}));
    assert_eq!(send(&server, &long).await, "200");
    let correction = json!({"set": {"context_window": "2000"}});
    let headers = [("Content-Type", "application/json")];
    let path = "/api/v1/models/a:test-model";
    let reply = server.request("PATCH", path, &headers, correction.to_string().as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let since = Instant::now();
    until_sent(&server, &long, "400 capability_unavailable").await;
    assert!(since.elapsed() < Duration::from_secs(1), "{:?}", since.elapsed());
}
