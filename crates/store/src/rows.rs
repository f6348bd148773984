//! Lists that can be rebuilt: writing the rows that a [`Project`] makes.

use crate::{
    CardRow, Project, StoreError, Stored,
    db::{Connection, Dialect, Row, Table, Transaction, Type, Value},
    heads::{self, as_kept, moment, to_microseconds},
    write::{Counter, without_nul},
};
use callsheet_types::EntryId;
use std::{
    borrow::Borrow,
    collections::{HashMap, HashSet},
};

const CARDS: Table = Table {
    name: "cards",
    key: &["id"],
    columns: &[
        ("id", Type::Int),
        ("kind", Type::Text),
        ("key", Type::Text),
        ("bare", Type::Text),
        ("provider", Type::Text),
        ("canonical", Type::Text),
        ("name", Type::Text),
        ("status", Type::Text),
        ("context_window", Type::Int),
        ("max_output_tokens", Type::Int),
        ("prompt_nano_usd", Type::Int),
        ("completion_nano_usd", Type::Int),
        ("capabilities", Type::Text),
        ("modalities", Type::Text),
        ("released", Type::Text),
        ("updated_at", Type::Int),
        ("cursor", Type::Int),
        ("words", Type::Text),
    ],
};

const BODIES: Table = Table {
    name: "card_bodies",
    key: &["id"],
    columns: &[("id", Type::Int), ("body", Type::Text)],
};

/// Only SQLite has it; PostgreSQL's index is on `cards` itself.
const WORDS: Table =
    Table { name: "card_words", key: &[], columns: &[("rowid", Type::Int), ("words", Type::Text)] };

/// What [`read`] reads, of `cards c`, and after it the body.
pub(crate) const COLUMNS: &str = "c.id, c.kind, c.key, c.provider, c.canonical, c.name, c.status,
    c.context_window, c.max_output_tokens, c.prompt_nano_usd, c.completion_nano_usd,
    c.capabilities, c.modalities, c.released, c.updated_at, c.cursor, c.words";

/// The column of the body, or of what stands in its place.
const BODY: usize = 17;

/// Longer words are found by their beginning.
const WORD_BYTES: usize = 200;

/// Words of a row beyond this many are not found.
const WORDS_OF_A_ROW: usize = 500;

/// How many rows are made and written at once.
const AT_ONCE: usize = 2_000;

/// Between, before and after the items of a list in one column.
const DIVIDER: char = '\n';

/// Makes the row of an id as it is read again: what the databases could not hold the same way, or
/// could not hold at all, is replaced.
pub(crate) fn made(
    project: &dyn Project,
    id: &EntryId,
    heads: &[Stored],
    cursor: u64,
) -> Option<CardRow> {
    let row = project.row(id, heads)?;
    let text = |text: &str| without_nul(text).into_owned();
    let number = |number: Option<u64>| number.map(|number| number.min(i64::MAX as u64));
    Some(CardRow {
        kind: id.kind.as_str().to_owned(),
        key: id.key.to_string(),
        provider: text(&row.provider),
        canonical: row.canonical.as_deref().map(text),
        name: text(&row.name),
        status: text(&row.status),
        context_window: number(row.context_window),
        max_output_tokens: number(row.max_output_tokens),
        prompt_nano_usd: row.prompt_nano_usd,
        completion_nano_usd: row.completion_nano_usd,
        capabilities: row.capabilities.iter().map(|item| as_item(item)).collect(),
        modalities: row.modalities.iter().map(|item| as_item(item)).collect(),
        released: row.released.as_deref().map(text),
        words: as_words(&row.words).join(" "),
        body: text(&row.body),
        updated_at: as_kept(row.updated_at),
        cursor,
    })
}

/// Returns an item of a list as it is kept.
pub(crate) fn as_item(item: &str) -> String {
    without_nul(item).replace(DIVIDER, " ")
}

