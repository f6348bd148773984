//! The Python package `modflow-devtools` and callsheet in turn, on one stand-in of GitHub behind a
//! proxy that speaks TLS.

use crate::{
    Measured,
    book::{Book, Sample},
    options::Options,
    process::{Home, Programs},
    tree::Tree,
};
use anyhow::{Context as _, Result, ensure};
use callsheet_files::{Publishes, Registry};
use callsheet_testkit::{FakeGitHub, FakeTree, GitHubProxy};
use std::{
    path::{Path, PathBuf},
    process::Command,
};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const CASE: &str = "package";
const REPOSITORY: &str = "MODFLOW-ORG/modflow6-testmodels";
const SOURCE: &str = "mf6/test";

/// A model with about so many files is copied.
const FILES: usize = 15;

/// A process takes so little time that one for each round would say little.
const TIMES: usize = 3;

/// The package, with a registry synced.
pub(crate) struct Package {
    folder: PathBuf,
    home: Home,
    hub: Hub,
}

/// A GitHub with models and their registry.
struct Hub {
    /// A thread of its own: this one waits for processes.
    _runtime: Runtime,
    _github: FakeGitHub,
    proxy: GitHubProxy,
    folder: TempDir,
    registry: Registry,
}

impl Hub {
    fn start(programs: &Programs, tree: &Tree) -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let maker = Home::new(&folder.path().join("maker"), &[])?;
        let (root, output) = (tree.root.display().to_string(), maker.path.display().to_string());
        let args = ["files", "index", "--repo", REPOSITORY, "--ref", "develop", "--name", SOURCE];
        let args = [&args[..], &["--path", &root, "--output", &output]].concat();
        maker.run(&programs.callsheet, &args)?;
        let registry = std::fs::read(maker.path.join("models.toml"))?;
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build()?;
        let hub = runtime.block_on(FakeGitHub::start());
        let repository = hub.repository(REPOSITORY);
        let files = FakeTree::new().dir("mf6", &tree.root);
        let files = files.file(".registry/models.toml", registry.clone());
        let commit = repository.commit_tree(files);
        repository.branch("develop", &commit);
        // Packing is GitHub's work.
        repository.archive(&commit, callsheet_testkit::ArchiveKind::TarGz);
        let proxy = runtime.block_on(hub.proxy());
        let registry = Registry::parse(Publishes::Models, &registry)?;
        Ok(Self { _runtime: runtime, _github: hub, proxy, folder, registry })
    }

    fn home(&self, name: &str) -> Result<Home> {
        Home::new(&self.folder.path().join(name), &self.proxy.env())
    }
}

impl Package {
    /// Starts a GitHub and syncs, if the package is installed.
    pub(crate) fn start(programs: &Programs) -> Result<Option<Self>> {
        let Some(folder) = programs.package.clone() else { return Ok(None) };
        let tree = match Tree::reference()? {
            Some(tree) => tree,
            None => Tree::made_up()?,
        };
        let hub = Hub::start(programs, &tree)?;
        let home = hub.home("package")?;
        let sync = ["models", "sync", "--source", SOURCE, "--ref", "develop"];
        home.run(&folder.join("bin/mf"), &sync)?;
        Ok(Some(Self { folder, home, hub }))
    }

    /// Makes a registry of a folder.
    pub(crate) fn index(&self, tree: &Tree) -> Result<Sample> {
        let output = self.home.path.join("registry");
        // It adds to what it finds.
        let _ = std::fs::remove_dir_all(&output);
        let (root, output) = (tree.root.display().to_string(), output.display().to_string());
        let args = ["-m", "modflow_devtools.models.make_registry", "--repo", REPOSITORY];
        let more = ["--ref", "develop", "--name", SOURCE, "--path", &root, "--output", &output];
        self.home.run(&self.folder.join("bin/python"), &[&args[..], &more].concat())
    }

    fn mf(&self, args: &[&str]) -> Result<Sample> {
        self.home.run(&self.folder.join("bin/mf"), args)
    }

    /// Copies all models, in one process, from nothing that was fetched before.
    fn copy_all(&self, fetched: &Path, workspace: &Path) -> Result<Sample> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/python/files.py");
        let mut home = self.home.clone();
        home.env.push(("MFMODELS_PATH".to_owned(), fetched.display().to_string()));
        let args = [script.as_os_str(), "copy".as_ref(), workspace.as_os_str()];
        home.run(&self.folder.join("bin/python"), &args)
    }
}

/// The package's commands and ours.
pub(crate) struct Beside {
    programs: Programs,
    package: Package,
    home: Home,
    /// A model with some fifteen files.
    model: String,
    files: usize,
    runs: usize,
}

