//! What tests of files share: a GitHub, a user's home, and the binary under both of its names.

use callsheet_testkit::{FakeGitHub, FakeRepository, Output};
use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Stdio,
};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, BufReader},
    process::{Child, Command},
};

/// The repository of the shipped source `mf6/test`.
pub(crate) const TEST_MODELS: &str = "MODFLOW-ORG/modflow6-testmodels";

/// A user with a home of their own, who sees a GitHub of ours.
pub(crate) struct Home {
    folder: TempDir,
    env: Vec<(String, String)>,
}

impl Home {
    /// A home whose config file is this text.
    pub(crate) fn new(config: &str) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let home = Self { folder, env: Vec::new() };
        home.write_config(config);
        std::fs::create_dir_all(home.path("work")).expect("a folder to work in");
        home
    }

    /// A home from which this GitHub is seen.
    pub(crate) fn seeing(hub: &FakeGitHub) -> Self {
        Self::new(&hub.config())
    }

    /// A home whose config file has more than where GitHub is.
    pub(crate) fn with(hub: &FakeGitHub, config: &str) -> Self {
        Self::new(&format!("{config}\n{}", hub.config()))
    }

    pub(crate) fn write_config(&self, text: &str) {
        self.write("config/callsheet/callsheet.toml", text);
    }

    /// Sets a variable for every command.
    pub(crate) fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Returns a path in the home.
    pub(crate) fn path(&self, below: &str) -> PathBuf {
        self.folder.path().join(below)
    }

    pub(crate) fn write(&self, below: &str, text: &str) {
        let path = self.path(below);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("it can be made");
        std::fs::write(path, text).expect("it can be written");
    }

    /// A command of `callsheet`, not yet started, in the folder `work`.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        self.program(Path::new(env!("CARGO_BIN_EXE_callsheet")), args)
    }

    fn program(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.folder.path())
            .env("USER", "tester")
            .env("XDG_CONFIG_HOME", self.path("config"))
            .env("XDG_CACHE_HOME", self.path("cache"))
            .env("XDG_DATA_HOME", self.path("data"))
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command
    }

    /// Runs `callsheet`.
    pub(crate) async fn run(&self, args: &[&str]) -> Output {
        finish(self.command(args)).await
    }

    /// Runs the binary by the name of MODFLOW's command.
    pub(crate) async fn mf(&self, args: &[&str]) -> Output {
        let link = self.path("mf");
        if !link.exists() {
            std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_callsheet"), &link).expect("a link");
        }
        finish(self.program(&link, args)).await
    }

    /// Runs `callsheet` and returns what it said, having checked that it did what was asked.
    pub(crate) async fn ok(&self, args: &[&str]) -> Output {
        let output = self.run(args).await;
        assert_eq!(output.code, 0, "{args:?}: {output:?}");
        output
    }

    /// Runs `callsheet`, which must fail with this exit code, and returns what it said about it.
    pub(crate) async fn fails(&self, code: i32, args: &[&str]) -> String {
        let output = self.run(args).await;
        assert_eq!(output.code, code, "{args:?}: {output:?}");
        output.stderr
    }

    /// Returns where the cache keeps a file of this content.
    pub(crate) fn cached(&self, content: &[u8]) -> PathBuf {
        let hex = callsheet_types::Digest::of(content).hex();
        self.path(&format!("cache/callsheet/files/sha256/{}/{}", &hex[..2], &hex[2..]))
    }

    /// Starts the daemon on this home's data, and waits until it listens.
    pub(crate) async fn start_daemon(&self) -> Daemon {
        let mut command = self.command(&["serve", "--listen", "127.0.0.1:0"]);
        let mut child = command.stderr(Stdio::null()).spawn().expect("it starts");
        let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
        let line = callsheet_testkit::within("the daemon's first line", lines.next_line()).await;
        let line = line.expect("a line").expect("a line");
        assert!(line.starts_with("callsheet is listening on "), "{line}");
        Daemon { child }
    }

    /// Returns every file below a folder of the home, by its path.
    pub(crate) fn files(&self, below: &str) -> BTreeMap<String, Vec<u8>> {
        files_of(&self.path(below))
    }
}

/// A daemon of a home; it is killed when this is dropped.
pub(crate) struct Daemon {
    child: Child,
}

