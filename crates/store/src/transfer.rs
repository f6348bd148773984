//! The whole state as lines of JSON, the same for both databases: written in one consistent read,
//! and read into an empty store. Ids of rows do not appear, so that two stores of the same state
//! write the same lines.

use crate::{
    Project, StoreError, check,
    db::{Connection, SCHEMA, Transaction, Value},
    follow::action,
    heads::{Reader, digest, is_storable, moment, nature, nature_name, status, to_microseconds},
    purge, rows,
    write::{CONTENTS, Counter, ENTRIES, FEED, FROZEN, REVISIONS, SOURCES},
};
use callsheet_types::{
    Digest, Kind, Nature, SourceName,
    plan::{Action, Status},
};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use sha2::{Digest as _, Sha256};
use std::{
    collections::HashMap,
    fs::File,
    io::{self, BufRead, BufWriter, Seek as _, Write},
    sync::Arc,
};

const FORMAT: &str = "callsheet-store";
const VERSION: u64 = 1;

/// Lines that are written to the database at once.
const AT_ONCE: usize = 2_000;

/// What a store holds, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counts {
    /// Sources that ever published.
    pub sources: u64,
    /// Frozen keys.
    pub frozen: u64,
    /// Heads.
    pub entries: u64,
    /// Revisions that are kept.
    pub revisions: u64,
    /// Changes that are kept.
    pub changes: u64,
}

/// One line.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Line {
    Header {
        format: String,
        version: u64,
        schema: u64,
    },
    Source(SourceLine),
    Frozen(FrozenLine),
    Entry(EntryLine),
    Revision(RevisionLine),
    Change(ChangeLine),
    Mark {
        cursor: u64,
        purged: u64,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        last_purged: Option<Timestamp>,
    },
    End {
        counts: Counts,
        lines: Digest,
        digest: Digest,
    },
}

#[derive(Serialize, Deserialize)]
struct SourceLine {
    name: SourceName,
    revision: Option<String>,
    synced_at: Option<Timestamp>,
    problems: Box<RawValue>,
    conflicts: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct FrozenLine {
    kind: Kind,
    key: Arc<str>,
    digest: Digest,
}

/// A head; what it says is said by its newest revision.
#[derive(Serialize, Deserialize)]
struct EntryLine {
    kind: Kind,
    key: Arc<str>,
    source: SourceName,
    nature: Nature,
    revision: u64,
    status: Status,
    digest: Digest,
    observed_at: Timestamp,
    changed_at: Timestamp,
    cursor: u64,
}

/// A state of the entry whose line came last.
#[derive(Serialize, Deserialize)]
struct RevisionLine {
    revision: u64,
    status: Status,
    at: Timestamp,
    actor: String,
    digest: Digest,
    body: Box<RawValue>,
}

#[derive(Serialize, Deserialize)]
struct ChangeLine {
    cursor: u64,
    transaction: u64,
    at: Timestamp,
    actor: String,
    kind: Kind,
    key: Arc<str>,
    source: SourceName,
    action: Action,
    before: u64,
    after: u64,
}

/// Writes lines, counts them, and makes the two digests.
struct Writer<'a> {
    out: &'a mut dyn Write,
    counts: Counts,
    /// Of every line before the last.
    lines: Sha256,
    /// Of what the store says: the same, less the header and the moments of syncs.
    state: Sha256,
}

impl Writer<'_> {
    fn line(&mut self, line: &Line) -> Result<(), StoreError> {
        let mut text = serde_json::to_vec(line)?;
        text.push(b'\n');
        self.lines.update(&text);
        if !matches!(line, Line::Header { .. } | Line::Source(_)) {
            self.state.update(&text);
        }
        self.out.write_all(&text).map_err(StoreError::Transfer)
    }
}

fn finish(hasher: Sha256) -> Digest {
    Digest::from_bytes(hasher.finalize().into())
}

/// Returns the digest of the state without writing it anywhere.
pub(crate) fn state_digest(connection: &mut Connection) -> Result<Digest, StoreError> {
    export(connection, &mut io::sink()).map(|(_, digest)| digest)
}

