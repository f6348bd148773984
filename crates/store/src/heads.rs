//! Reading entries, their revisions, and their sources.

use crate::{
    Source, StoreError, Stored, StoredRevision,
    db::{Column, Connection, Row, Type, Value},
};
use callsheet_types::{
    Body, Digest, EntryId, Kind, Nature, Snapshot, SourceName,
    plan::{Current, Head, Status},
};
use jiff::Timestamp;
use std::collections::{HashMap, HashSet};

/// An entry of one source, with what only this crate knows of it.
#[derive(Clone, Debug)]
pub(crate) struct Known {
    pub(crate) id: i64,
    pub(crate) content: i64,
    pub(crate) cursor: u64,
    /// That of the body, where it can be borrowed.
    pub(crate) digest: Digest,
    pub(crate) stored: Stored,
}

/// Ends with its joins; [`Reader::known`] reads what it selects.
pub(crate) const SELECT_KNOWN: &str =
    "SELECT e.id, e.content, e.cursor, e.kind, e.key, e.source, e.nature, e.revision,
        e.status, e.digest, e.observed_at, e.changed_at, c.body
    FROM entries e JOIN contents c ON c.id = e.content";

pub(crate) const BY_ID: [Column; 2] = [("e.kind", Type::Text), ("e.key", Type::Text)];

/// From so many entries on, frozen keys are read kind by kind rather than one by one.
const MANY: usize = 1_000;

/// Reads rows; kinds and sources, of which there are few, are shared between them.
#[derive(Default)]
pub(crate) struct Reader {
    kinds: Vec<Kind>,
    sources: HashMap<String, SourceName>,
}

impl Reader {
    pub(crate) fn kind(&mut self, row: &Row<'_>, column: usize) -> Result<Kind, StoreError> {
        let text = row.text(column)?;
        if let Some(kind) = self.kinds.iter().find(|kind| kind.as_str() == text) {
            return Ok(kind.clone());
        }
        let kind = Kind::new(text).map_err(|error| row.damaged(error))?;
        self.kinds.push(kind.clone());
        Ok(kind)
    }

    pub(crate) fn source(
        &mut self,
        row: &Row<'_>,
        column: usize,
    ) -> Result<SourceName, StoreError> {
        let text = row.text(column)?;
        if let Some(source) = self.sources.get(text) {
            return Ok(source.clone());
        }
        let source = SourceName::parse(text).map_err(|error| row.damaged(error))?;
        self.sources.insert(text.to_owned(), source.clone());
        Ok(source)
    }

    /// Reads an id from two columns.
    pub(crate) fn id(&mut self, row: &Row<'_>, column: usize) -> Result<EntryId, StoreError> {
        Ok(EntryId { kind: self.kind(row, column)?, key: row.text(column + 1)?.into() })
    }

    pub(crate) fn known(&mut self, row: &Row<'_>) -> Result<Known, StoreError> {
        let digest = digest(row, 9)?;
        Ok(Known {
            id: row.int(0)?,
            content: row.int(1)?,
            cursor: row.count(2)?,
            digest,
            stored: Stored {
                id: self.id(row, 3)?,
                source: self.source(row, 5)?,
                nature: nature(row, 6)?,
                revision: row.count(7)?,
                status: status(row, 8)?,
                body: Body::stored(row.text(12)?.into(), digest),
                observed_at: moment(row, 10)?,
                changed_at: moment(row, 11)?,
            },
        })
    }
}

pub(crate) fn digest(row: &Row<'_>, column: usize) -> Result<Digest, StoreError> {
    let bytes = row.bytes(column)?.try_into();
    bytes.map(Digest::from_bytes).map_err(|_| row.damaged("a digest has not 32 bytes"))
}

pub(crate) fn moment(row: &Row<'_>, column: usize) -> Result<Timestamp, StoreError> {
    Timestamp::from_microsecond(row.int(column)?).map_err(|error| row.damaged(error))
}

pub(crate) fn status(row: &Row<'_>, column: usize) -> Result<Status, StoreError> {
    let text = row.text(column)?;
    let known = [Status::Active, Status::Withdrawn, Status::Removed];
    let status = known.into_iter().find(|status| status.as_str() == text);
    status.ok_or_else(|| row.damaged(format_args!("{text:?} is no status")))
}

pub(crate) fn nature(row: &Row<'_>, column: usize) -> Result<Nature, StoreError> {
    let text = row.text(column)?;
    let nature = [Nature::Frozen, Nature::Tracking].into_iter().find(|n| nature_name(*n) == text);
    nature.ok_or_else(|| row.damaged(format_args!("{text:?} is no nature")))
}

pub(crate) fn nature_name(nature: Nature) -> &'static str {
    match nature {
        Nature::Frozen => "frozen",
        Nature::Tracking => "tracking",
    }
}

/// Moments are kept to the microsecond.
pub(crate) fn to_microseconds(moment: Timestamp) -> i64 {
    moment.as_microsecond()
}

/// Returns a moment as it is read again.
pub(crate) fn as_kept(moment: Timestamp) -> Timestamp {
    Timestamp::from_microsecond(to_microseconds(moment)).unwrap_or(moment)
}

/// Returns whether the databases can hold a key: PostgreSQL has no text with a NUL in it, and puts
/// a limit on what it can index.
pub(crate) fn is_storable(key: &str) -> bool {
    (1..=1024).contains(&key.len()) && !key.contains('\0')
}

