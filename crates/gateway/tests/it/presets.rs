//! A request to a preset, as the backend that serves it sees it.

use crate::scene::{Scene, models, preset};
use callsheet_fleet::Needs;
use callsheet_gateway::{Policy, chain};
use callsheet_testkit::{Behaviour, FakeBackend};
use callsheet_types::Model;
use prometheus::proto::{Metric, MetricFamily};
use serde_json::json;

fn policy() -> Policy {
    let presets = [
        ("cheap/chat", preset("fast", json!({"max_tokens": 4000, "temperature": 0.3}))),
        ("cheap/json", preset("small", json!({"response_format": {"type": "json_object"}}))),
        ("gone/chat", preset("nobodys", json!({}))),
    ];
    Policy {
        presets: presets.map(|(name, preset)| (name.to_owned(), preset)).into(),
        aliases: [("fast".to_owned(), "small".to_owned())].into(),
        fallbacks: [("fast".to_owned(), vec!["large".to_owned()])].into(),
        ..Policy::default()
    }
}

async fn scene() -> (FakeBackend, Scene) {
    let backend = FakeBackend::start().await;
    let scene = Scene::new(policy());
    scene.add("gpu", &backend, models(&["small", "large"]));
    (backend, scene)
}

fn sent(backend: &FakeBackend) -> Vec<String> {
    let requests = backend.requests();
    requests.iter().map(|request| String::from_utf8(request.body.clone()).unwrap()).collect()
}

#[tokio::test]
async fn a_backend_gets_the_presets_model_and_the_parameters_left_open() {
    let (backend, scene) = scene().await;
    for body in [
        r#"{"model":"callsheet:cheap/chat","messages":[]}"#,
        r#"{"messages":[],"temperature":1,"model":"callsheet:cheap/chat"}"#,
        r#"{"messages":[],"temperature":null,"model":"callsheet:cheap/chat","max_completion_tokens":9}"#,
    ] {
        let (status, answer) = scene.post("/v1/chat/completions", body).await;
        assert_eq!(status, 200, "{answer}");
    }
    assert_eq!(
        sent(&backend),
        [
            r#"{"model":"small","max_tokens":4000,"temperature":0.3,"messages":[]}"#,
            r#"{"messages":[],"temperature":1,"model":"small","max_tokens":4000}"#,
            r#"{"messages":[],"temperature":0.3,"model":"small","max_completion_tokens":9}"#,
        ]
    );
    for line in scene.log() {
        assert_eq!(
            (&line["model"], &line["served_model"]),
            (&json!("callsheet:cheap/chat"), &json!("small"))
        );
    }
    let families = scene.gateway.metrics();
    let labels = families.iter().flat_map(MetricFamily::get_metric).flat_map(Metric::get_label);
    assert!(labels.filter(|label| label.name() == "model").all(|label| label.value() == "small"));
}

#[tokio::test]
async fn completions_are_filled_and_embeddings_are_not() {
    let (backend, scene) = scene().await;
    let body = r#"{"model":"callsheet:cheap/chat","prompt":"a"}"#;
    assert_eq!(scene.post("/v1/completions", body).await.0, 200);
    let body = r#"{"model":"callsheet:cheap/chat","input":"a"}"#;
    assert_eq!(scene.post("/v1/embeddings", body).await.0, 200);
    assert_eq!(
        sent(&backend),
        [
            r#"{"model":"small","max_tokens":4000,"temperature":0.3,"prompt":"a"}"#,
            r#"{"model":"small","input":"a"}"#,
        ]
    );
}

#[tokio::test]
async fn a_fallback_gets_the_parameters_too() {
    let (backend, scene) = scene().await;
    backend.script_next(1, Behaviour::status(500));
    let body = r#"{"model":"callsheet:cheap/chat"}"#;
    assert_eq!(scene.post("/v1/chat/completions", body).await.0, 200);
    assert_eq!(
        sent(&backend),
        [
            r#"{"model":"small","max_tokens":4000,"temperature":0.3}"#,
            r#"{"model":"large","max_tokens":4000,"temperature":0.3}"#,
        ]
    );
    let log = scene.log();
    assert_eq!((&log[0]["served_model"], &log[0]["attempts"]), (&json!("large"), &json!(2)));
}

#[tokio::test]
async fn a_name_that_is_no_preset_is_answered_with_those_there_are() {
    let (backend, scene) = scene().await;
    for (model, message) in [
        (
            "callsheet:cheap/cat",
            "there is no preset \"callsheet:cheap/cat\"; there are callsheet:cheap/chat, callsheet:cheap/json, callsheet:gone/chat",
        ),
        (
            "callsheet:gone/chat",
            "\"callsheet:gone/chat\" stands for \"nobodys\", which no backend offers; GET /v1/models lists what can be called",
        ),
    ] {
        let body = json!({"model": model}).to_string();
        let (status, answer) = scene.post("/v1/chat/completions", &body).await;
        let error = &answer["error"];
        assert_eq!((status.as_u16(), &error["message"]), (404, &json!(message)));
        assert_eq!((&error["code"], &error["param"]), (&json!("model_not_found"), &json!("model")));
    }
    let (status, answer) = scene.get("/v1/models/callsheet:cheap%2Fcat").await;
    assert_eq!((status.as_u16(), &answer["error"]["code"]), (404, &json!("model_not_found")));
    assert!(answer["error"]["message"].as_str().unwrap().contains("callsheet:cheap/json"));
    assert_eq!(backend.request_count(), 0);
}

#[tokio::test]
async fn what_a_preset_adds_is_needed_of_whoever_serves() {
    let backend = FakeBackend::start().await;
    let scene = Scene::new(policy());
    let short = Model {
        context_length: Some(1000),
        supports_json_mode: Some(false),
        ..Model::new("small")
    };
    scene.add("gpu", &backend, vec![short]);
    for (model, why) in [
        ("callsheet:cheap/chat", "gpu has a context of 1000 tokens only"),
        ("callsheet:cheap/json", "gpu has no JSON mode"),
    ] {
        let (status, answer) =
            scene.post("/v1/chat/completions", &json!({"model": model}).to_string()).await;
        assert_eq!(
            (status.as_u16(), &answer["error"]["code"]),
            (400, &json!("capability_unavailable"))
        );
        assert!(answer["error"]["message"].as_str().unwrap().ends_with(why), "{answer}");
    }
    let body = r#"{"model":"callsheet:cheap/chat","max_tokens":10}"#;
    assert_eq!(scene.post("/v1/chat/completions", body).await.0, 200);

    let policy = policy();
    let first = chain("callsheet:cheap/chat", &policy, &scene.fleet).next().unwrap();
    assert_eq!(first.needs(Needs::default()).min_context, Some(4000));
}
