//! Looking at what is known, with whole processes that start cold.

use crate::{
    Measured,
    binary::{Binary, Ran},
    book::Book,
    catalog::Catalog,
    options::Options,
};
use anyhow::{Context as _, Result, ensure};
use std::time::Duration;
use tempfile::TempDir;

const CASE: &str = "list";
const LIMIT: Duration = Duration::from_millis(50);

/// A process takes so little time that one for each round would say little.
const TIMES: usize = 4;

const VERSION: &str = "`callsheet --version`, the floor";
const LIST: &str = "`model list`";
const LIST_JSON: &str = "`model list --json`";
const SHOW: &str = "`model show`";
const WHY: &str = "`model why`";

pub(crate) struct Listing {
    binary: Binary,
    catalog: Catalog,
    data: TempDir,
    /// How many models there are, and one in their middle.
    models: usize,
    key: String,
    /// Bytes of the list, and of the list as JSON.
    printed: [usize; 2],
}

impl Listing {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let binary = Binary::find(options)?;
        let data = tempfile::tempdir()?;
        let catalog = Catalog::models_dev(data.path())?;
        binary.run(
            data.path(),
            &["model", "import", catalog.argument()?, "--format", catalog.format, "--quiet"],
        )?;
        let listed = binary.run(data.path(), &["model", "list", "--json"])?.json()?;
        let listed = listed.as_array().context("a list of models")?;
        let middle = listed.get(listed.len() / 2).and_then(|model| model["key"].as_str());
        let key = middle.context("a model with a key")?.to_owned();
        Ok(Self { binary, catalog, models: listed.len(), key, data, printed: [0, 0] })
    }

    fn run(&self, args: &[&str]) -> Result<Ran> {
        self.binary.run(self.data.path(), args)
    }
}

impl Measured for Listing {
    fn round(&mut self, book: &mut Book) -> Result<()> {
        for _ in 0..TIMES {
            book.add(CASE, VERSION, self.run(&["--version"])?.sample);
            let list = self.run(&["model", "list"])?;
            let lines = memchr::memchr_iter(b'\n', &list.stdout).count();
            ensure!(lines >= self.models, "{lines} lines of {} models", self.models);
            book.add_limited(CASE, LIST, LIMIT, list.sample);
            let json = self.run(&["model", "list", "--json"])?;
            book.add(CASE, LIST_JSON, json.sample);
            self.printed = [list.stdout.len(), json.stdout.len()];
            book.add(CASE, SHOW, self.run(&["model", "show", &self.key])?.sample);
            book.add(CASE, WHY, self.run(&["model", "why", &self.key])?.sample);
        }
        Ok(())
    }

    fn details(&self, book: &Book) -> String {
        let [list, json] = self.printed.map(|bytes| bytes as f64 / 1e6);
        format!(
            "{} models of models.dev, {}; the list is {list:.2} MB, as JSON {json:.2} MB. \
             `show` and `why` are of `{}`. Beside the floor: `list` {}, `list --json` {}, `show` {}, \
             `why` {}.",
            self.models,
            self.catalog.described(),
            self.key,
            book.ratio(CASE, LIST, VERSION),
            book.ratio(CASE, LIST_JSON, VERSION),
            book.ratio(CASE, SHOW, VERSION),
            book.ratio(CASE, WHY, VERSION),
        )
    }
}
