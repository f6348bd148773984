//! All SQL: entries, their revisions, the feed and its readers, and lists that can be rebuilt, on
//! SQLite or PostgreSQL.
//!
//! Every method blocks: call it from a thread that may. The crate must never know what a body
//! means; who wants a list of something gives a [`Project`] that makes rows of bodies. Start with
//! [`Store::publish`], which is plan and apply until it holds.

mod backup;
mod blobs;
mod card;
mod check;
mod db;
mod drivers;
mod error;
mod feed;
mod follow;
mod heads;
mod list;
mod purge;
#[doc(hidden)]
pub mod replay;
mod rows;
mod stats;
mod stored;
mod transfer;
mod url;
mod wait;
mod write;

pub use blobs::{Blobs, BlobsUrl, S3Access, S3Keys};
pub use card::{CardPage, CardQuery, CardRow, CardSort, Project};
pub use error::{PublishError, StoreError};
pub use feed::{Changes, Cursor, FeedChange};
pub use purge::Purged;
pub use stats::Stats;
pub use stored::{Applied, Intent, Source, Stored, StoredRevision};
pub use transfer::{Counts, check_export, gather_export};
pub use url::{PostgresUrl, StoreUrl, StoreUrlError};

use callsheet_types::{
    Digest, EntryId, Kind, Plan, Problem, Snapshot,
    plan::{Current, PlanPolicy, plan},
};
use db::{Mode, Pool};
use jiff::Timestamp;
use std::{
    io::{BufRead, Write},
    path::Path,
    sync::Arc,
    time::Duration,
};
use write::Counter;

/// How often a snapshot is planned because somebody else wrote meanwhile.
const ATTEMPTS: u32 = 100;

/// How often one comes back to a database that somebody else kept writing for as long as one waits.
const ATTEMPTS_WHILE_BUSY: u32 = 3;

/// An open database. Cloning shares it.
#[derive(Clone)]
pub struct Store {
    shared: Arc<Shared>,
}

struct Shared {
    pool: Pool,
    waiting: wait::Waiting,
}

