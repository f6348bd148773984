use callsheet_types::{
    Body, EntryId, Nature, Plan, Problem, SourceName,
    plan::{Conflict, Revision, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// An entry of one source, as it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Stored {
    /// What it is about.
    pub id: EntryId,
    /// Who publishes it.
    pub source: SourceName,
    /// Whether its key may come to mean something else.
    pub nature: Nature,
    /// Its newest revision.
    pub revision: Revision,
    /// Whether it is published.
    pub status: Status,
    /// What the source says, or said last.
    pub body: Body,
    /// When the content (not the status) became this: when it was observed.
    pub observed_at: Timestamp,
    /// When the head last moved.
    pub changed_at: Timestamp,
}

/// A state that an entry of one source was in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredRevision {
    /// Who published it.
    pub source: SourceName,
    /// Its number.
    pub revision: Revision,
    /// Whether it was published.
    pub status: Status,
    /// What the source said.
    pub body: Body,
    /// When it was written.
    pub at: Timestamp,
    /// Who had it written.
    pub actor: String,
}

/// A source and its last sync.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Source {
    /// Its name.
    pub name: SourceName,
    /// Its own name for what it published last.
    pub revision: Option<String>,
    /// When it was last asked for all it has, and answered.
    pub synced_at: Option<Timestamp>,
    /// How many entries it has active.
    pub entries: u64,
    /// What could not be used of what it published last.
    pub problems: Vec<Problem>,
    /// Frozen keys for which it publishes other content than is stored.
    pub conflicts: Vec<Conflict>,
}

/// Who writes, when, and whether in earnest.
#[derive(Clone, Debug)]
pub struct Intent {
    /// Who has it written: `cli`, `api`, `daemon`, or somebody's name.
    pub actor: String,
    /// The moment.
    pub at: Timestamp,
    /// Only plans.
    pub dry_run: bool,
}

impl Intent {
    /// Writes in earnest, now.
    pub fn now(actor: &str) -> Self {
        Self { actor: actor.to_owned(), at: Timestamp::now(), dry_run: false }
    }
}

/// What was done.
#[derive(Clone, Debug)]
pub struct Applied {
    /// The plan that was.
    pub plan: Plan,
    /// The feed's newest cursor after it; that from before where nothing changed.
    pub cursor: u64,
}
