//! What a store is after a process that wrote to it was killed, and when two write at once.

use crate::models::{Bench, output};
use serde_json::{Value, json};
use std::{process::Child, time::Instant};

const MODELS: usize = 1000;

/// A registry of many models with this context window.
fn generated(context_window: u64) -> Value {
    let model = |i: usize| {
        json!({
            "info": {
                "id": format!("acme/m-{i}"), "provider": "openrouter", "capabilities": ["Chat"],
                "context_window": context_window, "dimensions": null
            },
            "parameters": {}, "max_output_tokens": 4096,
            "pricing": {"prompt_cost_per_mtok": 1.5, "completion_cost_per_mtok": 3}
        })
    };
    json!({"version": 1, "models": (0..MODELS).map(model).collect::<Vec<_>>(), "presets": {}})
}

/// Returns how many heads say this context window, and how long the feed is.
fn state(bench: &Bench, context_window: u64) -> (usize, usize) {
    let database = rusqlite::Connection::open(bench.database()).unwrap();
    let count = |sql: &str| -> usize {
        let count: i64 = database.query_row(sql, [], |row| row.get(0)).unwrap();
        count.try_into().unwrap()
    };
    let heads = format!(
        "SELECT COUNT(*) FROM entries e JOIN contents c ON c.id = e.content
         WHERE instr(c.body, '\"context_window\":{context_window}') > 0"
    );
    (count(&heads), count("SELECT COUNT(*) FROM feed"))
}

/// Kills an import at a quarter of a hundred moments that are spread over the time that one takes
/// when nobody kills it.
async fn import_is_killed(phase: u32) {
    let bench = Bench::new();
    let old = bench.file("old.json", &generated(32_768));
    let new = bench.file("new.json", &generated(65_536));
    bench.ok(&["model", "import", &old, "--format", "registry", "--source", "registry"]).await;
    let digest = async || {
        let checked = bench.json(&["store", "check"]).await;
        assert_eq!((&checked["ok"], &checked["problems"]), (&json!(true), &json!([])));
        checked["digest"].clone()
    };
    let old_digest = digest().await;
    let base = std::fs::read(bench.database()).unwrap();
    let import = ["model", "import", &new, "--format", "registry", "--source", "registry"];
    let started = Instant::now();
    bench.ok(&import).await;
    let undisturbed = started.elapsed();
    assert_eq!(state(&bench, 65_536), (MODELS, 2 * MODELS));

    let (mut kept, mut taken) = (0, 0);
    for i in 0..25 {
        for file in ["catalog.db-wal", "catalog.db-shm"] {
            // There is none where the last process ended well.
            let _ = std::fs::remove_file(bench.data().join(file));
        }
        std::fs::write(bench.database(), &base).unwrap();
        let mut child: Child = bench.command(&import).spawn().unwrap();
        // The moment itself is what is tried out.
        std::thread::sleep(undisturbed * (4 * i + phase) / 96);
        child.kill().unwrap();
        child.wait().unwrap();
        if digest().await == old_digest {
            assert_eq!(state(&bench, 32_768), (MODELS, MODELS));
            kept += 1;
        } else {
            assert_eq!(state(&bench, 65_536), (MODELS, 2 * MODELS));
            taken += 1;
        }
    }
    assert_eq!(kept + taken, 25);
    assert!(kept > 0, "no import was killed before it was done");
    // Whoever comes after finds nothing in the way.
    bench.ok(&import).await;
    assert_eq!(state(&bench, 65_536), (MODELS, 2 * MODELS));
}

#[tokio::test]
async fn a_killed_import_leaves_the_old_state_or_the_new_one_1() {
    import_is_killed(0).await;
}

#[tokio::test]
async fn a_killed_import_leaves_the_old_state_or_the_new_one_2() {
    import_is_killed(1).await;
}

#[tokio::test]
async fn a_killed_import_leaves_the_old_state_or_the_new_one_3() {
    import_is_killed(2).await;
}

#[tokio::test]
async fn a_killed_import_leaves_the_old_state_or_the_new_one_4() {
    import_is_killed(3).await;
}

#[tokio::test]
async fn two_who_correct_one_model_lose_nothing() {
    let bench = Bench::new();
    let file = bench.file("registry.json", &crate::models::registry());
    bench.ok(&["model", "import", &file, "--format", "registry"]).await;
    let set = |field: &str, value: usize| {
        let assignment = format!("{field}={value}");
        let args = ["model", "set", "openrouter:acme/rocket-1", &assignment];
        output(&bench.command(&args).output().unwrap())
    };
    std::thread::scope(|scope| {
        for field in ["context_window", "max_output_tokens"] {
            let set = &set;
            scope.spawn(move || {
                for value in 1..=50 {
                    let done = set(field, value);
                    assert_eq!((done.code, done.stderr.as_str()), (0, ""), "{done:?}");
                }
            });
        }
    });
    let all = bench.json(&["changes", "--since", "3"]).await;
    let all = all.as_array().unwrap();
    assert_eq!(all.len(), 100);
    let value = |body: &Value, field: &str| body["pins"][field]["value"].as_u64().unwrap_or(0);
    let mut last = (0, 0);
    for change in all {
        let of = |body: &Value| (value(body, "context_window"), value(body, "max_output_tokens"));
        assert_eq!(of(&change["before"]), last, "{change}");
        let now = of(&change["after"]);
        assert_eq!(now.0 + now.1, last.0 + last.1 + 1, "{change}");
        assert!(now.0 >= last.0 && now.1 >= last.1, "{change}");
        last = now;
    }
    assert_eq!(last, (50, 50));
    assert_eq!(bench.json(&["store", "check"]).await["ok"], true);
}
