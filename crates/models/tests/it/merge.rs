use crate::merge_fixture::{facts, head, model, pin_head, second, with_status};
use callsheet_models::{
    Card, Cards, Facts, card,
    conflicts::{ConflictFilter, conflicts},
    merge::{Verdict, why},
};
use callsheet_store::{Project, Stored};
use callsheet_types::{EntryId, Kind, plan::Status};
use serde_json::{Value, json};

/// Checks what is made of heads, in either order, against facts.
#[track_caller]
fn check(heads: &[Stored], expected: Value) {
    let of = |heads: &[Stored]| card(&model("p:m"), heads);
    let made = of(heads);
    assert_eq!(made.facts, facts(expected));
    let reversed: Vec<Stored> = heads.iter().rev().cloned().collect();
    assert_eq!(of(&reversed), made);
}

#[track_caller]
fn check_status(heads: &[Stored], expected: &str) {
    assert_eq!(card(&model("p:m"), heads).status, expected);
}

fn prices(prompt: &str) -> Value {
    json!([{"what": "prompt", "per": "mtok", "amount": prompt}])
}

#[test]
fn an_update_replaces_the_context_window() {
    let old = head("import/list", 1, &json!({"context_window": 1000, "name": "M"}));
    let new = head("remote/list", 1, &json!({"context_window": 2000}));
    check(&[old, new], json!({"context_window": 2000, "name": "M"}));
}

#[test]
fn absent_prices_are_preserved() {
    let old = head("import/list", 1, &json!({"prices": prices("1")}));
    let new = head("remote/list", 2, &json!({"context_window": 2000, "prices": []}));
    check(&[old, new], json!({"prices": prices("1"), "context_window": 2000}));
}

#[test]
fn layers_go_before_one_another() {
    let layers = ["shipped/s", "import/s", "remote/s", "provider/s", "local/s"];
    let heads: Vec<Stored> = (0..)
        .zip(layers)
        .map(|(i, source)| head(source, 100 - i, &json!({"max_output_tokens": i + 1})))
        .collect();
    for known in 1..=layers.len() {
        check(&heads[..known], json!({"max_output_tokens": known}));
    }
    let mut heads = heads;
    heads.push(pin_head(&[("max_output_tokens", json!(9))]));
    check(&heads, json!({"max_output_tokens": 9}));
}

#[test]
fn within_a_layer_the_newer_goes_first_and_then_the_alphabet() {
    let older = head("import/a", 1, &json!({"family": "a"}));
    let newer = head("import/b", 2, &json!({"family": "b"}));
    let as_new = head("import/c", 2, &json!({"family": "c"}));
    check(&[older.clone(), newer.clone()], json!({"family": "b"}));
    check(&[as_new, newer, older], json!({"family": "b"}));
}

#[test]
fn what_is_withdrawn_speaks_where_nobody_else_does() {
    let gone = head(
        "provider/a",
        9,
        &json!({"context_window": 1, "license": "mit", "parameters": {"seed": {"availability": "opaque"}}, "capabilities": ["chat", "tools"]}),
    );
    let gone = with_status(Status::Withdrawn, gone);
    let here = head("shipped/b", 1, &json!({"context_window": 2, "capabilities": ["chat"]}));
    check(
        &[gone.clone(), here],
        json!({"context_window": 2, "license": "mit", "parameters": {"seed": {"availability": "opaque"}}, "capabilities": ["chat"]}),
    );
    let removed = with_status(Status::Removed, gone.clone());
    check(&[removed], json!({}));
    check(
        &[gone],
        json!({"context_window": 1, "license": "mit", "parameters": {"seed": {"availability": "opaque"}}, "capabilities": ["chat", "tools"]}),
    );
}

