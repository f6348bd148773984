use super::*;
use crate::{Kind, Layer};
use proptest::{collection::vec, prelude::*};
use serde_json::json;

/// A store of one source, as far as plans go.
fn apply(current: &mut Current, plan: &Plan) {
    for change in &plan.changes {
        let head = current.heads.get(&change.id);
        assert_eq!(head.map_or(0, |head| head.revision), change.expected);
        let digest = match (&change.body, head) {
            (Some(body), _) => body.digest(),
            (None, Some(head)) => head.digest,
            (None, None) => panic!("{} goes and was never there", change.id),
        };
        let status = change.action.status();
        let revision = change.expected + 1;
        current.heads.insert(change.id.clone(), Head { revision, digest, status });
        if change.nature == Some(Nature::Frozen) {
            current.frozen.insert(change.id.clone(), digest);
        }
    }
}

fn entry(key: u8, says: u8) -> Entry {
    Entry::tracking(Kind::model(), &format!("p:{key}"), Body::new(&json!({"says": says})))
}

fn entries() -> impl Strategy<Value = Vec<Entry>> {
    let entry = (0..12_u8, 0..3_u8, any::<bool>()).prop_map(|(key, says, is_frozen)| {
        let entry = entry(key, says);
        if is_frozen {
            let id = EntryId::new(Kind::preset(), &entry.id.key);
            Entry { id, nature: Nature::Frozen, body: entry.body }
        } else {
            entry
        }
    });
    vec(entry, 0..16)
}

fn snapshots() -> impl Strategy<Value = Snapshot> {
    let extent = prop_oneof![
        Just(Extent::Whole(vec![Kind::model()])),
        Just(Extent::Whole(vec![Kind::model(), Kind::preset()])),
        (entries(), entries()).prop_map(|(removed, withdrawn)| Extent::Part {
            removed: removed.into_iter().map(|entry| entry.id).collect(),
            withdrawn: withdrawn.into_iter().map(|entry| entry.id).collect(),
        }),
    ];
    (extent, entries()).prop_map(|(extent, entries)| snapshot(Layer::Local, extent, entries))
}

fn snapshot(layer: Layer, extent: Extent, entries: Vec<Entry>) -> Snapshot {
    Snapshot {
        source: SourceName::new(layer, "x").unwrap(),
        revision: None,
        observed_at: None,
        extent,
        entries,
        problems: Vec::new(),
    }
}

fn is_active(current: &Current, id: &EntryId) -> bool {
    current.heads.get(id).is_some_and(|head| head.status == Status::Active)
}

proptest! {
    #[test]
    fn a_plan_leads_to_what_the_snapshot_says(before in vec(snapshots(), 0..5), last in snapshots()) {
        let lenient = PlanPolicy { on_conflict: OnConflict::PreferLocal, allow_shrink: true };
        let mut current = Current::default();
        for snapshot in &before {
            let done = plan(&current, snapshot, lenient).unwrap();
            apply(&mut current, &done);
        }
        let earlier = current.clone();
        let done = plan(&current, &last, lenient).unwrap();
        apply(&mut current, &done);

        let mut said: HashMap<&EntryId, Digest> = HashMap::new();
        for entry in &last.entries {
            said.entry(&entry.id).or_insert(entry.body.digest());
        }
        let in_conflict = |id: &EntryId| done.conflicts.iter().any(|conflict| conflict.id == *id);
        for (id, digest) in &said {
            if in_conflict(id) {
                prop_assert_eq!(current.heads.get(id), earlier.heads.get(id));
            } else {
                prop_assert!(is_active(&current, id));
                prop_assert_eq!(current.heads[id].digest, *digest);
            }
        }
        for (id, head) in &earlier.heads {
            let goes = match &last.extent {
                Extent::Whole(kinds) => kinds.contains(&id.kind) && head.status == Status::Active,
                Extent::Part { removed, withdrawn } => {
                    removed.contains(id) && head.status != Status::Removed
                        || withdrawn.contains(id) && head.status == Status::Active
                }
            };
            if !said.contains_key(id) {
                prop_assert_eq!(goes, current.heads[id].status != head.status);
                prop_assert_eq!(current.heads[id].digest, head.digest);
            }
        }
        prop_assert_eq!(done.changes.len(), earlier.heads.keys().chain(current.heads.keys())
            .collect::<HashSet<_>>().into_iter()
            .filter(|id| earlier.heads.get(id) != current.heads.get(id)).count());
        prop_assert!(done.changes.is_sorted_by(|a, b| a.id < b.id), "each id once, in order");

        let again = plan(&current, &last, lenient).unwrap();
        prop_assert_eq!(again.changes, []);
        prop_assert_eq!(again.conflicts, done.conflicts);
    }

    #[test]
    fn what_is_refused_is_exactly_what_conflicts(first in entries(), second in entries()) {
        let part = |entries| {
            let extent = Extent::Part { removed: Vec::new(), withdrawn: Vec::new() };
            snapshot(Layer::Local, extent, entries)
        };
        let strict = PlanPolicy::default();
        let lenient = PlanPolicy { on_conflict: OnConflict::PreferLocal, ..strict };
        let mut current = Current::default();
        let done = plan(&current, &part(first), strict).unwrap();
        apply(&mut current, &done);
        let second = part(second);
        let kept = plan(&current, &second, lenient).unwrap().conflicts;
        match plan(&current, &second, strict) {
            Ok(_) => prop_assert_eq!(kept, []),
            Err(Refused::Conflicts { conflicts, .. }) => prop_assert_eq!(kept, conflicts),
            Err(other) => panic!("{other}"),
        }
    }
}