/// The values by which rows of these ids are looked up; what cannot be there is not looked for.
pub(crate) fn keys<'a>(ids: impl IntoIterator<Item = &'a EntryId>) -> Vec<Value<'a>> {
    ids.into_iter()
        .filter(|id| is_storable(&id.key))
        .flat_map(|id| [Value::Text(id.kind.as_str()), Value::Text(&id.key)])
        .collect()
}

pub(crate) fn current(
    connection: &mut Connection,
    snapshot: &Snapshot,
) -> Result<Current, StoreError> {
    let mut current = Current::default();
    let mut reader = Reader::default();
    let sql = "SELECT kind, key, revision, digest, status FROM entries WHERE source = $1";
    connection.each(sql, &[snapshot.source.as_str().into()], |row| {
        let head =
            Head { revision: row.count(2)?, digest: digest(row, 3)?, status: status(row, 4)? };
        current.heads.insert(reader.id(row, 0)?, head);
        Ok(())
    })?;
    current.frozen = frozen_of(connection, snapshot)?;
    Ok(current)
}

/// Returns what the frozen ones among the keys of a snapshot stand for.
fn frozen_of(
    connection: &mut Connection,
    snapshot: &Snapshot,
) -> Result<HashMap<EntryId, Digest>, StoreError> {
    let mut frozen = HashMap::new();
    let mut reader = Reader::default();
    let mut visit = |row: &Row<'_>| {
        frozen.insert(reader.id(row, 0)?, digest(row, 2)?);
        Ok(())
    };
    let select = "SELECT e.kind, e.key, e.digest FROM frozen e";
    if snapshot.entries.len() < MANY {
        let keys = keys(snapshot.entries.iter().map(|entry| &entry.id));
        connection.each_of(select, &BY_ID, &keys, &mut visit)?;
    } else {
        let kinds: HashSet<_> = snapshot.entries.iter().map(|e| e.id.kind.as_str()).collect();
        let kinds: Vec<_> = kinds.into_iter().map(Value::Text).collect();
        connection.each_of(select, &BY_ID[..1], &kinds, &mut visit)?;
    }
    Ok(frozen)
}

/// Returns all heads of some ids, in the order of ids and sources.
pub(crate) fn known_of<'a>(
    connection: &mut Connection,
    ids: impl IntoIterator<Item = &'a EntryId>,
) -> Result<Vec<Known>, StoreError> {
    let mut reader = Reader::default();
    let mut found = Vec::new();
    connection.each_of(SELECT_KNOWN, &BY_ID, &keys(ids), |row| {
        found.push(reader.known(row)?);
        Ok(())
    })?;
    found.sort_unstable_by(|a, b| {
        (&a.stored.id, &a.stored.source).cmp(&(&b.stored.id, &b.stored.source))
    });
    // Who asks for an id twice is told once.
    found.dedup_by_key(|known| known.id);
    Ok(found)
}

/// Visits all heads of a kind, in the order of key and source.
pub(crate) fn each_of_kind(
    connection: &mut Connection,
    kind: &Kind,
    mut visit: impl FnMut(Known) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    let mut reader = Reader::default();
    let sql = format!("{SELECT_KNOWN} WHERE e.kind = $1 ORDER BY e.key, e.source");
    connection.each(&sql, &[kind.as_str().into()], |row| visit(reader.known(row)?))
}

pub(crate) fn kinds(connection: &mut Connection) -> Result<Vec<Kind>, StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT DISTINCT kind FROM entries ORDER BY kind";
    connection.query(sql, &[], |row| reader.kind(row, 0))
}

pub(crate) fn history(
    connection: &mut Connection,
    id: &EntryId,
) -> Result<Vec<StoredRevision>, StoreError> {
    if !is_storable(&id.key) {
        return Ok(Vec::new());
    }
    let mut reader = Reader::default();
    let sql = "SELECT e.source, r.revision, r.status, c.digest, c.body, r.at, r.actor
        FROM entries e
            JOIN revisions r ON r.entry = e.id
            JOIN contents c ON c.id = r.content
        WHERE e.kind = $1 AND e.key = $2
        ORDER BY r.at DESC, r.revision DESC, e.source";
    connection.query(sql, &[id.kind.as_str().into(), (&*id.key).into()], |row| {
        Ok(StoredRevision {
            source: reader.source(row, 0)?,
            revision: row.count(1)?,
            status: status(row, 2)?,
            body: Body::stored(row.text(4)?.into(), digest(row, 3)?),
            at: moment(row, 5)?,
            actor: row.text(6)?.to_owned(),
        })
    })
}

pub(crate) fn sources(connection: &mut Connection) -> Result<Vec<Source>, StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT s.name, s.revision, s.synced_at, s.problems, s.conflicts, COUNT(e.id)
        FROM sources s LEFT JOIN entries e ON e.source = s.name AND e.status = 'active'
        GROUP BY s.name, s.revision, s.synced_at, s.problems, s.conflicts ORDER BY s.name";
    connection.query(sql, &[], |row| {
        let synced_at = row.int_if_any(2)?.map(|_| moment(row, 2)).transpose()?;
        let read_error = |error: serde_json::Error| row.damaged(error);
        Ok(Source {
            name: reader.source(row, 0)?,
            revision: row.text_if_any(1)?.map(str::to_owned),
            synced_at,
            entries: row.count(5)?,
            problems: serde_json::from_str(row.text(3)?).map_err(read_error)?,
            conflicts: serde_json::from_str(row.text(4)?).map_err(read_error)?,
        })
    })
}
