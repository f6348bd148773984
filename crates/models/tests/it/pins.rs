use crate::merge_fixture::{head, model, pins as pin_head, second, with_status};
use callsheet_models::{
    card,
    pins::{FieldError, PinSheet, set, set_value, sheet, unset},
};
use callsheet_store::Stored;
use callsheet_types::plan::Status;
use serde_json::{Value, json};

fn source() -> Stored {
    let body = json!({
        "context_window": 1000,
        "capabilities": ["chat"],
        "prices": [
            {"what": "prompt", "per": "mtok", "amount": "1"},
            {"what": "prompt", "per": "mtok", "amount": "2", "above_context": 200_000},
            {"what": "prompt", "per": "mtok", "amount": "3", "until": "2026-12-31"},
            {"what": "completion", "per": "mtok", "amount": "4"},
        ],
    });
    head("import/x", 1, &body)
}

fn pinned(assignments: &[&str]) -> Result<PinSheet, FieldError> {
    let mut sheet = PinSheet::default();
    for assignment in assignments {
        sheet = set(&sheet, &[source()], assignment, "ada", second(9))?;
    }
    Ok(sheet)
}

/// Checks that a pin is taken, and that the card says what it says.
#[track_caller]
#[expect(clippy::needless_pass_by_value, reason = "it reads better where it is called")]
fn check(assignment: &str, expected: Value) {
    let (field, _) = assignment.split_once('=').unwrap();
    let sheet = pinned(&[assignment]).unwrap();
    assert_eq!(sheet.pins[field].value, expected, "{assignment}");
    let card = card(&model("p:m"), &[source(), pin_head(&sheet)]);
    let mut said = serde_json::to_value(&card.facts).unwrap();
    for part in field.splitn(2, '.') {
        said = said.get(part).cloned().unwrap_or_else(|| json!([]));
    }
    assert_eq!(said, expected, "{assignment}");
    assert_eq!(card.pinned, [field]);
}

#[track_caller]
fn check_error(assignment: &str, expected: &str) {
    assert_eq!(pinned(&[assignment]).unwrap_err().to_string(), expected);
}

