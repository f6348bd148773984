use crate::merge_fixture::{facts, head, model, second};
use callsheet_models::{
    Card, card,
    diff::{Change, FieldDiff, Spread, diff, history, spread},
};
use callsheet_store::StoredRevision;
use callsheet_types::{
    Body, SourceName,
    plan::{Action, Status},
};
use serde_json::{Value, json};

/// Writes differences as `field: a -> b`.
fn written(fields: &[FieldDiff]) -> Vec<String> {
    let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
    fields.iter().map(|f| format!("{}: {} -> {}", f.field, side(&f.a), side(&f.b))).collect()
}

#[test]
fn differences_are_told_by_field_and_by_row() {
    let a = facts(json!({
        "context_window": 1, "name": "A", "capabilities": ["chat"],
        "parameters": {"temperature": {"availability": "mutable", "max": 2}, "seed": {"availability": "opaque"}, "top_p": {"availability": "opaque"}},
        "prices": [
            {"what": "prompt", "per": "mtok", "amount": "1"},
            {"what": "prompt", "per": "mtok", "amount": "2", "above_context": 200_000},
            {"what": "completion", "per": "mtok", "amount": "3"},
            {"what": "completion", "per": "mtok", "amount": "1", "batch": true},
        ],
        "extra": {"x": 1.0},
    }));
    let b = facts(json!({
        "context_window": 2, "license": "mit", "capabilities": ["chat", "tools"],
        "parameters": {"temperature": {"availability": "mutable", "max": 2.0}, "seed": {"availability": "unsupported"}},
        "prices": [
            {"what": "completion", "per": "mtok", "amount": "3.00"},
            {"what": "prompt", "per": "mtok", "amount": "2", "above_context": 200_000},
            {"what": "prompt", "per": "mtok", "amount": "0.5"},
            {"what": "image_input", "per": "image", "amount": "0.01", "from": "2026-01-01"},
        ],
        "extra": {"x": 1},
    }));
    assert_eq!(
        written(&diff(&a, &b)),
        [
            r#"capabilities: ["chat"] -> ["chat","tools"]"#,
            "context_window: 1 -> 2",
            r#"license: - -> "mit""#,
            r#"name: "A" -> -"#,
            r#"parameters.seed: {"availability":"opaque"} -> {"availability":"unsupported"}"#,
            r#"parameters.top_p: {"availability":"opaque"} -> -"#,
            r#"prices.completion.batch: "1" -> -"#,
            r#"prices.image_input.per_image.from_2026-01-01: - -> "0.01""#,
            r#"prices.prompt: "1" -> "0.5""#,
        ]
    );
    assert_eq!(diff(&a, &a), []);
    let twice = |amount| json!({"prices": [{"what": "prompt", "per": "mtok", "amount": "1"}, {"what": "prompt", "per": "mtok", "amount": amount}]});
    assert_eq!(
        written(&diff(&facts(twice("2")), &facts(twice("3")))),
        [r#"prices.prompt#2: "2" -> "3""#]
    );
}

fn revision(source: &str, revision: u64, at: i64, status: Status, body: &Value) -> StoredRevision {
    let source = SourceName::parse(source).unwrap();
    let actor = "cli".to_owned();
    StoredRevision { source, revision, status, body: Body::new(body), at: second(at), actor }
}

#[test]
fn a_history_tells_every_step_newest_first() {
    let pin = |value: u64| json!({"pins": {"context_window": {"value": value, "by": "ada", "at": second(1)}}});
    let revisions = [
        revision("import/a", 4, 60, Status::Active, &json!({"context_window": 3})),
        revision("import/a", 3, 50, Status::Withdrawn, &json!({"context_window": 2})),
        revision("pin/user", 2, 40, Status::Removed, &pin(9)),
        revision("pin/user", 1, 30, Status::Active, &pin(9)),
        revision("import/a", 2, 20, Status::Active, &json!({"context_window": 2, "name": "A"})),
        revision("import/a", 1, 10, Status::Active, &json!({"context_window": 1})),
        // What came before was purged.
        revision("import/b", 7, 15, Status::Active, &json!({"context_window": 1})),
    ];
    let told = |changes: &[Change]| -> Vec<String> {
        let tell = |c: &Change| {
            let known = if c.before_is_known { "" } else { " (after what is forgotten)" };
            let fields = written(&c.fields).join(", ");
            format!(
                "{} {} {} {}: {fields}{known}",
                c.at.as_second(),
                c.source,
                c.revision,
                c.action.as_str()
            )
        };
        changes.iter().map(tell).collect()
    };
    let changes = history(&revisions);
    assert_eq!(
        told(&changes),
        [
            "60 import/a 4 updated: context_window: 2 -> 3",
            "50 import/a 3 withdrawn: name: \"A\" -> -",
            "40 pin/user 2 removed: context_window: 9 -> -",
            "30 pin/user 1 added: context_window: - -> 9",
            "20 import/a 2 updated: context_window: 1 -> 2, name: - -> \"A\"",
            "15 import/b 7 updated:  (after what is forgotten)",
            "10 import/a 1 added: context_window: - -> 1",
        ]
    );
    let mut reversed = revisions;
    reversed.reverse();
    assert_eq!(history(&reversed), changes);
    let text = serde_json::to_string(&changes).unwrap();
    assert_eq!(serde_json::from_str::<Vec<Change>>(&text).unwrap(), changes);
    assert_eq!(changes[0].action, Action::Updated);
}

#[test]
fn a_spread_names_the_least_and_the_greatest() {
    let of = |key: &str, body: Value| -> Card { card(&model(key), &[head("import/a", 1, &body)]) };
    let price = |prompt: &str| json!([{"what": "prompt", "per": "mtok", "amount": prompt}, {"what": "prompt", "per": "mtok", "amount": "99", "batch": true}]);
    let cards = [
        of("c:m", json!({"context_window": 1_000_000, "prices": price("10")})),
        of("b:m", json!({"context_window": 200_000, "prices": price("9.5")})),
        of("a:m", json!({"prices": price("dynamic")})),
        of("d:m", json!({"max_output_tokens": 5})),
    ];
    let told = |spread: &Spread| {
        let side = |value: &Option<Value>| value.as_ref().map_or("-".to_owned(), Value::to_string);
        let values: Vec<String> =
            spread.values.iter().map(|v| format!("{} {}", v.key, v.value)).collect();
        format!(
            "{}: {} to {}: {}",
            spread.field,
            side(&spread.min),
            side(&spread.max),
            values.join(", ")
        )
    };
    assert_eq!(
        spread(&cards).iter().map(told).collect::<Vec<_>>(),
        [
            "context_window: 200000 to 1000000: b:m 200000, c:m 1000000",
            "max_output_tokens: 5 to 5: d:m 5",
            r#"prices.prompt: "9.5" to "10": b:m "9.5", c:m "10", a:m "dynamic""#,
            "prices.completion: - to -: ",
        ]
    );
}
