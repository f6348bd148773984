//! The pure plan, over ever more entries.

use crate::{
    Measured,
    book::{Book, Sample},
    catalog,
    options::Options,
};
use anyhow::{Result, ensure};
use callsheet_types::{
    Snapshot,
    plan::{Action, Current, Head, PlanPolicy, Status, plan},
};
use std::{fmt::Write as _, hint::black_box, time::Duration};

const CASE: &str = "plan";
const LIMIT: Duration = Duration::from_millis(500);
const SIZES: [usize; 4] = [10_000, 20_000, 50_000, 100_000];

/// One entry in so many is another than the one that is stored.
const CHANGED: usize = 10;

pub(crate) struct Planning {
    sizes: Vec<(Snapshot, Current)>,
}

impl Planning {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let most = SIZES.into_iter().max().unwrap_or_default();
        let stored = catalog::snapshot(options.entries(most), |_| false)?;
        let published = catalog::snapshot(options.entries(most), |index| index % CHANGED == 0)?;
        let sizes = SIZES.map(|size| {
            let size = options.entries(size);
            let heads = stored.entries[..size].iter().map(|entry| {
                let digest = entry.body.digest();
                (entry.id.clone(), Head { revision: 1, digest, status: Status::Active })
            });
            let current = Current { heads: heads.collect(), ..Current::default() };
            let entries = published.entries[..size].to_vec();
            (Snapshot { entries, ..published.clone() }, current)
        });
        Ok(Self { sizes: sizes.into() })
    }
}

fn what(entries: usize) -> String {
    format!("{entries} entries, a tenth of them changed")
}

impl Measured for Planning {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        for (snapshot, current) in &self.sizes {
            let (sample, planned) =
                Sample::of(|| black_box(plan(black_box(current), snapshot, PlanPolicy::default())));
            let planned = planned?;
            let entries = snapshot.entries.len();
            ensure!(
                planned.changes.len() == entries.div_ceil(CHANGED)
                    && planned.count(Action::Updated) == planned.changes.len()
                    && planned.unchanged + planned.changes.len() == entries,
                "{entries} entries were planned otherwise than they are"
            );
            if Some(entries) == self.sizes.last().map(|(last, _)| last.entries.len()) {
                book.add_limited(CASE, &what(entries), LIMIT, sample);
            } else {
                book.add(CASE, &what(entries), sample);
            }
        }
        Ok(())
    }

    fn details(&self, book: &Book) -> String {
        let mut text =
            String::from("| entries | ns per entry | beside the fewest |\n|--:|--:|--:|");
        let mut fewest = None;
        for (snapshot, _) in &self.sizes {
            let entries = snapshot.entries.len();
            let Some(took) = book.median(CASE, &what(entries)) else { continue };
            let each = took.as_nanos() as f64 / entries as f64;
            let fewest = *fewest.get_or_insert(each);
            let _ = write!(text, "\n| {entries} | {each:.0} | {:.2}× |", each / fewest);
        }
        text
    }
}