#[test]
fn values_are_read_as_their_fields_have_them() {
    check("context_window=128k", json!(128_000));
    check("max_output_tokens=1M", json!(1_000_000));
    check("parameter_count=8B", json!(8_000_000_000_u64));
    check("name=A = B", json!("A = B"));
    check("capabilities=tools, chat,chat", json!(["chat", "tools"]));
    check("capabilities=", json!([]));
    check("input_modalities=text,image", json!(["image", "text"]));
    check("released=2025-02", json!("2025-02"));
    check("open_weights=yes", json!(true));
    check("removed=true", json!(true));
    check("weights=https://a, https://b", json!([{"url": "https://a"}, {"url": "https://b"}]));
    check("parameters.seed=unsupported", json!({"availability": "unsupported"}));
    check(
        r#"parameters.temperature={"availability":"mutable","min":0,"max":1.5}"#,
        json!({"availability": "mutable", "min": 0, "max": 1.5}),
    );
    check("extra.note=call Bob", json!("call Bob"));
    check(r#"extra.a.b={"c":0}"#, json!({"c": 0}));
    check(
        r#"prices=[{"what":"request","per":"request","amount":"0.5","batch":false}]"#,
        json!([{"what": "request", "per": "request", "amount": "0.5"}]),
    );
}

#[test]
fn errors_say_what_is_wrong_and_what_would_be_right() {
    let count = "expected a whole number from 1 up, such as 200000, 128k or 1M";
    for bad in ["0", "-1", "lots", "1.5", ""] {
        check_error(
            &format!("context_window={bad}"),
            &format!("context_window cannot be {bad:?}: {count}"),
        );
    }
    check_error(
        "context_window",
        "\"context_window\" sets nothing: expected FIELD=VALUE, such as context_window=128k",
    );
    check_error(
        "contextwindow=1",
        "\"contextwindow\" is no field of a model; did you mean context_window?",
    );
    check_error("licence=mit", "\"licence\" is no field of a model; did you mean license?");
    check_error(
        "released=2025-13",
        "released cannot be \"2025-13\": expected YYYY-MM-DD, YYYY-MM or YYYY",
    );
    check_error("open_weights=maybe", "open_weights cannot be \"maybe\": expected true or false");
    check_error("name= ", "name cannot be \"\": expected a text");
    check_error(
        "input_modalities=,",
        "input_modalities cannot be \"[]\": expected words separated by commas, such as text,image",
    );
    check_error(
        "prices.promt=1",
        "\"prices.promt\" is no field of a model; did you mean prices.prompt?",
    );
    check_error(
        "prices.prompt=-1",
        "prices.prompt cannot be \"-1\": expected dollars for a million tokens, such as 2.5, or `free`, or `dynamic`",
    );
    let prices =
        r#"expected a JSON list of prices such as [{"amount":"2.5","per":"mtok","what":"prompt"}]"#;
    check_error("prices=[]", &format!("prices cannot be \"[]\": {prices}"));
    check_error("prices=2", &format!("prices cannot be \"2\": {prices}"));
    let misspelt = r#"[{"amount":"1","per":"mtok","what":"prompt","abov_context":1}]"#;
    assert!(pinned(&[&format!("prices={misspelt}")]).is_err());
    assert!(pinned(&[r#"parameters.seed={"availability":"mutable","mim":0}"#]).is_err());
    assert!(pinned(&[r#"parameters.seed={"availability":"sometimes"}"#]).is_err());
    assert!(pinned(&["parameters=opaque"]).is_err());
    let value =
        set_value(&PinSheet::default(), &[], "context_window", &json!("128k"), "a", second(1));
    assert!(value.is_err());
    let value =
        set_value(&PinSheet::default(), &[], "context_window", &Value::Null, "a", second(1));
    assert!(value.is_err());
}

#[test]
fn one_price_is_pinned_with_the_list_that_it_stands_in() {
    let sheet =
        pinned(&["prices.prompt=2.50", "prices.cache_read=free", "prices.completion=dynamic"]);
    let sheet = sheet.unwrap();
    assert_eq!(
        sheet.pins["prices"].value,
        json!([
            {"what": "prompt", "per": "mtok", "amount": "2.5"},
            {"what": "prompt", "per": "mtok", "amount": "2", "above_context": 200_000},
            {"what": "completion", "per": "mtok", "amount": "dynamic"},
            {"what": "cache_read", "per": "mtok", "amount": "0"},
        ])
    );
    let hides = sheet.pins["prices"].hides.as_ref().unwrap();
    assert_eq!(hides.as_array().unwrap().len(), 4);
    let alone = set(&PinSheet::default(), &[], "prices.prompt=1", "ada", second(1)).unwrap();
    assert_eq!(alone.pins["prices"].hides, None);
}

#[test]
fn a_pin_says_who_when_and_what_it_hides_and_comes_off() {
    let sheet1 = pinned(&["context_window=200000", "family=f"]).unwrap();
    let pin = &sheet1.pins["context_window"];
    assert_eq!((pin.by.as_str(), pin.at, &pin.hides), ("ada", second(9), &Some(json!(1000))));
    assert_eq!(sheet1.pins["family"].hides, None);
    assert_eq!(sheet(&[source(), pin_head(&sheet1)]).unwrap(), sheet1);
    let gone = with_status(Status::Removed, pin_head(&sheet1));
    assert_eq!(sheet(&[gone]).unwrap(), PinSheet::default());
    assert!(sheet(&[head("pin/user", 1, &json!({"pins": 1}))]).is_err());

    let same = set(&sheet1, &[source()], "context_window=200k", "bob", second(10)).unwrap();
    assert_eq!(same, sheet1);
    let other = set(&sheet1, &[source()], "context_window=100k", "bob", second(10)).unwrap();
    assert_eq!((other.pins["context_window"].by.as_str(), other.pins.len()), ("bob", 2));

    let sheet2 = unset(&sheet1, "context_window").unwrap();
    assert_eq!(sheet2.pins.keys().collect::<Vec<_>>(), ["family"]);
    let error = unset(&sheet2, "familiy").unwrap_err();
    assert_eq!(
        error.to_string(),
        "\"familiy\" is not pinned; did you mean family?".replace('"', "")
    );
}

#[test]
fn a_card_notes_what_came_to_light_under_its_pins() {
    let sheet = pinned(&["context_window=200000", "family=f", "prices.prompt=5"]).unwrap();
    let notes =
        |body: Value| card(&model("p:m"), &[head("import/x", 2, &body), pin_head(&sheet)]).notes;
    let was = source().body.read::<Value>().unwrap();
    assert_eq!(notes(was.clone()), [""; 0]);
    let with = |changes: Value| {
        let mut body = was.clone();
        for (name, value) in changes.as_object().unwrap() {
            body[name] = value.clone();
        }
        notes(body)
    };
    assert_eq!(
        with(json!({"context_window": 1_000_000})),
        ["context_window is pinned to 200000; import/x now says 1000000"]
    );
    assert_eq!(
        with(json!({"context_window": 200_000, "family": "g"})),
        [
            "context_window is pinned to 200000; import/x now says the same",
            "family is pinned to f; import/x now says g"
        ]
    );
    assert_eq!(
        with(json!({"context_window": null})),
        ["context_window is pinned to 200000; no source says any more"]
    );
    let mut reordered = was["prices"].as_array().unwrap().clone();
    reordered.reverse();
    reordered[3]["amount"] = json!("1.00");
    assert_eq!(with(json!({"prices": reordered})), [""; 0]);
    assert_eq!(
        with(json!({"prices": [{"what": "prompt", "per": "mtok", "amount": "7"}]})),
        [
            "prices are pinned to prompt $5, prompt.above_200000 $2, completion $4; import/x now says prompt $7"
        ]
    );
}