impl Store {
    /// Opens a database and brings its schema up to date; one of SQLite is made if need be.
    pub fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        let shared = Shared { pool: Pool::open(url)?, waiting: wait::Waiting::default() };
        Ok(Self { shared: Arc::new(shared) })
    }

    /// Returns where it is.
    pub fn url(&self) -> &StoreUrl {
        self.shared.pool.url()
    }

    fn pool(&self) -> &Pool {
        &self.shared.pool
    }

    /// Returns what a plan for the source of a snapshot looks at.
    pub fn current(&self, snapshot: &Snapshot) -> Result<Current, StoreError> {
        self.pool().read(|connection| heads::current(connection, snapshot))
    }

    /// Returns all heads of an id, whoever publishes it, withdrawn and removed ones among them.
    pub fn entry(&self, id: &EntryId) -> Result<Vec<Stored>, StoreError> {
        self.entries_of(std::slice::from_ref(id))
    }

    /// Returns all heads of several ids, in the order of ids and sources.
    pub fn entries_of(&self, ids: &[EntryId]) -> Result<Vec<Stored>, StoreError> {
        let known = self.pool().read(|connection| heads::known_of(connection, ids))?;
        Ok(known.into_iter().map(|known| known.stored).collect())
    }

    /// Returns all heads of a kind, in the order of key and source.
    pub fn entries(&self, kind: &Kind) -> Result<Vec<Stored>, StoreError> {
        self.pool().with(|connection| {
            let mut found = Vec::new();
            heads::each_of_kind(connection, kind, |known| {
                found.push(known.stored);
                Ok(())
            })?;
            Ok(found)
        })
    }

    /// Returns all kept revisions of an id, newest first.
    pub fn history(&self, id: &EntryId) -> Result<Vec<StoredRevision>, StoreError> {
        self.pool().with(|connection| heads::history(connection, id))
    }

    /// Returns every source that ever published, with its last sync.
    pub fn sources(&self) -> Result<Vec<Source>, StoreError> {
        self.pool().with(heads::sources)
    }

    /// Does what a plan says in one transaction; [`PublishError::Stale`], with nothing written, if
    /// a head moved since the plan was made.
    ///
    /// A plan without changes writes at most the row of its source.
    pub fn apply(
        &self,
        plan: &Plan,
        intent: &Intent,
        project: &dyn Project,
    ) -> Result<Applied, PublishError> {
        let cursor = if intent.dry_run {
            self.cursor()?
        } else {
            let write = |transaction: &mut db::Transaction<'_>| {
                write::apply(transaction, plan, intent, project)
            };
            let cursor = self.pool().write(write)?;
            self.shared.waiting.wake();
            cursor
        };
        Ok(Applied { plan: plan.clone(), cursor })
    }

    /// Plans and applies, again if a head moved meanwhile. A dry run only plans.
    pub fn publish(
        &self,
        snapshot: &Snapshot,
        policy: PlanPolicy,
        intent: &Intent,
        project: &dyn Project,
    ) -> Result<Applied, PublishError> {
        self.plan_and_apply(intent, project, || {
            let current = self.current(snapshot)?;
            Ok(plan(&current, snapshot, policy)?)
        })
    }

    /// Applies what `plan` makes, and has it made again if a head moved meanwhile;
    /// [`PublishError::Stale`] where somebody else is always faster. A dry run only plans.
    pub fn plan_and_apply<E: From<PublishError>>(
        &self,
        intent: &Intent,
        project: &dyn Project,
        mut plan: impl FnMut() -> Result<Plan, E>,
    ) -> Result<Applied, E> {
        let (mut attempt, mut busy) = (0, 1);
        loop {
            let plan = plan()?;
            attempt += 1;
            match self.apply(&plan, intent, project) {
                Err(PublishError::Stale) if attempt < ATTEMPTS => {}
                Err(PublishError::Store(StoreError::Busy { .. })) if busy < ATTEMPTS_WHILE_BUSY => {
                    busy += 1;
                }
                done => return done.map_err(E::from),
            }
            // Two who meet each time would meet again if both came back at once.
            let at_most = u64::from(attempt.min(10)) * 5;
            std::thread::sleep(Duration::from_millis(fastrand::u64(0..=at_most)));
        }
    }

    /// Makes all rows anew, and returns how many there are.
    pub fn rebuild(&self, project: &dyn Project) -> Result<usize, StoreError> {
        self.pool().write(|transaction| {
            transaction.take_time()?;
            let mut counter = Counter::lock(transaction)?;
            let count = rows::rebuild(transaction, project, &mut counter)?;
            counter.write(transaction)?;
            Ok(count)
        })
    }

    /// Returns the newest cursor; 0 before the first change.
    pub fn cursor(&self) -> Result<Cursor, StoreError> {
        self.pool().with(|connection| Counter::read(connection).map(|counter| counter.cursor))
    }

    /// Returns the cursor before the first change at or after a moment. [`StoreError::Expired`]
    /// where that may have been purged.
    pub fn cursor_at(&self, moment: Timestamp) -> Result<Cursor, StoreError> {
        self.pool().read(|connection| follow::cursor_at(connection, moment))
    }

    /// Returns changes after a cursor, oldest first. [`StoreError::Expired`] where some of them were
    /// purged, and [`StoreError::PastEnd`] where the feed never came so far.
    pub fn changes(
        &self,
        since: Cursor,
        kind: Option<&Kind>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        self.pool().read(|connection| follow::changes(connection, since, kind, limit))
    }

    /// Blocks until something was written after `since` (by anybody), or the time is over; returns
    /// the newest cursor.
    pub fn wait(&self, since: Cursor, at_most: Duration) -> Result<Cursor, StoreError> {
        self.shared.waiting.wait(self.pool(), since, at_most)
    }

    /// Returns the rows that match, a page at a time.
    pub fn cards(&self, query: &CardQuery) -> Result<CardPage, StoreError> {
        self.pool().read(|connection| list::cards(connection, query))
    }

    /// Returns the rows of these ids that exist, in the order of kind and key.
    pub fn cards_of(&self, ids: &[EntryId]) -> Result<Vec<CardRow>, StoreError> {
        self.pool().read(|connection| list::cards_of(connection, ids))
    }

    /// Returns the rows of kind `model` that have this canonical id, or whose key after the first
    /// colon is this text.
    pub fn cards_named(&self, name: &str) -> Result<Vec<CardRow>, StoreError> {
        self.pool().with(|connection| list::cards_named(connection, name))
    }

    /// Copies the database to a new file, while others read and write. That of SQLite is a database
    /// that can be opened; that of PostgreSQL is an export.
    pub fn backup(&self, to: &Path) -> Result<(), StoreError> {
        backup::backup(self, to)
    }

    /// Writes the whole state as lines of JSON, the same whichever database it is, as it stands at
    /// one moment. The last line has counts and digests of what came before it.
    pub fn export(&self, out: &mut dyn Write) -> Result<Counts, StoreError> {
        let mut connection = self.pool().connect()?;
        let mut transaction = connection.begin(Mode::Read)?;
        transfer::export(&mut transaction, out).map(|(counts, _)| counts)
    }

    /// Reads an export into a store in which nothing was ever published, wholly or not at all.
    /// Nobody else writes meanwhile: what may be long in coming is better [`gather_export`]ed first.
    pub fn import(
        &self,
        input: &mut dyn BufRead,
        project: &dyn Project,
    ) -> Result<Counts, StoreError> {
        let write =
            |transaction: &mut db::Transaction<'_>| transfer::import(transaction, input, project);
        let counts = self.pool().write(write)?;
        self.shared.waiting.wake();
        Ok(counts)
    }

    /// Returns the digest of the state: two stores that say the same have the same, whichever
    /// databases they are. When sources were asked last is no part of it.
    pub fn digest(&self) -> Result<Digest, StoreError> {
        self.pool().read(transfer::state_digest)
    }

    /// Looks whether what is stored is what was written, and hangs together as it must; returns
    /// what is wrong.
    pub fn check(&self, project: &dyn Project) -> Result<Vec<Problem>, StoreError> {
        self.pool().read(|connection| check::check(connection, project))
    }

    /// Forgets the feed's changes from before a moment, and the revisions that are then neither
    /// heads nor in a change. A dry run only counts them.
    pub fn purge(&self, before: Timestamp, dry_run: bool) -> Result<Purged, StoreError> {
        purge::purge(self.pool(), before, dry_run)
    }

    /// Returns how much there is.
    pub fn stats(&self) -> Result<Stats, StoreError> {
        self.pool().read(stats::stats)
    }
}
