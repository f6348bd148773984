//! A server that says nothing more keeps nobody waiting without end.

use crate::support::{Rows, entry, part, postgres, publish};
use callsheet_store::{Store, StoreError, StoreUrl};
use serde_json::json;
use std::{
    net::TcpListener,
    process::Command,
    time::{Duration, Instant},
};

/// Stops what serves the connections of a store, and lets it go on in the end, so that it can end.
struct Stopped(Vec<String>);

impl Stopped {
    fn new(client: &mut postgres::Client) -> Self {
        let sql = "SELECT pid::text FROM pg_stat_activity
            WHERE application_name = 'callsheet' AND datname = current_database()";
        let stopped = Self(client.query(sql, &[]).unwrap().iter().map(|row| row.get(0)).collect());
        assert!(!stopped.0.is_empty());
        stopped.send("-STOP");
        stopped
    }

    fn send(&self, signal: &str) {
        assert!(Command::new("kill").arg(signal).args(&self.0).status().unwrap().success());
    }
}

impl Drop for Stopped {
    fn drop(&mut self) {
        self.send("-CONT");
    }
}

#[test]
fn a_connection_that_hangs_is_given_up() {
    let Some(database) = postgres() else { return };
    let mut client = database.client();
    let store = Store::open(&database.with("tcp_user_timeout=1")).unwrap();
    publish(&store, &part("local/x", [entry("a:b", &json!({"n": 1}))], []));
    for n in 2..4 {
        let _stopped = Stopped::new(&mut client);
        // Who reads, and who writes, is served by another.
        if n == 2 {
            assert_eq!(store.cursor().unwrap(), 1);
        }
        publish(&store, &part("local/x", [entry("a:b", &json!({"n": n}))], []));
        assert_eq!(store.cursor().unwrap(), n);
    }
}

#[test]
fn a_lock_that_somebody_keeps_makes_it_busy() {
    let Some(database) = postgres() else { return };
    let store = Store::open(&database.with("tcp_user_timeout=1")).unwrap();
    let mut client = database.client();
    let mut theirs = client.transaction().unwrap();
    theirs.batch_execute("SELECT * FROM callsheet.counter FOR UPDATE").unwrap();
    let error = store.rebuild(&Rows).unwrap_err();
    assert!(matches!(error, StoreError::Busy { .. }), "{error:?}");
    theirs.rollback().unwrap();
    assert_eq!(store.rebuild(&Rows).unwrap(), 0);
}

#[test]
fn a_server_that_takes_connections_and_says_nothing_cannot_be_reached() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = format!("postgres://me@127.0.0.1:{port}/x?connect_timeout=1");
    let url: StoreUrl = url.parse().unwrap();
    let started = Instant::now();
    let error = Store::open(&url).map(drop).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(started.elapsed() < Duration::from_secs(20));
}

#[test]
fn a_thread_that_a_runtime_drives_may_ask() {
    let Some(database) = postgres() else { return };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let store = database.open();
        publish(&store, &part("local/x", [entry("a:b", &json!({}))], []));
        assert_eq!(store.wait(0, Duration::from_secs(20)).unwrap(), 1);
        assert_eq!(store.check(&Rows).unwrap(), []);
    });
}
