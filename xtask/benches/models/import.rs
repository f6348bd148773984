//! Taking catalogs in, with whole processes.

use crate::{Measured, binary::Binary, book::Book, catalog::Catalog, options::Options};
use anyhow::{Context as _, Result, ensure};
use callsheet_store::{Store, StoreUrl};
use callsheet_types::Digest;
use serde_json::Value;
use std::{path::Path, time::Duration};
use tempfile::TempDir;

const CASE: &str = "import";
const LIMIT: Duration = Duration::from_secs(2);

pub(crate) struct Import {
    binary: Binary,
    catalogs: [Catalog; 2],
    said: Vec<String>,
    _folder: TempDir,
}

impl Import {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let catalogs = [Catalog::models_dev(folder.path())?, Catalog::openrouter(folder.path())?];
        Ok(Self { binary: Binary::find(options)?, catalogs, said: Vec::new(), _folder: folder })
    }
}

impl Measured for Import {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        self.said.clear();
        for catalog in &self.catalogs {
            let format = catalog.format;
            let data = tempfile::tempdir()?;
            let args = ["model", "import", catalog.argument()?, "--format", format, "--json"];
            let first = self.binary.run(data.path(), &args)?;
            book.add_limited(CASE, &format!("{format} into an empty store"), LIMIT, first.sample);
            let before = state(data.path())?;
            let again = self.binary.run(data.path(), &args)?;
            book.add(CASE, &format!("{format}, the same again"), again.sample);
            ensure!(state(data.path())? == before, "{format}: the same again changed the store");

            let (first, again) = (first.json()?, again.json()?);
            let added = count(&first, "added")?;
            ensure!(added > 0, "{format}: nothing was added: {first}");
            ensure!(
                count(&again, "unchanged")? == added
                    && ["added", "updated", "withdrawn"].iter().all(|what| again[*what] == 0),
                "{format}: the same again is not unchanged: {again}"
            );
            self.said.push(format!(
                "- `{format}`, {}: {} models of providers and {} of none in {added} entries, {} \
                 kinds of problems. The same again: all unchanged, and the digest of the store and \
                 the feed's cursor ({}) are as they were.",
                catalog.described(),
                count(&first, "models")?,
                count(&first, "canonical")?,
                first["problems"].as_array().map_or(0, Vec::len),
                before.0,
            ));
        }
        Ok(())
    }

    fn details(&self, _: &Book) -> String {
        self.said.join("\n")
    }
}

/// Returns the feed's newest cursor, and the digest of everything that is stored.
fn state(data: &Path) -> Result<(u64, Digest)> {
    let store = Store::open(&StoreUrl::Sqlite(data.join("catalog.db")))?;
    Ok((store.cursor()?, store.digest()?))
}

fn count(imported: &Value, what: &str) -> Result<u64> {
    imported[what].as_u64().with_context(|| format!("no number of {what} in {imported}"))
}