/// Writes the whole state; `connection` sees one state throughout.
pub(crate) fn export(
    connection: &mut Connection,
    out: &mut dyn Write,
) -> Result<(Counts, Digest), StoreError> {
    connection.take_time()?;
    let mut writer =
        Writer { out, counts: Counts::default(), lines: Sha256::new(), state: Sha256::new() };
    let header = Line::Header { format: FORMAT.to_owned(), version: VERSION, schema: SCHEMA };
    writer.line(&header)?;
    export_sources(connection, &mut writer)?;
    export_frozen(connection, &mut writer)?;
    export_entries(connection, &mut writer)?;
    export_feed(connection, &mut writer)?;
    let counter = Counter::read(connection)?;
    let last_purged = purge::last_purged(connection)?;
    let Counter { cursor, purged, .. } = counter;
    writer.line(&Line::Mark { cursor, purged, last_purged })?;
    let Writer { counts, lines, state, out } = writer;
    let digest = finish(state);
    let mut end = serde_json::to_vec(&Line::End { counts, lines: finish(lines), digest })?;
    end.push(b'\n');
    out.write_all(&end).map_err(StoreError::Transfer)?;
    Ok((counts, digest))
}

fn export_sources(connection: &mut Connection, writer: &mut Writer<'_>) -> Result<(), StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT name, revision, synced_at, problems, conflicts FROM sources ORDER BY name";
    connection.each(sql, &[], |row| {
        let raw = |column| {
            RawValue::from_string(row.text(column)?.to_owned()).map_err(|error| row.damaged(error))
        };
        let mut line = SourceLine {
            name: reader.source(row, 0)?,
            revision: row.text_if_any(1)?.map(str::to_owned),
            synced_at: None,
            problems: raw(3)?,
            conflicts: raw(4)?,
        };
        // When it was asked last says nothing of what is known.
        writer.state.update(serde_json::to_vec(&line)?);
        line.synced_at = row.int_if_any(2)?.map(|_| moment(row, 2)).transpose()?;
        writer.counts.sources += 1;
        writer.line(&Line::Source(line))
    })
}

fn export_frozen(connection: &mut Connection, writer: &mut Writer<'_>) -> Result<(), StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT kind, key, digest FROM frozen ORDER BY kind, key";
    connection.each(sql, &[], |row| {
        writer.counts.frozen += 1;
        let (id, digest) = (reader.id(row, 0)?, digest(row, 2)?);
        writer.line(&Line::Frozen(FrozenLine { kind: id.kind, key: id.key, digest }))
    })
}

/// Each head, and behind it its revisions.
fn export_entries(connection: &mut Connection, writer: &mut Writer<'_>) -> Result<(), StoreError> {
    let mut reader = Reader::default();
    let mut last = None;
    let sql = "SELECT e.id, e.kind, e.key, e.source, e.nature, e.revision, e.status, e.digest,
             e.observed_at, e.changed_at, e.cursor,
             r.revision, r.status, r.at, r.actor, c.digest, c.body
         FROM entries e
             JOIN revisions r ON r.entry = e.id
             JOIN contents c ON c.id = r.content
         ORDER BY e.kind, e.key, e.source, r.revision";
    connection.each(sql, &[], |row| {
        let entry = row.int(0)?;
        if last != Some(entry) {
            last = Some(entry);
            writer.counts.entries += 1;
            let id = reader.id(row, 1)?;
            writer.line(&Line::Entry(EntryLine {
                kind: id.kind,
                key: id.key,
                source: reader.source(row, 3)?,
                nature: nature(row, 4)?,
                revision: row.count(5)?,
                status: status(row, 6)?,
                digest: digest(row, 7)?,
                observed_at: moment(row, 8)?,
                changed_at: moment(row, 9)?,
                cursor: row.count(10)?,
            }))?;
        }
        writer.counts.revisions += 1;
        let body = RawValue::from_string(row.text(16)?.to_owned());
        writer.line(&Line::Revision(RevisionLine {
            revision: row.count(11)?,
            status: status(row, 12)?,
            at: moment(row, 13)?,
            actor: row.text(14)?.to_owned(),
            digest: digest(row, 15)?,
            body: body.map_err(|error| row.damaged(error))?,
        }))
    })
}

