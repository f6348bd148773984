//! All SQL: entries, their revisions, the feed and its readers, and lists that can be rebuilt, on
//! SQLite or PostgreSQL.
//!
//! Every method blocks: call it from a thread that may. The crate must never know what a body
//! means; who wants a list of something gives a [`Project`] that makes rows of bodies. Start with
//! [`Store::publish`], which is plan and apply until it holds.

mod card;
mod error;
mod feed;
mod stored;
mod url;

pub use card::{CardPage, CardQuery, CardRow, CardSort, Project};
pub use error::{PublishError, StoreError};
pub use feed::{Changes, Cursor, FeedChange};
pub use stored::{Applied, Intent, Source, Stored, StoredRevision};
pub use url::{StoreUrl, StoreUrlError};

use callsheet_types::{
    EntryId, Kind, Plan, Snapshot,
    plan::{Current, PlanPolicy},
};
use jiff::Timestamp;
use std::{path::Path, time::Duration};

/// An open database. Cloning shares it.
#[derive(Clone)]
pub struct Store {}

#[allow(
    missing_docs,
    unused_variables,
    unused_imports,
    clippy::unused_self,
    clippy::missing_const_for_fn,
    clippy::unimplemented,
    clippy::needless_pass_by_value,
    reason = "being written"
)]
impl Store {
    /// Opens a database and brings its schema up to date; one of SQLite is made if need be.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        unimplemented!()
    }
    pub fn url(&self) -> &StoreUrl {
        unimplemented!()
    }

    // Reading entries.
    /// What a plan for this source looks at.
    pub fn current(&self, snapshot: &Snapshot) -> Result<Current, StoreError> {
        unimplemented!()
    }
    /// All heads of an id, whoever publishes it, withdrawn and removed ones among them.
    pub fn entry(&self, id: &EntryId) -> Result<Vec<Stored>, StoreError> {
        unimplemented!()
    }
    /// All heads of several ids, in the order of ids and sources.
    pub fn entries_of(&self, ids: &[EntryId]) -> Result<Vec<Stored>, StoreError> {
        unimplemented!()
    }
    /// All heads of a kind, in the order of key and source.
    pub fn entries(&self, kind: &Kind) -> Result<Vec<Stored>, StoreError> {
        unimplemented!()
    }
    /// All kept revisions of an id, newest first.
    pub fn history(&self, id: &EntryId) -> Result<Vec<StoredRevision>, StoreError> {
        unimplemented!()
    }
    /// Every source that ever published, with its last sync.
    pub fn sources(&self) -> Result<Vec<Source>, StoreError> {
        unimplemented!()
    }

    // Writing.
    /// One transaction; `PublishError::Stale` if a head moved meanwhile.
    pub fn apply(
        &self,
        plan: &Plan,
        intent: &Intent,
        project: &dyn Project,
    ) -> Result<Applied, PublishError> {
        unimplemented!()
    }
    /// Plans and applies, again if a head moved meanwhile. A dry run only plans.
    pub fn publish(
        &self,
        snapshot: &Snapshot,
        policy: PlanPolicy,
        intent: &Intent,
        project: &dyn Project,
    ) -> Result<Applied, PublishError> {
        unimplemented!()
    }
    /// Makes all rows anew.
    pub fn rebuild(&self, project: &dyn Project) -> Result<usize, StoreError> {
        unimplemented!()
    }

    // The feed.
    /// The newest cursor; 0 before the first change.
    pub fn cursor(&self) -> Result<Cursor, StoreError> {
        unimplemented!()
    }
    /// The cursor before the first change at or after a moment.
    pub fn cursor_at(&self, moment: Timestamp) -> Result<Cursor, StoreError> {
        unimplemented!()
    }
    /// Changes after a cursor, oldest first. `StoreError::Expired` where some of them were purged.
    pub fn changes(
        &self,
        since: Cursor,
        kind: Option<&Kind>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        unimplemented!()
    }
    /// Blocks until something was written after `since` (by anybody), or the time is over; returns
    /// the newest cursor.
    pub fn wait(&self, since: Cursor, at_most: Duration) -> Result<Cursor, StoreError> {
        unimplemented!()
    }

    // Cards.
    pub fn cards(&self, query: &CardQuery) -> Result<CardPage, StoreError> {
        unimplemented!()
    }
    /// The rows of these ids that exist.
    pub fn cards_of(&self, ids: &[EntryId]) -> Result<Vec<CardRow>, StoreError> {
        unimplemented!()
    }
    /// The ids (kind `model`) that have this canonical id, or whose key after the first colon is this text.
    pub fn cards_named(&self, name: &str) -> Result<Vec<CardRow>, StoreError> {
        unimplemented!()
    }

    // Maintenance.
    /// Copies the database to a new file, while others read and write.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        unimplemented!()
    }
}
