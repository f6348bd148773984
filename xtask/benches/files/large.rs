//! A registry of many files.

use crate::{
    Measured,
    book::{Book, Sample},
    options::Options,
    process::{Home, Programs},
    tree::Random,
};
use anyhow::{Context as _, Result, ensure};
use callsheet_files::{Publishes, Registry};
use callsheet_testkit::{FakeGitHub, FakeTree};
use callsheet_types::Digest;
use std::{fmt::Write as _, time::Duration};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CASE: &str = "large";
const REPOSITORY: &str = "MODFLOW-ORG/modflow6-testmodels";
const SOURCE: &str = "mf6/test";
const MODELS: usize = 5_000;
const FILES_OF_EACH: usize = 20;
const LIMIT: Duration = Duration::from_millis(100);
const LIMIT_MB: f64 = 64.0;

const PARSE: &str = "parsing it, in process";
const LOAD: &str = "loading it, in process";
const SYNC: &str = "`files sync`";
const LIST: &str = "`files list`";
const COPY: &str = "`files copy` of one model";

pub(crate) struct Large {
    programs: Programs,
    /// A thread of its own: this one waits for processes.
    _runtime: Runtime,
    _hub: FakeGitHub,
    env: Vec<(&'static str, String)>,
    folder: TempDir,
    text: String,
    compiled: Vec<u8>,
    model: String,
    runs: usize,
}

impl Large {
    pub(crate) fn prepare(options: &Options) -> Result<Self> {
        let programs = Programs::find(options)?;
        let (text, model, files) = published();
        let registry = Registry::parse(Publishes::Models, text.as_bytes())?;
        ensure!(registry.files.len() == MODELS * FILES_OF_EACH, "{} files", registry.files.len());
        let compiled = registry.compile();
        drop(registry);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let hub = runtime.block_on(FakeGitHub::start());
        let repository = hub.repository(REPOSITORY);
        let tree = files.file(".registry/models.toml", text.clone());
        repository.branch("develop", &repository.commit_tree(tree));
        let folder = tempfile::tempdir()?;
        let config = folder.path().join("callsheet.toml");
        std::fs::write(&config, hub.config())?;
        let config = config.to_str().context("a path that is text")?.to_owned();
        let env = vec![("CALLSHEET_CONFIG", config)];
        Ok(Self {
            programs,
            _runtime: runtime,
            _hub: hub,
            env,
            folder,
            text,
            compiled,
            model,
            runs: 0,
        })
    }

    /// Returns a new home, and one in which the registry is synced.
    fn homes(&mut self) -> Result<[Home; 2]> {
        self.runs += 1;
        let home = |name: &str| Home::new(&self.folder.path().join(name), &self.env);
        Ok([home(&format!("run-{}", self.runs))?, home(&format!("other-{}", self.runs))?])
    }
}

impl Measured for Large {
    fn want(&self, book: &mut Book) {
        book.want_within(CASE, LOAD, LIMIT);
        book.want_within(CASE, LIST, LIMIT);
        for what in [SYNC, LIST, COPY] {
            book.want_memory(CASE, what, LIMIT_MB);
        }
    }

    fn round(&mut self, book: &mut Book) -> Result<()> {
        let (sample, parsed) =
            Sample::of(|| Registry::parse(Publishes::Models, self.text.as_bytes()));
        book.add(CASE, PARSE, sample);
        drop(parsed?);
        let (sample, loaded) = Sample::of(|| Registry::load(&self.compiled));
        book.add(CASE, LOAD, sample);
        drop(loaded.context("the compiled registry")?);

        let [timed, weighed] = self.homes()?;
        let callsheet = &self.programs.callsheet;
        let sync = ["files", "sync", "--source", SOURCE, "--ref", "develop"];
        book.add(CASE, SYNC, timed.run(callsheet, &sync)?);
        book.add_peak(CASE, SYNC, weighed.peak(callsheet, &sync)?);
        let list = ["files", "list"];
        book.add(CASE, LIST, timed.run(callsheet, &list)?);
        book.add_peak(CASE, LIST, weighed.peak(callsheet, &list)?);
        let address = format!("{SOURCE}@develop/{}", self.model);
        let copy = ["files", "copy", &address, "copied"];
        book.add(CASE, COPY, timed.run(callsheet, &copy)?);
        book.add_peak(CASE, COPY, weighed.peak(callsheet, &copy)?);
        for home in [timed, weighed] {
            std::fs::remove_dir_all(home.path)?;
        }
        Ok(())
    }

    fn details(&self) -> String {
        format!(
            "{} files of {MODELS} models: {:.1} MB of TOML, {:.1} MB once compiled. The commands are \
             whole processes beside a stand-in of GitHub on this machine; `files copy` fetches its \
             {FILES_OF_EACH} files. Memory is the most that a process had in any round, as the kernel \
             counts it.",
            MODELS * FILES_OF_EACH,
            self.text.len() as f64 / 1e6,
            self.compiled.len() as f64 / 1e6,
        )
    }
}

/// Returns a registry in the Python package's form, the model in its middle, and that model's files.
fn published() -> (String, String, FakeTree) {
    let mut random = Random(0x2545_F491_4F6C_DD1D);
    let (mut files, mut models) = (String::new(), String::new());
    let mut tree = FakeTree::new();
    let base = "https://raw.githubusercontent.com/MODFLOW-ORG/modflow6-testmodels/develop/mf6";
    let copied = format!("test{:04}_made_up", MODELS / 2);
    // Writing to a text cannot fail.
    for model in 0..MODELS {
        let name = format!("test{model:04}_made_up");
        let _ = writeln!(models, "\"{SOURCE}/{name}\" = [");
        for file in 0..FILES_OF_EACH {
            let key = match file {
                0 => format!("{name}/mfsim.nam"),
                file if file < 10 => format!("{name}/model_of_flow.{file:02}.dat"),
                file => format!("{name}/arrays_of_the_model/layer.{file:02}.dat"),
            };
            let digest = if name == copied {
                let content = format!("the content of {key}");
                let digest = Digest::of(content.as_bytes()).hex();
                tree = tree.file(format!("mf6/{key}"), content);
                digest
            } else {
                Digest::of(&random.next().to_le_bytes()).hex()
            };
            let _ =
                write!(files, "\n[files.\"{key}\"]\nurl = \"{base}/{key}\"\nhash = \"{digest}\"\n");
            let _ = writeln!(models, "    \"{key}\",");
        }
        models.push_str("]\n");
    }
    let text = format!("schema_version = \"1.0\"\n{files}\n[models]\n{models}\n[examples]\n");
    (text, copied, tree)
}
