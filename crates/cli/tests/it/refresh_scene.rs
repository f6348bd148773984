//! What tests of refreshing share: a home in which commands run one after another without a
//! daemon, and models to be listed.

use callsheet_testkit::{FakeModel, Output, within};
use serde_json::Value;
use std::{
    ffi::OsStr,
    fs,
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;
use tokio::process::Command;

/// A folder with a config file and data, and an environment of its own.
pub(crate) struct Home {
    dir: TempDir,
    env: Vec<(String, String)>,
}

impl Home {
    /// A home with this config file.
    pub(crate) fn new(config: &str) -> Self {
        let dir = TempDir::with_prefix("callsheet-test-").unwrap();
        let home = Self { dir, env: Vec::new() };
        home.configure(config);
        home
    }

    /// Sets a variable for every command.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Replaces the config file.
    pub(crate) fn configure(&self, config: &str) {
        fs::write(self.path("callsheet.toml"), config).unwrap();
    }

    /// Returns the path of a file in it.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    /// Writes a file and returns its path.
    pub(crate) fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        fs::write(&path, text).unwrap();
        path
    }

    /// Runs a command to its end.
    pub(crate) async fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let mut command = Command::new(Path::new(env!("CARGO_BIN_EXE_callsheet")));
        command
            .args(args)
            .env_clear()
            .env("HOME", self.dir.path())
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_DATA_HOME", self.path("data"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("CALLSHEET_CONFIG", self.path("callsheet.toml"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .current_dir(self.dir.path())
            .stdin(Stdio::null())
            .kill_on_drop(true);
        let output = within("the end of a command", command.output()).await.unwrap();
        Output {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// Runs a command that must succeed.
    pub(crate) async fn good<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        let output = self.run(args).await;
        assert_eq!(output.code, 0, "{output:?}");
        output
    }

    /// Returns the cards that the store has, by their keys.
    pub(crate) async fn cards(&self) -> Vec<Value> {
        let shown = self.good(["model", "list", "--json"]).await.json();
        shown.as_array().unwrap_or_else(|| panic!("{shown}")).clone()
    }

    /// Returns the keys of the models that are listed.
    pub(crate) async fn keys(&self) -> Vec<String> {
        self.cards().await.iter().map(|card| card["key"].as_str().unwrap().to_owned()).collect()
    }

    /// Returns one field of a model's card.
    pub(crate) async fn field(&self, model: &str, field: &str) -> Value {
        let shown = self.good(["model", "show", model, "--json"]).await.json();
        shown["models"][0][field].clone()
    }
}

/// A model of which a provider says all that it can.
pub(crate) fn model(id: &str) -> FakeModel {
    FakeModel::new(id).context(8192).max_output(1024).prices("0.00000025", "0.000001").tools()
}

/// So many models, `acme/m00` and so on.
pub(crate) fn models(count: usize) -> Vec<FakeModel> {
    (0..count).map(|i| model(&format!("acme/m{i:02}"))).collect()
}
