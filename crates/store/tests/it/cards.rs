//! Lists: filters, search, orders, pages.

use crate::support::{Rows, entry, model, on_both, part, publish, whole};
use callsheet_store::{CardPage, CardQuery, CardRow, CardSort, Store, StoreError};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use std::cmp::Ordering;

fn query() -> CardQuery {
    CardQuery { kind: "model".to_owned(), ..CardQuery::default() }
}

fn texts(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

fn keys(page: &CardPage) -> Vec<&str> {
    page.rows.iter().map(|row| &*row.key).collect()
}

fn catalog(store: &Store) {
    let snapshot = whole(
        "import/x",
        [
            entry(
                "open:gpt-4o",
                &json!({"name": "GPT 4o", "context": 128_000, "price": 2_500_000_000_i64, "canonical": "openai/gpt-4o",
                    "capabilities": ["tools", "vision"], "modalities": ["in:text", "in:image", "out:text"], "released": "2024-05-13"}),
            ),
            entry(
                "open:gpt-4o-mini",
                &json!({"name": "GPT 4o mini", "context": 128_000, "price": 150_000_000,
                    "capabilities": ["tools"], "modalities": ["in:text", "out:text"], "released": "2024-07-18"}),
            ),
            entry(
                "router:openai/gpt-4o",
                &json!({"name": "OpenAI: GPT-4o", "context": 64_000, "price": 0, "canonical": "openai/gpt-4o"}),
            ),
            entry("router:Ärger/50%_off", &json!({"name": "Ärger", "capabilities": ["tool"]})),
            entry("router:none", &json!({"name": "hidden one", "hidden": true})),
            entry("z:gone", &json!({"name": "Gone"})),
        ],
    );
    publish(store, &snapshot);
    publish(store, &part("import/x", [], [model("z:gone")]));
}

#[test]
fn rows_are_found_by_what_they_say() {
    on_both(|database| {
        let store = database.open();
        catalog(&store);
        let all =
            ["open:gpt-4o", "open:gpt-4o-mini", "router:openai/gpt-4o", "router:Ärger/50%_off"];
        let check = |query: CardQuery, expected: &[&str]| {
            let page = store.cards(&query).unwrap();
            assert_eq!(keys(&page), expected, "{query:?}");
            assert_eq!((page.total, page.next), (expected.len(), None), "{query:?}");
        };
        check(query(), &all);
        check(CardQuery { kind: "canonical".to_owned(), ..query() }, &[]);
        check(CardQuery { providers: texts(&["open", "z"]), ..query() }, &all[..2]);
        check(CardQuery { capabilities: texts(&["tools"]), ..query() }, &all[..2]);
        check(CardQuery { capabilities: texts(&["tools", "vision"]), ..query() }, &all[..1]);
        check(CardQuery { capabilities: texts(&["tool"]), ..query() }, &all[3..]);
        check(CardQuery { modalities: texts(&["in:image"]), ..query() }, &all[..1]);
        check(CardQuery { min_context: Some(64_000), ..query() }, &all[..3]);
        check(CardQuery { min_context: Some(u64::MAX), ..query() }, &[]);
        check(CardQuery { max_prompt_nano_usd: Some(150_000_000), ..query() }, &all[1..3]);
        check(CardQuery { statuses: texts(&["removed"]), ..query() }, &["z:gone"]);
        check(CardQuery { updated_since: Some(6), ..query() }, &[]);
        check(
            CardQuery { updated_since: Some(6), statuses: texts(&["removed"]), ..query() },
            &["z:gone"],
        );
        for (search, expected) in [
            (&["gpt"][..], &all[..3]),
            (&["gpt", "mini"], &all[1..2]),
            (&["GPT", "Mi"], &all[1..2]),
            (&["gpt mini"], &all[1..2]),
            (&["openai:"], &all[2..3]),
            (&["ärg"], &all[3..]),
            (&["50%_o"], &all[3..]),
            (&["50%5"], &[]),
            (&["pt"], &[]),
            (&["one"], &[]),
            (&["'"], &[]),
            (&["\"", "'); --", "\\", ":*", "&", "|", "NEAR(", "\0"], &[]),
            (&["", " "], &all[..]),
        ] {
            check(CardQuery { search: texts(search), ..query() }, expected);
        }
    });
}

#[test]
fn a_row_is_read_as_it_was_made() {
    on_both(|database| {
        let store = database.open();
        catalog(&store);
        let row = store.cards_of(&[model("open:gpt-4o")]).unwrap().remove(0);
        let head = store.entry(&model("open:gpt-4o")).unwrap().remove(0);
        assert_eq!(
            row,
            CardRow {
                kind: "model".to_owned(),
                key: "open:gpt-4o".to_owned(),
                provider: "open".to_owned(),
                canonical: Some("openai/gpt-4o".to_owned()),
                name: "GPT 4o".to_owned(),
                status: "active".to_owned(),
                context_window: Some(128_000),
                max_output_tokens: None,
                prompt_nano_usd: Some(2_500_000_000),
                completion_nano_usd: None,
                capabilities: texts(&["tools", "vision"]),
                modalities: texts(&["in:text", "in:image", "out:text"]),
                released: Some("2024-05-13".to_owned()),
                words: "gpt 4o open".to_owned(),
                body: row.body.clone(),
                updated_at: head.changed_at,
                cursor: 1,
            }
        );
        assert!(row.body.contains("\"facts\""));
        let page = store.cards(&CardQuery { without_bodies: true, ..query() }).unwrap();
        assert_eq!(page.rows[0], CardRow { body: String::new(), ..row.clone() });
        let named = |name| -> Vec<_> {
            store.cards_named(name).unwrap().into_iter().map(|row| row.key).collect()
        };
        assert_eq!(named("openai/gpt-4o"), ["open:gpt-4o", "router:openai/gpt-4o"]);
        assert_eq!(named("gpt-4o-mini"), ["open:gpt-4o-mini"]);
        assert_eq!(named("open:gpt-4o"), [""; 0]);
        assert_eq!(named("\0"), [""; 0]);
        assert_eq!(store.cards_of(&[model("router:none"), model("\0")]).unwrap(), []);
    });
}

#[test]
fn search_follows_what_changes() {
    on_both(|database| {
        let store = database.open();
        let found = |word: &str| {
            let query = CardQuery { search: texts(&[word]), ..query() };
            store.cards(&query).unwrap().total
        };
        publish(&store, &part("local/x", [entry("a:b", &json!({"name": "first"}))], []));
        assert_eq!((found("first"), found("second")), (1, 0));
        publish(&store, &part("local/x", [entry("a:b", &json!({"name": "second"}))], []));
        assert_eq!((found("first"), found("second")), (0, 1));
        publish(&store, &part("local/x", [entry("a:b", &json!({"hidden": true}))], []));
        assert_eq!((found("first"), found("second")), (0, 0));
        assert_eq!(store.check(&Rows).unwrap(), []);
    });
}

#[test]
fn a_mark_of_another_list_is_refused() {
    on_both(|database| {
        let store = database.open();
        catalog(&store);
        let first = CardQuery { limit: Some(1), ..query() };
        let next = store.cards(&first).unwrap().next.unwrap();
        let other = CardQuery { after: Some(next.clone()), descending: true, ..first.clone() };
        for query in [
            other,
            CardQuery { after: Some("x".to_owned()), ..first.clone() },
            CardQuery { after: Some("é".to_owned()), ..first.clone() },
            CardQuery { after: Some(String::new()), ..first.clone() },
            CardQuery { after: Some(next.clone()), sort: CardSort::Name, ..first.clone() },
        ] {
            let error = store.cards(&query).unwrap_err();
            assert!(matches!(error, StoreError::BadPage { .. }), "{error:?}");
        }
    });
}

const SORTS: [CardSort; 8] = [
    CardSort::Key,
    CardSort::Name,
    CardSort::Context,
    CardSort::Output,
    CardSort::PromptPrice,
    CardSort::CompletionPrice,
    CardSort::Released,
    CardSort::Updated,
];

/// The order that is promised: unknown last, and the key between equals.
fn in_order(a: &CardRow, b: &CardRow, sort: CardSort, descending: bool) -> Ordering {
    fn known<T: Ord>(a: Option<T>, b: Option<T>, descending: bool) -> Ordering {
        match (a, b) {
            (Some(a), Some(b)) if descending => b.cmp(&a),
            (Some(a), Some(b)) => a.cmp(&b),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        }
    }
    let order = match sort {
        CardSort::Key => known(Some(&a.key), Some(&b.key), descending),
        CardSort::Name => known(Some(&a.name), Some(&b.name), descending),
        CardSort::Context => known(a.context_window, b.context_window, descending),
        CardSort::Output => known(a.max_output_tokens, b.max_output_tokens, descending),
        CardSort::PromptPrice => known(a.prompt_nano_usd, b.prompt_nano_usd, descending),
        CardSort::CompletionPrice => {
            known(a.completion_nano_usd, b.completion_nano_usd, descending)
        }
        CardSort::Released => known(a.released.as_ref(), b.released.as_ref(), descending),
        CardSort::Updated => known(Some(a.updated_at), Some(b.updated_at), descending),
    };
    order.then_with(|| a.key.cmp(&b.key))
}

#[test]
fn pages_are_the_whole_list_in_its_order() {
    on_both(|database| {
        let store = database.open();
        let models = (0..40_u32).map(|i| {
            let mut body = json!({"name": format!("N{}", i % 7), "tail": i});
            if i % 3 > 0 {
                body["context"] = json!((i % 5) * 1000);
                body["released"] = json!(format!("2025-01-0{}", i % 4 + 1));
            }
            if i % 4 > 0 {
                body["price"] = json!(i % 6);
            }
            entry(
                &format!(
                    "p{}:{}",
                    i % 3,
                    ["é", "Z", "a", "_"][i as usize % 4].repeat(i as usize + 1)
                ),
                &body,
            )
        });
        let models: Vec<_> = models.collect();
        for some in models.chunks(9) {
            publish(&store, &part("import/x", some.to_vec(), []));
        }
        let all = store.cards(&query()).unwrap().rows;
        assert_eq!(all.len(), models.len());
        let mut runner =
            TestRunner::new(Config { failure_persistence: None, ..Config::with_cases(60) });
        let cases = (0..SORTS.len(), any::<bool>(), 1..15_usize, any::<bool>());
        let outcome = runner.run(&cases, |(sort, descending, limit, is_searched)| {
            let sort = SORTS[sort];
            let search = if is_searched { texts(&["n1"]) } else { Vec::new() };
            let mut expected: Vec<_> =
                all.iter().filter(|row| !is_searched || row.name == "N1").cloned().collect();
            expected.sort_by(|a, b| in_order(a, b, sort, descending));
            let mut query = CardQuery { sort, descending, search, limit: Some(limit), ..query() };
            let mut found = Vec::new();
            loop {
                let page = store.cards(&query).unwrap();
                prop_assert_eq!(page.total, expected.len());
                prop_assert!(page.rows.len() <= limit && !page.rows.is_empty());
                found.extend(page.rows);
                query.after = page.next;
                if query.after.is_none() {
                    break;
                }
            }
            prop_assert_eq!(found, expected);
            Ok(())
        });
        outcome.unwrap();
    });
}