fn export_feed(connection: &mut Connection, writer: &mut Writer<'_>) -> Result<(), StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT f.cursor, f.batch, f.at, f.actor, e.kind, e.key, e.source, f.action,
             f.revision_before, f.revision_after
         FROM feed f JOIN entries e ON e.id = f.entry ORDER BY f.cursor";
    connection.each(sql, &[], |row| {
        writer.counts.changes += 1;
        let id = reader.id(row, 4)?;
        writer.line(&Line::Change(ChangeLine {
            cursor: row.count(0)?,
            transaction: row.count(1)?,
            at: moment(row, 2)?,
            actor: row.text(3)?.to_owned(),
            kind: id.kind,
            key: id.key,
            source: reader.source(row, 6)?,
            action: action(row, 7)?,
            before: row.count(8)?,
            after: row.count(9)?,
        }))
    })
}

/// Reads an export into an empty store. What is read is compared with what was counted and digested
/// when it was written, and what is then there with how it must hang together.
pub(crate) fn import(
    transaction: &mut Transaction<'_>,
    input: &mut dyn BufRead,
    project: &dyn Project,
) -> Result<Counts, StoreError> {
    transaction.take_time()?;
    let counter = Counter::lock(transaction)?;
    let sources = transaction.number("SELECT COUNT(*) FROM sources", &[])?;
    if counter.cursor > 0 || sources > 0 {
        return Err(StoreError::NotEmpty { place: transaction.place().clone() });
    }
    let mut export = Export::new(input, counter);
    let digest = loop {
        if let Some(digest) = export.step()? {
            break digest;
        }
        if export.importer.waiting() >= AT_ONCE {
            export.importer.flush(transaction)?;
        }
    };
    export.importer.flush(transaction)?;
    let bad = |what: &str| export.bad(&what);
    let importer = &export.importer;
    let mut counter = importer.counter;
    counter.write(transaction)?;
    if let Some(last_purged) = importer.last_purged {
        purge::set_last_purged(transaction, last_purged)?;
    }
    transaction.execute(
        "UPDATE entries SET content = COALESCE((SELECT r.content FROM revisions r
             WHERE r.entry = entries.id AND r.revision = entries.revision), 0)",
        &[],
    )?;
    if let Some(problem) = check::state(transaction)?.into_iter().next() {
        return Err(bad(&format!("{}: {}", problem.place, problem.message)));
    }
    if state_digest(transaction)? != digest {
        return Err(bad("what was read is not what was written"));
    }
    rows::rebuild(transaction, project, &mut counter)?;
    counter.write(transaction)?;
    Ok(importer.counts)
}

/// Reads an export to its end into a file that has no name, and looks whether it is whole: what is
/// imported from there keeps nobody waiting for whoever writes it. What can be seen only in a
/// database is left to [`crate::Store::import`].
pub fn gather_export(input: &mut dyn BufRead) -> Result<File, StoreError> {
    let file = tempfile::tempfile().map_err(StoreError::Transfer)?;
    let mut out = BufWriter::new(file);
    check_export(input, &mut out)?;
    let mut file = out.into_inner().map_err(|error| StoreError::Transfer(error.into_error()))?;
    file.rewind().map_err(StoreError::Transfer)?;
    Ok(file)
}

/// Looks whether an export is whole, and copies its lines; whatever is behind its last is left.
pub fn check_export(input: &mut dyn BufRead, out: &mut dyn Write) -> Result<Counts, StoreError> {
    let mut export = Export::new(input, Counter { cursor: 0, last_id: 0, purged: 0 });
    loop {
        let end = export.step()?;
        out.write_all(&export.text).map_err(StoreError::Transfer)?;
        if end.is_some() {
            return Ok(export.importer.counts);
        }
        if export.importer.waiting() >= AT_ONCE {
            export.importer.clear();
        }
    }
}

