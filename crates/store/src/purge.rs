//! Forgetting what happened long ago.

use crate::{
    StoreError,
    db::{Connection, Mode, Pool, Transaction, Value, set_meta},
    heads::moment,
    write::Counter,
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// What was forgotten, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Purged {
    /// Revisions that were no heads, and that no change that is kept led from or to.
    pub revisions: u64,
    /// Changes.
    pub changes: u64,
}

/// What is no longer a head and in no change that is kept.
const REVISIONS: &str = "DELETE FROM revisions WHERE (entry, revision) NOT IN (
    SELECT id, revision FROM entries
    UNION SELECT entry, revision_before FROM feed
    UNION SELECT entry, revision_after FROM feed)";

const CONTENTS: &str = "DELETE FROM contents WHERE id NOT IN (SELECT content FROM revisions)";

/// A dry run does the same, and undoes it.
pub(crate) fn purge(pool: &Pool, before: Timestamp, dry_run: bool) -> Result<Purged, StoreError> {
    if dry_run {
        let mut connection = pool.connect()?;
        let mut transaction = connection.begin(Mode::Write)?;
        return forget(&mut transaction, before);
    }
    pool.write(|transaction| forget(transaction, before))
}

/// Under this name stands when the newest change was made of those that are no longer kept.
const LAST_PURGED: &str = "last_purged";

/// Returns when the newest change was made of those that are no longer kept, if that is known.
pub(crate) fn last_purged(connection: &mut Connection) -> Result<Option<Timestamp>, StoreError> {
    let sql = "SELECT value FROM meta WHERE name = $1";
    connection.first(sql, &[Value::Text(LAST_PURGED)], |row| {
        row.text(0)?.parse().map_err(|error: jiff::Error| row.damaged(error))
    })
}

pub(crate) fn set_last_purged(
    transaction: &mut Transaction<'_>,
    at: Timestamp,
) -> Result<(), StoreError> {
    set_meta(transaction, LAST_PURGED, &at.to_string())
}

fn forget(transaction: &mut Transaction<'_>, before: Timestamp) -> Result<Purged, StoreError> {
    transaction.take_time()?;
    let mut counter = Counter::lock(transaction)?;
    // Clocks differ; what is forgotten is the feed's beginning, up to the first change that is not
    // old enough.
    let sql = "SELECT MIN(cursor) FROM feed WHERE at >= $1";
    let first = transaction.first(sql, &[Value::Int(before.as_microsecond())], |row| {
        row.int_if_any(0)?.map(|_| row.count(0)).transpose()
    })?;
    let last_old = first.flatten().map_or(counter.cursor, |first| first.saturating_sub(1));
    if last_old <= counter.purged {
        return Ok(Purged::default());
    }
    let old = Value::Int(last_old.cast_signed());
    let sql = "SELECT MAX(at) FROM feed WHERE cursor <= $1";
    let last = transaction
        .first(sql, &[old], |row| row.int_if_any(0)?.map(|_| moment(row, 0)).transpose())?;
    if let Some(last) = last.flatten().max(last_purged(transaction)?) {
        set_last_purged(transaction, last)?;
    }
    let changes = transaction.execute("DELETE FROM feed WHERE cursor <= $1", &[old])?;
    let revisions = transaction.execute(REVISIONS, &[])?;
    transaction.execute(CONTENTS, &[])?;
    counter.purged = last_old;
    counter.write(transaction)?;
    Ok(Purged { revisions, changes })
}