#[test]
fn what_has_names_is_merged_by_name() {
    let low = head(
        "import/a",
        1,
        &json!({
            "capabilities": ["chat", "vision"],
            "parameters": {"temperature": {"availability": "opaque"}, "seed": {"availability": "unsupported"}},
            "extra": {"x": 1, "y": {"deep": true}},
            "input_modalities": ["text", "image"],
            "prices": [{"what": "prompt", "per": "mtok", "amount": "1"}, {"what": "completion", "per": "mtok", "amount": "2"}],
        }),
    );
    let high = head(
        "provider/p",
        1,
        &json!({
            "capabilities": ["tools"],
            "parameters": {"temperature": {"availability": "mutable", "min": 0, "max": 1}},
            "extra": {"x": null},
            "input_modalities": ["text"],
            "prices": prices("3"),
        }),
    );
    check(
        &[low.clone(), high.clone()],
        json!({
            "capabilities": ["chat", "tools", "vision"],
            "parameters": {"temperature": {"availability": "mutable", "min": 0, "max": 1}, "seed": {"availability": "unsupported"}},
            "extra": {"x": null, "y": {"deep": true}},
            "input_modalities": ["text"],
            "prices": prices("3"),
        }),
    );
    let pin = pin_head(&[
        ("capabilities", json!(["embed"])),
        ("parameters.seed", json!({"availability": "opaque"})),
    ]);
    let made = card(&model("p:m"), &[low.clone(), high.clone(), pin]);
    assert_eq!(made.facts.capabilities.iter().collect::<Vec<_>>(), ["embed"]);
    assert_eq!(made.facts.parameters["seed"], callsheet_models::Parameter::Opaque);
    assert_eq!(made.pinned, ["capabilities", "parameters.seed"]);
    let none = pin_head(&[("capabilities", json!([]))]);
    assert!(card(&model("p:m"), &[low, high, none]).facts.capabilities.is_empty());
}

#[test]
fn a_status_is_the_first_that_holds() {
    let body = |lifecycle: &str| json!({"lifecycle": lifecycle});
    let source = |lifecycle| head("import/a", 1, &body(lifecycle));
    let gone = |head| with_status(Status::Withdrawn, head);
    let pinned = pin_head(&[("context_window", json!(1))]);
    check_status(&[head("import/a", 1, &json!({"deprecated": "2020-01-01"}))], "active");
    for lifecycle in ["active", "alpha", "beta", "deprecated", "retired", "preview"] {
        check_status(&[source(lifecycle)], lifecycle);
    }
    check_status(&[source("Beta")], "beta");
    check_status(&[source("removed")], "retired");
    check_status(&[gone(source("deprecated"))], "withdrawn");
    check_status(&[gone(source("beta")), pinned.clone()], "withdrawn");
    check_status(&[with_status(Status::Removed, source("beta")), pinned.clone()], "withdrawn");
    check_status(&[gone(source("beta")), head("local/api", 1, &json!({}))], "beta");
    check_status(&[pinned], "active");
    let removed = pin_head(&[("removed", json!(true))]);
    check_status(&[source("beta"), removed.clone()], "removed");
    check_status(&[gone(source("beta")), removed], "removed");
    check_status(&[with_status(Status::Removed, source("beta"))], "removed");
    check_status(&[], "removed");
}

#[test]
fn what_cannot_be_read_hides_nothing() {
    let bad = head("provider/p", 1, &json!({"context_window": "many"}));
    let good = head("import/a", 1, &json!({"context_window": 5}));
    let pin =
        pin_head(&[("context_window", json!("x")), ("no_such", json!(1)), ("family", json!("f"))]);
    let made = card(&model("p:m"), &[bad, good, pin]);
    assert_eq!(made.facts, facts(json!({"context_window": 5, "family": "f"})));
    assert_eq!(made.pinned, ["family"]);
    assert_eq!(made.notes.len(), 3, "{:?}", made.notes);
    assert!(made.notes.contains(&"the pin of no_such cannot be read: 1".to_owned()));
    assert!(made.notes.iter().any(|n| n.starts_with("what provider/p says cannot be read: ")));
}

#[test]
fn a_card_says_who_speaks_and_is_read_as_it_is_written() {
    let gone = with_status(Status::Removed, head("local/api", 30, &json!({})));
    let mut heads = vec![
        gone,
        with_status(Status::Withdrawn, head("provider/p", 20, &json!({"retires": "2026-01"}))),
        head(
            "import/a",
            10,
            &json!({
                "context_window": 18_446_744_073_709_551_615_u64,
                "open_weights": true,
                "weights": [{"url": "https://x"}],
                "parameters": {"temperature": {"availability": "mutable", "min": 0.1, "max": 2, "default": 1.0}},
                "prices": [{"what": "prompt", "per": "mtok", "amount": "0.1", "above_context": 200_000, "until": "2026-12-31"}],
                "extra": {"x": [1, 2.5, null, {"y": "z"}]},
            }),
        ),
    ];
    heads[2].changed_at = second(40);
    let made = card(&model("p:m:free"), &heads);
    let sources: Vec<_> = made.sources.iter().map(|s| (s.source.as_str(), s.status)).collect();
    assert_eq!(
        sources,
        [
            ("import/a", Status::Active),
            ("provider/p", Status::Withdrawn),
            ("local/api", Status::Removed)
        ]
    );
    assert_eq!((made.provider.as_str(), made.id.as_str()), ("p", "m:free"));
    assert_eq!(made.updated_at, second(40));
    let text = serde_json::to_string(&made).unwrap();
    assert_eq!(serde_json::from_str::<Card>(&text).unwrap(), made);

    let canonical = card(&EntryId::new(Kind::canonical(), "a/b:c"), &heads);
    assert_eq!((canonical.provider.as_str(), canonical.id.as_str()), ("", ""));
    let value = serde_json::to_value(&canonical).unwrap();
    assert!(value.get("provider").is_none());
    assert_eq!(serde_json::from_value::<Card>(value).unwrap(), canonical);
}

