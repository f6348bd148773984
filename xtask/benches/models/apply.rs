//! Publishing into a new store, on both databases.

use crate::{
    Measured,
    book::{Book, Sample},
    catalog,
    options::Options,
};
use anyhow::{Result, anyhow, ensure};
use callsheet_models::Cards;
use callsheet_store::{Intent, Store, StoreUrl};
use callsheet_testkit::postgres::{self, Postgres};
use callsheet_types::{Snapshot, plan::PlanPolicy};
use std::fmt::Write as _;

const CASE: &str = "apply";

/// As many as models.dev publishes, and as many as nobody does yet.
const SIZES: [usize; 2] = [5_329, 100_000];

const SQLITE: &str = "SQLite";
const POSTGRES: &str = "PostgreSQL";

pub(crate) struct Apply {
    snapshots: Vec<Snapshot>,
    postgres: Result<&'static Postgres, &'static str>,
}

impl Apply {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let snapshots = SIZES.map(|size| catalog::snapshot(options.entries(size), |_| false));
        let postgres = postgres::server();
        if let Err(why) = postgres {
            eprintln!("skipped: {why}");
        }
        Ok(Self { snapshots: snapshots.into_iter().collect::<Result<_>>()?, postgres })
    }
}

fn what(database: &str, entries: usize) -> String {
    format!("{database}: {entries} new entries")
}

fn again(database: &str, entries: usize) -> String {
    format!("{database}: the same {entries} again")
}

/// Publishes twice into a store that is empty.
fn publish(book: &mut Book, database: &str, url: &StoreUrl, snapshot: &Snapshot) -> Result<()> {
    let store = Store::open(url)?;
    let entries = snapshot.entries.len();
    let intent = Intent::now("bench");
    for (what, changes) in [(what(database, entries), entries), (again(database, entries), 0)] {
        let (sample, applied) =
            Sample::of(|| store.publish(snapshot, PlanPolicy::default(), &intent, &Cards));
        let changed = applied?.plan.changes.len();
        ensure!(changed == changes, "{what}: {changed} changes");
        book.add(CASE, &what, sample);
    }
    Ok(())
}

impl Measured for Apply {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        for snapshot in &self.snapshots {
            let folder = tempfile::tempdir()?;
            let url = StoreUrl::Sqlite(folder.path().join("catalog.db"));
            publish(book, SQLITE, &url, snapshot)?;
            if let Ok(server) = self.postgres {
                let url = server.database().map_err(|error| anyhow!(error))?.parse()?;
                publish(book, POSTGRES, &url, snapshot)?;
            }
        }
        Ok(())
    }

    fn details(&self, book: &Book) -> String {
        let mut text = String::from(match self.postgres {
            Ok(_) => {
                "PostgreSQL is reached by a socket and does not wait for its disk (`fsync=off`); \
                 time on a processor is that of the client alone."
            }
            Err(_) => "PostgreSQL is not installed here, and is left out.",
        });
        text.push_str(
            "\n\n| entries | SQLite, per entry | PostgreSQL, per entry | PostgreSQL ÷ SQLite |\n\
             |--:|--:|--:|--:|",
        );
        for snapshot in &self.snapshots {
            let entries = snapshot.entries.len();
            let each = |database| {
                let median = book.median(CASE, &what(database, entries));
                median.map_or("–".to_owned(), |median| {
                    format!("{:.1} µs", median.as_secs_f64() * 1e6 / entries as f64)
                })
            };
            let ratio = book.ratio(CASE, &what(POSTGRES, entries), &what(SQLITE, entries));
            let _ =
                write!(text, "\n| {entries} | {} | {} | {ratio} |", each(SQLITE), each(POSTGRES));
        }
        text
    }
}
