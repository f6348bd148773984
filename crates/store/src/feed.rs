use callsheet_types::{
    Body, EntryId, SourceName,
    plan::{Action, Revision},
};
use jiff::Timestamp;

/// A place in the feed: how many changes there were up to there.
pub type Cursor = u64;

/// One change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FeedChange {
    /// Its place.
    pub cursor: Cursor,
    /// All changes of one transaction have the same: the cursor of its first.
    pub transaction: Cursor,
    /// When.
    pub at: Timestamp,
    /// Who had it done.
    pub actor: String,
    /// Whose entry it is.
    pub source: SourceName,
    /// What it is about.
    pub id: EntryId,
    /// What was done.
    pub action: Action,
    /// The revision that it led to.
    pub revision: Revision,
    /// What was published before; `None` where nothing was, as before one that comes back.
    pub before: Option<Body>,
    /// What is published after; `None` of one that goes, although what it said is kept.
    pub after: Option<Body>,
}

/// Some changes, and where the next begin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    /// The changes, oldest first.
    pub changes: Vec<FeedChange>,
    /// The cursor after which to go on: that of the last change looked at.
    pub next: Cursor,
    /// Whether there were more than the limit.
    pub has_more: bool,
}