#[test]
fn a_row_has_what_lists_need() {
    let heads = [head(
        "import/a",
        10,
        &json!({
            "name": "Qwen3 8B (Free)", "family": "qwen", "canonical": "Qwen/qwen3-8b",
            "context_window": 1000, "max_output_tokens": 10, "released": "2025-04",
            "capabilities": ["chat", "tools"],
            "input_modalities": ["text", "image"], "output_modalities": ["text"],
            "prices": [
                {"what": "prompt", "per": "mtok", "amount": "9", "above_context": 200_000},
                {"what": "prompt", "per": "mtok", "amount": "8", "batch": true},
                {"what": "prompt", "per": "mtok", "amount": "7", "until": "2025-12-31"},
                {"what": "prompt", "per": "character", "amount": "6"},
                {"what": "prompt", "per": "mtok", "amount": "0.05"},
                {"what": "completion", "per": "mtok", "amount": "dynamic"},
            ],
        }),
    )];
    let row = Cards.row(&model("p:qwen3-8b:free"), &heads).unwrap();
    assert_eq!(row.kind, "model");
    assert_eq!(row.provider, "p");
    assert_eq!(row.name, "Qwen3 8B (Free)");
    assert_eq!(row.words, "p qwen3 8b free qwen");
    assert_eq!((row.prompt_nano_usd, row.completion_nano_usd), (Some(50_000_000), None));
    assert_eq!(row.modalities, ["in:image", "in:text", "out:text", "image", "text"]);
    assert_eq!(row.capabilities, ["chat", "tools"]);
    assert_eq!(row.released.as_deref(), Some("2025-04"));
    assert_eq!(row.canonical.as_deref(), Some("alibaba/qwen3-8b"));
    assert_eq!((row.context_window, row.max_output_tokens), (Some(1000), Some(10)));
    let body: Card = serde_json::from_str(&row.body).unwrap();
    assert_eq!(body, card(&model("p:qwen3-8b:free"), &heads));

    let plain = Cards.row(&model("p:m"), &[head("import/a", 1, &json!({}))]).unwrap();
    assert_eq!(
        (plain.name.as_str(), plain.prompt_nano_usd, plain.context_window),
        ("m", None, None)
    );
    let free = head("import/a", 1, &json!({"prices": prices("0")}));
    assert_eq!(Cards.row(&model("p:m"), &[free]).unwrap().prompt_nano_usd, Some(0));
    let much = head("import/a", 1, &json!({"prices": prices("79228162514264337593543950335")}));
    assert_eq!(Cards.row(&model("p:m"), &[much]).unwrap().prompt_nano_usd, None);
    let gone = with_status(Status::Removed, head("import/a", 1, &json!({})));
    assert_eq!(Cards.row(&model("p:m"), &[gone]), None);
    assert!(Cards.covers(&EntryId::new(Kind::canonical(), "x")));
    assert!(!Cards.covers(&EntryId::new(Kind::preset(), "x/y")));
}

/// Lists who says a field and what became of it.
#[track_caller]
fn check_why(heads: &[Stored], field: &str, expected: &[(&str, &str)]) {
    let found = why(&model("p:m"), heads, Some(field)).unwrap();
    let said: Vec<(String, String)> = found
        .iter()
        .flat_map(|field| &field.candidates)
        .map(|c| (c.source.to_string(), c.verdict.to_string()))
        .collect();
    let said: Vec<(&str, &str)> = said.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
    assert_eq!(said, expected, "{field}");
}