/// Returns the lines of an export up to the last of it, or to one that cannot be.
pub(crate) fn whole_lines(mut data: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut export = Export::new(&mut data, Counter { cursor: 0, last_id: 0, purged: 0 });
    while let Ok(None) = export.step() {
        lines.extend_from_slice(&export.text);
    }
    lines
}

/// Ends lines with counts and a digest that are theirs; of the state, which is then wrong, it is
/// the digest of nothing.
pub(crate) fn sealed(mut lines: Vec<u8>) -> Option<Vec<u8>> {
    let mut input = &*lines;
    let mut export = Export::new(&mut input, Counter { cursor: 0, last_id: 0, purged: 0 });
    while let Ok(None) = export.step() {}
    let counts = export.importer.counts;
    let digest = Digest::of(b"");
    let end = Line::End { counts, lines: finish(export.lines), digest };
    if lines.is_empty() {
        return None;
    }
    lines.extend(serde_json::to_vec(&end).ok()?);
    lines.push(b'\n');
    Some(lines)
}

/// An export while it is read.
struct Export<'a> {
    input: &'a mut dyn BufRead,
    /// The line that was read last, and which it is, from 1.
    text: Vec<u8>,
    number: u64,
    /// The digest of every line before the last.
    lines: Sha256,
    importer: Importer,
}

impl<'a> Export<'a> {
    fn new(input: &'a mut dyn BufRead, counter: Counter) -> Self {
        let importer = Importer::new(counter);
        Self { input, text: Vec::new(), number: 0, lines: Sha256::new(), importer }
    }

    fn bad(&self, what: &dyn ToString) -> StoreError {
        StoreError::BadExport { line: self.number, what: what.to_string() }
    }

    /// Reads a line; returns the digest of the state behind the last, when all that came is what
    /// was written.
    fn step(&mut self) -> Result<Option<Digest>, StoreError> {
        self.number += 1;
        self.text.clear();
        self.input.read_until(b'\n', &mut self.text).map_err(StoreError::Transfer)?;
        if self.text.last() != Some(&b'\n') {
            return Err(self.bad(&"the export ends before its last line"));
        }
        let line: Line = serde_json::from_slice(&self.text).map_err(|error| self.bad(&error))?;
        if matches!(line, Line::Header { .. }) != (self.number == 1) {
            return Err(self.bad(&"an export begins with its header, and has one"));
        }
        if let Line::End { counts, lines, digest } = line {
            if finish(self.lines.clone()) != lines {
                return Err(self.bad(&"the lines are not those that were written"));
            }
            if self.importer.counts != counts {
                return Err(self.bad(&"there are not as many lines as were counted"));
            }
            return Ok(Some(digest));
        }
        self.lines.update(&self.text);
        self.importer.take(line).map_err(|what| self.bad(&what))?;
        Ok(None)
    }
}

/// What is in an order stands there once.
fn in_order(is_later: bool) -> Result<(), String> {
    if is_later { Ok(()) } else { Err("it stands there twice, or not in its order".to_owned()) }
}

/// The databases have no greater numbers.
fn numbers<const N: usize>(numbers: [u64; N]) -> Result<(), String> {
    match numbers.into_iter().find(|number| i64::try_from(*number).is_err()) {
        Some(number) => Err(format!("{number} is too great")),
        None => Ok(()),
    }
}

fn storable(key: &str) -> Result<(), String> {
    if is_storable(key) { Ok(()) } else { Err(format!("the key {key:?} cannot be stored")) }
}

fn storable_text(text: &str) -> Result<(), String> {
    if text.contains('\0') { Err("a text with a NUL in it".to_owned()) } else { Ok(()) }
}

/// An entry's name in the export: kind, key and source.
type Name = (Kind, Arc<str>, SourceName);

