//! What holds of any heads.

use crate::merge_fixture::{head, model, pin_head, with_status};
use callsheet_models::{
    Facts, card,
    diff::diff,
    merge::{Candidate, FieldWhy, Verdict, why},
};
use callsheet_store::Stored;
use callsheet_types::plan::Status;
use proptest::{collection::vec, prelude::*, sample::subsequence};
use serde_json::{Map, Value, json};

fn field() -> impl Strategy<Value = (String, Value)> {
    let parameter = prop_oneof![
        Just(json!({"availability": "opaque"})),
        Just(json!({"availability": "unsupported"})),
        (0..9_u64).prop_map(|max| json!({"availability": "mutable", "max": max})),
    ];
    let words = || subsequence(vec!["chat", "text", "tools", "vision"], 0..4);
    let amount = prop_oneof![
        Just("0".to_owned()),
        Just("dynamic".into()),
        (1..9_u8).prop_map(|n| n.to_string())
    ];
    let price = (prop_oneof![Just("prompt"), Just("completion")], amount, any::<bool>()).prop_map(
        |(what, amount, batch)| {
            let mut price = json!({"what": what, "per": "mtok", "amount": amount});
            if batch {
                price["batch"] = json!(true);
            }
            price
        },
    );
    prop_oneof![
        (1..4_u64).prop_map(|n| ("context_window".to_owned(), json!(n))),
        (1..4_u64).prop_map(|n| ("max_output_tokens".to_owned(), json!(n))),
        "[ab]".prop_map(|text| ("name".to_owned(), json!(text))),
        prop_oneof![Just("beta"), Just("active")].prop_map(|l| ("lifecycle".to_owned(), json!(l))),
        any::<bool>().prop_map(|flag| ("open_weights".to_owned(), json!(flag))),
        words().prop_map(|words| ("capabilities".to_owned(), json!(words))),
        words().prop_map(|words| ("input_modalities".to_owned(), json!(words))),
        vec(price, 0..3).prop_map(|prices| ("prices".to_owned(), json!(prices))),
        ("[ab]", parameter).prop_map(|(name, value)| (format!("parameters.{name}"), value)),
        ("[ab]", 0..3_u8).prop_map(|(name, value)| (format!("extra.{name}"), json!(value))),
    ]
}

fn body(fields: &[(String, Value)]) -> Value {
    let mut body = Map::new();
    for (field, value) in fields {
        match field.split_once('.') {
            Some((outer, inner)) => {
                body.entry(outer).or_insert_with(|| json!({}))[inner] = value.clone();
            }
            None => drop(body.insert(field.clone(), value.clone())),
        }
    }
    Value::Object(body)
}

fn status() -> impl Strategy<Value = Status> {
    prop_oneof![3 => Just(Status::Active), 2 => Just(Status::Withdrawn), 1 => Just(Status::Removed)]
}

/// Heads as a store has them: each source has at most one.
fn heads() -> impl Strategy<Value = Vec<Stored>> {
    const SOURCES: [&str; 8] = [
        "shipped/a",
        "import/a",
        "import/b",
        "import/c",
        "remote/a",
        "provider/a",
        "local/api",
        "pin/user",
    ];
    let said = (1..4_i64, vec(field(), 0..6), status());
    (vec(said, SOURCES.len()), subsequence(SOURCES.to_vec(), 0..=SOURCES.len())).prop_map(
        |(said, sources)| {
            let of_source = |(source, (at, fields, status)): (&str, (i64, Vec<_>, _))| {
                if source == "pin/user" {
                    let mut pins: Vec<(&str, Value)> = fields
                        .iter()
                        .map(|(field, value): &(String, Value)| (field.as_str(), value.clone()))
                        .collect();
                    // A pin cannot be set to these.
                    pins.retain(|(field, value)| *value != json!([]) || *field == "capabilities");
                    return with_status(status, pin_head(&pins));
                }
                with_status(status, head(source, at, &body(&fields)))
            };
            sources.into_iter().zip(said).map(of_source).collect()
        },
    )
}

fn facts(heads: &[Stored]) -> Facts {
    card(&model("p:m"), heads).facts
}

/// Returns facts as fields, as `why` has them.
fn fields(found: Vec<FieldWhy>) -> Facts {
    let fields: Vec<(String, Value)> =
        found.into_iter().filter_map(|found| Some((found.field, found.value?))).collect();
    serde_json::from_value(body(&fields)).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, fork: false, ..ProptestConfig::default() })]

    #[test]
    fn the_order_of_heads_plays_no_part(heads in heads(), seed in any::<u64>()) {
        let mut shuffled = heads.clone();
        shuffled.sort_by_key(|head| seed.wrapping_mul(head.source.as_str().bytes().map(|b| u64::from(b) * 31).sum::<u64>() | 1));
        prop_assert_eq!(card(&model("p:m"), &heads), card(&model("p:m"), &shuffled));
        prop_assert_eq!(why(&model("p:m"), &heads, None), why(&model("p:m"), &shuffled, None));
    }

    #[test]
    fn what_was_merged_merges_into_itself(heads in heads(), layer in 0..5_usize) {
        let merged = facts(&heads);
        let layer = ["shipped", "import", "remote", "provider", "local"][layer];
        let mut again = heads.clone();
        again.push(head(&format!("{layer}/card"), 9, &serde_json::to_value(&merged).unwrap()));
        prop_assert_eq!(diff(&facts(&again), &merged), vec![]);
        prop_assert_eq!(facts(&again), merged);
    }

    #[test]
    fn why_says_what_the_card_says_and_layers_go_before_one_another(heads in heads()) {
        let found = why(&model("p:m"), &heads, None).unwrap();
        for found in &found {
            let wins = found.candidates.iter().filter(|c| matches!(c.verdict, Verdict::Wins { .. })).count();
            let united = found.candidates.iter().filter(|c| c.verdict == Verdict::United).count();
            let first = &found.candidates[0];
            let is_not_after = |other: &Candidate| {
                (first.status == Status::Active, first.layer) >= (other.status == Status::Active, other.layer)
            };
            prop_assert!(found.candidates.iter().all(is_not_after), "{:?}", found);
            prop_assert!(wins == 1 && united == 0 || wins == 0 && united > 1, "{:?}", found);
        }
        prop_assert_eq!(fields(found), facts(&heads));
    }

    #[test]
    fn who_says_nothing_erases_nothing(heads in heads(), layer in 0..5_usize) {
        let layer = ["shipped", "import", "remote", "provider", "local"][layer];
        let mut more = heads.clone();
        more.push(head(&format!("{layer}/silent"), 99, &json!({"prices": []})));
        prop_assert_eq!(facts(&more), facts(&heads));
    }

    #[test]
    fn a_pin_goes_before_all(heads in heads(), (field, value) in field()) {
        prop_assume!(value != json!([]));
        let mut heads = heads;
        heads.retain(|head| head.source.as_str() != "pin/user");
        heads.push(pin_head(&[(&field, value.clone())]));
        let found = why(&model("p:m"), &heads, Some(&field)).unwrap();
        prop_assert_eq!(found[0].value.clone(), Some(value));
        prop_assert_eq!(found[0].candidates[0].source.as_str(), "pin/user");
    }
}