#[test]
fn why_names_who_says_what_and_what_became_of_it() {
    let facts = |n: u64| json!({"context_window": n, "capabilities": ["chat"], "parameters": {"seed": {"availability": "opaque"}}});
    let mut heads = vec![
        head("import/a", 1, &facts(1)),
        head("import/b", 2, &facts(2)),
        head("import/c", 2, &facts(3)),
        head("shipped/d", 9, &facts(4)),
        with_status(Status::Withdrawn, head("local/api", 9, &facts(5))),
        with_status(Status::Removed, head("local/config", 9, &facts(6))),
    ];
    check_why(
        &heads,
        "context_window",
        &[
            ("import/b", "wins: as new as the next, and named before import/c"),
            ("import/c", "loses: as new as import/b, and named after it"),
            ("import/a", "loses: older than import/b"),
            ("shipped/d", "loses: lower layer than import/b"),
            ("local/api", "loses: withdrawn, unlike import/b"),
        ],
    );
    check_why(
        &heads,
        "capabilities",
        &[
            ("import/b", "united with the others"),
            ("import/c", "united with the others"),
            ("import/a", "united with the others"),
            ("shipped/d", "united with the others"),
            ("local/api", "loses: withdrawn, unlike import/b"),
        ],
    );
    check_why(&heads[3..4], "context_window", &[("shipped/d", "wins: nobody else says it")]);
    check_why(
        &heads[3..5],
        "parameters.seed",
        &[
            ("shipped/d", "wins: published, unlike local/api"),
            ("local/api", "loses: withdrawn, unlike shipped/d"),
        ],
    );
    check_why(&heads, "family", &[]);
    heads.truncate(1);
    heads.push(pin_head(&[("context_window", json!(7)), ("capabilities", json!([]))]));
    check_why(
        &heads,
        "context_window",
        &[("pin/user", "wins: pinned"), ("import/a", "loses: pinned over by pin/user")],
    );
    let found = why(&model("p:m"), &heads, Some("capabilities")).unwrap();
    assert_eq!(found[0].value, Some(json!([])));
    let pin = &why(&model("p:m"), &heads, Some("context_window")).unwrap()[0].candidates[0];
    assert_eq!((pin.by.as_deref(), pin.observed_at), (Some("ada"), second(7)));

    let all = why(&model("p:m"), &heads, None).unwrap();
    let fields: Vec<&str> = all.iter().map(|field| field.field.as_str()).collect();
    assert_eq!(fields, ["capabilities", "context_window", "parameters.seed"]);
    assert_eq!(why(&model("p:m"), &heads, Some("parameters")).unwrap(), all[2..]);
    let text = serde_json::to_string(&all).unwrap();
    assert_eq!(serde_json::from_str::<Vec<callsheet_models::merge::FieldWhy>>(&text).unwrap(), all);
    assert!(matches!(all[1].candidates[0].verdict, Verdict::Wins { .. }));

    for (field, error) in [
        ("contxt_window", "\"contxt_window\" is no field of a model; did you mean context_window?"),
        ("parameters.", "\"parameters.\" is no field of a model; did you mean parameters?"),
        ("zzz", "\"zzz\" is no field of a model"),
    ] {
        let unknown = why(&model("p:m"), &heads, Some(field)).unwrap_err();
        assert_eq!(unknown.to_string(), error);
    }
}

#[test]
fn every_field_can_be_asked_for() {
    let Value::Object(every) = serde_json::to_value(every_fact()).unwrap() else { panic!() };
    let heads = [head("import/a", 1, &Value::Object(every.clone()))];
    assert_eq!(card(&model("p:m"), &heads).facts, every_fact());
    for field in every.keys() {
        let found = why(&model("p:m"), &heads, Some(field)).unwrap();
        assert_eq!(found.len(), 1, "{field}");
        assert_eq!(found[0].candidates.len(), 1, "{field}");
    }
}

/// Facts with a value in every field: the compiler asks for each.
fn every_fact() -> Facts {
    let date = |text| callsheet_models::PartialDate::new(text).ok();
    let words = |word: &str| [word.to_owned()].into();
    let text = |text: &str| Some(text.to_owned());
    Facts {
        name: text("n"),
        canonical: text("c"),
        family: text("f"),
        capabilities: words("chat"),
        input_modalities: Some(words("text")),
        output_modalities: Some(words("text")),
        context_window: Some(1),
        context_window_trained: Some(2),
        max_input_tokens: Some(3),
        max_output_tokens: Some(4),
        embedding_dimensions: Some(5),
        parameter_count: Some(6),
        parameters: [("seed".to_owned(), callsheet_models::Parameter::Opaque)].into(),
        license: text("l"),
        open_weights: Some(false),
        weights: serde_json::from_value(json!([{"url": "u"}])).unwrap(),
        digest: text("d"),
        file_set: text("s@r/m"),
        quantization: text("q"),
        knowledge_cutoff: date("2020"),
        released: date("2021"),
        updated: date("2022"),
        deprecated: date("2023"),
        retires: date("2024"),
        lifecycle: text("beta"),
        prices: serde_json::from_value(prices("1")).unwrap(),
        extra: [("x".to_owned(), json!(1))].into_iter().collect(),
        removed: Some(false),
    }
}