#[test]
fn a_remote_source_keeps_half_or_is_refused() {
    let whole = |layer, count: u8| {
        let entries = (0..count).map(|key| entry(key, 0)).collect();
        snapshot(layer, Extent::Whole(vec![Kind::model()]), entries)
    };
    let after = |layer, had: u8, kept: u8, allow_shrink| {
        let mut current = Current::default();
        let policy = PlanPolicy { allow_shrink, ..PlanPolicy::default() };
        let first = plan(&current, &whole(layer, had), PlanPolicy::default()).unwrap();
        apply(&mut current, &first);
        plan(&current, &whole(layer, kept), policy).map(|plan| plan.count(Action::Withdrawn))
    };
    let source_name = || SourceName::new(Layer::Import, "x").unwrap();
    let shrunk = |had, kept| Err(Refused::Shrunk { source_name: source_name(), had, kept });
    assert_eq!(after(Layer::Import, 20, 10, false), Ok(10));
    assert_eq!(after(Layer::Import, 20, 9, false), shrunk(20, 9));
    assert_eq!(after(Layer::Import, 20, 9, true), Ok(11));
    assert_eq!(after(Layer::Import, 9, 1, false), Ok(8), "few are not guarded");
    assert_eq!(after(Layer::Import, 10, 4, false), shrunk(10, 4));
    assert_eq!(
        after(Layer::Import, 3, 0, false),
        Err(Refused::Empty { source_name: source_name() })
    );
    assert_eq!(after(Layer::Local, 20, 0, false), Ok(20), "one's own word is final");
}

#[test]
fn what_stands_twice_counts_once_and_is_named_if_it_differs() {
    let twice = vec![entry(1, 1), entry(1, 1), entry(1, 2)];
    let snapshot = snapshot(Layer::Import, Extent::Whole(vec![Kind::model()]), twice);
    let plan = plan(&Current::default(), &snapshot, PlanPolicy::default()).unwrap();
    assert_eq!(plan.changes.len(), 1);
    assert_eq!(plan.changes[0].body, Some(entry(1, 1).body));
    let places: Vec<_> = plan.problems.iter().map(|problem| &*problem.place).collect();
    assert_eq!(places, ["model p:1"]);
}

#[test]
fn what_a_part_was_asked_for_and_has_not_is_withdrawn_alone() {
    let all = snapshot(
        Layer::Provider,
        Extent::Whole(vec![Kind::model()]),
        (0..5).map(|key| entry(key, 0)).collect(),
    );
    let mut current = Current::default();
    let first = plan(&current, &all, PlanPolicy::default()).unwrap();
    apply(&mut current, &first);
    let ids = |keys: &[u8]| keys.iter().map(|key| entry(*key, 0).id).collect::<Vec<_>>();
    let extent = Extent::Part { removed: ids(&[1]), withdrawn: ids(&[0, 1, 2, 2, 9]) };
    let part = snapshot(Layer::Provider, extent, vec![entry(0, 0)]);
    let done = plan(&current, &part, PlanPolicy::default()).unwrap();
    let steps: Vec<_> =
        done.changes.iter().map(|change| (change.id.clone(), change.action)).collect();
    let [one, two] = [1, 2].map(|key| entry(key, 0).id);
    assert_eq!(steps, [(one, Action::Removed), (two, Action::Withdrawn)]);
}
