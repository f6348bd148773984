//! The tables, in numbered steps that only add.

use super::{Connection, Dialect, Mode, Transaction, Value};
use crate::StoreError;

/// The newest schema that is known here.
pub(crate) const SCHEMA: u64 = STEPS.len() as u64;

/// What stands between braces is said differently by the two; see [`statements`].
const STEPS: [&str; 1] = ["
CREATE TABLE meta (name {text} PRIMARY KEY, value {text} NOT NULL);

-- One row. Who writes holds it, so that cursors are given in the order of commits, without gaps.
CREATE TABLE counter (
    one BIGINT PRIMARY KEY CHECK (one = 1),
    cursor BIGINT NOT NULL,
    last_id BIGINT NOT NULL,
    purged BIGINT NOT NULL
);
INSERT INTO counter (one, cursor, last_id, purged) VALUES (1, 0, 0, 0);

CREATE TABLE sources (
    name {text} PRIMARY KEY,
    revision {text},
    synced_at BIGINT,
    problems {text} NOT NULL,
    conflicts {text} NOT NULL
);

-- What entries said. Never changed; several states of one entry may share one.
CREATE TABLE contents ({id}, digest {bytes} NOT NULL, body {text} NOT NULL);

-- The heads.
CREATE TABLE entries (
    {id},
    source {text} NOT NULL,
    kind {text} NOT NULL,
    key {text} NOT NULL,
    nature {text} NOT NULL,
    revision BIGINT NOT NULL,
    status {text} NOT NULL,
    digest {bytes} NOT NULL,
    content BIGINT NOT NULL,
    observed_at BIGINT NOT NULL,
    changed_at BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    UNIQUE (source, kind, key)
);
CREATE INDEX entries_of_id ON entries (kind, key, source);

CREATE TABLE revisions (
    entry BIGINT NOT NULL REFERENCES entries (id),
    revision BIGINT NOT NULL,
    status {text} NOT NULL,
    content BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor {text} NOT NULL,
    PRIMARY KEY (entry, revision)
){keyed};

CREATE TABLE frozen (
    kind {text} NOT NULL,
    key {text} NOT NULL,
    digest {bytes} NOT NULL,
    PRIMARY KEY (kind, key)
){keyed};

CREATE TABLE feed (
    {cursor},
    batch BIGINT NOT NULL,
    at BIGINT NOT NULL,
    actor {text} NOT NULL,
    entry BIGINT NOT NULL REFERENCES entries (id),
    action {text} NOT NULL,
    revision_before BIGINT NOT NULL,
    revision_after BIGINT NOT NULL
);

-- What follows can be made anew from the heads.
CREATE TABLE cards (
    {id},
    kind {text} NOT NULL,
    key {text} NOT NULL,
    bare {text} NOT NULL,
    provider {text} NOT NULL,
    canonical {text},
    name {text} NOT NULL,
    status {text} NOT NULL,
    context_window BIGINT,
    max_output_tokens BIGINT,
    prompt_nano_usd BIGINT,
    completion_nano_usd BIGINT,
    capabilities {text} NOT NULL,
    modalities {text} NOT NULL,
    released {text},
    updated_at BIGINT NOT NULL,
    cursor BIGINT NOT NULL,
    words {text} NOT NULL{tokens},
    UNIQUE (kind, key)
);
CREATE INDEX cards_by_canonical ON cards {hash}(canonical);
CREATE INDEX cards_by_bare ON cards {hash}(bare);
CREATE INDEX cards_by_provider ON cards (kind, provider, key);
CREATE INDEX cards_by_cursor ON cards (cursor);
CREATE TABLE card_bodies ({id}, body {text} NOT NULL);
{search}
"];

/// Writes a step for one of the two. Text is compared byte by byte in both. The words of a card are
/// lower-case and separated by spaces before they come here, and nothing else divides them.
fn statements(step: &str, dialect: Dialect) -> String {
    let said = match dialect {
        Dialect::Sqlite => [
            ("{text}", "TEXT"),
            ("{bytes}", "BLOB"),
            ("{id}", "id INTEGER PRIMARY KEY"),
            ("{cursor}", "cursor INTEGER PRIMARY KEY"),
            ("{keyed}", " WITHOUT ROWID"),
            ("{hash}", ""),
            ("{tokens}", ""),
            (
                "{search}",
                "CREATE VIRTUAL TABLE card_words USING fts5(words, content = '', contentless_delete = 1,
                     detail = none, prefix = '1 2 3 4 5 6 7 8',
                     tokenize = \"unicode61 remove_diacritics 0 categories 'L* M* N* P* S* Co'\");",
            ),
        ],
        Dialect::Postgres => [
            ("{text}", "TEXT COLLATE \"C\""),
            ("{bytes}", "BYTEA"),
            ("{id}", "id BIGINT PRIMARY KEY"),
            ("{cursor}", "cursor BIGINT PRIMARY KEY"),
            ("{keyed}", ""),
            ("{hash}", "USING hash "),
            (
                "{tokens}",
                ",
    tokens tsvector GENERATED ALWAYS AS (array_to_tsvector(string_to_array(words, ' '))) STORED",
            ),
            (
                "{search}",
                "CREATE INDEX cards_by_words ON cards USING gin (tokens) WITH (fastupdate = off);",
            ),
        ],
    };
    said.iter().fold(step.to_owned(), |text, (mark, said)| text.replace(mark, said))
}

/// Makes the tables that are missing, all of them or none. Where none is, nothing is written.
pub(super) fn bring_up_to_date(connection: &mut Connection) -> Result<(), StoreError> {
    if found(connection)? == SCHEMA {
        return Ok(());
    }
    if connection.dialect() == Dialect::Postgres {
        make_namespace(connection)?;
    }
    let mut transaction = connection.begin(Mode::Write)?;
    if transaction.dialect() == Dialect::Postgres {
        transaction.batch("SELECT pg_advisory_xact_lock(4919253168)")?;
    }
    transaction.take_time()?;
    // Another process may have been faster.
    let found = found(&mut transaction)?;
    for (i, step) in STEPS.iter().enumerate().skip(usize::try_from(found).unwrap_or(usize::MAX)) {
        let statements = statements(step, transaction.dialect());
        transaction.batch(&statements)?;
        if i == 0 {
            let id = format!("{:016x}{:016x}", fastrand::u64(..), fastrand::u64(..));
            set_meta(&mut transaction, "store", &id)?;
        }
    }
    set_meta(&mut transaction, "schema", &SCHEMA.to_string())?;
    transaction.commit()
}

/// Keeps a value by its name.
pub(crate) fn set_meta(
    transaction: &mut Transaction<'_>,
    name: &str,
    value: &str,
) -> Result<(), StoreError> {
    let sql = "INSERT INTO meta (name, value) VALUES ($1, $2)
               ON CONFLICT (name) DO UPDATE SET value = excluded.value";
    transaction.execute(sql, &[Value::Text(name), Value::Text(value)]).map(drop)
}

/// Who may not make a namespace can be given one.
fn make_namespace(connection: &mut Connection) -> Result<(), StoreError> {
    let sql = "SELECT COUNT(*) FROM pg_namespace WHERE nspname = 'callsheet'";
    if connection.number(sql, &[])? == 0 {
        let mut transaction = connection.begin(Mode::Write)?;
        transaction.batch("SELECT pg_advisory_xact_lock(4919253168)")?;
        transaction.batch("CREATE SCHEMA IF NOT EXISTS callsheet")?;
        transaction.commit()?;
    }
    Ok(())
}

/// Returns which schema is there; 0 for none.
fn found(connection: &mut Connection) -> Result<u64, StoreError> {
    // One question, since somebody else may make the schema between two.
    let is_there = match connection.dialect() {
        Dialect::Sqlite => {
            "SELECT CASE
                 WHEN EXISTS (SELECT 1 FROM sqlite_master WHERE name = 'meta') THEN 1
                 WHEN EXISTS (SELECT 1 FROM sqlite_master) THEN 2
                 ELSE 0
             END"
        }
        Dialect::Postgres => {
            "SELECT COUNT(*) FROM pg_tables WHERE schemaname = 'callsheet' AND tablename = 'meta'"
        }
    };
    match connection.number(is_there, &[])? {
        0 => return Ok(0),
        1 => {}
        _ => return Err(connection.damaged("it is a database of something else")),
    }
    let sql = "SELECT value FROM meta WHERE name = 'schema'";
    let found = connection.first(sql, &[], |row| row.text(0).map(str::to_owned))?;
    let found = found.and_then(|text| text.parse::<u64>().ok());
    match found {
        Some(found) if found > SCHEMA => {
            Err(StoreError::NewerSchema { place: connection.place().clone(), found, known: SCHEMA })
        }
        Some(found) if found > 0 => Ok(found),
        _ => Err(connection.damaged("it does not say which schema it has")),
    }
}