/// Lines on their way into tables.
struct Importer {
    counter: Counter,
    counts: Counts,
    last_purged: Option<Timestamp>,
    /// What came last of what comes in an order.
    last_source: Option<String>,
    last_frozen: Option<(String, Arc<str>)>,
    last_revision: u64,
    last_cursor: u64,
    ids: HashMap<Name, i64>,
    /// The entry whose revisions come, and the content of the last of these.
    last: Option<(i64, Option<(Digest, i64)>)>,
    sources: Vec<SourceLine>,
    frozen: Vec<FrozenLine>,
    entries: Vec<(i64, EntryLine)>,
    contents: Vec<(i64, Digest, String)>,
    revisions: Vec<(i64, i64, RevisionLine)>,
    changes: Vec<(i64, ChangeLine)>,
}

impl Importer {
    fn new(counter: Counter) -> Self {
        Self {
            counter,
            counts: Counts::default(),
            last_purged: None,
            last_source: None,
            last_frozen: None,
            last_revision: 0,
            last_cursor: 0,
            ids: HashMap::new(),
            last: None,
            sources: Vec::new(),
            frozen: Vec::new(),
            entries: Vec::new(),
            contents: Vec::new(),
            revisions: Vec::new(),
            changes: Vec::new(),
        }
    }

    fn waiting(&self) -> usize {
        self.sources.len() + self.frozen.len() + self.revisions.len() + self.changes.len()
    }

    fn take(&mut self, line: Line) -> Result<(), String> {
        match line {
            Line::Header { format, version, .. } => {
                if format != FORMAT {
                    return Err(format!("it is no export of a store, but {format:?}"));
                }
                if version != VERSION {
                    return Err(format!(
                        "its version is {version}, and {VERSION} is what can be read"
                    ));
                }
            }
            Line::Source(line) => {
                self.counts.sources += 1;
                storable_text(line.revision.as_deref().unwrap_or_default())?;
                in_order(self.last_source.as_deref().is_none_or(|last| last < line.name.as_str()))?;
                self.last_source = Some(line.name.as_str().to_owned());
                self.sources.push(line);
            }
            Line::Frozen(line) => {
                self.counts.frozen += 1;
                let key = (line.kind.as_str().to_owned(), line.key.clone());
                in_order(self.last_frozen.as_ref().is_none_or(|last| *last < key))?;
                self.last_frozen = Some(key);
                storable(&line.key)?;
                self.frozen.push(line);
            }
            Line::Entry(line) => {
                self.counts.entries += 1;
                storable(&line.key)?;
                numbers([line.revision, line.cursor])?;
                let id = self.counter.next_id();
                let name = (line.kind.clone(), line.key.clone(), line.source.clone());
                if self.ids.insert(name, id).is_some() {
                    return Err("the entry stands there twice".to_owned());
                }
                self.last = Some((id, None));
                self.last_revision = 0;
                self.entries.push((id, line));
            }
            Line::Revision(line) => self.take_revision(line)?,
            Line::Change(line) => {
                self.counts.changes += 1;
                numbers([line.cursor, line.transaction, line.before, line.after])?;
                in_order(self.last_cursor < line.cursor)?;
                self.last_cursor = line.cursor;
                storable_text(&line.actor)?;
                let name = (line.kind.clone(), line.key.clone(), line.source.clone());
                let id = self.ids.get(&name).ok_or("a change of an entry that is not there")?;
                self.changes.push((*id, line));
            }
            Line::Mark { cursor, purged, last_purged } => {
                numbers([cursor, purged])?;
                self.last_purged = last_purged;
                self.counter.cursor = cursor;
                self.counter.purged = purged;
            }
            Line::End { .. } => {}
        }
        Ok(())
    }

