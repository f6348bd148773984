//! From what a source publishes to what is to be done about it: [`plan`] is a pure function.

use crate::{Body, Digest, Entry, EntryId, Kind, Nature, SourceName};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet};

/// What a source answers with: its entries, and what it could not make entries of.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Who publishes.
    pub source: SourceName,
    /// The source's own name for this state: a commit, an entity tag, a date.
    pub revision: Option<String>,
    /// When it was taken, where that is not the moment at which it is applied.
    pub observed_at: Option<jiff::Timestamp>,
    /// Whether what it does not hold is gone.
    pub extent: Extent,
    /// What it publishes.
    pub entries: Vec<Entry>,
    /// What it could not use.
    pub problems: Vec<Problem>,
}

/// How much of its source a snapshot speaks for.
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Extent {
    /// For all entries of these kinds: those that it does not hold are withdrawn.
    Whole(Vec<Kind>),
    /// For the entries that it holds, and for these, which are gone.
    Part {
        /// What somebody removed.
        removed: Vec<EntryId>,
        /// What its source was asked for and no longer publishes.
        withdrawn: Vec<EntryId>,
    },
}

/// Something in a snapshot that could not be used; what is beside it is used all the same.
#[derive(Clone, Debug, Eq, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
pub struct Problem {
    /// Where: a file, a key, a model.
    pub place: String,
    /// What is wrong, such as "unknown key `cache_input`".
    pub message: String,
}

/// Number of an entry's state at one source; the first is 1.
pub type Revision = u64;

/// Whether an entry is published.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Status {
    /// It is.
    Active,
    /// Its source no longer does; it is kept, and marked.
    Withdrawn,
    /// Somebody removed it; its history is kept.
    Removed,
}

impl Status {
    /// Returns the status as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Withdrawn => "withdrawn",
            Self::Removed => "removed",
        }
    }
}

/// Where an entry of one source stands.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Head {
    /// Its newest revision.
    pub revision: Revision,
    /// The digest of its content.
    pub digest: Digest,
    /// Whether it is published.
    pub status: Status,
}

/// What is stored, as far as a plan looks at it.
#[derive(Clone, Debug, Default)]
pub struct Current {
    /// The entries of the source that publishes.
    pub heads: HashMap<EntryId, Head>,
    /// What each frozen key stands for, whoever published it first.
    pub frozen: HashMap<EntryId, Digest>,
}

/// What a source may do.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct PlanPolicy {
    /// What becomes of a snapshot that gives a frozen key other content.
    pub on_conflict: OnConflict,
    /// Lets a remote source come back with nothing, or with less than half of what it had.
    pub allow_shrink: bool,
}

/// What becomes of a snapshot that gives a frozen key other content.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum OnConflict {
    /// None of it is applied.
    #[default]
    Refuse,
    /// What is stored stays, everything else is applied.
    PreferLocal,
}

/// A frozen key that was to get other content.
#[derive(Clone, Debug, Eq, PartialEq, Serialize, Deserialize)]
pub struct Conflict {
    /// The key.
    pub id: EntryId,
    /// What it stands for.
    pub stored: Digest,
    /// What the source would have it stand for.
    pub published: Digest,
}

/// What is done to an entry.
#[derive(Clone, Copy, Debug, Eq, Hash, Ord, PartialEq, PartialOrd, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// It is new.
    Added,
    /// Its content changed, or it came back, or its key was frozen.
    Updated,
    /// Its source no longer publishes it.
    Withdrawn,
    /// Somebody removed it.
    Removed,
}

impl Action {
    /// Returns the action as it is serialized.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Added => "added",
            Self::Updated => "updated",
            Self::Withdrawn => "withdrawn",
            Self::Removed => "removed",
        }
    }

    /// Returns the status that it leads to.
    pub fn status(self) -> Status {
        match self {
            Self::Added | Self::Updated => Status::Active,
            Self::Withdrawn => Status::Withdrawn,
            Self::Removed => Status::Removed,
        }
    }
}

/// One entry's step from one state to the next.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Change {
    /// The entry.
    pub id: EntryId,
    /// What is done.
    pub action: Action,
    /// Whether its key is frozen; of one that goes it is not known.
    pub nature: Option<Nature>,
    /// Its new content; one that goes keeps what it had.
    pub body: Option<Body>,
    /// The head that the step starts from; 0 for none. If it moved meanwhile, the plan is stale.
    pub expected: Revision,
}

/// What is to be done so that the store says what a source says.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Who publishes.
    pub source: SourceName,
    /// See [`Snapshot::revision`].
    pub revision: Option<String>,
    /// See [`Snapshot::observed_at`].
    pub observed_at: Option<jiff::Timestamp>,
    /// Whether the source was asked for all it has.
    pub is_whole: bool,
    /// The steps, in the order of their ids.
    pub changes: Vec<Change>,
    /// How many entries are as they were.
    pub unchanged: usize,
    /// Frozen keys that were to get other content, and did not.
    pub conflicts: Vec<Conflict>,
    /// What the source could not use, and entries that stood in the snapshot twice.
    pub problems: Vec<Problem>,
}

impl Plan {
    /// Returns how many steps do this.
    pub fn count(&self, action: Action) -> usize {
        self.changes.iter().filter(|change| change.action == action).count()
    }
}

