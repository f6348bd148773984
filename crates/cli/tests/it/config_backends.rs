//! Each key of `[[backends]]` that does not say who gets a request; those are in `config_routing`.

use crate::{
    observe::{ask, backend, chat, models, refusal, served_by},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, FakeBackendBuilder, Gate, client};

fn fake() -> FakeBackendBuilder {
    FakeBackend::builder()
}

#[tokio::test]
async fn name_is_how_everybody_speaks_of_it() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("Gpu_1.lan")).start().await;
    assert_eq!(served_by(&server, "test-model").await, "Gpu_1.lan");
    assert_eq!(served_by(&server, "Gpu_1.lan:test-model").await, "Gpu_1.lan");
    assert_eq!(backend(&server, "Gpu_1.lan").await["url"], fake.url());
}

#[tokio::test]
async fn type_says_how_it_is_probed() {
    for (kind, probes) in [
        ("ollama", &["/api/tags"][..]),
        ("vllm", &["/v1/models"]),
        ("llamacpp", &["/health", "/v1/models"]),
        ("lmstudio", &["/v1/models"]),
        ("exo", &["/v1/models"]),
        ("openai", &["/v1/models"]),
        ("anthropic", &["/v1/models"]),
        ("generic", &["/v1/models"]),
    ] {
        let fake = FakeBackend::start().await;
        let config =
            format!("[[backends]]\nname = \"a\"\nurl = \"{}\"\ntype = \"{kind}\"\n", fake.url());
        let server = server(&config).start().await;
        let asked: Vec<_> = fake.probes().iter().map(|probe| probe.path.clone()).collect();
        assert_eq!(asked, probes, "{kind}");
        assert_eq!(backend(&server, "a").await["backend_type"], kind);
    }
}

#[tokio::test]
async fn url_is_where_it_answers_with_or_without_v1_and_below_a_path() {
    for (suffix, path) in [
        ("", "/v1/chat/completions"),
        ("/", "/v1/chat/completions"),
        ("/v1", "/v1/chat/completions"),
        ("/proxy", "/proxy/v1/chat/completions"),
        ("/proxy/v1/", "/proxy/v1/chat/completions"),
    ] {
        let fake = FakeBackend::start().await;
        fake.script(Behaviour::body("{}"));
        let url = fake.url();
        let config = format!(
            "[[backends]]\nname = \"a\"\nurl = \"{url}{suffix}\"\nmodels = [\"test-model\"]\n"
        );
        let server = server(&config).start().await;
        let reply = chat(&server, "test-model").await;
        let asked = fake.requests();
        let asked = asked.iter().find(|request| request.method == "POST");
        let asked = asked.unwrap_or_else(|| panic!("{suffix}: {}", reply.text()));
        assert_eq!(asked.path, path, "{suffix}");
    }
}

#[tokio::test]
async fn api_key_env_and_api_key_file_are_shown_to_the_backend_alone() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "sk-from-file\n").unwrap();
    for (key, sent) in [
        ("api_key_env = \"GPU1_KEY\"".to_owned(), "Bearer sk-from-env"),
        (format!("api_key_file = {file:?}"), "Bearer sk-from-file"),
    ] {
        let fake = FakeBackend::start().await;
        let config = format!("{}{key}\n", fake.config("a"));
        let server = server(&config).env("GPU1_KEY", "sk-from-env").start().await;
        let headers = [("Authorization", "Bearer of-the-client")];
        let body = ask("test-model").to_string();
        let path = "/v1/chat/completions";
        let reply = server.request("POST", path, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(fake.requests()[0].header("authorization"), Some(sent));
        assert_eq!(fake.probes()[0].header("authorization"), Some(sent), "its list needs it too");
    }
}

#[tokio::test]
async fn models_are_taken_as_declared_in_both_forms() {
    let fake = fake().models(["what-it-lists"]).start().await;
    let config = format!(
        "{}models = [\"plain\", {{ id = \"described\", name = \"Described\", \
         context_length = 4096, supports_tools = true, supports_vision = false, \
         supports_json_mode = true, max_output_tokens = 512 }}]\n",
        fake.config("a")
    );
    let server = server(&config).start().await;
    assert_eq!(models(&server, "a").await, ["plain", "described"]);
    let view = backend(&server, "a").await;
    let expected = serde_json::json!({
        "id": "described", "name": "Described", "context_length": 4096, "supports_vision": false,
        "supports_tools": true, "supports_json_mode": true, "max_output_tokens": 512,
    });
    assert_eq!(view["models"][1], expected);
    assert_eq!(view["models"][0]["supports_tools"], serde_json::Value::Null, "unknown is not no");
    assert_eq!(served_by(&server, "plain").await, "a");
    assert_eq!(refusal(&chat(&server, "what-it-lists").await), "404 model_not_found");
    let mut seeing = ask("described");
    seeing["messages"][0]["content"] =
        serde_json::json!([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]);
    let reply = server.post_json("/v1/chat/completions", &seeing).await;
    assert_eq!(refusal(&reply), "400 capability_unavailable");
}

#[tokio::test]
async fn models_that_are_declared_do_not_need_a_list() {
    let fake = FakeBackend::start().await;
    fake.models_answer(Behaviour::status(404));
    let config = format!("{}models = [\"mine\"]\n", fake.config("a"));
    let server = server(&config).start().await;
    assert_eq!(served_by(&server, "mine").await, "a");
}

#[tokio::test]
async fn max_concurrent_is_the_most_that_it_is_given_at_once() {
    let fake = FakeBackend::start().await;
    let gate = Gate::new();
    fake.script(Behaviour::Answer.held_by(&gate));
    let config = format!("{}max_concurrent = 2\n", fake.config("a"));
    let server = server(&config).start().await;
    let address = server.address();
    let calls: Vec<_> = (0..5)
        .map(|_| {
            tokio::spawn(async move {
                let body = ask("test-model").to_string();
                let path = "/v1/chat/completions";
                client::request(address, "POST", path, &[], body.as_bytes()).await.unwrap().status
            })
        })
        .collect();
    let waiting = crate::observe::until("three that wait", async || {
        crate::observe::metric(&server, "callsheet_queue_length").await.filter(|n| *n >= 3.0)
    });
    assert_eq!(waiting.await.to_string(), "3");
    assert_eq!(
        (fake.open_requests(), backend(&server, "a").await["max_concurrent"] == 2),
        (2, true)
    );
    gate.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(fake.max_open(), 2);
}
