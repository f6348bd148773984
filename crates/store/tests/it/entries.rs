//! Entries: what is published, changed, withdrawn, restored, refused.

use crate::support::{
    Rows, entry, entry_counts, frozen, model, on_both, part, publish, source, try_publish, whole,
};
use callsheet_store::{Intent, PublishError, StoreError};
use callsheet_types::{
    Entry, Kind, Nature, Problem,
    plan::{Action, OnConflict, PlanPolicy, Refused, Status, plan},
};
use jiff::{Timestamp, ToSpan as _};
use serde_json::json;

#[test]
fn what_is_published_can_be_read() {
    on_both(|database| {
        let store = database.open();
        let one = entry("a:one", &json!({"name": "One"}));
        let plan = publish(&store, &whole("import/x", [one.clone()]));
        assert_eq!(plan.count(Action::Added), 1);
        let heads = store.entry(&model("a:one")).unwrap();
        assert_eq!(heads.len(), 1);
        assert_eq!(heads[0].body, one.body);
        assert_eq!((heads[0].revision, heads[0].status), (1, Status::Active));
        assert_eq!(store.entries(&Kind::model()).unwrap(), heads);
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "One");
        let sources = store.sources().unwrap();
        assert_eq!((&sources[0].name, sources[0].entries), (&source("import/x"), 1));

        publish(&store, &part("pin/user", [entry("a:one", &json!({"name": "Uno"}))], []));
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "Uno");
        publish(&store, &part("pin/user", [], [model("a:one")]));
        assert_eq!(store.cards_of(&[model("a:one")]).unwrap()[0].name, "One");
        assert_eq!(store.entry(&model("a:one")).unwrap()[1].status, Status::Removed);
        assert_eq!(store.sources().unwrap()[1].entries, 0);
    });
}

#[test]
fn problems_do_not_hide_what_is_good() {
    on_both(|database| {
        let store = database.open();
        let mut snapshot =
            whole("import/x", [entry("a:one", &json!({})), entry("a:two", &json!({}))]);
        let problem = Problem { place: "three.toml".to_owned(), message: "no\0 id".to_owned() };
        snapshot.problems.push(problem.clone());
        let plan = publish(&store, &snapshot);
        assert_eq!(plan.problems, std::slice::from_ref(&problem));
        assert_eq!(store.entries(&Kind::model()).unwrap().len(), 2);
        assert_eq!(store.sources().unwrap()[0].problems, [problem]);
    });
}

#[test]
fn a_frozen_key_never_changes() {
    on_both(|database| {
        let store = database.open();
        let first = frozen("t@1", &json!({"v": 1}));
        publish(&store, &part("local/a", [first.clone()], []));
        // The same from somebody else is no conflict.
        publish(&store, &part("local/b", [first.clone()], []));
        // What it stands for is remembered when nobody publishes it any more.
        publish(&store, &part("local/a", [], [first.id.clone()]));
        publish(&store, &part("local/b", [], [first.id.clone()]));
        let before = store.digest().unwrap();
        let other =
            part("remote/c", [frozen("t@1", &json!({"v": 2})), entry("a:b", &json!({}))], []);
        let refused = try_publish(&store, &other).unwrap_err();
        assert!(
            matches!(&refused, PublishError::Refused(Refused::Conflicts { conflicts, .. })
                if conflicts[0].id == first.id && conflicts[0].stored == first.body.digest()),
            "{refused:?}"
        );
        assert_eq!(store.digest().unwrap(), before, "nothing of it is applied");

        let policy = PlanPolicy { on_conflict: OnConflict::PreferLocal, ..PlanPolicy::default() };
        let done = store.publish(&other, policy, &Intent::now("test"), &Rows).unwrap();
        assert_eq!(done.plan.conflicts.len(), 1);
        assert_eq!(store.entry(&model("a:b")).unwrap().len(), 1, "what is beside it is applied");
        let sources = store.sources().unwrap();
        let remote = sources.iter().find(|known| known.name == source("remote/c")).unwrap();
        assert_eq!(remote.conflicts, done.plan.conflicts);
        // It can be published again as it was.
        publish(&store, &part("remote/c", [first.clone()], []));
        assert_eq!(store.entry(&first.id).unwrap().len(), 3);
    });
}