impl Beside {
    /// Returns nothing where the package is not installed.
    pub(crate) fn prepare(options: &Options) -> Result<Option<Self>> {
        let programs = Programs::find(options)?;
        let Some(package) = Package::start(&programs)? else { return Ok(None) };
        let home = package.hub.home("ours")?;
        home.run(&programs.callsheet, &["files", "sync", "--source", SOURCE, "--ref", "develop"])?;
        let models = &package.hub.registry.models;
        let model = models.iter().min_by_key(|model| model.files.len().abs_diff(FILES));
        let model = model.context("a model")?;
        let (files, model) = (model.files.len(), model.name.to_string());
        let this = Self { programs, package, home, model, files, runs: 0 };
        this.warm_copies("before")?;
        Ok(Some(this))
    }

    /// Copies one model with both.
    fn warm_copies(&self, name: &str) -> Result<(Sample, Sample)> {
        let workspace = |who: &str| {
            self.package.hub.folder.path().join(format!("{name}-{who}")).display().to_string()
        };
        let theirs = self.package.mf(&["models", "cp", &self.model, &workspace("theirs")])?;
        let ours = self.mf(&["models", "cp", &self.model, &workspace("ours")])?;
        Ok((theirs, ours))
    }

    fn mf(&self, args: &[&str]) -> Result<Sample> {
        self.home.run(&self.programs.callsheet, &[&["mf"], args].concat())
    }
}

const START: [&str; 2] = ["the package, `mf models info`", "`mf models info`"];
const LIST: [&str; 2] = ["the package, `mf models list`", "`mf models list`"];
const WARM: [&str; 2] = ["the package, `mf models cp`, warm", "`mf models cp`, warm"];
const COLD: [&str; 2] = ["the package, all models, cold", "all models, cold"];

/// Has the system write all that it has not written yet.
fn write_all() -> Result<()> {
    ensure!(Command::new("sync").status()?.success(), "sync failed");
    Ok(())
}

impl Measured for Beside {
    fn want(&self, book: &mut Book) {
        for [theirs, ours] in [START, LIST, WARM, COLD] {
            book.want_faster(CASE, ours, theirs, 20.0);
        }
    }

    fn round(&mut self, book: &mut Book) -> Result<()> {
        for _ in 0..TIMES {
            self.runs += 1;
            book.add(CASE, START[0], self.package.mf(&["models", "info"])?);
            book.add(CASE, START[1], self.mf(&["models", "info"])?);
            book.add(CASE, LIST[0], self.package.mf(&["models", "list"])?);
            book.add(CASE, LIST[1], self.mf(&["models", "list"])?);
            let (theirs, ours) = self.warm_copies(&format!("warm-{}", self.runs))?;
            book.add(CASE, WARM[0], theirs);
            book.add(CASE, WARM[1], ours);
        }
        let folder = self.package.hub.folder.path().join(format!("cold-{}", self.runs));
        let fetched = folder.join("fetched");
        // What is waited for is one's own: callsheet has the system write what it keeps, and would
        // have it write what the package left unwritten.
        write_all()?;
        let sample = self.package.copy_all(&fetched, &folder.join("theirs"))?;
        book.add(CASE, COLD[0], sample);
        let fresh = self.package.hub.home(&format!("cold-{}/home", self.runs))?;
        let callsheet = &self.programs.callsheet;
        fresh.run(callsheet, &["files", "sync", "--source", SOURCE, "--ref", "develop"])?;
        write_all()?;
        let workspace = folder.join("ours").display().to_string();
        let all = format!("{SOURCE}@develop/**");
        book.add(CASE, COLD[1], fresh.run(callsheet, &["files", "copy", &all, &workspace])?);
        // Nothing is removed before the end: without a journal, ext4 looks past every file that was
        // removed lately before it makes a new one.
        Ok(())
    }

    fn details(&self) -> String {
        let registry = &self.package.hub.registry;
        format!(
            "modflow-devtools 1.9.2 and callsheet in turn, whole processes, both with the same \
             registry synced ({} models, {} files); `{}`, of {} files, is copied warm. Cold: neither \
             has fetched a file, and both fetch from the same stand-in of GitHub on this machine, \
             through a proxy that speaks TLS. The package has no command that copies all models: it \
             runs as a loop in one Python process, which favours it. It asks for each file by itself; \
             callsheet asks for one archive, and does not end before the system has written what it keeps, \
             which the package leaves open; before either, the system writes all that others left it.",
            registry.models.len(),
            registry.files.len(),
            self.model,
            self.files,
        )
    }
}
