//! The feed: what changed, in one order, for whoever follows.

use crate::support::{Rows, entry, model, on_both, part, postgres, publish, sqlite, whole};
use callsheet_store::{Changes, Cursor, FeedChange, Intent, Store, StoreError};
use callsheet_types::{
    Kind,
    plan::{Action, PlanPolicy},
};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;
use std::{
    thread,
    time::{Duration, Instant},
};

#[test]
fn every_change_is_in_the_feed_with_what_was_said() {
    on_both(|database| {
        let store = database.open();
        let (first, second) = (entry("a:one", &json!({"n": 1})), entry("a:one", &json!({"n": 2})));
        publish(&store, &whole("import/x", [first.clone(), entry("a:two", &json!({}))]));
        publish(&store, &whole("import/x", [second.clone(), entry("a:two", &json!({}))]));
        publish(&store, &whole("import/x", [entry("a:two", &json!({}))]));
        publish(&store, &whole("import/x", [second.clone(), entry("a:two", &json!({}))]));
        let all = store.changes(0, None, 100).unwrap();
        assert_eq!((all.next, all.has_more), (5, false));
        let of_one: Vec<_> = all.changes.iter().filter(|change| change.id == first.id).collect();
        let steps: Vec<_> = of_one
            .iter()
            .map(|change| (change.cursor, change.transaction, change.action, change.revision))
            .collect();
        assert_eq!(
            steps,
            [
                (1, 1, Action::Added, 1),
                (3, 3, Action::Updated, 2),
                (4, 4, Action::Withdrawn, 3),
                (5, 5, Action::Updated, 4),
            ]
        );
        let said: Vec<_> =
            of_one.iter().map(|change| (change.before.clone(), change.after.clone())).collect();
        let (first, second) = (Some(first.body), Some(second.body));
        assert_eq!(
            said,
            [
                (None, first.clone()),
                (first, second.clone()),
                (second.clone(), None),
                (None, second),
            ]
        );
        assert_eq!(all.changes[1].transaction, 1, "one transaction has one number");
        assert!(all.changes.iter().all(|change| change.actor == "test"));

        // In pages, and of one kind.
        let page = store.changes(1, None, 2).unwrap();
        assert_eq!((page.changes.len(), page.next, page.has_more), (2, 3, true));
        let none = store.changes(0, Some(&Kind::preset()), 2).unwrap();
        assert_eq!(none, Changes { changes: Vec::new(), next: 5, has_more: false });
    });
}

#[test]
fn a_moment_has_a_cursor() {
    on_both(|database| {
        let store = database.open();
        let at = |minute: i64| Timestamp::UNIX_EPOCH + minute.minutes();
        for minute in [1, 2, 3] {
            let intent = Intent { at: at(minute), ..Intent::now("test") };
            let snapshot = part("local/x", [entry("a:one", &json!({"n": minute}))], []);
            store.publish(&snapshot, PlanPolicy::default(), &intent, &Rows).unwrap();
        }
        let cursors: Vec<_> = [0, 1, 2, 3, 4].map(|m| store.cursor_at(at(m)).unwrap()).into();
        assert_eq!(cursors, [0, 0, 1, 2, 3]);
    });
}

#[test]
fn a_moment_after_which_something_was_purged_is_expired() {
    on_both(|database| {
        let store = database.open();
        let at = |minute: i64| Timestamp::UNIX_EPOCH + minute.minutes();
        let publish_at = |minute: i64| {
            let intent = Intent { at: at(minute), ..Intent::now("test") };
            let snapshot = part("local/x", [entry("a:one", &json!({"n": minute}))], []);
            store.publish(&snapshot, PlanPolicy::default(), &intent, &Rows).unwrap();
        };
        let check = |store: &Store, minutes: &[i64], expected: Option<u64>| {
            for minute in minutes {
                let found = store.cursor_at(at(*minute));
                let is_expected = match (&found, expected) {
                    (Ok(found), Some(expected)) => *found == expected,
                    (Err(StoreError::Expired { oldest: 2 }), None) => true,
                    _ => false,
                };
                assert!(is_expected, "{minute}: {found:?}");
            }
        };
        publish_at(1);
        publish_at(3);
        store.purge(at(5), false).unwrap();
        check(&store, &[0, 1, 2, 3], None);
        check(&store, &[4, 6], Some(2));
        publish_at(8);
        check(&store, &[0, 3], None);
        check(&store, &[4, 8], Some(2));
        check(&store, &[9], Some(3));
        // It goes with an export.
        let mut export = Vec::new();
        store.export(&mut export).unwrap();
        let copy = sqlite();
        let copy = copy.open();
        copy.import(&mut &*export, &Rows).unwrap();
        assert_eq!(copy.digest().unwrap(), store.digest().unwrap());
        check(&copy, &[0, 3], None);
        check(&copy, &[4, 8], Some(2));
    });
}

