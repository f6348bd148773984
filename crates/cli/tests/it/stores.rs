//! `callsheet store`: checking, copying, moving and forgetting, with a real database file.

use crate::{
    models::{Bench, registry, stocked},
    observe::seen,
    server,
};
use callsheet_testkit::TestServer;
use insta::assert_snapshot;
use serde_json::json;
use std::path::Path;

fn sqlite(path: &Path) -> rusqlite::Connection {
    rusqlite::Connection::open(path).unwrap()
}

/// Replaces digests, which are of content that has moments in it.
fn without_digest(text: &str) -> String {
    let words = text.split(' ').map(|word| match word.find("sha256:") {
        Some(at) => format!("{}DIGEST", &word[..at]),
        None => word.to_owned(),
    });
    words.collect::<Vec<_>>().join(" ")
}

#[tokio::test]
async fn a_store_is_made_and_found_whole() {
    let bench = Bench::new();
    assert_snapshot!(bench.seen(&["store", "check"]).await, @"
        exit code 1
        --
        error: there is no database at DIR/data/catalog.db
        hint: `callsheet store migrate` makes one; [store] in the config file says where
        ");
    assert_snapshot!(bench.seen(&["store", "migrate"]).await, @"
        exit code 0
        sqlite://DIR/data/catalog.db has schema 1, the newest that this version knows
        ");
    assert_snapshot!(bench.seen(&["store", "migrate"]).await, @"
        exit code 0
        sqlite://DIR/data/catalog.db has schema 1, the newest that this version knows
        ");
    assert_snapshot!(without_digest(&bench.seen(&["store", "check"]).await), @"
        exit code 0
        ok: sqlite://DIR/data/catalog.db, DIGEST
        ");
    assert_eq!(bench.ok(&["store", "check", "--quiet"]).await, "");
    let checked = bench.json(&["store", "check"]).await;
    assert_eq!((&checked["ok"], &checked["problems"]), (&json!(true), &json!([])), "{checked}");
    let elsewhere = bench.run(&["store", "check", "--server", "http://127.0.0.1:1"]).await;
    assert_snapshot!(seen(&elsewhere), @"
        exit code 2
        --
        error: store commands work on the database itself, not through a daemon
        hint: run it where the database is, without --server; [store] in the config file says where that is
        ");
}

#[tokio::test]
async fn a_card_that_somebody_changed_is_found_and_made_anew() {
    let bench = stocked("").await;
    let good = bench.ok(&["model", "list"]).await;
    let tampered = sqlite(&bench.database())
        .execute("UPDATE cards SET context_window = 7 WHERE key = 'north:rocket-1'", [])
        .unwrap();
    assert_eq!(tampered, 1);
    assert_snapshot!(bench.seen(&["store", "check"]).await, @"
        exit code 1
        model north:rocket-1: its row is not what its entries make; rebuild the rows
        --
        error: sqlite://DIR/data/catalog.db has 1 problem
        hint: `store check --repair` makes cards anew; anything else wants a backup
        ");
    assert_snapshot!(without_digest(&bench.seen(&["store", "check", "--repair"]).await), @"
        exit code 0
        8 cards made anew
        ok: sqlite://DIR/data/catalog.db, DIGEST
        ");
    assert_eq!(bench.run(&["store", "check"]).await.code, 0);
    assert_eq!(bench.ok(&["model", "list"]).await, good);
    // What a source said is not made anew by anybody.
    let tampered = sqlite(&bench.database())
        .execute("UPDATE contents SET body = '{\"name\":\"Forged\"}' WHERE id = (SELECT MIN(id) FROM contents)", [])
        .unwrap();
    assert_eq!(tampered, 1);
    let found = bench.run(&["store", "check"]).await;
    assert_eq!(found.code, 1, "{found:?}");
    assert!(found.stdout.contains("the body is not the one with digest"), "{found:?}");
    let repaired = bench.run(&["store", "check", "--repair"]).await;
    assert_eq!(repaired.code, 1, "{repaired:?}");
}

#[tokio::test]
async fn a_damaged_file_is_an_error_for_everybody() {
    let bench = stocked("").await;
    bench.ok(&["store", "backup", &bench.path("good.db")]).await;
    let mut bytes = std::fs::read(bench.path("good.db")).unwrap();
    let (from, to) = (4096, bytes.len());
    bytes[from..to].fill(0x5a);
    std::fs::remove_dir_all(bench.data()).unwrap();
    std::fs::create_dir_all(bench.data()).unwrap();
    std::fs::write(bench.database(), &bytes).unwrap();
    let checked = bench.run(&["store", "check"]).await;
    assert_eq!(checked.code, 1, "{checked:?}");
    assert!(checked.stderr.contains("catalog.db"), "{checked:?}");
    std::fs::write(bench.database(), "this is no database, whatever its name says").unwrap();
    for args in [&["store", "check"][..], &["model", "list"], &["changes"]] {
        let output = bench.run(args).await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{output:?}");
    }
    assert_snapshot!(bench.seen(&["store", "check"]).await, @"
        exit code 1
        --
        error: sqlite://DIR/data/catalog.db is damaged: file is not a database
        ");
    let data = bench.data();
    let refused = server("").args([Path::new("--data-dir"), &data]).run_to_exit().await;
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("catalog.db"), "{refused:?}");
}

/// Starts a daemon on the bench's data.
async fn daemon_on(bench: &Bench) -> TestServer {
    server("").args([Path::new("--data-dir"), &bench.data()]).start().await
}

#[tokio::test]
async fn a_backup_is_made_while_a_daemon_writes_and_overwrites_nothing() {
    let bench = stocked("").await;
    let server = daemon_on(&bench).await;
    let copy = bench.path("copy.db");
    let writer = async {
        for i in 0..20 {
            let body = json!({"model": "acme/spark", "parameters": {"seed": i}}).to_string();
            let headers = [("Content-Type", "application/json")];
            let path = format!("/api/v1/presets/busy/s{i}");
            let set = server.request("PUT", &path, &headers, body.as_bytes()).await;
            assert_eq!(set.status, 200, "{}", set.text());
        }
    };
    let backup = ["store", "backup", &copy];
    let ((), said) = tokio::join!(writer, bench.run(&backup));
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.starts_with(&format!("{copy} written, ")), "{said:?}");
    let restored = Bench::new();
    std::fs::create_dir_all(restored.data()).unwrap();
    std::fs::copy(&copy, restored.database()).unwrap();
    assert_eq!(restored.json(&["store", "check"]).await["ok"], true);
    // Whole transactions, from the first on.
    let presets = restored.json(&["preset", "list"]).await;
    let busy = presets.as_array().unwrap().iter();
    let mut busy: Vec<_> =
        busy.filter(|preset| preset["name"].as_str().unwrap().starts_with("busy/")).collect();
    busy.sort_by_key(|preset| preset["parameters"]["seed"].as_u64());
    for (i, preset) in busy.iter().enumerate() {
        assert_eq!(preset["name"], format!("busy/s{i}"));
    }
    assert_eq!(restored.ok(&["model", "list"]).await, bench.ok(&["model", "list"]).await);
    let before = std::fs::read(&copy).unwrap();
    assert_snapshot!(bench.seen(&backup).await, @"
        exit code 1
        --
        error: DIR/copy.db exists already
        ");
    assert_eq!(std::fs::read(&copy).unwrap(), before);
    let nowhere = bench.run(&["store", "backup", &bench.path("no/such/copy.db")]).await;
    assert_eq!(nowhere.code, 1, "{nowhere:?}");
    // A daemon that runs is no reason not to look.
    assert_eq!(bench.json(&["store", "check"]).await["ok"], true);
}

#[tokio::test]
async fn an_export_fills_an_empty_store_and_no_other() {
    let bench = stocked("").await;
    bench.ok(&["model", "set", "north:rocket-1", "context_window=16k", "--by", "ada"]).await;
    bench.ok(&["preset", "remove", "budget", "chat"]).await;
    let file = bench.path("export.jsonl");
    assert_snapshot!(bench.seen(&["store", "export", "-o", &file]).await, @"
        exit code 0
        DIR/export.jsonl written: 11 entries, 12 revisions, 12 changes
        ");
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(bench.ok(&["store", "export"]).await, text);
    let fresh = Bench::new();
    let said = fresh.seen(&["store", "import", &file]).await.replace(&file, "FILE");
    assert_snapshot!(without_digest(&said), @"
        exit code 0
        sqlite://DIR/data/catalog.db filled: 11 entries, 12 revisions, 12 changes, DIGEST
        ");
    assert_eq!(fresh.ok(&["store", "export"]).await, text);
    let digest = async |bench: &Bench| bench.json(&["store", "check"]).await["digest"].clone();
    assert_eq!(digest(&fresh).await, digest(&bench).await);
    for args in [&["model", "list"][..], &["changes"], &["preset", "list"]] {
        assert_eq!(fresh.ok(args).await, bench.ok(args).await);
    }
    let again = fresh.seen(&["store", "import", &file]).await;
    assert_snapshot!(again, @"
        exit code 1
        --
        error: sqlite://DIR/data/catalog.db is not empty
        ");
    // Half of an export is none.
    let half = Bench::new();
    let lines: Vec<_> = text.lines().collect();
    let cut = half.text("cut.jsonl", &lines[..lines.len() / 2].join("\n"));
    assert_snapshot!(half.seen(&["store", "import", &cut]).await, @"
        exit code 1
        --
        error: line 21 of the export cannot be used: the export ends before its last line
        ");
    let forged = half.text("forged.jsonl", &text.replace("Rocket 1", "Rocket 2"));
    let refused = half.run(&["store", "import", &forged]).await;
    assert_eq!((refused.code, refused.stdout.as_str()), (1, ""), "{refused:?}");
    assert_eq!(half.ok(&["changes"]).await, "");
    let piped = half.piped(&["store", "import", "-"], &text);
    assert_eq!((piped.code, piped.stderr.as_str()), (0, ""), "{piped:?}");
}

#[tokio::test]
async fn a_purge_forgets_what_is_old_and_nothing_in_force() {
    let bench = stocked("").await;
    for context in ["1k", "2k", "3k"] {
        let field = format!("context_window={context}");
        bench.ok(&["model", "set", "north:rocket-1", &field]).await;
    }
    let (list, changes) = (bench.ok(&["model", "list"]).await, bench.ok(&["changes"]).await);
    assert_snapshot!(bench.seen(&["store", "purge"]).await, @"
        exit code 0
        forgot 0 changes and 0 revisions older than 90d
        ");
    let dry = ["store", "purge", "--older-than", "0s", "--dry-run"];
    assert_snapshot!(bench.seen(&dry).await, @"
        exit code 0
        would forget 13 changes and 2 revisions older than 0s
        ");
    assert_eq!(bench.ok(&["changes"]).await, changes);
    assert_snapshot!(bench.seen(&["store", "purge", "--older-than", "0s"]).await, @"
        exit code 0
        forgot 13 changes and 2 revisions older than 0s
        ");
    assert_snapshot!(bench.seen(&["store", "purge", "--older-than", "0s"]).await, @"
        exit code 0
        forgot 0 changes and 0 revisions older than 0s
        ");
    assert_eq!(bench.ok(&["changes"]).await, "");
    assert_eq!(bench.ok(&["model", "list"]).await, list);
    assert_eq!(bench.json(&["store", "check"]).await["ok"], true);
    let history = bench.json(&["model", "history", "north:rocket-1"]).await;
    assert!(!history[0]["changes"].as_array().unwrap().is_empty(), "{history}");
    assert_eq!(bench.run(&["store", "purge", "--older-than", "long"]).await.code, 2);
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let bench = stocked("").await;
    let connection = sqlite(&bench.database());
    let raised =
        connection.execute("UPDATE meta SET value = value + 1 WHERE name = 'schema'", []).unwrap();
    assert_eq!(raised, 1);
    drop(connection);
    let backup = bench.path("copy.db");
    let file = bench.file("registry.json", &registry());
    for args in [
        &["store", "check"][..],
        &["store", "check", "--repair"],
        &["store", "migrate"],
        &["store", "export"],
        &["store", "purge", "--older-than", "0s"],
        &["store", "backup", &backup],
        &["store", "import", &file],
        &["model", "list"],
        &["model", "import", &file, "--format", "registry"],
        &["preset", "list"],
        &["changes"],
        &["backend", "list"],
    ] {
        let output = bench.run(args).await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{args:?}: {output:?}");
        assert!(output.stderr.contains("has schema 2"), "{args:?}: {output:?}");
    }
    assert_snapshot!(bench.seen(&["model", "list"]).await, @"
        exit code 1
        --
        error: sqlite://DIR/data/catalog.db has schema 2, and this program knows none after 1
        ");
    let daemon = server("").args([Path::new("--data-dir"), &bench.data()]).run_to_exit().await;
    assert_snapshot!(bench.masked(&seen(&daemon)), @"
        exit code 1
        --
        error: sqlite://DIR/data/catalog.db has schema 2, and this program knows none after 1
        ");
    assert!(!Path::new(&backup).exists());
}

#[tokio::test]
async fn a_store_that_cannot_be_reached_is_an_error_without_its_secrets() {
    let bench = Bench::new();
    let config = format!("[store]\nurl = \"sqlite://{}\"\n", bench.path("no/such/catalog.db"));
    let missing = Bench::with(&config);
    for args in [&["store", "migrate"][..], &["model", "list"], &["store", "check"]] {
        let output = missing.run(args).await;
        assert_eq!((output.code, output.stdout.as_str()), (1, ""), "{args:?}: {output:?}");
        assert!(output.stderr.contains("no/such"), "{args:?}: {output:?}");
    }
    assert_snapshot!(bench.masked(&missing.seen(&["store", "migrate"]).await), @"
        exit code 1
        --
        error: sqlite://DIR/no/such/catalog.db cannot be reached: No such file or directory (os error 2)
        ");
    let password = bench.text("password", "hunter2-secret\n");
    let config = format!(
        "[store]\nurl = \"postgres://ada@127.0.0.1:1/cards\"\npassword_file = {password:?}\n"
    );
    let remote = Bench::with(&config);
    for args in [
        &["store", "check"][..],
        &["store", "migrate", "--json"],
        &["model", "list"],
        &["config", "show"],
    ] {
        let output = remote.run(args).await;
        let all = format!("{}{}", output.stdout, output.stderr);
        assert!(!all.contains("hunter2"), "{args:?}: {all}");
        assert_eq!(output.code, i32::from(args[0] != "config"), "{args:?}: {all}");
    }
    assert_snapshot!(remote.seen(&["store", "check"]).await, @"
        exit code 1
        --
        error: postgres://ada@127.0.0.1:1/cards cannot be reached: error connecting to server: Connection refused (os error 111)
        ");
    assert_snapshot!(remote.seen(&["store", "check", "--offline"]).await, @"
        exit code 2
        --
        error: --offline opens no connection, and the store is a PostgreSQL server
        ");
    let config = "[store]\nurl = \"postgres://ada:hunter2@127.0.0.1:1/cards\"\n";
    let inline = Bench::with(config).run(&["store", "check"]).await;
    assert_ne!(inline.code, 0, "{inline:?}");
    assert!(!inline.stderr.contains("hunter2"), "{inline:?}");
}
