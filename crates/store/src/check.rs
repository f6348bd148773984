//! Looking whether what is stored is what was written, and hangs together as it must.

use crate::{
    CardRow, Project, StoreError,
    db::{Connection, Dialect},
    follow::action,
    heads::{Reader, digest, status},
    list, rows,
    write::Counter,
};
use callsheet_types::{Digest, Problem, plan::Status};
use std::collections::HashMap;

#[allow(clippy::needless_pass_by_value, reason = "texts and errors are given alike")]
fn problem(place: impl ToString, message: impl ToString) -> Problem {
    Problem { place: place.to_string(), message: message.to_string() }
}

/// What is looked at even if something else is damaged.
enum Part {
    File,
    State,
    Cards,
}

/// Looks at everything. Damage is what is looked for, and so never an error.
pub(crate) fn check(
    connection: &mut Connection,
    project: &dyn Project,
) -> Result<Vec<Problem>, StoreError> {
    connection.take_time()?;
    let mut problems = Vec::new();
    for part in [Part::File, Part::State, Part::Cards] {
        let found = match part {
            Part::File => file(connection),
            Part::State => state(connection),
            Part::Cards => cards(connection, project),
        };
        match found {
            Ok(found) => problems.extend(found),
            Err(StoreError::Damaged { place, what }) => problems.push(problem(place, what)),
            Err(error) => return Err(error),
        }
    }
    Ok(problems)
}

/// What SQLite finds wrong with its file; PostgreSQL looks after its own.
fn file(connection: &mut Connection) -> Result<Vec<Problem>, StoreError> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(Vec::new());
    }
    let place = connection.place().clone();
    let mut problems = connection.query("PRAGMA integrity_check", &[], |row| {
        row.text(0).map(|said| (said != "ok").then(|| problem(&place, said)))
    })?;
    problems.extend(connection.query("PRAGMA foreign_key_check", &[], |row| {
        let table = row.text(0)?;
        Ok(Some(problem(format_args!("table {table}"), "a row refers to one that is missing")))
    })?);
    Ok(problems.into_iter().flatten().collect())
}

/// What is wrong with entries, revisions and the feed.
pub(crate) fn state(connection: &mut Connection) -> Result<Vec<Problem>, StoreError> {
    let mut problems = contents(connection)?;
    let (heads, found) = heads(connection)?;
    problems.extend(found);
    problems.extend(frozen(connection)?);
    problems.extend(feed(connection, &heads)?);
    Ok(problems)
}

fn contents(connection: &mut Connection) -> Result<Vec<Problem>, StoreError> {
    let mut problems = Vec::new();
    connection.each("SELECT id, digest, body FROM contents ORDER BY id", &[], |row| {
        let (id, expected) = (row.int(0)?, digest(row, 1)?);
        if Digest::of(row.text(2)?.as_bytes()) != expected {
            let message = format!("the body is not the one with digest {expected}");
            problems.push(problem(format_args!("content {id}"), message));
        }
        Ok(())
    })?;
    Ok(problems)
}

/// An entry, as its head has it.
struct Head {
    name: String,
    revision: u64,
    status: Status,
    cursor: u64,
}

fn heads(connection: &mut Connection) -> Result<(HashMap<i64, Head>, Vec<Problem>), StoreError> {
    let mut heads = HashMap::new();
    let mut problems = Vec::new();
    let mut reader = Reader::default();
    let sql = "SELECT e.id, e.kind, e.key, e.source, e.revision, e.status, e.digest, e.cursor,
             (SELECT MAX(n.revision) FROM revisions n WHERE n.entry = e.id), r.status, c.digest
         FROM entries e
             LEFT JOIN revisions r ON r.entry = e.id AND r.revision = e.revision
             LEFT JOIN contents c ON c.id = e.content AND c.id = r.content
         ORDER BY e.kind, e.key, e.source";
    connection.each(sql, &[], |row| {
        let head = Head {
            name: format!("{} of {}", reader.id(row, 1)?, row.text(3)?),
            revision: row.count(4)?,
            status: status(row, 5)?,
            cursor: row.count(7)?,
        };
        let newest = row.int_if_any(8)?;
        if newest != Some(head.revision.cast_signed()) {
            problems.push(problem(&head.name, "the head is not the newest revision"));
        } else if status(row, 9)? != head.status {
            problems.push(problem(&head.name, "head and newest revision differ in their status"));
        } else if row.bytes_if_any(10)? != Some(digest(row, 6)?.as_bytes()) {
            problems.push(problem(&head.name, "head and newest revision differ in what they say"));
        }
        heads.insert(row.int(0)?, head);
        Ok(())
    })?;
    Ok((heads, problems))
}

