//! Looking after the cache: what is damaged, what may go, what was copied.

use crate::files_scene::{Home, MODELS, SOURCE, TEST_MODELS, commit, hub, model};
use callsheet_types::Digest;

#[tokio::test]
async fn verify_removes_what_is_damaged_and_it_is_fetched_again() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "copy", "mf6/test@develop/deep", "one"]).await;
    let fine = home.ok(&["files", "verify"]).await;
    assert_eq!(fine.stdout, "3 files, 31B: 0 damaged\n");
    std::fs::write(home.cached(b"k = 1"), "k = 2").unwrap();
    let (is, says) = (Digest::of(b"k = 2"), Digest::of(b"k = 1"));
    let line = format!("  {says} is {is}: mf6/test@develop/deep/data/model.npf\n");
    let looked = home.run(&["files", "verify", "--dry-run"]).await;
    assert_eq!((looked.code, looked.stdout), (1, format!("2 files, 26B: 1 damaged\n{line}")));
    let json = home.run(&["files", "verify", "--dry-run", "--json"]).await;
    assert_eq!(json.code, 1);
    let json = json.json();
    assert_eq!(json["looked"]["files"], 2);
    assert_eq!(json["damaged"][0]["expected"], says.to_string());
    assert_eq!(json["damaged"][0]["got"], is.to_string());
    assert_eq!(json["damaged"][0]["named_by"][0], "mf6/test@develop/deep/data/model.npf");
    assert!(home.cached(b"k = 1").exists());
    let verified = home.run(&["files", "verify"]).await;
    assert_eq!(
        (verified.code, verified.stdout),
        (
            1,
            format!(
                "2 files, 26B: 1 damaged\n{line}they were removed, and are fetched again when they are wanted\n"
            )
        )
    );
    assert!(!home.cached(b"k = 1").exists());
    home.ok(&["files", "verify"]).await;
    hub.forget_requests();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "two"]).await;
    assert_eq!(home.files("work/two"), model(&MODELS, "deep"));
    assert_eq!(hub.request_count(), 1, "{:?}", hub.requests());
}

#[tokio::test]
async fn gc_keeps_what_synced_registries_name() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "fetch", "mf6/test@develop/deep"]).await;
    let nothing = home.ok(&["files", "gc"]).await;
    assert_eq!(nothing.stdout, "removed 0 files, 0B; kept 3 files, 31B\n");
    let mut changed = MODELS;
    changed[3].1 = "k = 2";
    repository.branch("develop", &commit(&repository, &changed));
    home.ok(&["files", "sync", "--source", "mf6/test"]).await;
    let would = home.ok(&["files", "gc", "--dry-run"]).await;
    assert_eq!(would.stdout, "would remove 1 files, 5B; kept 2 files, 26B\n");
    assert!(home.cached(b"k = 1").exists());
    let removed = home.ok(&["files", "gc", "--json"]).await.json();
    assert_eq!(
        removed,
        serde_json::json!({"files": 1, "bytes": 5, "kept_files": 2, "kept_bytes": 26})
    );
    assert!(!home.cached(b"k = 1").exists());
    assert!(home.cached(b"simulation").exists());
}

