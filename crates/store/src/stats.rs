//! How much there is.

use crate::{
    StoreError,
    db::{Connection, Dialect, SCHEMA},
    write::Counter,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How much a store holds.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stats {
    /// The schema it has.
    pub schema: u64,
    /// What it calls itself; no other store has the same.
    pub store: String,
    /// Sources that ever published.
    pub sources: u64,
    /// Heads by kind and status.
    pub entries: BTreeMap<String, BTreeMap<String, u64>>,
    /// Keys that never change.
    pub frozen: u64,
    /// Revisions that are kept.
    pub revisions: u64,
    /// Changes that are kept.
    pub changes: u64,
    /// Rows of lists.
    pub cards: u64,
    /// The newest cursor.
    pub cursor: u64,
    /// The cursor up to which changes were purged.
    pub purged: u64,
    /// What the database takes, without what is yet to be written into it.
    pub size_bytes: u64,
}

pub(crate) fn stats(connection: &mut Connection) -> Result<Stats, StoreError> {
    let counter = Counter::read(connection)?;
    let mut entries: BTreeMap<String, BTreeMap<String, u64>> = BTreeMap::new();
    let sql = "SELECT kind, status, COUNT(*) FROM entries GROUP BY kind, status";
    connection.each(sql, &[], |row| {
        let of_kind = entries.entry(row.text(0)?.to_owned()).or_default();
        of_kind.insert(row.text(1)?.to_owned(), row.count(2)?);
        Ok(())
    })?;
    let size = match connection.dialect() {
        Dialect::Sqlite => {
            "SELECT page_count * page_size FROM pragma_page_count(), pragma_page_size()"
        }
        Dialect::Postgres => "SELECT pg_database_size(current_database())",
    };
    let store = "SELECT value FROM meta WHERE name = 'store'";
    let store = connection.first(store, &[], |row| row.text(0).map(str::to_owned))?;
    let mut count = |table: &str| connection.number(&format!("SELECT COUNT(*) FROM {table}"), &[]);
    Ok(Stats {
        schema: SCHEMA,
        store: store.unwrap_or_default(),
        sources: count("sources")?,
        entries,
        frozen: count("frozen")?,
        revisions: count("revisions")?,
        changes: count("feed")?,
        cards: count("cards")?,
        cursor: counter.cursor,
        purged: counter.purged,
        size_bytes: connection.number(size, &[])?,
    })
}
