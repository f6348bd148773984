//! Whatever comes in, nothing breaks, and what comes out can be stored.

use callsheet_models::providers::{ProviderKind, parse};
use callsheet_types::{Body, ModelKey};
use proptest::prelude::*;
use serde_json::{Map, Value, json};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        prop_oneof![Just("0"), Just("-1"), Just("1e-7"), Just("99999999999999999999999999999")]
            .prop_map(Value::from),
        "\\PC{0,12}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 24, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any_field(), inner), 0..6)
                .prop_map(|fields| Value::Object(fields.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// The names that parsers look for, so that what is under them is looked at.
fn any_field() -> impl Strategy<Value = String> {
    let known = [
        "id",
        "name",
        "created",
        "context_length",
        "architecture",
        "input_modalities",
        "pricing",
        "prompt",
        "completion",
        "image",
        "top_provider",
        "max_completion_tokens",
        "capabilities",
        "supported_parameters",
        "default_parameters",
        "expiration_date",
        "knowledge_cutoff",
        "supported",
        "thinking",
        "types",
        "max_input_tokens",
        "inputTokenLimit",
        "temperature",
        "supportedGenerationMethods",
        "meta",
        "n_ctx_train",
        "max_model_len",
        "parent",
        "details",
        "quantization_level",
        "providers",
        "provider",
        "status",
        "latest_version",
        "owner",
        "openapi_schema",
        "components",
        "schemas",
        "Input",
        "properties",
        "hugging_face_id",
    ];
    prop::sample::select(known.to_vec()).prop_map(str::to_owned)
}

fn check(kind: ProviderKind, body: &[u8]) {
    let Ok(listing) = parse(kind, body) else { return };
    for (id, facts) in &listing.models {
        assert!(ModelKey::new("x", id).is_ok(), "{id:?}");
        let body = Body::of(facts).unwrap();
        assert_eq!(&body.read::<callsheet_models::Facts>().unwrap(), facts);
        for price in facts.prices.iter().flatten() {
            assert!(price.amount.usd().is_none_or(|usd| !usd.is_sign_negative() || usd.is_zero()));
        }
    }
    assert!(listing.unread.iter().all(|id| !listing.models.contains_key(id)));
}

proptest! {
    #[test]
    fn no_bytes_make_it_panic(body in prop::collection::vec(any::<u8>(), 0..300)) {
        for kind in ProviderKind::ALL {
            check(kind, &body);
        }
    }

    #[test]
    fn no_json_makes_it_panic(
        mut models in prop::collection::vec(any_json(), 0..4), root in any_json(),
    ) {
        for (i, model) in models.iter_mut().enumerate() {
            if let Value::Object(fields) = model {
                let id = json!(format!("owner/m{i}"));
                fields.insert("id".to_owned(), id.clone());
                fields.insert("name".to_owned(), id);
            }
        }
        let list = json!({"data": models, "models": models});
        for kind in ProviderKind::ALL {
            check(kind, root.to_string().as_bytes());
            check(kind, list.to_string().as_bytes());
            if let Some(model) = models.first() {
                check(kind, model.to_string().as_bytes());
            }
        }
    }
}
