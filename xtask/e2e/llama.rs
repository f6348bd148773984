//! A real llama.cpp beside a stand-in: killed, started again, stopped and continued under load,
//! while clients see complete answers only.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use callsheet_testkit::{FakeBackend, Signal, TestServer};
use rustix::process::{Pid, kill_process};
use serde_json::Value;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::{Child, Command};

use crate::load::Load;
use crate::{Outcome, callsheet};

const MODEL: &str = "tiny-llama";
const CLIENTS: usize = 6;

/// How long each state lasts under load.
const PHASE: Duration = Duration::from_secs(4);

/// Compiling llama.cpp takes minutes, once.
const INSTALLING: Duration = Duration::from_secs(900);

const STARTING: Duration = Duration::from_secs(60);

const CONFIG: &str = r#"
[server]
listen = "127.0.0.1:0"
[limits]
connect_timeout = "500ms"
first_byte_timeout = "1s"
idle_timeout = "1s"
[health]
interval = "500ms"
timeout = "500ms"
[routing]
strategy = "round_robin"
"#;

pub(crate) async fn run() -> Result<Outcome> {
    let start = start_script();
    if !start.exists() {
        return Ok(Outcome::Skipped(format!("{} does not exist", start.display())));
    }
    if let Err(error) = install(&start).await {
        return Ok(Outcome::Skipped(format!("tiny-llama cannot be installed: {error:#}")));
    }
    let mut llama = Llama::start(&start, None).await?;
    let stand_in = FakeBackend::builder().models([MODEL]).start().await;
    let config = format!(
        "{CONFIG}\n[[backends]]\nname = \"llama\"\ntype = \"llamacpp\"\nurl = \"{}\"\n{}",
        llama.url,
        stand_in.config("stand-in")
    );
    let server = TestServer::builder(&callsheet()?).config(config).start().await;
    let load = Load::start(server.address(), MODEL, CLIENTS);

    let mut served = 0;
    served = expect_served(&server, &load, "both serve", served).await?;

    llama.signal(Signal::KILL)?;
    llama.child.wait().await?;
    pass("llama.cpp is killed (SIGKILL)", &load).await;
    expect_status(&server, "unhealthy").await?;

    let port = Some(llama.port()?);
    llama = Llama::start(&start, port).await?;
    expect_status(&server, "healthy").await?;
    served = expect_served(&server, &load, "llama.cpp is back", served).await?;

    llama.signal(Signal::STOP)?;
    pass("llama.cpp is stopped (SIGSTOP)", &load).await;
    expect_status(&server, "unhealthy").await?;
    llama.signal(Signal::CONT)?;
    expect_status(&server, "healthy").await?;
    expect_served(&server, &load, "llama.cpp goes on (SIGCONT)", served).await?;

    let counts = load.end().await;
    println!("     in all: {counts}");
    for wrong in counts.wrong.iter().take(10) {
        println!("     wrong: {wrong}");
    }
    ensure!(counts.wrong.is_empty(), "clients saw {} wrong answers", counts.wrong.len());
    ensure!(counts.plain > 0 && counts.streams > 0, "the load did nothing");
    stand_in.wait_until_idle().await;
    let deadline = Instant::now() + Duration::from_secs(10);
    while backends(&server).await?.iter().any(|backend| backend["pending_requests"] != 0) {
        ensure!(Instant::now() < deadline, "requests are still counted after the last answer");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    Ok(Outcome::Passed)
}

fn start_script() -> PathBuf {
    std::env::var_os("TINY_LLAMA_START").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/tools/tiny-llama/start.sh"),
        PathBuf::from,
    )
}

async fn install(start: &Path) -> Result<()> {
    let mut command = Command::new(start);
    command.arg("--install-only").stdin(Stdio::null()).kill_on_drop(true);
    let output = tokio::time::timeout(INSTALLING, command.output()).await??;
    let text = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{}", text.lines().last().unwrap_or("no word about why"));
    Ok(())
}

/// Lets the load run for a while.
async fn pass(what: &str, load: &Load) {
    tokio::time::sleep(PHASE).await;
    println!("     {what}: {}", load.counts());
}

/// Lets the load run for a while, in which llama.cpp must have answered too; returns how many
/// requests it has had since the daemon's start.
async fn expect_served(server: &TestServer, load: &Load, what: &str, before: u64) -> Result<u64> {
    pass(what, load).await;
    let served = llama_of(&backends(server).await?)?["total_requests"]
        .as_u64()
        .context("a number of requests")?;
    println!("     llama.cpp was asked {} times meanwhile", served.saturating_sub(before));
    ensure!(served > before + 10, "llama.cpp was hardly asked: {before}, then {served} times");
    Ok(served)
}

/// Waits until the daemon says this of llama.cpp.
async fn expect_status(server: &TestServer, status: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let backends = backends(server).await?;
        let llama = llama_of(&backends)?;
        if llama["status"] == status {
            println!("     {status} after {:.1} s", started.elapsed().as_secs_f64());
            return Ok(());
        }
        if started.elapsed() > STARTING {
            bail!("llama.cpp does not become {status}: {llama}");
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Asks as an operator would.
async fn backends(server: &TestServer) -> Result<Vec<Value>> {
    let output = server.cli(["backend", "list", "--json"]).await;
    ensure!(output.code == 0, "backend list failed: {output:?}");
    match output.json() {
        Value::Array(backends) => Ok(backends),
        other => bail!("not a list of backends: {other}"),
    }
}

fn llama_of(backends: &[Value]) -> Result<&Value> {
    backends.iter().find(|backend| backend["name"] == "llama").context("no backend llama")
}

struct Llama {
    child: Child,
    url: String,
}

impl Llama {
    /// Starts the server on this port, or on a free one, and waits until it is ready.
    async fn start(start: &Path, port: Option<u16>) -> Result<Self> {
        let mut child = Command::new(start)
            // The server inside reads PORT too, and would take 0 for another free port.
            .env_remove("PORT")
            .envs(port.map(|port| ("PORT", port.to_string())))
            // One request at a time is all it can do; the next one must wait, not interrupt.
            .args(["--interrupt_requests", "false"])
            .env("TINY_LLAMA_ALIAS", MODEL)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()?;
        let mut lines = BufReader::new(child.stdout.take().context("a pipe")?).lines();
        let line = tokio::time::timeout(STARTING, lines.next_line())
            .await
            .context("llama.cpp does not get ready")??
            .context("llama.cpp ended at its start")?;
        let url = line.strip_prefix("ready ").context("an address")?.trim().to_owned();
        Ok(Self { child, url })
    }

    fn port(&self) -> Result<u16> {
        let (_, port) = self.url.rsplit_once(':').context("a port")?;
        Ok(port.parse()?)
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("a process that runs")?;
        let pid = Pid::from_raw(i32::try_from(pid)?).context("a process id")?;
        Ok(kill_process(pid, signal)?)
    }
}