#[test]
fn contradictions_are_found_among_those_that_publish() {
    let a = json!({"context_window": 1000, "family": "x", "name": "A", "released": "2025-01", "weights": [{"url": "https://w"}], "capabilities": ["chat"], "extra": {"x": 1}, "parameters": {"seed": {"availability": "opaque"}},
        "prices": [{"what": "prompt", "per": "mtok", "amount": "1.0"}, {"what": "completion", "per": "mtok", "amount": "2"}, {"what": "request", "per": "request", "amount": "1"}]});
    let b = json!({"context_window": 2000, "family": "x", "name": "B", "released": "2025-01-31", "weights": [{"url": "https://v"}, {"url": "https://w", "label": "W"}], "capabilities": ["tools"], "extra": {"x": 2}, "parameters": {"seed": {"availability": "unsupported"}},
        "prices": [{"what": "completion", "per": "mtok", "amount": "3"}, {"what": "prompt", "per": "mtok", "amount": "1"}]});
    let of = |key: &str, head: Stored| Stored { id: model(key), ..head };
    let heads = [
        of("p:m", head("import/a", 1, &a)),
        of("p:m", head("import/b", 2, &b)),
        of("p:m", pin_head(&[("context_window", json!(3000))])),
        of("q:gone", head("import/a", 1, &a)),
        of("q:gone", with_status(Status::Withdrawn, head("import/b", 2, &b))),
        of("q:m", head("import/a", 1, &a)),
        of("q:m", head("import/b", 2, &b)),
        of("q:same", head("import/a", 1, &a)),
        of("q:same", head("import/b", 2, &a)),
    ];
    let found = conflicts(&heads, ConflictFilter::default());
    let short: Vec<String> = found
        .iter()
        .map(|found| {
            let values: Vec<String> = found
                .values
                .iter()
                .map(|v| format!("{} {}{}", v.source, v.value, if v.wins { " wins" } else { "" }))
                .collect();
            format!("{} {}: {}", found.key, found.field, values.join("; "))
        })
        .collect();
    assert_eq!(
        short,
        [
            "p:m context_window: pin/user 3000 wins; import/b 2000; import/a 1000",
            "p:m prices.completion: import/b \"3\" wins; import/a \"2\"",
            "q:m context_window: import/b 2000 wins; import/a 1000",
            "q:m prices.completion: import/b \"3\" wins; import/a \"2\"",
        ]
    );
    let filter = ConflictFilter { provider: Some("q"), field: Some("prices") };
    let found = conflicts(&heads, filter);
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].key.as_str(), found[0].field.as_str()), ("q:m", "prices.completion"));
    assert_eq!(conflicts(&heads, ConflictFilter { field: Some("context"), ..filter }), []);
}

#[test]
fn who_says_only_that_a_parameter_is_there_hides_no_bounds() {
    let opaque = json!({"parameters": {"t": {"availability": "opaque"}}});
    let bounds = json!({"parameters": {"t": {"availability": "mutable", "min": 0, "max": 2}}});
    let refused = json!({"parameters": {"t": {"availability": "unsupported"}}});
    let winner = |heads: &[Stored]| {
        let why = why(&model("p:m"), heads, Some("parameters.t")).unwrap().remove(0);
        let card = serde_json::to_value(card(&model("p:m"), heads).facts).unwrap();
        assert_eq!(Some(&card["parameters"]["t"]), why.value.as_ref());
        let mut candidates = why.candidates.iter();
        let winner = candidates.find(|said| matches!(said.verdict, Verdict::Wins { .. })).unwrap();
        (winner.source.to_string(), winner.verdict.to_string())
    };
    let (provider, import) = (head("provider/p", 2, &opaque), head("import/a", 1, &bounds));
    let said = ("import/a".to_owned(), "wins: says more than provider/p".to_owned());
    assert_eq!(winner(&[provider.clone(), import.clone()]), said);
    // What is there is not unsupported, whoever says so with less weight.
    assert_eq!(winner(&[provider.clone(), head("import/a", 1, &refused)]).0, "provider/p");
    // Nor does a withdrawn word come back, nor one that a person decided against.
    let gone = with_status(Status::Withdrawn, import.clone());
    assert_eq!(winner(&[provider, gone]).0, "provider/p");
    let pin = pin_head(&[("parameters.t", json!({"availability": "opaque"}))]);
    assert_eq!(winner(&[pin, import]).0, "pin/user");
}
