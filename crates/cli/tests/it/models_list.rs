//! `callsheet model list`: filters, orders and pages.

use crate::{
    models::{Bench, litellm, stocked},
    server,
};
use insta::assert_snapshot;
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// A bench with everything, embeddings and another price for the rocket among it.
async fn full() -> Bench {
    let bench = stocked("").await;
    let file = bench.file("litellm.json", &litellm());
    bench.ok(&["model", "import", &file, "--format", "litellm", "--as-of", "2026-03-04"]).await;
    bench
}

/// Returns the keys of a list, in its order.
async fn keys(bench: &Bench, flags: &[&str]) -> Vec<String> {
    let args = [&["model", "list", "--json"], flags].concat();
    let output = bench.run(&args).await;
    assert_eq!((output.code, output.stderr.as_str()), (0, ""), "{flags:?}: {output:?}");
    let list = output.json();
    let keys = list.as_array().unwrap().iter();
    keys.map(|card| card["key"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn a_list_has_all_models_with_what_is_unknown_said() {
    let bench = full().await;
    assert_snapshot!(bench.seen(&["model", "list"]).await, @"
        exit code 0
        MODEL                       STATUS  CONTEXT    OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        acme:acme-embed             active  unknown    unknown  0.01        unknown         embed
        azure:rocket-1              active  unknown    8,192    2.55        10              chat tools
        north:rocket-1              active  131,072    8,192    3           12              attachments chat tools vision
        openrouter:acme/auto        active  2,000,000  unknown  unknown     unknown         chat vision
        openrouter:acme/rocket-1    active  131,072    4,096    2.5         10              chat tools vision
        openrouter:acme/spark       active  8,192      unknown  unknown     unknown         chat
        openrouter:acme/spark:free  active  8,192      unknown  0           0               chat vision
        openrouter:other/rocket-1   active  65,536     unknown  1           2               chat tools vision
        south:acme/rocket-1         active  65,536     8,192    2           9               attachments chat tools vision
        ");
}

#[tokio::test]
async fn each_filter_filters_and_several_do_so_together() {
    let bench = full().await;
    let table = [
        (&["--provider", "openrouter"][..], 5),
        (&["--provider", "north,south"], 2),
        (&["--provider", "north", "--provider", "azure"], 2),
        (&["--provider", "nobody"], 0),
        (&["--capability", "tools"], 5),
        (&["--capability", "tools,vision"], 4),
        (&["--capability", "embed"], 1),
        (&["--modality", "image"], 6),
        (&["--modality", "in:image"], 6),
        (&["--modality", "out:image"], 0),
        (&["--modality", "in:image,out:text"], 6),
        (&["--modality", "text,image"], 6),
        (&["--min-context", "128k"], 3),
        (&["--min-context", "1M"], 1),
        (&["--max-price", "0"], 1),
        (&["--max-price", "1"], 3),
        (&["--max-price", "2.55", "--capability", "tools"], 4),
        (&["--status", "active"], 9),
        (&["--status", "withdrawn,deprecated"], 0),
        (&["--search", "rock"], 5),
        (&["--search", "ROCKET nor"], 1),
        (&["--search", "rocket embed"], 0),
        (&["--search", "acme", "--min-context", "100k", "--provider", "openrouter"], 2),
        (&["--updated-since", "2199-01-01"], 0),
        (&["--updated-since", "2001-01-01"], 9),
    ];
    let mut wrong = Vec::new();
    for (flags, expected) in table {
        let found = keys(&bench, flags).await;
        if found.len() != expected {
            wrong.push(format!("{flags:?} finds {found:?}, expected {expected}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(keys(&bench, &["--capability", "embed"]).await, ["acme:acme-embed"]);
    assert_eq!(keys(&bench, &["--max-price", "0"]).await, ["openrouter:acme/spark:free"]);
    assert_snapshot!(bench.seen(&["model", "list", "--provider", "nobody"]).await, @"
        exit code 0
        --
        no model is like that
        ");
}

#[tokio::test]
async fn every_order_goes_both_ways_and_what_is_unknown_comes_last() {
    let bench = full().await;
    for (sort, field) in [
        ("key", "/key"),
        ("name", "/name"),
        ("context", "/context_window"),
        ("output", "/max_output_tokens"),
        ("released", "/released"),
    ] {
        for descending in [false, true] {
            let flag = format!("--sort={}{sort}", if descending { "-" } else { "" });
            let list = bench.json(&["model", "list", &flag]).await;
            let list = list.as_array().unwrap();
            assert_eq!(list.len(), 9);
            // What nobody named goes by its id.
            let nameless = if sort == "name" { "/id" } else { field };
            let value = |card: &'_ Value| card.pointer(field).or(card.pointer(nameless)).cloned();
            let values: Vec<_> = list.iter().map(value).collect();
            let known: Vec<_> = values.iter().map_while(Option::as_ref).collect();
            assert!(values[known.len()..].iter().all(Option::is_none), "{flag}: {values:?}");
            let is_sorted = known.windows(2).all(|pair| {
                let order = match (pair[0].as_u64(), pair[1].as_u64()) {
                    (Some(a), Some(b)) => a.cmp(&b),
                    _ => pair[0].as_str().cmp(&pair[1].as_str()),
                };
                if descending { order.is_ge() } else { order.is_le() }
            });
            assert!(is_sorted, "{flag}: {known:?}");
        }
    }
    // A dynamic price is unknown to an order, and so is one that nobody says.
    assert_snapshot!(bench.seen(&["model", "list", "--sort", "price"]).await, @"
        exit code 0
        MODEL                       STATUS  CONTEXT    OUTPUT   PROMPT $/M  COMPLETION $/M  CAPABILITIES
        openrouter:acme/spark:free  active  8,192      unknown  0           0               chat vision
        acme:acme-embed             active  unknown    unknown  0.01        unknown         embed
        openrouter:other/rocket-1   active  65,536     unknown  1           2               chat tools vision
        south:acme/rocket-1         active  65,536     8,192    2           9               attachments chat tools vision
        openrouter:acme/rocket-1    active  131,072    4,096    2.5         10              chat tools vision
        azure:rocket-1              active  unknown    8,192    2.55        10              chat tools
        north:rocket-1              active  131,072    8,192    3           12              attachments chat tools vision
        openrouter:acme/auto        active  2,000,000  unknown  unknown     unknown         chat vision
        openrouter:acme/spark       active  8,192      unknown  unknown     unknown         chat
        ");
    let dearest = keys(&bench, &["--sort", "-price"]).await;
    assert_eq!(dearest[0], "north:rocket-1");
    let last: BTreeSet<_> = dearest[7..].iter().map(String::as_str).collect();
    assert_eq!(last, BTreeSet::from(["openrouter:acme/auto", "openrouter:acme/spark"]));
    assert_snapshot!(bench.seen(&["model", "list", "--sort", "beauty"]).await, @"
        exit code 2
        --
        error: invalid value 'beauty' for '--sort <SORT>': expected one of key, name, context, output, price, completion_price, released, updated, perhaps with - in front

        For more information, try '--help'.
        ");
}

#[tokio::test]
async fn a_limit_ends_a_list_and_says_so() {
    let bench = full().await;
    let list = bench.run(&["model", "list", "--limit", "2", "--sort", "-context"]).await;
    assert_eq!((list.stdout.lines().count(), list.stderr.as_str()), (3, "2 of 9 models\n"));
    assert_eq!(keys(&bench, &["--limit", "3"]).await.len(), 3);
    assert_eq!(keys(&bench, &["--limit", "100"]).await.len(), 9);
    for bad in [
        &["--limit", "-1"][..],
        &["--limit", "0"],
        &["--min-context", "many"],
        &["--max-price", "cheap"],
        &["--colour"],
    ] {
        let output = bench.run(&[&["model", "list"], bad].concat()).await;
        assert_eq!((output.code, output.stdout.as_str()), (2, ""), "{output:?}");
    }
}

#[tokio::test]
async fn an_empty_store_says_how_to_fill_it() {
    let bench = Bench::new();
    assert_snapshot!(bench.seen(&["model", "list"]).await, @"
        exit code 0
        --
        no models yet: `callsheet model import` takes in a catalog, `callsheet model refresh` asks providers
        ");
    assert_eq!(bench.ok(&["model", "list", "--json"]).await, "[]\n");
}

/// Writes a text so that it can stand in a query.
fn encoded(text: &str) -> String {
    let bytes: Vec<_> = text.bytes().map(|byte| format!("%{byte:02X}")).collect();
    bytes.concat()
}

/// Every row stands on one page, whatever the order and however long a page is.
#[tokio::test]
async fn pages_have_no_gaps_and_no_doubles() {
    let models: Vec<Value> = (0..57)
        .map(|i| {
            // Many rows are equal in what they are ordered by, and some say nothing.
            let context = if i % 5 == 0 { json!(null) } else { json!(8192 * (1 + i % 3)) };
            json!({
                "info": {
                    "id": format!("m-{i}"), "provider": "acme", "capabilities": ["Chat"],
                    "context_window": context, "dimensions": null
                },
                "parameters": {}, "max_output_tokens": null,
                "pricing": {"prompt_cost_per_mtok": i % 4, "completion_cost_per_mtok": null}
            })
        })
        .collect();
    let bench = Bench::new();
    let file = bench.file("many.json", &json!({"version": 1, "models": models, "presets": {}}));
    let server = server("").start().await;
    let imported = server.cli(["model", "import", &file, "--format", "registry"]).await;
    assert_eq!(imported.code, 0, "{imported:?}");
    for sort in ["key", "name", "context", "-context", "price", "-price", "-released", "updated"] {
        for limit in [1, 7, 57, 100] {
            let mut seen = Vec::new();
            let mut path = format!("/api/v1/models?view=row&limit={limit}&sort={sort}");
            loop {
                let reply = server.get(&path).await;
                assert_eq!(reply.status, 200, "{path}: {}", reply.text());
                let page = reply.json();
                assert_eq!(page["total"], 57, "{path}");
                let rows = page["models"].as_array().unwrap();
                assert!(!rows.is_empty() && rows.len() <= limit, "{path}: {} rows", rows.len());
                seen.extend(rows.iter().map(|row| row["key"].as_str().unwrap().to_owned()));
                let Some(next) = page["next"].as_str() else { break };
                let mark = encoded(next);
                path = format!("/api/v1/models?view=row&limit={limit}&sort={sort}&cursor={mark}");
            }
            let distinct: BTreeSet<_> = seen.iter().collect();
            assert_eq!((seen.len(), distinct.len()), (57, 57), "{sort}, pages of {limit}");
        }
    }
    let bad = server.get("/api/v1/models?cursor=nonsense").await;
    assert_eq!(bad.status, 400, "{}", bad.text());
}

#[tokio::test]
async fn what_changed_since_a_place_in_the_feed_is_listed() {
    let bench = stocked("").await;
    let last =
        bench.json(&["changes"]).await.as_array().unwrap().last().unwrap()["cursor"].to_string();
    assert_eq!(keys(&bench, &["--updated-since", &last]).await.len(), 0);
    bench.ok(&["model", "set", "north:rocket-1", "context_window=1k"]).await;
    assert_eq!(keys(&bench, &["--updated-since", &last]).await, ["north:rocket-1"]);
    // What is said of the model whoever provides it concerns those that provide it.
    assert_snapshot!(bench.seen(&["model", "list", "--updated-since", "now"]).await, @r#"
        exit code 1
        --
        error: "now" is no place in the feed; expected a cursor, a day such as 2026-01-31, or a moment such as 2026-01-31T12:00:00Z
        "#);
}
