//! `callsheet model set`, `unset`, `remove` and `add`.

use crate::models::{Bench, feed, registry, stocked};
use callsheet_testkit::{FakeModel, FakeProvider, Speaks};
use insta::assert_snapshot;
use serde_json::json;

const ROCKET: &str = "openrouter:acme/rocket-1";

#[tokio::test]
async fn every_type_of_value_is_read_as_people_write_it() {
    let bench = stocked("").await;
    let set = [
        "model",
        "set",
        ROCKET,
        "context_window=16k",
        "name=Big Rocket",
        "prices.prompt=2.5",
        "prices.cache_read=free",
        "prices.completion=dynamic",
        "capabilities=chat,tools",
        "open_weights=yes",
        "knowledge_cutoff=2025-06",
        "parameters.seed=unsupported",
        r#"parameters.temperature={"availability":"mutable","min":0,"max":1,"default":0.7}"#,
        "license=mit",
        "extra.note=ours",
        "--by",
        "ada",
    ];
    assert_snapshot!(bench.seen(&set).await, @"
        exit code 0
        openrouter:acme/rocket-1: set: capabilities, context_window, extra.note, knowledge_cutoff, license, name, open_weights, parameters.seed, parameters.temperature, prices.cache_read, prices.completion, prices.prompt
        ");
    assert_snapshot!(bench.seen(&["model", "show", ROCKET]).await, @"
        exit code 0
        openrouter:acme/rocket-1
          name                    Big Rocket
          canonical               acme/rocket-1
          status                  active
          capabilities            chat, tools
          takes                   image, text
          gives                   text
          context window          16,000
          longest answer          4,096
          license                 mit
          knowledge until         2025-06
          released                2025-09-29
          prices                  prompt $2.5 / million tokens
                                  completion dynamic
                                  cache read free / million tokens
          parameters              seed: not supported
                                  temperature: 0 to 1, 0.7 if not set
                                  tools: there
          says                    pin/user (TODAY)
                                  import/openrouter (2026-03-02)
                                  import/registry (2026-03-01)
          pinned                  capabilities, context_window, extra.note, knowledge_cutoff, license, name, open_weights, parameters.seed, parameters.temperature, prices

        also at: north:rocket-1, south:acme/rocket-1

        AMONG PROVIDERS    LEAST  MOST
        context_window     16000  131072
        max_output_tokens  4096   8192
        prices.prompt      2      3
        prices.completion  9      12
        ");
    let before = feed(&bench).await;
    let again = bench.ok(&set).await;
    assert!(again.contains("it was so already"), "{again}");
    assert_eq!(feed(&bench).await, before);
}

#[tokio::test]
async fn what_cannot_be_set_is_refused_with_what_was_expected() {
    let bench = stocked("").await;
    let before = feed(&bench).await;
    let refused = async |assignment: &str| bench.seen(&["model", "set", ROCKET, assignment]).await;
    assert_snapshot!(refused("context_windw=16k").await, @r#"
        exit code 1
        --
        error: "context_windw" is no field of a model; did you mean context_window?
        "#);
    assert_snapshot!(refused("context_window=big").await, @r#"
        exit code 1
        --
        error: context_window cannot be "big": expected a whole number from 1 up, such as 200000, 128k or 1M
        "#);
    assert_snapshot!(refused("context_window=0").await, @r#"
        exit code 1
        --
        error: context_window cannot be "0": expected a whole number from 1 up, such as 200000, 128k or 1M
        "#);
    assert_snapshot!(refused("prices.promt=1").await, @r#"
        exit code 1
        --
        error: "prices.promt" is no field of a model; did you mean prices.prompt?
        "#);
    assert_snapshot!(refused("prices.prompt=cheap").await, @r#"
        exit code 1
        --
        error: prices.prompt cannot be "cheap": expected dollars for a million tokens, such as 2.5, or `free`, or `dynamic`
        "#);
    assert_snapshot!(refused("prices.prompt=-1").await, @r#"
        exit code 1
        --
        error: prices.prompt cannot be "-1": expected dollars for a million tokens, such as 2.5, or `free`, or `dynamic`
        "#);
    assert_snapshot!(refused("open_weights=perhaps").await, @r#"
        exit code 1
        --
        error: open_weights cannot be "perhaps": expected true or false
        "#);
    assert_snapshot!(refused("released=someday").await, @r#"
        exit code 1
        --
        error: released cannot be "someday": expected YYYY-MM-DD, YYYY-MM or YYYY
        "#);
    assert_snapshot!(refused("context_window").await, @r#"
        exit code 2
        --
        error: "context_window" is no correction
        hint: expected FIELD=VALUE, such as context_window=128k
        "#);
    assert_snapshot!(bench.seen(&["model", "set", ROCKET]).await.lines().next().unwrap(), @"exit code 2");
    // One that cannot be, and none of them is.
    let two = bench.run(&["model", "set", ROCKET, "name=Good", "context_window=bad"]).await;
    assert_eq!(two.code, 1, "{two:?}");
    let ambiguous = ["model", "set", "acme/rocket-1", "context_window=16k"];
    assert_snapshot!(bench.seen(&ambiguous).await, @r#"
        exit code 1
        --
        error: "acme/rocket-1" is the name of 3 models: north:rocket-1, openrouter:acme/rocket-1, south:acme/rocket-1
        hint: say which by its key, `provider:id`
        "#);
    assert_snapshot!(bench.seen(&["model", "unset", ROCKET, "context_window"]).await, @"
        exit code 1
        --
        error: context_window is not pinned
        ");
    assert_eq!(feed(&bench).await, before);
}

#[tokio::test]
async fn a_dry_run_shows_and_sets_nothing() {
    let bench = stocked("").await;
    let before = feed(&bench).await;
    for args in [
        &["model", "set", ROCKET, "context_window=16k", "--dry-run"][..],
        &["model", "remove", ROCKET, "--dry-run"],
    ] {
        let said = bench.ok(args).await;
        assert!(said.contains("nothing was changed"), "{said}");
    }
    let would = bench.json(&["model", "set", ROCKET, "context_window=16k", "--dry-run"]).await;
    assert_eq!(
        (&would["card"]["context_window"], &would["changed"]),
        (&json!(16_000), &json!(true))
    );
    assert_eq!(feed(&bench).await, before);
    bench.ok(&["model", "set", ROCKET, "context_window=16k"]).await;
    let would = bench.json(&["model", "unset", ROCKET, "context_window", "--dry-run"]).await;
    assert_eq!(would["card"]["context_window"], 131_072, "{would}");
    let is = bench.json(&["model", "show", ROCKET]).await;
    assert_eq!(is["models"][0]["context_window"], 16_000);
}

#[tokio::test]
async fn pins_and_removals_survive_whatever_sources_say() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &registry());
    let import = ["model", "import", &file, "--format", "registry"];
    bench.ok(&import).await;
    bench.ok(&["model", "set", ROCKET, "context_window=16k"]).await;
    assert_snapshot!(bench.seen(&["model", "remove", "openrouter:acme/spark"]).await, @"
        exit code 0
        openrouter:acme/spark: removed
        still used by: preset budget/chat
        ");
    let mut newer = registry();
    for model in newer["models"].as_array_mut().unwrap() {
        model["info"]["context_window"] = json!(65536);
        model["max_output_tokens"] = json!(1000);
    }
    bench.file("registry.json", &newer);
    bench.ok(&import).await;
    let list = bench.json(&["model", "list"]).await;
    assert_eq!(list.as_array().unwrap().len(), 1, "{list}");
    assert_eq!(
        (&list[0]["context_window"], &list[0]["max_output_tokens"]),
        (&json!(16_000), &json!(1000))
    );
    let removed = bench.json(&["model", "list", "--status", "removed"]).await;
    assert_eq!(removed[0]["key"], "openrouter:acme/spark", "{removed}");
    assert_snapshot!(bench.seen(&["model", "show", "openrouter:acme/spark"]).await, @"
        exit code 0
        openrouter:acme/spark
          status               removed
          capabilities         chat
          context window       65,536
          longest answer       1,000
          prices               unknown
          says                 pin/user (TODAY)
                               import/registry (TODAY)
          pinned               removed

        used by: preset budget/chat
        ");
    assert_snapshot!(bench.seen(&["model", "remove", "openrouter:acme/spark"]).await, @"
        exit code 0
        openrouter:acme/spark: removed; it was so already
        still used by: preset budget/chat
        ");
}

#[tokio::test]
async fn a_removed_model_is_added_again_with_what_its_provider_says() {
    let provider = FakeProvider::start(Speaks::OpenRouter, [FakeModel::new("acme/spark")]).await;
    let bench = Bench::with(&format!("[server]\n{}", provider.config("openrouter")));
    let file = bench.file("registry.json", &registry());
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    bench.ok(&["model", "remove", "openrouter:acme/spark"]).await;
    let dry = ["model", "add", "openrouter:acme/spark", "--dry-run"];
    assert_snapshot!(bench.seen(&dry).await, @"
        exit code 0
        openrouter:acme/spark: would be added; nothing was changed
        ");
    assert_eq!(bench.json(&["model", "list"]).await.as_array().unwrap().len(), 1);
    assert_snapshot!(bench.seen(&["model", "add", "openrouter:acme/spark"]).await, @"
        exit code 0
        openrouter:acme/spark: added
        ");
    assert_eq!(bench.json(&["model", "list"]).await.as_array().unwrap().len(), 2);
    assert_snapshot!(bench.seen(&["model", "add", "openrouter:acme/nothing"]).await, @"
        exit code 1
        --
        error: openrouter:acme/nothing could not be fetched: openrouter does not list it
        hint: nothing was changed
        ");
    assert_snapshot!(bench.seen(&["model", "add", "nobody:acme/spark"]).await, @r#"
        exit code 1
        --
        error: nobody:acme/spark could not be fetched: no provider "nobody" is configured
        hint: nothing was changed
        "#);
}