impl Daemon {
    /// Kills it, and waits until it is gone.
    pub(crate) async fn stop(mut self) {
        self.child.kill().await.expect("it can be killed");
    }
}

/// Waits for a command's end.
pub(crate) async fn finish(mut command: Command) -> Output {
    let output = callsheet_testkit::within("the end of a command", command.output()).await;
    let output = output.expect("it starts");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

/// Returns every file below a folder, by its path.
pub(crate) fn files_of(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    fn walk(at: &Path, below: &str, files: &mut BTreeMap<String, Vec<u8>>) {
        for entry in std::fs::read_dir(at).into_iter().flatten() {
            let entry = entry.expect("an entry");
            let name = format!("{below}{}", entry.file_name().to_string_lossy());
            if entry.file_type().expect("its type").is_dir() {
                walk(&entry.path(), &format!("{name}/"), files);
            } else {
                files.insert(name, std::fs::read(entry.path()).expect("its content"));
            }
        }
    }
    let mut files = BTreeMap::new();
    walk(folder, "", &mut files);
    files
}

/// Two small models under `mf6`, the second with a folder of its own and another model in it.
pub(crate) const MODELS: [(&str, &str); 6] = [
    ("mf6/simple/mfsim.nam", "simulation"),
    ("mf6/simple/model.dis", "one layer"),
    ("mf6/deep/mfsim.nam", "simulation"),
    ("mf6/deep/data/model.npf", "k = 1"),
    ("mf6/deep/inner/mfsim.nam", "inner simulation"),
    ("README.md", "models"),
];

/// What a copy of a model among these files holds.
pub(crate) fn model(files: &[(&str, &str)], name: &str) -> BTreeMap<String, Vec<u8>> {
    let folder = format!("mf6/{name}/");
    let inside = files.iter().filter_map(|(path, content)| {
        Some((path.strip_prefix(&folder)?.to_owned(), content.as_bytes().to_vec()))
    });
    inside.collect()
}

/// Makes a registry of files below `mf6`, without addresses.
pub(crate) fn registry_of(files: &[(&str, &str)]) -> String {
    use std::fmt::Write as _;
    let mut text = "schema_version = \"1.0\"\n\n[files]\n".to_owned();
    let keys: Vec<_> = files
        .iter()
        .filter_map(|(path, content)| Some((path.strip_prefix("mf6/")?, *content)))
        .collect();
    for (key, content) in &keys {
        let digest = callsheet_types::Digest::of(content.as_bytes());
        let _ = writeln!(text, "\"{key}\" = {{hash = \"{digest}\"}}");
    }
    text.push_str("\n[models]\n");
    let mut folders: Vec<_> =
        keys.iter().filter_map(|(key, _)| key.strip_suffix("/mfsim.nam")).collect();
    folders.sort_unstable();
    for folder in folders {
        let inside: Vec<_> = keys
            .iter()
            .filter(|(key, _)| key.starts_with(&format!("{folder}/")))
            .map(|(key, _)| format!("\"{key}\""))
            .collect();
        let _ = writeln!(text, "\"mf6/test/{folder}\" = [{}]", inside.join(", "));
    }
    text.push_str("\n[examples]\n");
    text
}

/// Commits files with their registry.
pub(crate) fn commit(repository: &FakeRepository, files: &[(&str, &str)]) -> String {
    let registry = registry_of(files);
    let all = files.iter().map(|(path, content)| (*path, (*content).to_owned()));
    repository.commit(all.chain([(".registry/models.toml", registry)]))
}

/// A GitHub on which the shipped source `mf6/test` has [`MODELS`] at the branch `develop`.
pub(crate) async fn hub() -> FakeGitHub {
    let hub = FakeGitHub::start().await;
    let repository = hub.repository(TEST_MODELS);
    let first = commit(&repository, &MODELS);
    repository.branch("develop", &first);
    repository.branch("master", &first);
    hub
}

/// What the source of [`TEST_MODELS`] needs to know, since its registry without addresses does not
/// say it: the folder that its keys start from.
pub(crate) const SOURCE: &str = "[sources.modflow6-testmodels]\nrepo = \"MODFLOW-ORG/modflow6-testmodels\"\nname = \"mf6/test\"\nrefs = [\"develop\"]\npath = \"mf6\"\n";