    fn take_revision(&mut self, line: RevisionLine) -> Result<(), String> {
        self.counts.revisions += 1;
        numbers([line.revision])?;
        in_order(self.last_revision < line.revision)?;
        self.last_revision = line.revision;
        storable_text(&line.actor)?;
        let Some((entry, content)) = &mut self.last else {
            return Err("a revision of nothing".to_owned());
        };
        let content = match content {
            Some((digest, content)) if *digest == line.digest => *content,
            _ => {
                let text = line.body.get();
                if Digest::of(text.as_bytes()) != line.digest {
                    return Err("the body is not what its digest says".to_owned());
                }
                let id = self.counter.next_id();
                self.contents.push((id, line.digest, text.to_owned()));
                *content = Some((line.digest, id));
                id
            }
        };
        self.revisions.push((*entry, content, line));
        Ok(())
    }

    fn flush(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let sources: Vec<_> = self
            .sources
            .iter()
            .flat_map(|line| {
                [
                    Value::Text(line.name.as_str()),
                    line.revision.as_deref().into(),
                    line.synced_at.map(to_microseconds).into(),
                    Value::Text(line.problems.get()),
                    Value::Text(line.conflicts.get()),
                ]
            })
            .collect();
        transaction.write(&SOURCES, &sources)?;
        let frozen: Vec<_> = self
            .frozen
            .iter()
            .flat_map(|line| {
                [
                    Value::Text(line.kind.as_str()),
                    Value::Text(&line.key),
                    Value::Bytes(line.digest.as_bytes()),
                ]
            })
            .collect();
        transaction.write(&FROZEN, &frozen)?;
        let contents: Vec<_> = self
            .contents
            .iter()
            .flat_map(|(id, digest, body)| {
                [Value::Int(*id), Value::Bytes(digest.as_bytes()), Value::Text(body)]
            })
            .collect();
        transaction.write(&CONTENTS, &contents)?;
        self.flush_entries(transaction)?;
        self.flush_history(transaction)?;
        self.clear();
        Ok(())
    }

    /// Forgets the lines that wait.
    fn clear(&mut self) {
        self.sources.clear();
        self.frozen.clear();
        self.contents.clear();
        self.entries.clear();
        self.revisions.clear();
        self.changes.clear();
    }

    fn flush_entries(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let entries: Vec<_> = self
            .entries
            .iter()
            .flat_map(|(id, line)| {
                [
                    Value::Int(*id),
                    Value::Text(line.source.as_str()),
                    Value::Text(line.kind.as_str()),
                    Value::Text(&line.key),
                    Value::Text(nature_name(line.nature)),
                    Value::Int(line.revision.cast_signed()),
                    Value::Text(line.status.as_str()),
                    Value::Bytes(line.digest.as_bytes()),
                    // Which content it has is known when its revisions are there.
                    Value::Int(0),
                    Value::Int(to_microseconds(line.observed_at)),
                    Value::Int(to_microseconds(line.changed_at)),
                    Value::Int(line.cursor.cast_signed()),
                ]
            })
            .collect();
        transaction.write(&ENTRIES, &entries)
    }

    fn flush_history(&mut self, transaction: &mut Transaction<'_>) -> Result<(), StoreError> {
        let revisions: Vec<_> = self
            .revisions
            .iter()
            .flat_map(|(entry, content, line)| {
                [
                    Value::Int(*entry),
                    Value::Int(line.revision.cast_signed()),
                    Value::Text(line.status.as_str()),
                    Value::Int(*content),
                    Value::Int(to_microseconds(line.at)),
                    Value::Text(&line.actor),
                ]
            })
            .collect();
        transaction.write(&REVISIONS, &revisions)?;
        let changes: Vec<_> = self
            .changes
            .iter()
            .flat_map(|(entry, line)| {
                [
                    Value::Int(line.cursor.cast_signed()),
                    Value::Int(line.transaction.cast_signed()),
                    Value::Int(to_microseconds(line.at)),
                    Value::Text(&line.actor),
                    Value::Int(*entry),
                    Value::Text(line.action.as_str()),
                    Value::Int(line.before.cast_signed()),
                    Value::Int(line.after.cast_signed()),
                ]
            })
            .collect();
        transaction.write(&FEED, &changes)
    }
}
