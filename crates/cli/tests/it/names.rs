//! From the name in a request to the model that a backend is asked for: aliases, fallbacks, and
//! backends by name.

use crate::{
    scene::{CHAT, assert_error},
    server,
};
use callsheet_testkit::{
    Behaviour, FakeBackend, FakeModel, FakeProvider, Reply, Speaks, TestServer,
};
use serde_json::json;

const ROUTING: &str = r#"
[routing]
eject_after = 0
[routing.aliases]
fast = "quick"
quick = "small"
best = "large"
mine = "b:large"
[routing.fallbacks]
large = ["small"]
best = ["fast"]
gone = ["no-such", "fast"]
alone = ["small"]
"#;

/// `a` offers the large model and one of its own, `b` both the large and the small one.
async fn scene() -> (FakeBackend, FakeBackend, TestServer) {
    let a = FakeBackend::builder().models(["large", "alone"]).start().await;
    let b = FakeBackend::builder().models(["small", "large"]).start().await;
    let server = server(&format!("{}{}{ROUTING}", a.config("a"), b.config("b"))).start().await;
    (a, b, server)
}

async fn call(server: &TestServer, model: &str) -> Reply {
    let messages = json!([{"role": "user", "content": "hello"}]);
    server.post_json(CHAT, &json!({"model": model, "messages": messages})).await
}

fn models(backend: &FakeBackend) -> Vec<String> {
    let name = |r: &callsheet_testkit::Recorded| r.json()["model"].as_str().unwrap().to_owned();
    backend.requests().iter().map(name).collect()
}

#[tokio::test]
async fn an_alias_leads_on_to_an_alias() {
    let (a, b, server) = scene().await;
    for name in ["small", "quick", "fast"] {
        let reply = call(&server, name).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert_eq!(reply.header("x-callsheet-backend"), Some("b"));
    }
    assert_eq!(models(&b), ["small", "small", "small"]);
    assert_eq!(a.request_count(), 0);
}

#[tokio::test]
async fn of_a_body_only_the_models_name_is_replaced() {
    let (_a, b, server) = scene().await;
    b.script(Behaviour::body("{}"));
    let sent = |name: &str| {
        format!(
            "\n {{ \"seed\":12345678901234567890123, \"x\":[1.0,1e400 , -0.0],\"x\":null,\t\
             \"model\" :  {name} ,\"messages\":[{{\"role\":\"user\",\"content\":\"\\u00e9\u{e9}\\/\
             {{\\\"model\\\":1}}\"}}],\"metadata\":{{\"model\":\"fast\"}} }}\r\n"
        )
    };
    for name in ["\"fast\"", "\"f\\u0061st\"", "\"b:small\"", "\"small\""] {
        let reply = server.request("POST", CHAT, &[], sent(name).as_bytes()).await;
        assert_eq!(reply.status, 200, "{name}: {}", reply.text());
    }
    for request in b.requests() {
        assert_eq!(String::from_utf8(request.body).unwrap(), sent("\"small\""));
    }
    assert_eq!(b.request_count(), 4);
}

#[tokio::test]
async fn a_fallback_serves_when_every_backend_of_the_model_fails() {
    let (a, b, server) = scene().await;
    a.script(Behaviour::status(500));
    b.script_next(1, Behaviour::status(500));
    let reply = call(&server, "large").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-callsheet-attempts"), Some("3"));
    assert_eq!(
        (models(&a), models(&b)),
        (vec!["large".into()], vec!["large".into(), "small".into()])
    );
}

#[tokio::test]
async fn a_fallback_prefers_a_backend_that_has_not_failed() {
    let routing = "[routing]\nstrategy = \"priority\"\n[routing.fallbacks]\nlarge = [\"small\"]\n";
    let a = FakeBackend::builder().models(["large", "small"]).start().await;
    let b = FakeBackend::builder().models(["small"]).start().await;
    let config = format!("{}{}priority = 9\n{routing}", a.config("a"), b.config("b"));
    let server = server(&config).start().await;
    a.script(Behaviour::status(500));
    let reply = call(&server, "large").await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("b"), "{}", reply.text());
    assert_eq!((models(&a), models(&b)), (vec!["large".into()], vec!["small".into()]));
}

