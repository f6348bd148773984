//! Searching among many rows, beside reading all of them.

use crate::{
    Measured,
    book::{Book, Sample, shown},
    catalog,
    options::Options,
};
use anyhow::{Result, ensure};
use callsheet_models::Cards;
use callsheet_store::{CardQuery, CardRow, Intent, Store, StoreUrl};
use callsheet_types::plan::PlanPolicy;
use std::{fmt::Write as _, hint::black_box, time::Duration};
use tempfile::TempDir;

const CASE: &str = "search";
const LIMIT: Duration = Duration::from_millis(5);
const PAGE: usize = 50;

/// A search takes so little time that one for each round would say little.
const TIMES: usize = 5;

const QUERIES: [&str; 8] = [
    "gpt",
    "claude",
    "kim",
    "provider-77",
    "qwen3 70b",
    "clau opus",
    "gem flash",
    "gpt provider-77",
];

pub(crate) struct Search {
    store: Store,
    /// What a scan in memory reads.
    words: Vec<String>,
    /// What each query finds.
    found: Vec<usize>,
    _folder: TempDir,
}

impl Search {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let store = Store::open(&StoreUrl::Sqlite(folder.path().join("catalog.db")))?;
        let snapshot = catalog::snapshot(options.entries(100_000), |_| false)?;
        store.publish(&snapshot, PlanPolicy::default(), &Intent::now("bench"), &Cards)?;
        let words: Vec<_> =
            store.cards(&everything())?.rows.into_iter().map(|row| row.words).collect();
        ensure!(words.len() == snapshot.entries.len(), "{} rows", words.len());
        // Who is fast must first be right: each word begins a word of each row that is found.
        let found = QUERIES.map(|text| {
            let wanted = wanted(text);
            let is_found = |words: &&String| {
                wanted.iter().all(|wanted| words.split(' ').any(|word| word.starts_with(wanted)))
            };
            words.iter().filter(is_found).count()
        });
        for (text, expected) in QUERIES.iter().zip(found) {
            let total = store.cards(&query(text))?.total;
            ensure!(total == expected && total > 0, "{text:?} finds {total} of {expected}");
        }
        Ok(Self { store, words, found: found.into(), _folder: folder })
    }
}

fn everything() -> CardQuery {
    CardQuery { kind: "model".to_owned(), without_bodies: true, ..CardQuery::default() }
}

/// Returns the words of a query, as somebody who types it has them.
fn wanted(text: &str) -> Vec<String> {
    callsheet_models::search_words(text).collect()
}

fn query(text: &str) -> CardQuery {
    CardQuery { search: wanted(text), limit: Some(PAGE), ..everything() }
}

fn indexed(text: &str) -> String {
    format!("`{text}`")
}

fn in_memory(text: &str) -> String {
    format!("`{text}`, scan in memory")
}

fn by_rows(text: &str) -> String {
    format!("`{text}`, scan of all rows from the database")
}

/// Finds the first rows in which all words stand anywhere, and how many there are.
fn scan<T>(rows: &[T], words: impl Fn(&T) -> &str, wanted: &[String]) -> (Vec<usize>, usize) {
    let (mut first, mut total) = (Vec::new(), 0);
    for (index, row) in rows.iter().enumerate() {
        if wanted.iter().all(|wanted| words(row).contains(wanted.as_str())) {
            total += 1;
            if first.len() < PAGE {
                first.push(index);
            }
        }
    }
    (first, total)
}

impl Measured for Search {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        // The allocator puts in order what the case before freed, which is no part of a search.
        for text in QUERIES {
            self.store.cards(&query(text))?;
        }
        for _ in 0..TIMES {
            for (text, found) in QUERIES.iter().zip(&self.found) {
                let asked = query(text);
                let (sample, page) = Sample::of(|| self.store.cards(&asked));
                let page = page?;
                ensure!(page.total == *found && page.rows.len() == PAGE.min(*found), "{text:?}");
                book.add_limited(CASE, &indexed(text), LIMIT, sample);
                let wanted = wanted(text);
                let (sample, (_, total)) =
                    Sample::of(|| black_box(scan(&self.words, |words| words, &wanted)));
                ensure!(total >= *found, "{text:?}: a scan finds {total}");
                book.add(CASE, &in_memory(text), sample);
            }
        }
        // This takes long enough for one to say enough.
        for (text, found) in QUERIES.iter().zip(&self.found) {
            let wanted = wanted(text);
            let (sample, scanned) = Sample::of(|| {
                let rows = self.store.cards(&everything())?.rows;
                let (_, total) = scan(&rows, |row: &CardRow| &row.words, &wanted);
                Ok::<_, anyhow::Error>((rows, total))
            });
            ensure!(scanned?.1 >= *found, "{text:?}: a scan of the rows finds less");
            book.add(CASE, &by_rows(text), sample);
        }
        Ok(())
    }

    fn details(&self, book: &Book) -> String {
        let mut text = format!(
            "{} rows in SQLite, the first {PAGE} of those found, in the order of keys, and how many \
             there are. The scans look for the words anywhere, as `LIKE '%word%'` does: one over \
             nothing but the rows' words in memory, which no database can be asked for as fast, and \
             one over the rows as the store gives them.\n\n\
             | words | found | indexed | scan in memory | its ratio | scan of all rows | its ratio |\n\
             |---|--:|--:|--:|--:|--:|--:|",
            self.words.len()
        );
        for (words, found) in QUERIES.iter().zip(&self.found) {
            let [indexed, memory, rows] = [indexed(words), in_memory(words), by_rows(words)];
            let time = |what| book.median(CASE, what).map_or("–".to_owned(), shown);
            let _ = write!(
                text,
                "\n| `{words}` | {found} | {} | {} | {} | {} | {} |",
                time(&indexed),
                time(&memory),
                book.ratio(CASE, &memory, &indexed),
                time(&rows),
                book.ratio(CASE, &rows, &indexed),
            );
        }
        text
    }
}