fn frozen(connection: &mut Connection) -> Result<Vec<Problem>, StoreError> {
    let mut reader = Reader::default();
    let sql = "SELECT e.kind, e.key, e.source
         FROM entries e LEFT JOIN frozen f ON f.kind = e.kind AND f.key = e.key
         WHERE e.nature = 'frozen' AND (f.digest IS NULL OR f.digest <> e.digest)
         ORDER BY e.kind, e.key, e.source";
    connection.query(sql, &[], |row| {
        let name = format!("{} of {}", reader.id(row, 0)?, row.text(2)?);
        Ok(problem(name, "a frozen key stands for something else"))
    })
}

/// The feed has no gaps, and done again it leads to the heads.
fn feed(
    connection: &mut Connection,
    heads: &HashMap<i64, Head>,
) -> Result<Vec<Problem>, StoreError> {
    let counter = Counter::read(connection)?;
    let mut problems = Vec::new();
    let mut reached: HashMap<i64, (u64, Status, u64)> = HashMap::new();
    let mut last = counter.purged;
    let sql = "SELECT cursor, entry, action, revision_before, revision_after FROM feed
               ORDER BY cursor";
    connection.each(sql, &[], |row| {
        let (cursor, entry) = (row.count(0)?, row.int(1)?);
        if cursor != last + 1 {
            problems
                .push(problem(format_args!("change {cursor}"), "changes before it are missing"));
        }
        last = cursor;
        let (before, after) = (row.count(3)?, row.count(4)?);
        let known = reached.insert(entry, (after, action(row, 2)?.status(), cursor));
        let expected = known.map(|(revision, ..)| revision);
        // Of an entry that changed before what is kept, the first change may begin anywhere.
        let begins = expected.unwrap_or(if counter.purged == 0 { 0 } else { before });
        if before != begins || after != before + 1 {
            let message = "it does not begin where the one before it ended";
            problems.push(problem(format_args!("change {cursor}"), message));
        }
        Ok(())
    })?;
    if last != counter.cursor {
        let message = format!("it ends at {last} instead of {}", counter.cursor);
        problems.push(problem("feed", message));
    }
    let mut differing: Vec<_> = heads
        .iter()
        .filter(|(entry, head)| match reached.get(entry) {
            Some(reached) => *reached != (head.revision, head.status, head.cursor),
            None => counter.purged == 0,
        })
        .map(|(_, head)| problem(&head.name, "the feed does not lead to its head"))
        .collect();
    differing.sort_unstable();
    problems.extend(differing);
    Ok(problems)
}

/// Rows that are not what the heads make.
fn cards(connection: &mut Connection, project: &dyn Project) -> Result<Vec<Problem>, StoreError> {
    let mut kept: HashMap<(String, String), CardRow> = HashMap::new();
    connection.each(&list::select(), &[], |row| {
        let card = rows::read(row)?;
        kept.insert((card.kind.clone(), card.key.clone()), card);
        Ok(())
    })?;
    let mut problems = Vec::new();
    rows::each_made(connection, project, |id, made| {
        let kept = kept.remove(&(id.kind.as_str().to_owned(), id.key.to_string()));
        if kept != made {
            problems.push(problem(id, "its row is not what its entries make; rebuild the rows"));
        }
        Ok(())
    })?;
    let surplus = kept.into_keys().map(|(kind, key)| {
        problem(format_args!("{kind} {key}"), "there is a row of it, and nothing to make it of")
    });
    problems.extend(surplus);
    problems.sort_unstable();
    problems.extend(index(connection)?);
    Ok(problems)
}

/// Whether every row can be found by its words; PostgreSQL keeps them in the row itself.
fn index(connection: &mut Connection) -> Result<Option<Problem>, StoreError> {
    if connection.dialect() == Dialect::Postgres {
        return Ok(None);
    }
    let rows = connection.number("SELECT COUNT(*) FROM cards", &[])?;
    let found = connection
        .number("SELECT COUNT(*) FROM card_words_docsize d JOIN cards c ON c.id = d.id", &[])?;
    let all = connection.number("SELECT COUNT(*) FROM card_words_docsize", &[])?;
    let is_whole = rows == found && found == all;
    Ok((!is_whole).then(|| problem("search", "not every row is in its index; rebuild the rows")))
}
