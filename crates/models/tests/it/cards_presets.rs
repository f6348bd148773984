use crate::merge_fixture::{head, model, with_status};
use callsheet_models::{
    card,
    presets::{PresetName, check_parameters, check_preset, parameter, warnings},
};
use callsheet_types::{Preset, plan::Status};
use serde_json::{Value, json};

fn preset(model: &str, parameters: Value) -> Preset {
    let Value::Object(parameters) = parameters else { panic!("{parameters} has no names") };
    Preset { model: model.to_owned(), parameters }
}

#[test]
fn names_are_a_tier_and_a_slot() {
    let long = "x".repeat(64);
    for good in ["budget/chat", "a/b", "A.1_-/x", &format!("{long}/{long}")] {
        let name = PresetName::parse(good).unwrap();
        assert_eq!(format!("{}/{}", name.tier(), name.slot()), good);
        assert_eq!(name.to_string(), good);
    }
    for bad in ["", "a", "/", "a/", "/a", "a/b/c", "a b/c", "ä/b", &format!("{long}x/a")] {
        assert!(PresetName::parse(bad).is_err(), "{bad}");
    }
    assert_eq!(
        PresetName::parse("chat").unwrap_err().to_string(),
        "\"chat\" is no preset: expected TIER/SLOT, such as budget/chat, each 1 to 64 letters, digits, `.`, `_` or `-`"
    );
}

#[test]
fn a_model_has_a_name_that_one_can_have() {
    for (model, is_right) in
        [("m", true), (&*"m".repeat(512), true), (&*"m".repeat(513), false), (" ", false)]
    {
        assert_eq!(check_preset(&preset(model, json!({}))).is_ok(), is_right, "{model}");
    }
    assert!(check_preset(&preset("m", json!({"temperature": 3}))).is_err());
}

#[test]
fn parameters_have_the_type_and_the_range_that_they_take() {
    for (text, value) in [
        ("temperature=0", json!(0)),
        ("temperature=2.0", json!(2.0)),
        ("top_p=1", json!(1)),
        ("top_k=0", json!(0)),
        ("max_tokens=1", json!(1)),
        ("frequency_penalty=-2", json!(-2)),
        ("presence_penalty=0.5", json!(0.5)),
        ("seed=-7", json!(-7)),
        ("parallel_tool_calls=false", json!(false)),
        ("stop=END", json!("END")),
        (r#"stop=["a","b"]"#, json!(["a", "b"])),
        ("of_some_provider=x=y", json!("x=y")),
    ] {
        let (name, read) = parameter(text).unwrap();
        assert_eq!(read, value, "{text}");
        assert!(text.starts_with(&format!("{name}=")));
    }
    for (text, error) in [
        ("temperature=2.1", "temperature cannot be 2.1: expected a number from 0 to 2"),
        ("temperature=-0.1", "temperature cannot be -0.1: expected a number from 0 to 2"),
        ("temperature=warm", "temperature cannot be \"warm\": expected a number from 0 to 2"),
        ("temperature=NaN", "temperature cannot be \"NaN\": expected a number from 0 to 2"),
        ("top_p=1.01", "top_p cannot be 1.01: expected a number from 0 to 1"),
        ("top_k=-1", "top_k cannot be -1: expected a whole number from 0 up"),
        ("top_k=1.5", "top_k cannot be 1.5: expected a whole number from 0 up"),
        ("max_tokens=0", "max_tokens cannot be 0: expected a whole number from 1 up"),
        (
            "presence_penalty=-2.5",
            "presence_penalty cannot be -2.5: expected a number from -2 to 2",
        ),
        ("seed=1.5", "seed cannot be 1.5: expected a whole number"),
        ("parallel_tool_calls=1", "parallel_tool_calls cannot be 1: expected true or false"),
        ("stop=null", "stop cannot be null: expected a value"),
        ("model=x", "model is not for a preset to set: every request has its own"),
        (
            "temperature",
            "\"temperature\" sets nothing: expected PARAMETER=VALUE, such as temperature=0.3",
        ),
        ("=1", "\"=1\" sets nothing: expected PARAMETER=VALUE, such as temperature=0.3"),
    ] {
        assert_eq!(parameter(text).unwrap_err().to_string(), error);
    }
    let all = |value: Value| check_parameters(value.as_object().unwrap());
    assert_eq!(all(json!({"temperature": 0.3, "top_p": 0.95})), Ok(()));
    assert!(all(json!({"temperature": "0.3"})).is_err());
}

#[test]
fn what_does_not_fit_the_model_is_said() {
    let body = json!({"max_output_tokens": 4096, "parameters": {
        "temperature": {"availability": "mutable", "min": 0, "max": 1},
        "top_p": {"availability": "unsupported"},
        "seed": {"availability": "read_only", "value": 1},
        "top_k": {"availability": "opaque"},
        "house_special": {"availability": "opaque"},
    }});
    let known = card(&model("p:m"), &[head("import/a", 1, &body)]);
    let told = |preset: &Preset, cards: &[_]| -> Vec<String> {
        warnings(preset, cards).iter().map(ToString::to_string).collect()
    };
    let fits = preset(
        "p:m",
        json!({"temperature": 1, "seed": 1.0, "top_k": 3, "min_p": 0.1, "max_tokens": 4096, "house_special": 1}),
    );
    assert_eq!(told(&fits, std::slice::from_ref(&known)), [""; 0]);
    let unfit = preset(
        "p:m",
        json!({"temperature": 1.5, "top_p": 0.5, "seed": 2, "max_tokens": 5000, "temprature": 1, "zzz": 1}),
    );
    assert_eq!(
        told(&unfit, std::slice::from_ref(&known)),
        [
            "no parameter is known as temprature; did you mean temperature?",
            "no parameter is known as zzz",
            "max_tokens of 5000 is outside of what the model takes: 4096 and less",
            "seed of the model is always 1",
            "temperature of 1.5 is outside of what the model takes: 0 to 1",
            "the model does not take top_p",
        ]
    );
    // The same said by two cards is said once.
    assert_eq!(told(&unfit, &[known.clone(), known]).len(), 6);
    assert_eq!(told(&preset("p:x", json!({"top_p": 0.5})), &[]), ["no model is known as p:x"]);
    let gone = with_status(Status::Withdrawn, head("import/a", 1, &json!({})));
    assert_eq!(
        told(&preset("m", json!({})), &[card(&model("p:m"), &[gone])]),
        ["p:m is withdrawn"]
    );
}