#[test]
fn a_cursor_whose_changes_were_purged_is_expired() {
    on_both(|database| {
        let store = database.open();
        for n in 0..3 {
            publish(&store, &part("local/x", [entry("a:one", &json!({"n": n}))], []));
        }
        let purged = store.purge(Timestamp::now() + 1.hours(), false).unwrap();
        assert_eq!((purged.changes, purged.revisions), (3, 2));
        publish(&store, &part("local/x", [entry("a:one", &json!({"n": 9}))], []));
        for since in [0, 2] {
            let expired = store.changes(since, None, 10).unwrap_err();
            assert!(matches!(expired, StoreError::Expired { oldest: 3 }), "{since}: {expired:?}");
        }
        let past = store.changes(5, None, 10).unwrap_err();
        assert!(matches!(past, StoreError::PastEnd { end: 4 }), "{past:?}");
        assert_eq!(store.changes(3, None, 10).unwrap().changes.len(), 1);
        assert_eq!(store.changes(4, None, 10).unwrap().changes.len(), 0);
    });
}

#[test]
fn who_waits_is_woken_by_whoever_writes() {
    on_both(|database| {
        let (here, elsewhere) = (database.open(), database.open());
        let patience = Duration::from_secs(20);
        for (writer, n) in [(&here, 1), (&elsewhere, 2), (&elsewhere, 3)] {
            let cursor = thread::scope(|scope| {
                let waiting = scope.spawn(|| here.wait(n - 1, patience).unwrap());
                publish(writer, &part("local/x", [entry("a:one", &json!({"n": n}))], []));
                waiting.join().unwrap()
            });
            assert_eq!(cursor, n);
        }
        // Nothing happens: the time is over.
        let since = Instant::now();
        assert_eq!(here.wait(3, Duration::from_millis(120)).unwrap(), 3);
        assert!(since.elapsed() >= Duration::from_millis(120));
        assert_eq!(here.wait(0, patience).unwrap(), 3, "what is there already is not waited for");
    });
}

#[test]
fn who_waits_survives_a_server_that_restarts() {
    let Some(database) = postgres() else { return };
    let (here, elsewhere) = (database.open(), database.open());
    publish(&here, &part("local/x", [entry("a:one", &json!({"n": 1}))], []));
    assert_eq!(here.wait(0, Duration::ZERO).unwrap(), 1);
    let cursor = thread::scope(|scope| {
        let waiting = scope.spawn(|| here.wait(1, Duration::from_secs(20)).unwrap());
        database.break_connections();
        // Its own kept connections are dead, too.
        publish(&elsewhere, &part("local/x", [entry("a:one", &json!({"n": 2}))], []));
        waiting.join().unwrap()
    });
    assert_eq!(cursor, 2);
    assert_eq!(here.cursor().unwrap(), 2);
    assert_eq!(here.entry(&model("a:one")).unwrap()[0].revision, 2);
}

/// Reads the feed until `count` changes came.
fn follow(store: &Store, count: usize) -> Vec<FeedChange> {
    let mut seen = Vec::new();
    let mut since: Cursor = 0;
    while seen.len() < count {
        let newest = store.wait(since, Duration::from_secs(20)).unwrap();
        assert!(newest > since, "{} of {count} changes came", seen.len());
        let page = store.changes(since, None, 7).unwrap();
        since = page.next;
        seen.extend(page.changes);
    }
    seen
}

#[test]
fn all_who_follow_see_all_in_one_order() {
    on_both(|database| {
        const WRITERS: usize = 4;
        const EACH: usize = 25;
        let stores = [database.open(), database.open()];
        let seen = thread::scope(|scope| {
            let followers: Vec<_> = stores
                .iter()
                .map(|store| scope.spawn(|| follow(store, WRITERS * EACH * 2)))
                .collect();
            for writer in 0..WRITERS {
                let store = &stores[writer % 2];
                scope.spawn(move || {
                    for n in 0..EACH {
                        let body = json!({"n": n});
                        let entries = ["a", "b"].map(|k| entry(&format!("{k}:{writer}"), &body));
                        publish(store, &part(&format!("local/w{writer}"), entries, []));
                    }
                });
            }
            followers.into_iter().map(|follower| follower.join().unwrap()).collect::<Vec<_>>()
        });
        assert_eq!(seen[0], seen[1]);
        let cursors: Vec<_> = seen[0].iter().map(|change| change.cursor).collect();
        let expected: Vec<_> = (1..=(WRITERS * EACH * 2) as Cursor).collect();
        assert_eq!(cursors, expected, "none is missed, none comes twice");
        for pair in seen[0].chunks(2) {
            assert_eq!(pair[0].transaction, pair[1].transaction);
            assert_eq!(pair[0].source, pair[1].source);
        }
    });
}
