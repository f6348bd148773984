//! How backends are probed, and what follows from it.

use crate::{
    observe::{backend, chat, config_of, metric, models, refusal, served_by, until, until_status},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, FakeBackendBuilder, Gate, Kind};
use std::time::{Duration, Instant};

/// Probes every few milliseconds.
const FAST: &str = "[health]\ninterval = \"10ms\"\n";

fn fake() -> FakeBackendBuilder {
    FakeBackend::builder()
}

/// Starts a daemon and lets one probe after the other through, `+` a good and `-` a bad one;
/// returns the status after each. The next probe comes only when the one before was judged.
async fn statuses(health: &str, probes: &str) -> Vec<String> {
    let answers = probes.chars().map(|sign| match sign {
        '+' => Behaviour::Answer,
        _ => Behaviour::status(500),
    });
    let mut answers = answers.chain([Behaviour::Answer]);
    let fake = FakeBackend::start().await;
    let mut gate = Gate::new();
    fake.models_answer(answers.next().unwrap().held_by(&gate));
    let config = format!("{FAST}{health}{}", fake.config("a"));
    let server = server(&config).without_waiting().start().await;
    fake.wait_for_probes(1).await;
    let mut seen = Vec::new();
    for answer in answers {
        let next = Gate::new();
        fake.models_answer(answer.held_by(&next));
        gate.open();
        fake.wait_for_probes(seen.len() + 2).await;
        seen.push(backend(&server, "a").await["status"].as_str().unwrap().to_owned());
        gate = next;
    }
    seen
}

#[tokio::test]
async fn the_first_probe_decides_then_three_bad_ones_down_and_two_good_ones_up() {
    let seen = statuses("", "+--+---+-++").await;
    let (up, down) = ("healthy", "unhealthy");
    assert_eq!(seen, [up, up, up, up, up, up, down, down, down, down, up]);
    assert_eq!(statuses("", "-++").await, [down, down, up]);
}

#[tokio::test]
async fn failure_threshold_is_how_many_bad_probes_make_it_unhealthy() {
    assert_eq!(statuses("failure_threshold = 1\n", "+-").await, ["healthy", "unhealthy"]);
}

#[tokio::test]
async fn recovery_threshold_is_how_many_good_probes_make_it_healthy() {
    assert_eq!(statuses("recovery_threshold = 1\n", "-+").await, ["unhealthy", "healthy"]);
    let seen = statuses("recovery_threshold = 3\n", "-+++").await;
    assert_eq!(seen, ["unhealthy", "unhealthy", "unhealthy", "healthy"]);
}

#[tokio::test]
async fn interval_is_the_time_between_two_probes() {
    let (often, once) = (FakeBackend::start().await, FakeBackend::start().await);
    let fast = server(&format!("{FAST}{}", often.config("a"))).start().await;
    let slow = server(&once.config("a")).start().await;
    often.wait_for_probes(5).await;
    assert_eq!(once.probe_count(), 1, "30 seconds by default");
    drop((fast, slow));
}

#[tokio::test]
async fn timeout_is_how_long_one_probe_may_take() {
    let fake = FakeBackend::start().await;
    fake.models_answer(Behaviour::Stall);
    let started = Instant::now();
    let server = server(&format!("[health]\ntimeout = \"50ms\"\n{}", fake.config("a"))).start();
    let server = server.await;
    assert!(started.elapsed() < Duration::from_secs(4), "the default is five seconds");
    let view = backend(&server, "a").await;
    assert_eq!(view["status"], "unhealthy");
    assert_eq!(view["last_error"], "the backend did not answer in time");
}

#[tokio::test]
async fn llamacpp_is_ready_when_its_health_says_so() {
    let kind = Kind::LlamaCpp { has_health: true };
    let fake = fake().kind(kind).start().await;
    fake.health_answer(Behaviour::Status {
        code: 503,
        headers: Vec::new(),
        body: r#"{"error":{"code":503,"message":"Loading model","type":"unavailable_error"}}"#
            .to_owned(),
    });
    let server = server(&format!("{FAST}{}", fake.config("a"))).start().await;
    let view = backend(&server, "a").await;
    assert_eq!(view["status"], "unhealthy");
    assert_eq!(view["last_error"], "its /health answers 503");
    assert_eq!(refusal(&chat(&server, "test-model").await), "404 model_not_found");
    fake.health_answer(Behaviour::Answer);
    until_status(&server, "a", "healthy").await;
    assert_eq!(served_by(&server, "test-model").await, "a");
}

#[tokio::test]
async fn llamacpp_without_health_is_judged_by_its_models() {
    let fake = fake().kind(Kind::LlamaCpp { has_health: false }).start().await;
    let server = server(&fake.config("a")).start().await;
    assert_eq!(backend(&server, "a").await["status"], "healthy");
    assert_eq!(models(&server, "a").await, ["test-model"]);
    let paths: Vec<_> = fake.probes().iter().map(|probe| probe.path.clone()).collect();
    assert_eq!(paths, ["/health", "/v1/models"]);
}

#[tokio::test]
async fn ollama_lists_its_models_under_tags() {
    let fake = fake().kind(Kind::Ollama).models(["llama3:70b", "qwen3:8b"]).start().await;
    let server = server(&fake.config("a")).start().await;
    assert_eq!(models(&server, "a").await, ["llama3:70b", "qwen3:8b"]);
    assert_eq!(served_by(&server, "llama3:70b").await, "a");
}

