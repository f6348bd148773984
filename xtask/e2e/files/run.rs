//! A user with both programs and a home of their own.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use tokio::process::Command;

use crate::callsheet;

/// How long one command may take: the package fetches hundreds of files one after the other.
const PATIENCE: Duration = Duration::from_secs(300);

pub(super) struct User {
    home: PathBuf,
    /// The Python package's virtual environment.
    installed: PathBuf,
    /// What leads to the stand-in.
    env: Vec<(&'static str, String)>,
}

impl User {
    pub(super) fn new(home: &Path, installed: &Path, env: Vec<(&'static str, String)>) -> Self {
        Self { home: home.to_owned(), installed: installed.to_owned(), env }
    }

    /// Returns another user, who has synced nothing.
    pub(super) fn beside(&self, name: &str) -> Self {
        let home = self.home.with_file_name(name);
        Self { home, installed: self.installed.clone(), env: self.env.clone() }
    }

    /// Returns a path in the home.
    pub(super) fn path(&self, below: &str) -> PathBuf {
        self.home.join(below)
    }

    /// Makes a registry with `callsheet`.
    pub(super) async fn index(&self, args: &[&str], last: &str, output: &Path) -> Result<()> {
        let output = output.display().to_string();
        let args = [&["files", "index"], args, &[last, "--output", &output]].concat();
        self.callsheet(&args).await
    }

    pub(super) async fn sync_us(&self, source: &str, reference: &str) -> Result<()> {
        self.callsheet(&["files", "sync", "--source", source, "--ref", reference]).await
    }

    pub(super) async fn sync_them(&self, source: &str, reference: &str) -> Result<()> {
        let mf = self.installed.join("bin/mf");
        self.run(&mf, ["models", "sync", "--source", source, "--ref", reference]).await
    }

    pub(super) async fn sync_both(&self, source: &str, reference: &str) -> Result<()> {
        self.sync_us(source, reference).await?;
        self.sync_them(source, reference).await
    }

    pub(super) async fn callsheet(&self, args: &[&str]) -> Result<()> {
        self.run(&callsheet()?, args).await
    }

    /// Makes a registry with the package.
    pub(super) async fn make_registry(&self, options: &[(&str, &str)]) -> Result<()> {
        let mut args = vec!["-m", "modflow_devtools.models.make_registry"];
        args.extend(options.iter().flat_map(|(name, value)| [*name, *value]));
        self.python(&args).await
    }

    /// Compares registry files as the package reads them.
    pub(super) async fn compare(&self, ours: &Path, theirs: &Path) -> Result<()> {
        self.script("compare", &[ours, theirs]).await
    }

    /// Copies every model with the package.
    pub(super) async fn copy_with_them(&self, folder: &Path) -> Result<()> {
        self.script("copy", &[folder]).await
    }

    async fn script(&self, what: &str, paths: &[&Path]) -> Result<()> {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/python/files.py");
        let args = [script.as_os_str(), OsStr::new(what)];
        let paths = paths.iter().map(|path| path.as_os_str());
        self.run(&self.installed.join("bin/python"), args.into_iter().chain(paths)).await
    }

    async fn python(&self, args: &[&str]) -> Result<()> {
        self.run(&self.installed.join("bin/python"), args).await
    }

    /// Runs a program in the home; an error with what it said if it fails.
    async fn run(
        &self,
        program: &Path,
        args: impl IntoIterator<Item = impl AsRef<OsStr>>,
    ) -> Result<()> {
        let work = self.path("work");
        std::fs::create_dir_all(&work)?;
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(work)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .env("USER", "somebody")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output =
            tokio::time::timeout(PATIENCE, command.output()).await.context("a command hangs")??;
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        let last: Vec<_> = said.lines().rev().take(12).collect();
        let last: Vec<_> = last.into_iter().rev().collect();
        ensure!(
            output.status.success(),
            "{:?} ended with {}:\n{}",
            command.as_std(),
            output.status,
            last.join("\n")
        );
        Ok(())
    }
}
