//! Backup, export and import, check, purge, rebuild.

use crate::support::{
    Database, Rows, entry, frozen, model, on_both, part, postgres, publish, sqlite, whole,
};
use callsheet_store::{
    CardQuery, CardRow, Intent, Project, Purged, Store, StoreError, StoreUrl, Stored, gather_export,
};
use callsheet_types::{EntryId, Problem, plan::PlanPolicy};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::{
    io::BufReader,
    os::unix::fs::PermissionsExt as _,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

/// Fills a store with some of everything.
fn fill(store: &Store) {
    let models = |n: u64| {
        (0..30).map(move |i| {
            entry(&format!("a:{i}"), &json!({"name": format!("Name {i}"), "n": i * n}))
        })
    };
    let mut snapshot = whole("import/x", models(1));
    snapshot.problems.push(Problem { place: "é\n".to_owned(), message: "\"'".to_owned() });
    publish(store, &snapshot);
    publish(store, &whole("import/x", models(2)));
    publish(store, &whole("import/x", models(2).take(20)));
    publish(store, &part("pin/user", [entry("a:1", &json!({"name": "Mine"}))], []));
    publish(store, &part("local/t", [frozen("t@1", &json!({"price": 0.000_000_1}))], []));
    publish(store, &part("local/t", [], [frozen("t@1", &json!({})).id]));
}

fn exported(store: &Store) -> Vec<u8> {
    let mut out = Vec::new();
    store.export(&mut out).unwrap();
    out
}

#[test]
fn an_export_goes_from_one_database_to_the_other_and_back() {
    let Some(server) = postgres() else { return };
    let (first, last) = (sqlite(), sqlite());
    let (first, server, last) = (first.open(), server.open(), last.open());
    fill(&first);
    let digest = first.digest().unwrap();
    let out = exported(&first);
    let counts = server.import(&mut &*out, &Rows).unwrap();
    assert_eq!((counts.entries, counts.frozen, counts.sources), (32, 1, 3));
    assert_eq!(server.digest().unwrap(), digest);
    let again = exported(&server);
    assert_eq!(String::from_utf8(again.clone()), String::from_utf8(out));
    last.import(&mut &*again, &Rows).unwrap();
    assert_eq!(last.digest().unwrap(), digest);
    for store in [&server, &last] {
        assert_eq!(store.check(&Rows).unwrap(), []);
        assert_eq!(store.changes(0, None, 1000).unwrap(), first.changes(0, None, 1000).unwrap());
        assert_eq!(store.sources().unwrap(), first.sources().unwrap());
        let query = CardQuery { kind: "model".to_owned(), ..CardQuery::default() };
        assert_eq!(store.cards(&query).unwrap(), first.cards(&query).unwrap());
        // Life goes on.
        publish(store, &part("local/new", [entry("a:1", &json!({}))], []));
    }
    assert_ne!(server.digest().unwrap(), digest);
}

#[test]
fn an_export_that_is_not_whole_is_refused_and_leaves_nothing() {
    on_both(|database| {
        let source = sqlite();
        let source = source.open();
        fill(&source);
        let text = String::from_utf8(exported(&source)).unwrap();
        let lines: Vec<_> = text.lines().collect();
        let joined = |lines: &[&str]| lines.join("\n") + "\n";
        let without = |gone: usize| {
            let kept: Vec<_> = lines
                .iter()
                .enumerate()
                .filter(|(i, _)| *i != gone)
                .map(|(_, line)| *line)
                .collect();
            joined(&kept)
        };
        let store = database.open();
        let before = store.digest().unwrap();
        for (what, bad) in [
            ("empty", String::new()),
            ("cut off", joined(&lines[..lines.len() - 1])),
            ("cut in a line", text[..text.len() - 2].to_owned()),
            ("without header", without(0)),
            ("without a line", without(5)),
            ("another body", text.replacen("Name 7", "Name 8", 1)),
            ("a newer version", text.replacen("\"version\":1", "\"version\":2", 1)),
            ("no JSON", text.replacen('{', "[", 1)),
        ] {
            // So it is before anybody is kept from writing.
            let error = gather_export(&mut bad.as_bytes()).unwrap_err();
            assert!(matches!(error, StoreError::BadExport { .. }), "{what}: {error:?}");
            let error = store.import(&mut bad.as_bytes(), &Rows).unwrap_err();
            assert!(matches!(error, StoreError::BadExport { .. }), "{what}: {error:?}");
            assert_eq!(store.digest().unwrap(), before, "{what}");
        }
        let gathered = gather_export(&mut text.as_bytes()).unwrap();
        store.import(&mut BufReader::new(gathered), &Rows).unwrap();
        let full = store.import(&mut text.as_bytes(), &Rows).unwrap_err();
        assert!(matches!(full, StoreError::NotEmpty { .. }), "{full:?}");
    });
}

#[test]
fn a_backup_is_whole_while_others_write() {
    on_both(|database| {
        let store = database.open();
        fill(&store);
        let folder = tempfile::tempdir().unwrap();
        let to = folder.path().join("copy");
        let is_done = AtomicBool::new(false);
        thread::scope(|scope| {
            let writer = scope.spawn(|| {
                let mut n = 0;
                while !is_done.load(Ordering::Relaxed) {
                    n += 1;
                    let entries = ["b:1", "b:2"].map(|key| entry(key, &json!({"n": n})));
                    publish(&store, &part("local/w", entries, []));
                }
                n
            });
            for i in 0..5 {
                store.backup(&to.with_extension(i.to_string())).unwrap();
            }
            store.backup(&to).unwrap();
            is_done.store(true, Ordering::Relaxed);
            assert!(writer.join().unwrap() > 0);
        });
        let mode = to.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        let (copy, _kept) = open_copy(database, &to);
        assert_eq!(copy.check(&Rows).unwrap(), []);
        // Both of one transaction, or neither.
        let n = |key| copy.entry(&model(key)).unwrap().first().map(|head| head.body.clone());
        assert_eq!(n("b:1"), n("b:2"));
        let all = store.changes(0, None, usize::MAX).unwrap().changes;
        let copied = copy.changes(0, None, usize::MAX).unwrap().changes;
        assert!(copied.len() > 70 && all.starts_with(&copied));

        let taken = store.backup(&to).unwrap_err();
        assert!(matches!(&taken, StoreError::AlreadyExists(path) if *path == to), "{taken:?}");
        let nowhere = store.backup(&folder.path().join("no/where")).unwrap_err();
        assert!(matches!(nowhere, StoreError::File { .. }), "{nowhere:?}");
    });
}

/// That of SQLite is a database; that of PostgreSQL an export.
fn open_copy(database: &Database, path: &std::path::Path) -> (Store, Database) {
    let other = sqlite();
    match database.url {
        StoreUrl::Sqlite(_) => (Store::open(&StoreUrl::Sqlite(path.to_owned())).unwrap(), other),
        StoreUrl::Postgres(_) => {
            let store = other.open();
            let file = std::fs::File::open(path).unwrap();
            store.import(&mut BufReader::new(file), &Rows).unwrap();
            (store, other)
        }
    }
}

#[test]
fn a_purge_forgets_what_is_old_and_nothing_that_counts() {
    on_both(|database| {
        let store = database.open();
        let at = |minute: i64| Timestamp::UNIX_EPOCH + minute.minutes();
        for minute in 1..=6 {
            let intent = Intent { at: at(minute), ..Intent::now("test") };
            let entries = [entry("a:still", &json!({})), entry("a:one", &json!({"n": minute}))];
            let snapshot = whole("local/x", entries);
            store.publish(&snapshot, PlanPolicy::default(), &intent, &Rows).unwrap();
        }
        let before = (store.digest().unwrap(), store.stats().unwrap());
        let heads = store.entries(&model("a:one").kind).unwrap();
        // Changes: 1 and 2 in the first minute, then one each. What is kept begins with the fourth
        // minute, which led from revision 3 to 4.
        let expected = Purged { revisions: 2, changes: 4 };
        assert_eq!(store.purge(at(4), true).unwrap(), expected);
        assert_eq!((store.digest().unwrap(), store.stats().unwrap()), before, "only counted");
        assert_eq!(store.purge(at(4), false).unwrap(), expected);
        assert_eq!(store.purge(at(4), false).unwrap(), Purged::default());
        assert_eq!(store.entries(&model("a:one").kind).unwrap(), heads);
        assert_eq!(store.history(&model("a:one")).unwrap().len(), 4);
        assert_eq!(store.history(&model("a:still")).unwrap().len(), 1);
        let kept = store.changes(4, None, 10).unwrap().changes;
        assert_eq!(kept.len(), 3);
        assert!(kept.iter().all(|change| change.before.is_some()), "{kept:?}");
        assert_eq!(store.check(&Rows).unwrap(), []);
        assert_eq!(store.stats().unwrap().purged, 4);

        let other = sqlite();
        let copy = other.open();
        copy.import(&mut &*exported(&store), &Rows).unwrap();
        assert_eq!(copy.digest().unwrap(), store.digest().unwrap());
        assert!(matches!(copy.changes(0, None, 1), Err(StoreError::Expired { oldest: 4 })));
    });
}

/// Makes other rows than [`Rows`].
struct Shouting;

impl Project for Shouting {
    fn covers(&self, id: &EntryId) -> bool {
        Rows.covers(id)
    }

    fn row(&self, id: &EntryId, heads: &[Stored]) -> Option<CardRow> {
        let row = Rows.row(id, heads)?;
        (&*id.key != "a:5").then(|| CardRow { name: row.name.to_uppercase(), ..row })
    }
}

#[test]
fn rows_can_be_made_anew() {
    on_both(|database| {
        let store = database.open();
        fill(&store);
        assert_eq!(store.check(&Rows).unwrap(), []);
        let query = CardQuery { kind: "model".to_owned(), ..CardQuery::default() };
        let before = (store.cards(&query).unwrap(), store.digest().unwrap());
        assert_eq!(store.check(&Shouting).unwrap().len(), 30);
        assert_eq!(store.rebuild(&Shouting).unwrap(), 29);
        assert_eq!(store.check(&Shouting).unwrap(), []);
        assert_eq!(store.cards(&query).unwrap().rows[0].name, "NAME 0");
        assert_eq!(store.rebuild(&Rows).unwrap(), 30);
        assert_eq!((store.cards(&query).unwrap(), store.digest().unwrap()), before);
    });
}

#[test]
fn what_was_tampered_with_is_found() {
    on_both(|database| {
        for (what, sql, place) in [
            ("a body", "UPDATE contents SET body = '{}' WHERE id = 2", "content 2"),
            (
                "a head",
                "UPDATE entries SET revision = 1 WHERE kind = 'model' AND key = 'a:1' AND source = 'import/x'",
                "model a:1 of import/x",
            ),
            (
                "a status",
                "UPDATE entries SET status = 'active' WHERE key = 'a:25'",
                "model a:25 of import/x",
            ),
            ("a change", "DELETE FROM feed WHERE cursor = 7", "change 8"),
            ("the last change", "DELETE FROM feed WHERE cursor = 72", "feed"),
            ("a frozen key", "DELETE FROM frozen", "task t@1 of local/t"),
            ("a row", "UPDATE cards SET name = 'x' WHERE key = 'a:3'", "model a:3"),
        ] {
            let other = match database.url {
                StoreUrl::Sqlite(_) => sqlite(),
                StoreUrl::Postgres(_) => postgres().unwrap(),
            };
            let store = other.open();
            fill(&store);
            other.tamper(sql);
            let found = store.check(&Rows).unwrap();
            assert!(found.iter().any(|problem| problem.place == place), "{what}: {found:?}");
        }
    });
}

#[test]
fn a_damaged_file_is_a_clear_error() {
    let database = sqlite();
    let StoreUrl::Sqlite(path) = &database.url else { panic!("it is SQLite") };
    fill(&database.open());
    // The first page stays; what the tables are is still known, and what they hold is not.
    let mut bytes = std::fs::read(path).unwrap();
    assert!(bytes.len() > 40_000);
    bytes[4096..].fill(0x5a);
    std::fs::write(path, &bytes).unwrap();
    for suffix in ["db-wal", "db-shm"] {
        let _ = std::fs::remove_file(path.with_extension(suffix));
    }
    let opened = Store::open(&database.url);
    let error = opened.and_then(|store| store.entry(&model("a:1")).map(drop)).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    assert!(error.to_string().contains(&path.display().to_string()), "{error}");

    std::fs::write(path, "this is no database, but long enough to be looked at as if it were one, perhaps; SQLite reads a hundred bytes").unwrap();
    let error = Store::open(&database.url).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
}