#[test]
fn what_could_change_is_frozen_by_publishing_it_so() {
    on_both(|database| {
        let store = database.open();
        let publish_as = |nature| {
            let entry = Entry { nature, ..frozen("t@1", &json!({"v": 1})) };
            publish(&store, &part("local/a", [entry], [])).changes.len()
        };
        assert_eq!(publish_as(Nature::Tracking), 1);
        assert_eq!(publish_as(Nature::Frozen), 1, "though its content is the same");
        assert_eq!(publish_as(Nature::Frozen), 0);
        let other = part("local/a", [frozen("t@1", &json!({"v": 2}))], []);
        assert!(matches!(try_publish(&store, &other), Err(PublishError::Refused(_))));
    });
}

#[test]
fn a_plan_whose_heads_moved_is_stale_and_writes_nothing() {
    on_both(|database| {
        let store = database.open();
        publish(&store, &part("local/x", [entry("a:one", &json!({"n": 0}))], []));
        let mine =
            part("local/x", [entry("a:new", &json!({})), entry("a:one", &json!({"n": 1}))], []);
        let plan = plan(&store.current(&mine).unwrap(), &mine, PlanPolicy::default()).unwrap();
        publish(&store, &part("local/x", [entry("a:one", &json!({"n": 2}))], []));
        let before = (store.digest().unwrap(), store.stats().unwrap());
        let stale = store.apply(&plan, &Intent::now("test"), &Rows).unwrap_err();
        assert!(matches!(stale, PublishError::Stale), "{stale:?}");
        assert_eq!((store.digest().unwrap(), store.stats().unwrap()), before);
        // Planned anew it holds.
        assert_eq!(publish(&store, &mine).changes.len(), 2);
        assert_eq!(store.entry(&model("a:one")).unwrap()[0].revision, 3);
    });
}

#[test]
fn two_who_freeze_one_key_otherwise_do_not_both_succeed() {
    on_both(|database| {
        let store = database.open();
        let mine = part("local/x", [frozen("t@1", &json!({"v": 1}))], []);
        let plan = plan(&store.current(&mine).unwrap(), &mine, PlanPolicy::default()).unwrap();
        publish(&store, &part("local/y", [frozen("t@1", &json!({"v": 2}))], []));
        let stale = store.apply(&plan, &Intent::now("test"), &Rows).unwrap_err();
        assert!(matches!(stale, PublishError::Stale), "{stale:?}");
    });
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    on_both(|database| {
        let store = database.open();
        publish(&store, &whole("import/x", [entry("a:one", &json!({"n": 0}))]));
        let before = (store.digest().unwrap(), store.stats().unwrap(), store.sources().unwrap());
        let next = whole("import/x", [entry("a:one", &json!({"n": 1})), entry("a:b", &json!({}))]);
        let intent = Intent { dry_run: true, ..Intent::now("test") };
        let dry = store.publish(&next, PlanPolicy::default(), &intent, &Rows).unwrap();
        assert_eq!((dry.plan.count(Action::Added), dry.plan.count(Action::Updated)), (1, 1));
        assert_eq!(dry.cursor, 1);
        let after = (store.digest().unwrap(), store.stats().unwrap(), store.sources().unwrap());
        assert_eq!(after, before);
        let wet = publish(&store, &next);
        assert_eq!(wet.changes, dry.plan.changes, "a dry run tells the truth");
    });
}

#[test]
fn what_vanishes_is_withdrawn_and_can_come_back() {
    on_both(|database| {
        let store = database.open();
        let (one, two) = (entry("a:one", &json!({"name": "One"})), entry("a:two", &json!({})));
        let at = |minute: i64| Intent {
            at: Timestamp::UNIX_EPOCH + minute.minutes(),
            ..Intent::now("test")
        };
        let policy = PlanPolicy::default();
        let both = whole("import/x", [one.clone(), two.clone()]);
        store.publish(&both, policy, &at(1), &Rows).unwrap();
        store.publish(&whole("import/x", [two.clone()]), policy, &at(2), &Rows).unwrap();
        let head = store.entry(&one.id).unwrap().remove(0);
        assert_eq!((head.status, head.revision), (Status::Withdrawn, 2));
        assert_eq!(head.body, one.body, "it is kept");
        assert_eq!(head.observed_at, Timestamp::UNIX_EPOCH + 1.minutes());
        assert_eq!(head.changed_at, Timestamp::UNIX_EPOCH + 2.minutes());
        let card = store.cards_of(std::slice::from_ref(&one.id)).unwrap().remove(0);
        assert_eq!((&*card.status, card.cursor), ("withdrawn", 3));

        store.publish(&both, policy, &at(3), &Rows).unwrap();
        let head = store.entry(&one.id).unwrap().remove(0);
        assert_eq!((head.status, head.revision), (Status::Active, 3));
        assert_eq!(head.observed_at, Timestamp::UNIX_EPOCH + 1.minutes(), "it says the same");
        let history = store.history(&one.id).unwrap();
        let states: Vec<_> = history.iter().map(|state| (state.revision, state.status)).collect();
        let expected = [(3, Status::Active), (2, Status::Withdrawn), (1, Status::Active)];
        assert_eq!(states, expected);
        assert_eq!(store.entry(&two.id).unwrap()[0].revision, 1, "what is beside it never moved");
    });
}