/// Returns the words of a text as they are kept and looked for: lower-case, each once.
pub(crate) fn as_words(text: &str) -> Vec<String> {
    let mut seen = HashSet::new();
    let text = text.to_lowercase();
    text.split(|c: char| c.is_whitespace() || c.is_control())
        .filter(|word| !word.is_empty())
        .map(|word| word[..word.floor_char_boundary(WORD_BYTES)].to_owned())
        .filter(|word| seen.insert(word.clone()))
        .take(WORDS_OF_A_ROW)
        .collect()
}

fn joined(items: &[String]) -> String {
    let mut text = String::new();
    for item in items {
        text.push(DIVIDER);
        text.push_str(item);
    }
    if !text.is_empty() {
        text.push(DIVIDER);
    }
    text
}

fn divided(text: &str) -> Vec<String> {
    if text.is_empty() {
        return Vec::new();
    }
    let inner = text.strip_prefix(DIVIDER).unwrap_or(text);
    let inner = inner.strip_suffix(DIVIDER).unwrap_or(inner);
    inner.split(DIVIDER).map(str::to_owned).collect()
}

/// Reads a row of [`COLUMNS`] and the body.
pub(crate) fn read(row: &Row<'_>) -> Result<CardRow, StoreError> {
    let text = |column| row.text(column).map(str::to_owned);
    let text_if_any = |column| row.text_if_any(column).map(|text| text.map(str::to_owned));
    let count_if_any = |column| row.int_if_any(column)?.map(|_| row.count(column)).transpose();
    Ok(CardRow {
        kind: text(1)?,
        key: text(2)?,
        provider: text(3)?,
        canonical: text_if_any(4)?,
        name: text(5)?,
        status: text(6)?,
        context_window: count_if_any(7)?,
        max_output_tokens: count_if_any(8)?,
        prompt_nano_usd: row.int_if_any(9)?,
        completion_nano_usd: row.int_if_any(10)?,
        capabilities: divided(row.text(11)?),
        modalities: divided(row.text(12)?),
        released: text_if_any(13)?,
        updated_at: moment(row, 14)?,
        cursor: row.count(15)?,
        words: text(16)?,
        body: text(BODY)?,
    })
}

/// Writes the rows of some ids, and removes those of ids that are to have none.
pub(crate) fn write<I: Borrow<EntryId>>(
    transaction: &mut Transaction<'_>,
    made: &[(I, Option<CardRow>)],
    counter: &mut Counter,
) -> Result<(), StoreError> {
    for made in made.chunks(AT_ONCE) {
        write_some(transaction, made, counter)?;
    }
    Ok(())
}

fn write_some<I: Borrow<EntryId>>(
    transaction: &mut Transaction<'_>,
    made: &[(I, Option<CardRow>)],
    counter: &mut Counter,
) -> Result<(), StoreError> {
    let mut known: HashMap<(String, String), (i64, String)> = HashMap::new();
    let by = [("c.kind", Type::Text), ("c.key", Type::Text)];
    let keys = heads::keys(made.iter().map(|(id, _)| id.borrow()));
    transaction.each_of("SELECT c.kind, c.key, c.id, c.words FROM cards c", &by, &keys, |row| {
        let id = (row.text(0)?.to_owned(), row.text(1)?.to_owned());
        known.insert(id, (row.int(2)?, row.text(3)?.to_owned()));
        Ok(())
    })?;
    let mut gone = Vec::new();
    let mut words_gone = Vec::new();
    let mut kept = Vec::new();
    for (id, row) in made {
        let id = id.borrow();
        let known = known.get(&(id.kind.as_str().to_owned(), id.key.to_string()));
        match (row, known) {
            (Some(row), Some((card, words))) => {
                let has_new_words = *words != row.words;
                if has_new_words {
                    words_gone.push(*card);
                }
                kept.push((*card, row, has_new_words));
            }
            (Some(row), None) => kept.push((counter.next_id(), row, true)),
            (None, Some((card, _))) => {
                gone.push(*card);
                words_gone.push(*card);
            }
            (None, None) => {}
        }
    }
    if transaction.dialect() == Dialect::Sqlite {
        transaction.delete("card_words", "rowid", &words_gone)?;
    }
    transaction.delete("card_bodies", "id", &gone)?;
    transaction.delete("cards", "id", &gone)?;
    write_kept(transaction, &kept)
}

