//! The real daemon, started from a real config file in a folder of its own.

use std::ffi::{OsStr, OsString};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::sync::watch;

use crate::client::{self, Reply, StreamReply};
use crate::{PATIENCE, within};

const FIRST_LINE: &str = "callsheet is listening on http://";

/// Settings of a [`TestServer`] that has not started yet.
#[derive(Debug)]
pub struct Builder {
    exe: PathBuf,
    home: TempDir,
    config: String,
    env: Vec<(String, String)>,
    args: Vec<OsString>,
    waits: bool,
}

/// What a finished process left.
#[derive(Clone, Debug)]
pub struct Output {
    /// The exit code; -1 when a signal ended it.
    pub code: i32,
    /// Everything it wrote to standard output.
    pub stdout: String,
    /// Everything it wrote to standard error.
    pub stderr: String,
}

impl Output {
    /// Returns standard output as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("standard output is not JSON ({error}): {self:?}"))
    }
}

impl Builder {
    /// Writes this text as the config file.
    #[must_use]
    pub fn config(mut self, text: impl Into<String>) -> Self {
        self.config = text.into();
        self
    }

    /// Sets a variable in the environment of the daemon and of every command.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.to_owned(), value.to_owned()));
        self
    }

    /// Appends these arguments to `serve`.
    #[must_use]
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.args.extend(args.into_iter().map(|arg| arg.as_ref().to_owned()));
        self
    }

    /// Does not wait until the daemon says that it is ready.
    #[must_use]
    pub fn without_waiting(mut self) -> Self {
        self.waits = false;
        self
    }

    /// Starts the daemon, reads its address from its first line, and waits for `/readyz`.
    ///
    /// # Panics
    /// When any of this fails; the message holds what the daemon wrote.
    pub async fn start(self) -> TestServer {
        let paths = Paths::write(&self.home, &self.config);
        let (child, address, stderr) = launch(&self, &paths).await;
        let server = TestServer { builder: self, paths, child, address, stderr };
        if server.builder.waits {
            server.wait_until_ready().await;
        }
        server
    }

    /// Runs `serve`, which must end by itself, as it should with a bad configuration.
    pub async fn run_to_exit(self) -> Output {
        let paths = Paths::write(&self.home, &self.config);
        finish(serve_command(&self, &paths), "the end of a daemon that cannot start").await
    }

    /// Runs another command with this configuration and environment, without any daemon.
    pub async fn run<S: AsRef<OsStr>>(self, args: impl IntoIterator<Item = S>) -> Output {
        let paths = Paths::write(&self.home, &self.config);
        finish(cli_command(&self, &paths, args), "the end of a command").await
    }
}

/// A running daemon; it is killed when this is dropped.
#[derive(Debug)]
pub struct TestServer {
    builder: Builder,
    paths: Paths,
    child: Child,
    address: SocketAddr,
    stderr: watch::Receiver<String>,
}

impl TestServer {
    /// Returns the settings of a daemon that runs this executable. The config is to hold
    /// `[server] listen = "127.0.0.1:0"`.
    pub fn builder(exe: &Path) -> Builder {
        Builder {
            exe: exe.to_owned(),
            home: TempDir::with_prefix("callsheet-test-").expect("a temporary folder"),
            config: String::new(),
            env: Vec::new(),
            args: Vec::new(),
            waits: true,
        }
    }

    /// Returns the address as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Returns the address.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the id of the process.
    pub fn pid(&self) -> u32 {
        self.child.id().expect("a daemon that runs")
    }

    /// Returns the folder with the daemon's data.
    pub fn data_dir(&self) -> PathBuf {
        self.paths.data.join("callsheet")
    }

    /// Returns the config file.
    pub fn config_path(&self) -> &Path {
        &self.paths.config
    }

    /// Replaces the config file; what follows from it is the daemon's business.
    pub fn write_config(&self, text: &str) {
        std::fs::write(&self.paths.config, text).expect("a config file");
    }

    /// Returns what the daemon has written to standard error so far.
    pub fn stderr(&self) -> String {
        self.stderr.borrow().clone()
    }

    /// Waits until the daemon's standard error holds `text`.
    pub async fn wait_for_stderr(&self, text: &str) {
        let mut stderr = self.stderr.clone();
        let found =
            tokio::time::timeout(PATIENCE, stderr.wait_for(|so_far| so_far.contains(text))).await;
        assert!(matches!(found, Ok(Ok(_))), "no {text:?} on standard error:\n{}", self.stderr());
    }

    /// Sends `GET path`.
    pub async fn get(&self, path: &str) -> Reply {
        self.request("GET", path, &[], b"").await
    }

    /// Sends a JSON body with `POST`.
    pub async fn post_json(&self, path: &str, body: &serde_json::Value) -> Reply {
        let headers = [("Content-Type", "application/json")];
        self.request("POST", path, &headers, body.to_string().as_bytes()).await
    }

    /// Sends a request with these headers and this body.
    ///
    /// # Panics
    /// When no complete answer comes; see [`client::request`] for one that may fail.
    pub async fn request(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Reply {
        let answer = client::request(self.address, method, path, headers, body);
        within("a complete answer", answer)
            .await
            .unwrap_or_else(|error| panic!("{method} {path} failed: {error}\n{}", self.stderr()))
    }

    /// Sends a JSON body with `POST` and returns once the answer's head is there.
    pub async fn stream(&self, path: &str, body: &serde_json::Value) -> StreamReply {
        self.stream_with(path, &[], body).await
    }

    /// Sends [`TestServer::stream`] with further headers.
    pub async fn stream_with(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: &serde_json::Value,
    ) -> StreamReply {
        let mut all = vec![("Content-Type", "application/json")];
        all.extend_from_slice(headers);
        let body = body.to_string();
        let answer = client::open(self.address, "POST", path, &all, body.as_bytes());
        within("the head of an answer", answer)
            .await
            .unwrap_or_else(|error| panic!("POST {path} failed: {error}\n{}", self.stderr()))
    }

    /// Sends these bytes and returns what came until the daemon closed the connection.
    pub async fn raw(&self, bytes: &[u8]) -> Vec<u8> {
        within("the end of a raw connection", client::raw(self.address, bytes))
            .await
            .expect("a connection")
    }

    /// Opens a connection.
    pub async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.expect("a connection")
    }