#[test]
fn content_is_as_old_as_its_source_says() {
    on_both(|database| {
        let store = database.open();
        let observed_at: Timestamp = "2026-05-15T00:00:00.123456789Z".parse().unwrap();
        let mut snapshot = whole("import/x", [entry("a:one", &json!({}))]);
        snapshot.observed_at = Some(observed_at);
        publish(&store, &snapshot);
        let head = store.entry(&model("a:one")).unwrap().remove(0);
        // Moments are kept to the microsecond.
        assert_eq!(head.observed_at, "2026-05-15T00:00:00.123456Z".parse().unwrap());
        assert!(head.changed_at > observed_at);
    });
}

#[test]
fn a_source_that_lost_half_is_refused() {
    on_both(|database| {
        let store = database.open();
        let entries = |count: usize| (0..count).map(|i| entry(&format!("a:{i}"), &json!({})));
        publish(&store, &whole("import/x", entries(20)));
        let before = (store.digest().unwrap(), store.sources().unwrap());
        for (count, is_empty) in [(9, false), (0, true)] {
            let refused = try_publish(&store, &whole("import/x", entries(count))).unwrap_err();
            assert!(
                match &refused {
                    PublishError::Refused(Refused::Empty { .. }) => is_empty,
                    PublishError::Refused(Refused::Shrunk { had: 20, kept: 9, .. }) => !is_empty,
                    _ => false,
                },
                "{refused:?}"
            );
        }
        assert_eq!((store.digest().unwrap(), store.sources().unwrap()), before);
        let policy = PlanPolicy { allow_shrink: true, ..PlanPolicy::default() };
        let snapshot = whole("import/x", entries(9));
        let done = store.publish(&snapshot, policy, &Intent::now("test"), &Rows).unwrap();
        assert_eq!(done.plan.count(Action::Withdrawn), 11);
        assert_eq!(store.sources().unwrap()[0].entries, 9);
    });
}

#[test]
fn the_same_again_writes_nothing() {
    on_both(|database| {
        let store = database.open();
        let snapshot =
            whole("import/x", (0..50).map(|i| entry(&format!("a:{i}"), &json!({"i": i}))));
        publish(&store, &snapshot);
        let pin = part("pin/user", [entry("a:1", &json!({"name": "Mine"}))], []);
        publish(&store, &pin);
        let before = (store.digest().unwrap(), entry_counts(&store));
        let synced_at = store.sources().unwrap()[0].synced_at;
        let plan = publish(&store, &snapshot);
        assert_eq!((plan.changes.len(), plan.unchanged), (0, 50));
        assert_eq!((store.digest().unwrap(), entry_counts(&store)), before);
        assert!(store.sources().unwrap()[0].synced_at > synced_at, "but it was asked");

        // What was not a whole sync leaves not even that.
        let written = database.written();
        assert_eq!(publish(&store, &pin).unchanged, 1);
        assert_eq!(database.written(), written);
        assert_eq!(store.sources().unwrap()[1].synced_at, None);
    });
}

#[test]
fn a_key_that_cannot_be_kept_is_refused() {
    on_both(|database| {
        let store = database.open();
        for key in ["", "a:\0", &format!("a:{}", "x".repeat(1023))] {
            let done = try_publish(&store, &part("local/x", [entry(key, &json!({}))], []));
            let error = done.unwrap_err();
            assert!(
                matches!(&error, PublishError::Store(StoreError::BadKey { id }) if *id.key == *key)
            );
        }
        let longest = format!("a:{}", "ä".repeat(511));
        publish(&store, &part("local/x", [entry(&longest, &json!({"name": "\0"}))], []));
        assert_eq!(store.cards_of(&[model(&longest)]).unwrap()[0].name, "\u{fffd}");
        assert_eq!(store.check(&Rows).unwrap(), []);
    });
}
