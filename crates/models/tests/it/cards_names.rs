use callsheet_models::{
    Cards, names,
    pins::{PinSheet, set},
};
use callsheet_store::{Intent, Store, StoreUrl};
use callsheet_types::{
    Body, Entry, Kind, Snapshot, SourceName,
    plan::{Extent, PlanPolicy},
};
use jiff::Timestamp;
use serde_json::json;
use std::collections::BTreeMap;

/// A store of these models, each with its canonical id.
fn store(models: &[(&str, Option<&str>)]) -> (tempfile::TempDir, Store) {
    let entry = |(key, canonical): &(&str, Option<&str>)| {
        Entry::tracking(Kind::model(), key, Body::new(&json!({"canonical": canonical})))
    };
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&StoreUrl::Sqlite(dir.path().join("catalog.db"))).unwrap();
    publish(&store, "import/list", models.iter().map(entry).collect());
    (dir, store)
}

fn publish(store: &Store, source: &str, entries: Vec<Entry>) {
    let snapshot = Snapshot {
        source: SourceName::parse(source).unwrap(),
        revision: None,
        observed_at: None,
        extent: Extent::Whole(vec![Kind::model()]),
        entries,
        problems: Vec::new(),
    };
    store.publish(&snapshot, PlanPolicy::default(), &Intent::now("test"), &Cards).unwrap();
}

const MODELS: [(&str, Option<&str>); 7] = [
    ("anthropic:claude-sonnet-4.5", Some("anthropic/claude-sonnet-4.5")),
    ("openrouter:anthropic/claude-sonnet-4.5", Some("anthropic/claude-sonnet-4.5")),
    ("openrouter:openai/gpt-4o", None),
    ("openai:gpt-4o", None),
    ("azure:gpt-4o", None),
    ("local:a/b", Some("x/y")),
    ("other:x/y", None),
];

#[test]
fn a_name_means_what_the_first_rule_that_finds_any_says() {
    let (_dir, store) = store(&MODELS);
    let aliases: BTreeMap<String, String> =
        [("best", "smart"), ("smart", "openai:gpt-4o"), ("openai:gpt-4o", "azure:gpt-4o")]
            .map(|(from, to)| (from.to_owned(), to.to_owned()))
            .into();
    let check = |aliases: &BTreeMap<String, String>, name: &str, expected: &[&str]| {
        let found = names::find(&store, aliases, name).unwrap();
        let mut keys: Vec<&str> = found.iter().map(|row| row.key.as_str()).collect();
        keys.sort_unstable();
        assert_eq!(keys, expected, "{name}");
    };
    let none = BTreeMap::new();
    check(&aliases, "best", &["azure:gpt-4o"]);
    check(&aliases, "openai:gpt-4o", &["azure:gpt-4o"]);
    check(&none, "best", &[]);
    check(&none, "openai:gpt-4o", &["openai:gpt-4o"]);
    check(&none, "gpt-4o", &["azure:gpt-4o", "openai:gpt-4o"]);
    check(&none, "openai/gpt-4o", &["openrouter:openai/gpt-4o"]);
    check(
        &none,
        "anthropic/claude-sonnet-4.5",
        &["anthropic:claude-sonnet-4.5", "openrouter:anthropic/claude-sonnet-4.5"],
    );
    // Somebody's own id may be another model's canonical one: both are meant.
    check(&none, "x/y", &["local:a/b", "other:x/y"]);
    check(&none, "GPT-4o", &[]);
    check(&none, "", &[]);
}

#[test]
fn a_model_that_somebody_removed_is_meant_only_where_no_other_is() {
    let (_dir, store) = store(&MODELS);
    let sheet =
        set(&PinSheet::default(), &[], "removed=true", "ada", Timestamp::UNIX_EPOCH).unwrap();
    let entry = |key: &str| Entry::tracking(Kind::model(), key, Body::of(&sheet).unwrap());
    publish(&store, "pin/user", vec![entry("azure:gpt-4o"), entry("local:a/b")]);
    for (name, expected) in [
        ("gpt-4o", "openai:gpt-4o"),
        ("azure:gpt-4o", "azure:gpt-4o"),
        ("a/b", "local:a/b"),
        ("x/y", "other:x/y"),
    ] {
        let found = names::find(&store, &BTreeMap::new(), name).unwrap();
        let keys: Vec<&str> = found.iter().map(|row| row.key.as_str()).collect();
        assert_eq!(keys, [expected], "{name}");
    }
}

#[test]
fn who_writes_a_name_wrongly_is_told_what_is_near() {
    let (_dir, store) = store(&MODELS);
    for (name, expected) in [
        ("GPT-4o", &["azure:gpt-4o", "openai:gpt-4o", "openrouter:openai/gpt-4o"][..]),
        ("opnai:gpt-4o", &["openai:gpt-4o", "openrouter:openai/gpt-4o", "azure:gpt-4o"]),
        ("gpt4o", &["azure:gpt-4o", "openai:gpt-4o", "openrouter:openai/gpt-4o"]),
        (
            "claude-sonet",
            &["anthropic:claude-sonnet-4.5", "openrouter:anthropic/claude-sonnet-4.5"],
        ),
        (
            "anthropic:claude-sonnet-4",
            &["anthropic:claude-sonnet-4.5", "openrouter:anthropic/claude-sonnet-4.5"],
        ),
        ("mistral", &[]),
        ("-", &[]),
        ("", &[]),
        // Nobody writes a name so wrongly, and to measure how far it is off takes minutes.
        (&"openai gpt-4o ".repeat(8), &[]),
    ] {
        assert_eq!(names::near(&store, name).unwrap(), expected, "{name}");
    }
}