#[tokio::test]
async fn clear_forgets_exactly_what_was_named() {
    let hub = hub().await;
    let repository = hub.repository(TEST_MODELS);
    let mut changed = MODELS;
    changed[3].1 = "k = 2";
    repository.branch("next", &commit(&repository, &changed));
    let home = Home::with(&hub, SOURCE);
    home.ok(&["files", "fetch", "mf6/test@develop/deep", "mf6/test@next/deep"]).await;
    let clear = ["files", "clear", "--source", "mf6/test", "--ref", "next"];
    let said = home.fails(1, &clear).await;
    assert_eq!(
        said,
        "error: this forgets mf6/test@next and 1 cached files (5B), and nobody is there to be asked\n\
         hint: --yes does it without asking, --dry-run only says what it would do\n"
    );
    let with = |more: &'static str| [&clear[..], &[more]].concat();
    let would = home.ok(&with("--dry-run")).await;
    assert_eq!(would.stdout, "would clear mf6/test@next: 1 files, 5B\n");
    let refs = async || -> Vec<String> {
        let listed = home.ok(&["files", "list", "--json"]).await.json();
        let registries = listed["registries"].as_array().unwrap().iter();
        registries.map(|listed| listed["address"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(refs().await, ["mf6/test@develop", "mf6/test@next"]);
    let cleared = home.ok(&with("--yes")).await;
    assert_eq!(cleared.stdout, "cleared mf6/test@next: 1 files, 5B\n");
    assert_eq!(refs().await, ["mf6/test@develop"]);
    assert!(home.cached(b"k = 1").exists() && !home.cached(b"k = 2").exists());
    let again = home.ok(&with("--yes")).await;
    assert_eq!(again.stdout, "nothing is synced that fits: nothing to clear\n");
    // By the key, and of all refs.
    let key = ["files", "clear", "--source", "modflow6-testmodels", "--yes", "--json"];
    let cleared = home.ok(&key).await.json();
    assert_eq!(cleared["registries"], serde_json::json!(["mf6/test@develop"]));
    assert_eq!(cleared["removed"]["files"], 3);
    assert_eq!(refs().await, Vec::<String>::new());
}

#[tokio::test]
async fn what_was_fetched_is_there_when_nobody_answers() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let fetched = home.ok(&["files", "fetch", "mf6/test@develop/*"]).await;
    assert_eq!(fetched.stdout, "5 files of 2 models are in the cache\n");
    let fetched = home.ok(&["files", "fetch", "mf6/test@develop/simple", "--json"]).await.json();
    assert_eq!(fetched[0]["address"], "mf6/test@develop/simple");
    assert_eq!(fetched[0]["files"][1]["digest"], Digest::of(b"one layer").to_string());
    assert!(home.files("work").is_empty());
    hub.stop().await;
    home.ok(&["files", "copy", "mf6/test@develop/simple", "out"]).await;
    assert_eq!(home.files("work/out"), model(&MODELS, "simple"));
}

#[tokio::test]
async fn info_says_what_is_synced_and_how_much_is_cached() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    let before = home.ok(&["files", "info"]).await.stdout;
    assert!(before.contains("mf6/test (MODFLOW-ORG/modflow6-testmodels, models)\n  synced: none\n  missing: develop\n"), "{before}");
    assert_eq!(hub.request_count(), 0);
    home.ok(&["files", "fetch", "mf6/test@develop/deep"]).await;
    let after = home.ok(&["files", "info"]).await.stdout;
    assert!(
        after.contains("mf6/test (MODFLOW-ORG/modflow6-testmodels, models)\n  synced: develop\n"),
        "{after}"
    );
    let cache = home.path("cache/callsheet");
    let end = format!("\ncache: {}\n  3 files, 31B\n", cache.display());
    assert!(after.ends_with(&end), "{after}");
    let json = home.ok(&["files", "info", "--json", "--publishes", "models"]).await.json();
    assert_eq!(json["cache_dir"], cache.display().to_string());
    let sources = json["sources"].as_array().unwrap();
    let test = sources.iter().find(|source| source["name"] == "mf6/test").unwrap();
    assert_eq!(test["cached_refs"][0]["reference"], "develop");
    assert_eq!(test["cached_refs"][0]["files"], 5);
    assert_eq!(test["missing_refs"], serde_json::json!([]));
}

#[tokio::test]
async fn usage_counts_copies_on_this_machine_only() {
    let hub = hub().await;
    let home = Home::with(&hub, SOURCE);
    assert_eq!(home.ok(&["files", "usage"]).await.stdout, "no model was copied yet\n");
    home.ok(&["files", "copy", "mf6/test@develop/deep", "one"]).await;
    hub.stop().await;
    let connections = hub.connections();
    home.ok(&["files", "copy", "mf6/test@develop/deep", "two"]).await;
    // Neither what was only fetched, nor what was only to be copied, was copied.
    home.ok(&["files", "fetch", "mf6/test@develop/deep"]).await;
    home.ok(&["files", "copy", "mf6/test@develop/deep", "three", "--dry-run"]).await;
    let used = home.ok(&["files", "usage", "--json"]).await.json();
    let used = used["used"].as_array().unwrap();
    assert_eq!(used.len(), 1, "{used:?}");
    assert_eq!(
        (&used[0]["address"], &used[0]["copies"]),
        (&"mf6/test@develop/deep".into(), &2.into())
    );
    let (first, last) = (used[0]["first"].as_str().unwrap(), used[0]["last"].as_str().unwrap());
    assert!(first < last, "{used:?}");
    let table = home.ok(&["files", "usage"]).await.stdout;
    let lines: Vec<Vec<_>> = table.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["ADDRESS", "COPIES", "LAST"]);
    assert_eq!(lines[1][..2], ["mf6/test@develop/deep", "2"]);
    assert_eq!(hub.connections(), connections);
}

#[tokio::test]
async fn usage_is_not_counted_where_that_is_switched_off() {
    let hub = hub().await;
    let home = Home::with(&hub, &format!("[files]\nusage = false\n{SOURCE}"));
    home.ok(&["files", "copy", "mf6/test@develop/deep", "one"]).await;
    assert_eq!(home.ok(&["files", "usage"]).await.stdout, "no model was copied yet\n");
    assert!(!home.files("data").keys().any(|name| name.contains("usage")));
}