    /// Waits until `/readyz` answers 200.
    pub async fn wait_until_ready(&self) {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answer = client::request(self.address, "GET", "/readyz", &[], b"").await;
            if answer.as_ref().is_ok_and(|reply| reply.status == 200) {
                return;
            }
            assert!(Instant::now() < deadline, "not ready: {answer:?}\n{}", self.stderr());
            // Nothing in another process could wake this task.
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }

    /// Sends a signal to the daemon.
    pub fn signal(&self, signal: Signal) {
        let pid = i32::try_from(self.pid()).ok().and_then(Pid::from_raw).expect("a process id");
        kill_process(pid, signal).expect("a signal to a process of our own");
    }

    /// Waits until the daemon ends.
    pub async fn wait_exit(&mut self) -> ExitStatus {
        within("the end of the daemon", self.child.wait()).await.expect("a child of our own")
    }

    /// Asks the daemon to stop and returns all that it ever wrote to standard error.
    pub async fn stop(&mut self) -> String {
        self.signal(Signal::TERM);
        self.wait_exit().await;
        let mut stderr = self.stderr.clone();
        // Fails once the writer is gone, and then all is there.
        let closed = async { while stderr.changed().await.is_ok() {} };
        within("the end of standard error", closed).await;
        self.stderr()
    }

    /// Asks the daemon to stop, waits for its end, and starts it again with the same folders. It
    /// may listen on another port then.
    pub async fn restart(&mut self) {
        self.signal(Signal::TERM);
        self.wait_exit().await;
        let (child, address, stderr) = launch(&self.builder, &self.paths).await;
        (self.child, self.address, self.stderr) = (child, address, stderr);
        if self.builder.waits {
            self.wait_until_ready().await;
        }
    }

    /// Runs a command of the same binary with the same environment and `--config`.
    pub async fn cli<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Output {
        finish(cli_command(&self.builder, &self.paths, args), "the end of a command").await
    }
}

#[derive(Debug)]
struct Paths {
    home: PathBuf,
    config: PathBuf,
    data: PathBuf,
}

impl Paths {
    fn write(home: &TempDir, config_text: &str) -> Self {
        let home = home.path().to_owned();
        let config = home.join("callsheet.toml");
        std::fs::write(&config, config_text).expect("a config file");
        Self { config, data: home.join("data"), home }
    }
}

fn command(builder: &Builder, paths: &Paths) -> Command {
    let mut command = Command::new(&builder.exe);
    // Nothing of the machine's own settings may decide how a test ends.
    command
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .env("HOME", &paths.home)
        .env("XDG_CONFIG_HOME", paths.home.join("config"))
        .env("XDG_DATA_HOME", &paths.data)
        .env("XDG_CACHE_HOME", paths.home.join("cache"))
        .envs(builder.env.iter().map(|(key, value)| (key, value)))
        .current_dir(&paths.home)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    command
}

fn serve_command(builder: &Builder, paths: &Paths) -> Command {
    let mut command = command(builder, paths);
    command.arg("serve").arg("--config").arg(&paths.config).args(&builder.args);
    command
}

fn cli_command<S: AsRef<OsStr>>(
    builder: &Builder,
    paths: &Paths,
    args: impl IntoIterator<Item = S>,
) -> Command {
    let mut command = command(builder, paths);
    command.args(args).arg("--config").arg(&paths.config);
    command
}

async fn finish(mut command: Command, what: &str) -> Output {
    let output = within(what, command.output()).await.expect("an executable");
    Output {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

async fn launch(builder: &Builder, paths: &Paths) -> (Child, SocketAddr, watch::Receiver<String>) {
    let mut child = serve_command(builder, paths)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot run {}: {error}", builder.exe.display()));
    let stderr = follow(child.stderr.take().expect("a piped standard error"));
    let mut stdout = BufReader::new(child.stdout.take().expect("a piped standard output"));
    let mut line = String::new();
    let read = tokio::time::timeout(PATIENCE, stdout.read_line(&mut line)).await;
    let address = line.trim_end().strip_prefix(FIRST_LINE).and_then(|text| text.parse().ok());
    let Some(address) = address else {
        if line.is_empty() {
            // It ended, or is about to: its last words say why.
            let _ = tokio::time::timeout(PATIENCE, child.wait()).await;
            let _ = stderr.clone().wait_for(|text| !text.is_empty()).await;
        }
        panic!("not an address on the first line: {line:?} ({read:?})\n{}", *stderr.borrow());
    };
    // Whatever else it prints must not fill the pipe.
    tokio::spawn(async move { tokio::io::copy(&mut stdout, &mut tokio::io::sink()).await });
    (child, address, stderr)
}

/// Collects what comes; the last value stays readable after the end.
fn follow(mut from: impl AsyncRead + Unpin + Send + 'static) -> watch::Receiver<String> {
    let (sender, receiver) = watch::channel(String::new());
    tokio::spawn(async move {
        let mut buffer = vec![0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            sender.send_modify(|text| text.push_str(&String::from_utf8_lossy(&buffer[..count])));
        }
    });
    receiver
}