#[tokio::test]
async fn a_key_that_is_refused_is_said() {
    let fake = FakeBackend::start().await;
    fake.models_answer(Behaviour::status(401));
    let server = server(&fake.config("a")).start().await;
    let view = backend(&server, "a").await;
    assert_eq!(view["last_error"], "it refuses the key that is held for it (401)");
}

#[tokio::test]
async fn models_that_come_and_go_are_routable_and_not() {
    let fake = FakeBackend::start().await;
    let server = server(&format!("{FAST}{}", fake.config("a"))).start().await;
    assert_eq!(refusal(&chat(&server, "new").await), "404 model_not_found");
    fake.set_models(["new"]);
    until("the new model", async || (models(&server, "a").await == ["new"]).then_some(())).await;
    assert_eq!(served_by(&server, "new").await, "a");
    assert_eq!(refusal(&chat(&server, "test-model").await), "404 model_not_found");
}

#[tokio::test]
async fn an_empty_list_empties_and_garbage_keeps_what_there_was() {
    let fake = FakeBackend::start().await;
    let server = server(&format!("{FAST}{}", fake.config("a"))).start().await;
    fake.models_answer(Behaviour::body("<html>not JSON</html>"));
    let view = until("a complaint", async || {
        let view = backend(&server, "a").await;
        view["last_error"].is_string().then_some(view)
    })
    .await;
    let error = view["last_error"].as_str().unwrap();
    assert!(error.starts_with("its list of models cannot be read: "), "{error}");
    assert_eq!(
        (&view["status"], &view["models"][0]["id"]),
        (&"healthy".into(), &"test-model".into())
    );
    assert_eq!(served_by(&server, "test-model").await, "a");
    fake.models_answer(Behaviour::Answer);
    fake.set_models([""; 0]);
    until("an empty list", async || models(&server, "a").await.is_empty().then_some(())).await;
    let view = backend(&server, "a").await;
    assert_eq!((&view["status"], view["last_error"].is_null()), (&"healthy".into(), true));
}

#[tokio::test]
async fn probes_do_not_wait_for_one_another_and_each_backend_is_probed_once_at_the_start() {
    let (stalled, a, b) =
        (FakeBackend::start().await, FakeBackend::start().await, FakeBackend::start().await);
    stalled.models_answer(Behaviour::Stall);
    let config = format!("[health]\ntimeout = \"300ms\"\n{}", config_of(&[&stalled, &a, &b]));
    let server = server(&config).without_waiting().start().await;
    a.wait_for_probes(1).await;
    b.wait_for_probes(1).await;
    stalled.wait_for_probes(1).await;
    for name in ["b", "c"] {
        until_status(&server, name, "healthy").await;
    }
    server.wait_until_ready().await;
    assert_eq!(backend(&server, "a").await["status"], "unhealthy");
    assert_eq!([stalled.probe_count(), a.probe_count(), b.probe_count()], [1, 1, 1]);
}

#[tokio::test]
async fn ready_only_when_all_are_probed_and_until_then_a_model_may_still_turn_up() {
    let (held, other) = (FakeBackend::start().await, fake().models(["other"]).start().await);
    let gate = Gate::new();
    held.models_answer(Behaviour::Answer.held_by(&gate));
    let server = server(&config_of(&[&held, &other])).without_waiting().start().await;
    until_status(&server, "b", "healthy").await;
    let ready = server.get("/readyz").await;
    assert_eq!(ready.status, 503);
    assert_eq!(ready.json(), serde_json::json!({"ready": false, "not_probed_yet": ["a"]}));
    assert_eq!(server.get("/healthz").await.status, 200, "it is alive all the same");
    assert_eq!(served_by(&server, "other").await, "b");
    let reply = chat(&server, "test-model").await;
    assert_eq!(refusal(&reply), "503 starting");
    assert_eq!(reply.header("retry-after"), Some("1"));
    gate.open();
    server.wait_until_ready().await;
    assert_eq!(server.get("/readyz").await.json(), serde_json::json!({"ready": true}));
    assert_eq!(served_by(&server, "test-model").await, "a");
    assert_eq!(refusal(&chat(&server, "nobody").await), "404 model_not_found");
}

#[tokio::test]
async fn an_unhealthy_backend_gets_nothing_and_comes_back() {
    let fake = FakeBackend::start().await;
    let server = server(&format!("{FAST}{}", fake.config("a"))).start().await;
    fake.stop().await;
    let view = until_status(&server, "a", "unhealthy").await;
    let error = view["last_error"].as_str().unwrap();
    assert!(error.contains("refused"), "{error}");
    assert_eq!(refusal(&chat(&server, "test-model").await), "503 no_backend_available");
    assert_eq!(metric(&server, "callsheet_backend_up{backend=\"a\"}").await, Some(0.0));
    fake.restart().await;
    until_status(&server, "a", "healthy").await;
    assert_eq!(metric(&server, "callsheet_backend_up{backend=\"a\"}").await, Some(1.0));
    assert_eq!(served_by(&server, "test-model").await, "a");
}