/// A snapshot of which nothing is applied.
#[derive(Clone, Debug, Eq, PartialEq, thiserror::Error)]
pub enum Refused {
    /// It is empty.
    #[error("{source_name} came back empty")]
    Empty {
        /// Who published it.
        source_name: SourceName,
    },
    /// It lost too much.
    #[error("{source_name} came back with {kept} of the {had} entries that it had")]
    Shrunk {
        /// Who published it.
        source_name: SourceName,
        /// How many entries it had.
        had: usize,
        /// How many of them it still has.
        kept: usize,
    },
    /// It gives frozen keys other content.
    #[error("{source_name} publishes other content under {} frozen keys, {} first", .conflicts.len(), .conflicts[0].id)]
    Conflicts {
        /// Who published it.
        source_name: SourceName,
        /// The keys; at least one.
        conflicts: Vec<Conflict>,
    },
}

/// A remote source that had at least so many entries must keep half of them.
const GUARDED_FROM: usize = 10;

/// Says what is to be done so that the store says what a snapshot says. Linear in both.
///
/// An entry that stands in a snapshot twice counts once, as it stands first.
pub fn plan(current: &Current, snapshot: &Snapshot, policy: PlanPolicy) -> Result<Plan, Refused> {
    let source_name = || snapshot.source.clone();
    let mut problems = snapshot.problems.clone();
    let mut changes = Vec::new();
    let mut conflicts = Vec::new();
    let mut unchanged = 0;
    let mut seen: HashMap<&EntryId, Digest> = HashMap::with_capacity(snapshot.entries.len());
    for entry in &snapshot.entries {
        let digest = entry.body.digest();
        if let Some(first) = seen.get(&entry.id) {
            if *first != digest {
                let message =
                    "stands there twice with different content; the first counts".to_owned();
                problems.push(Problem { place: entry.id.to_string(), message });
            }
            continue;
        }
        seen.insert(&entry.id, digest);
        if let Some(&stored) = current.frozen.get(&entry.id).filter(|stored| **stored != digest) {
            conflicts.push(Conflict { id: entry.id.clone(), stored, published: digest });
            continue;
        }
        // To freeze what could change so far is a change too.
        let freezes = entry.nature == Nature::Frozen && !current.frozen.contains_key(&entry.id);
        let head = current.heads.get(&entry.id);
        let action = match head {
            None => Action::Added,
            Some(head) if head.status == Status::Active && head.digest == digest && !freezes => {
                unchanged += 1;
                continue;
            }
            Some(head) if head.status == Status::Removed => Action::Added,
            Some(_) => Action::Updated,
        };
        changes.push(Change {
            id: entry.id.clone(),
            action,
            nature: Some(entry.nature),
            body: Some(entry.body.clone()),
            expected: head.map_or(0, |head| head.revision),
        });
    }
    if policy.on_conflict == OnConflict::Refuse && !conflicts.is_empty() {
        return Err(Refused::Conflicts { source_name: source_name(), conflicts });
    }

    let gone = |id: &EntryId, head: &Head, action| Change {
        id: id.clone(),
        action,
        nature: None,
        body: None,
        expected: head.revision,
    };
    match &snapshot.extent {
        Extent::Whole(kinds) => {
            let had = current
                .heads
                .iter()
                .filter(|(id, head)| head.status == Status::Active && kinds.contains(&id.kind));
            let (kept, lost): (Vec<_>, Vec<_>) = had.partition(|(id, _)| seen.contains_key(id));
            if snapshot.source.layer().is_remote() && !policy.allow_shrink {
                let had = kept.len() + lost.len();
                if seen.is_empty() {
                    return Err(Refused::Empty { source_name: source_name() });
                }
                if had >= GUARDED_FROM && kept.len() * 2 < had {
                    let kept = kept.len();
                    return Err(Refused::Shrunk { source_name: source_name(), had, kept });
                }
            }
            changes.extend(lost.into_iter().map(|(id, head)| gone(id, head, Action::Withdrawn)));
        }
        Extent::Part { removed, withdrawn } => {
            let removed: HashSet<_> = removed.iter().filter(|id| !seen.contains_key(id)).collect();
            let is_only_gone = |id: &&EntryId| !seen.contains_key(id) && !removed.contains(id);
            let withdrawn: HashSet<_> = withdrawn.iter().filter(is_only_gone).collect();
            changes.extend(withdrawn.into_iter().filter_map(|id| {
                let head = current.heads.get(id).filter(|head| head.status == Status::Active)?;
                Some(gone(id, head, Action::Withdrawn))
            }));
            changes.extend(removed.into_iter().filter_map(|id| {
                let head = current.heads.get(id).filter(|head| head.status != Status::Removed)?;
                Some(gone(id, head, Action::Removed))
            }));
        }
    }
    changes.sort_unstable_by(|a, b| a.id.cmp(&b.id));
    Ok(Plan {
        source: source_name(),
        revision: snapshot.revision.clone(),
        observed_at: snapshot.observed_at,
        is_whole: matches!(snapshot.extent, Extent::Whole(_)),
        changes,
        unchanged,
        conflicts,
        problems,
    })
}

#[cfg(test)]
mod tests;
