//! Opening: what is made, what is refused, and what is left as it is.

use crate::support::{Rows, entry, on_both, part, publish, sqlite};
use callsheet_store::{Store, StoreError, StoreUrl};
use serde_json::json;
use std::{os::unix::fs::PermissionsExt as _, thread};

#[test]
fn opening_what_is_up_to_date_writes_nothing() {
    on_both(|database| {
        let store = database.open();
        publish(&store, &part("local/x", [entry("a:b", &json!({}))], []));
        let name = store.stats().unwrap().store;
        let written = database.written();
        let again = database.open();
        assert_eq!(again.cursor().unwrap(), 1);
        assert_eq!(again.stats().unwrap().store, name);
        assert_eq!(database.written(), written);
    });
}

#[test]
fn only_its_owner_can_read_a_new_file() {
    let database = sqlite();
    publish(&database.open(), &part("local/x", [entry("a:b", &json!({}))], []));
    let StoreUrl::Sqlite(path) = &database.url else { panic!("it is SQLite") };
    let mode = path.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
}

#[test]
fn a_newer_schema_is_refused() {
    on_both(|database| {
        drop(database.open());
        database.tamper("UPDATE meta SET value = '999' WHERE name = 'schema'");
        let error = Store::open(&database.url).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::NewerSchema { found: 999, known: 1, .. }), "{error:?}");
        assert!(error.to_string().contains(&database.url.to_string()), "{error}");
    });
}

#[test]
fn a_database_of_something_else_is_left_alone() {
    let database = sqlite();
    let StoreUrl::Sqlite(path) = &database.url else { panic!("it is SQLite") };
    let other = rusqlite::Connection::open(path).unwrap();
    other.execute_batch("CREATE TABLE theirs (x)").unwrap();
    let error = Store::open(&database.url).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Damaged { .. }), "{error:?}");
    let tables: u32 =
        other.query_row("SELECT COUNT(*) FROM sqlite_master", (), |row| row.get(0)).unwrap();
    assert_eq!(tables, 1);
}

#[test]
fn many_can_make_one_database_at_once() {
    on_both(|database| {
        let names: Vec<_> = thread::scope(|scope| {
            let openers: Vec<_> =
                (0..8).map(|_| scope.spawn(|| database.open().stats().unwrap().store)).collect();
            openers.into_iter().map(|opener| opener.join().unwrap()).collect()
        });
        assert!(names.iter().all(|name| *name == names[0] && name.len() == 32), "{names:?}");
        assert_eq!(database.open().check(&Rows).unwrap(), []);
    });
}

#[test]
fn a_place_that_cannot_be_reached_is_named_without_its_password() {
    let folder = tempfile::tempdir().unwrap();
    let file = format!("sqlite://{}/no/where.db", folder.path().display());
    let socket = folder.path().display().to_string().replace('/', "%2F");
    let server = format!("postgres://me:hush@{socket}/x");
    for (address, named) in [(file, "no/where.db"), (server, &*socket)] {
        let url: StoreUrl = address.parse().unwrap();
        let error = Store::open(&url).map(drop).unwrap_err();
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(error.to_string().contains(named), "{error}");
        assert!(!format!("{error} {error:?} {url:?}").contains("hush"), "{error:?}");
    }
}