fn write_kept(
    transaction: &mut Transaction<'_>,
    kept: &[(i64, &CardRow, bool)],
) -> Result<(), StoreError> {
    let lists: Vec<_> = kept
        .iter()
        .map(|(_, row, _)| (joined(&row.capabilities), joined(&row.modalities)))
        .collect();
    let cards: Vec<_> = kept
        .iter()
        .zip(&lists)
        .flat_map(|((id, row, _), (capabilities, modalities))| {
            let bare = row.key.split_once(':').map_or(&*row.key, |(_, bare)| bare);
            [
                Value::Int(*id),
                Value::Text(&row.kind),
                Value::Text(&row.key),
                Value::Text(bare),
                Value::Text(&row.provider),
                row.canonical.as_deref().into(),
                Value::Text(&row.name),
                Value::Text(&row.status),
                row.context_window.map(u64::cast_signed).into(),
                row.max_output_tokens.map(u64::cast_signed).into(),
                row.prompt_nano_usd.into(),
                row.completion_nano_usd.into(),
                Value::Text(capabilities),
                Value::Text(modalities),
                row.released.as_deref().into(),
                Value::Int(to_microseconds(row.updated_at)),
                Value::Int(row.cursor.cast_signed()),
                Value::Text(&row.words),
            ]
        })
        .collect();
    transaction.write(&CARDS, &cards)?;
    let bodies: Vec<_> =
        kept.iter().flat_map(|(id, row, _)| [Value::Int(*id), Value::Text(&row.body)]).collect();
    transaction.write(&BODIES, &bodies)?;
    if transaction.dialect() == Dialect::Sqlite {
        let words: Vec<_> = kept
            .iter()
            .filter(|(_, _, has_new_words)| *has_new_words)
            .flat_map(|(id, row, _)| [Value::Int(*id), Value::Text(&row.words)])
            .collect();
        transaction.write(&WORDS, &words)?;
    }
    Ok(())
}

/// Visits every row that is to be there, made of the heads, some at a time.
pub(crate) fn each_made(
    connection: &mut Connection,
    project: &dyn Project,
    mut visit: impl FnMut(EntryId, Option<CardRow>) -> Result<(), StoreError>,
) -> Result<(), StoreError> {
    for kind in heads::kinds(connection)? {
        let mut heads: Vec<Stored> = Vec::new();
        let mut cursor = 0;
        let mut finish = |heads: &mut Vec<Stored>, cursor: &mut u64| {
            if let Some(id) = heads.first().map(|head| head.id.clone()) {
                if project.covers(&id) {
                    let row = made(project, &id, heads, *cursor);
                    visit(id, row)?;
                }
                heads.clear();
                *cursor = 0;
            }
            Ok::<_, StoreError>(())
        };
        heads::each_of_kind(connection, &kind, |known| {
            if heads.first().is_some_and(|head| head.id != known.stored.id) {
                finish(&mut heads, &mut cursor)?;
            }
            cursor = cursor.max(known.cursor);
            heads.push(known.stored);
            Ok(())
        })?;
        finish(&mut heads, &mut cursor)?;
    }
    Ok(())
}

/// Makes all rows anew, and returns how many there are.
pub(crate) fn rebuild(
    transaction: &mut Transaction<'_>,
    project: &dyn Project,
    counter: &mut Counter,
) -> Result<usize, StoreError> {
    let empty = match transaction.dialect() {
        Dialect::Sqlite => "DELETE FROM card_words; DELETE FROM card_bodies; DELETE FROM cards",
        Dialect::Postgres => "DELETE FROM card_bodies; DELETE FROM cards",
    };
    transaction.batch(empty)?;
    let mut rows = Vec::new();
    each_made(transaction, project, |id, row| {
        rows.extend(row.map(|row| (id, Some(row))));
        Ok(())
    })?;
    write(transaction, &rows, counter)?;
    Ok(rows.len())
}
