//! Whatever is published, in whatever order: the store says what the sources say, and its feed
//! tells how it came to that.

use crate::support::{Rows, entry_counts, on_both, part, whole};
use callsheet_store::{Intent, PublishError, Store};
use callsheet_types::{
    Body, Entry, EntryId, Kind, Nature, Snapshot, SourceName,
    plan::{Action, OnConflict, PlanPolicy, Status},
};
use proptest::{
    collection::vec,
    prelude::*,
    test_runner::{Config, TestRunner},
};
use serde_json::json;
use std::collections::BTreeMap;

type State = BTreeMap<(EntryId, SourceName), (Status, Body)>;

fn entries() -> impl Strategy<Value = Entry> {
    (0..6_u8, 0..3_u8, any::<bool>()).prop_map(|(key, says, is_frozen)| {
        let (kind, nature) = if is_frozen {
            (Kind::new("task").unwrap(), Nature::Frozen)
        } else {
            (Kind::model(), Nature::Tracking)
        };
        let body = Body::new(&json!({"name": format!("n{says}")}));
        Entry { id: EntryId::new(kind, &format!("p:{key}")), nature, body }
    })
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let sources = prop::sample::select(vec!["local/a", "import/b", "pin/user"]);
    (sources, vec(entries(), 0..6), vec(entries(), 0..3), any::<bool>()).prop_map(
        |(source, entries, removed, is_whole)| {
            if is_whole {
                whole(source, entries)
            } else {
                part(source, entries, removed.into_iter().map(|entry| entry.id))
            }
        },
    )
}

fn state(store: &Store) -> State {
    let kinds = [Kind::model(), Kind::new("task").unwrap()];
    let heads = kinds.iter().flat_map(|kind| store.entries(kind).unwrap());
    heads.map(|head| ((head.id, head.source), (head.status, head.body))).collect()
}

/// What the feed leads to; what goes keeps what it said.
fn replayed(store: &Store) -> State {
    let mut state = State::new();
    for change in store.changes(0, None, usize::MAX).unwrap().changes {
        let id = (change.id, change.source);
        match change.action {
            Action::Added | Action::Updated => {
                state.insert(id, (Status::Active, change.after.unwrap()));
            }
            gone => state.get_mut(&id).unwrap().0 = gone.status(),
        }
    }
    state
}

#[test]
fn the_store_says_what_the_sources_say() {
    on_both(|database| {
        let store = database.open();
        let config = Config { failure_persistence: None, ..Config::with_cases(60) };
        let mut runner = TestRunner::new(config);
        let outcome = runner.run(&(snapshots(), any::<bool>()), |(snapshot, is_lenient)| {
            let on_conflict = if is_lenient { OnConflict::PreferLocal } else { OnConflict::Refuse };
            let policy = PlanPolicy { on_conflict, allow_shrink: true };
            let before = (state(&store), entry_counts(&store));
            let publish = || store.publish(&snapshot, policy, &Intent::now("test"), &Rows);
            let done = match publish() {
                Ok(done) => done,
                Err(PublishError::Refused(_)) => {
                    prop_assert_eq!((state(&store), entry_counts(&store)), before);
                    return Ok(());
                }
                Err(error) => panic!("{error:?}"),
            };
            let now = state(&store);
            for entry in &snapshot.entries {
                let first = snapshot.entries.iter().find(|other| other.id == entry.id).unwrap();
                if done.plan.conflicts.iter().all(|conflict| conflict.id != entry.id) {
                    let said = &now[&(entry.id.clone(), snapshot.source.clone())];
                    prop_assert_eq!(said, &(Status::Active, first.body.clone()));
                }
            }
            let again = publish().unwrap();
            prop_assert_eq!(again.plan.changes, []);
            prop_assert_eq!(again.cursor, done.cursor);
            prop_assert_eq!(state(&store), now.clone());
            prop_assert_eq!(replayed(&store), now);
            Ok(())
        });
        outcome.unwrap();
        assert_eq!(store.check(&Rows).unwrap(), []);
    });
}