#[tokio::test]
async fn an_alias_has_fallbacks_of_its_own() {
    let (a, b, server) = scene().await;
    a.script(Behaviour::status(500));
    b.script_next(1, Behaviour::status(500));
    let reply = call(&server, "best").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(models(&b), ["large", "small"]);
}

#[tokio::test]
async fn a_model_that_nobody_offers_goes_to_its_fallback() {
    let (a, b, server) = scene().await;
    let reply = call(&server, "gone").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(reply.header("x-callsheet-attempts"), Some("1"));
    assert_eq!((a.request_count(), models(&b)), (0, vec!["small".to_owned()]));
    assert_error(&call(&server, "no-such").await, 404, "model_not_found");
}

#[tokio::test]
async fn a_fallback_serves_when_the_models_only_backend_is_gone() {
    let (a, b, server) = scene().await;
    a.stop().await;
    let reply = call(&server, "alone").await;
    assert_eq!(reply.header("x-callsheet-backend"), Some("b"), "{}", reply.text());
    assert_eq!(models(&b), ["small"]);
}

#[tokio::test]
async fn a_backend_that_is_named_serves_or_nobody_does() {
    let (a, b, server) = scene().await;
    for name in ["b:large", "mine"] {
        for _ in 0..5 {
            let reply = call(&server, name).await;
            assert_eq!(reply.header("x-callsheet-backend"), Some("b"), "{}", reply.text());
        }
    }
    assert_eq!(models(&b), ["large"; 10]);
    b.script(Behaviour::status(500));
    assert_error(&call(&server, "b:alone").await, 404, "model_not_found");
    let reply = call(&server, "mine").await;
    // The model has a fallback, which the same backend fails as well.
    assert_error(&reply, 502, "backend_failed");
    assert_eq!(a.request_count(), 0);
}

#[tokio::test]
async fn a_models_own_colon_is_part_of_its_name() {
    let backend = FakeBackend::builder().models(["llama3:70b", "b:small"]).start().await;
    let server = server(&backend.config("b")).start().await;
    for (asked, sent) in
        [("llama3:70b", "llama3:70b"), ("b:llama3:70b", "llama3:70b"), ("b:small", "b:small")]
    {
        assert_eq!(call(&server, asked).await.status, 200, "{asked}");
        assert_eq!(models(&backend).last().unwrap(), sent);
    }
}

#[tokio::test]
async fn a_preset_that_leads_to_nobody_is_warned_of() {
    let backend = FakeBackend::builder().models(["small"]).start().await;
    let known = [FakeModel::new("acme/m"), FakeModel::new("small")];
    let provider = FakeProvider::start(Speaks::OpenRouter, known).await;
    let routing = "[routing.aliases]\nquick = \"b:small\"\n[routing.fallbacks]\nrare = [\"quick\"]\n\
                   [models]\nrefresh_backends = false\n";
    let config = format!("{}{routing}{}", backend.config("b"), provider.config("p"));
    let server = server(&config).start().await;
    assert_eq!(server.cli(["model", "refresh", "--provider", "p"]).await.code, 0);
    for (model, warning) in [
        ("small", None),
        ("b:small", None),
        ("quick", None),
        ("rare", None),
        ("acme/m", Some("no backend offers acme/m")),
        ("p:small", Some("no backend offers p:small")),
        ("nobody/knows-it", Some("no model is known as nobody/knows-it")),
    ] {
        for further in [&["--dry-run"][..], &[]] {
            let set = ["preset", "set", "budget", "chat", model, "--json"];
            let output = server.cli([&set, further].concat()).await;
            let expected: Vec<&str> = warning.into_iter().collect();
            assert_eq!(output.json()["preset"]["warnings"], json!(expected), "{output:?}");
        }
    }
}
