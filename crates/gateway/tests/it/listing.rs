//! `/v1/models`: OpenAI's four fields, and what is known beside them.

use crate::scene::{Scene, models, preset};
use callsheet_fleet::{BackendStatus, BackendType, Directory, Known};
use callsheet_gateway::Policy;
use callsheet_testkit::FakeBackend;
use callsheet_types::Model;
use serde_json::{Value, json};
use std::sync::Arc;

struct Cards;

impl Directory for Cards {
    fn known(&self, _backend: &str, _kind: BackendType, model_id: &str) -> Known {
        match model_id {
            "priced" => Known {
                name: Some("Priced".to_owned()),
                context_length: Some(32_768),
                longest_context: Some(131_072),
                max_output_tokens: Some(4096),
                supports_tools: Some(true),
                supports_vision: Some(false),
                supports_json_mode: Some(true),
                prices: Some(r#"[{"what":"prompt","per":"mtok","amount":"0.10"}]"#.into()),
            },
            "odd" => Known { prices: Some("[broken".into()), ..Known::default() },
            "blind" => Known { supports_vision: Some(false), ..Known::default() },
            _ => Known::default(),
        }
    }
}

fn policy() -> Policy {
    let presets = [("cheap/chat", "fast"), ("gone/chat", "nobodys")];
    let presets = presets.map(|(name, model)| (name.to_owned(), preset(model, json!({}))));
    Policy {
        presets: presets.into(),
        aliases: [("fast".to_owned(), "priced".to_owned())].into(),
        ..Policy::default()
    }
}

/// The fields of an entry that are not the same for all.
fn told(mut entry: Value) -> Value {
    let fields = entry.as_object_mut().unwrap();
    assert_eq!(fields.remove("object"), Some("model".into()));
    assert!(fields.remove("created").unwrap().is_i64());
    assert_eq!(fields.remove("owned_by"), Some("gpu".into()));
    entry
}

#[tokio::test]
async fn what_is_known_is_listed_and_nothing_else() {
    let backend = FakeBackend::start().await;
    let scene = Scene::new(policy());
    let own = Model { context_length: Some(10), name: "Own".into(), ..Model::new("own") };
    let mut offered = models(&["bare", "blind", "odd", "priced"]);
    offered.push(own);
    scene.add("gpu", &backend, offered);
    scene.fleet.set_directory(Arc::new(Cards));
    let priced = |id: &str| {
        json!({
            "id": id,
            "name": "Priced",
            "context_length": 32768,
            "max_output_tokens": 4096,
            "capabilities": ["tools", "json"],
            "pricing": [{"what": "prompt", "per": "mtok", "amount": "0.10"}],
        })
    };
    let (status, list) = scene.get("/v1/models").await;
    assert_eq!((status.as_u16(), &list["object"]), (200, &json!("list")));
    let data: Vec<_> = list["data"].as_array().unwrap().iter().cloned().map(told).collect();
    assert_eq!(
        data,
        [
            json!({"id": "bare"}),
            json!({"id": "blind", "capabilities": []}),
            priced("callsheet:cheap/chat"),
            priced("fast"),
            json!({"id": "odd"}),
            json!({"id": "own", "name": "Own", "context_length": 10}),
            priced("priced"),
        ]
    );
    for (path, id) in [
        ("callsheet:cheap/chat", "callsheet:cheap/chat"),
        ("callsheet%3Acheap%2Fchat", "callsheet:cheap/chat"),
        ("priced", "priced"),
    ] {
        let (status, entry) = scene.get(&format!("/v1/models/{path}")).await;
        assert_eq!((status.as_u16(), told(entry)), (200, priced(id)));
    }
    assert_eq!(scene.get("/v1/models/callsheet:gone/chat").await.0, 404);

    scene.fleet.update_status("gpu", BackendStatus::Unhealthy, None).unwrap();
    assert_eq!(scene.get("/v1/models").await.1["data"], json!([]));
}
