//! Starts and ends what is measured.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::load::Client;
use crate::options::Options;
use crate::workload::Workload;
use crate::{procfs, stand_in};

const NGINX_CONFIG: &str = include_str!("nginx.conf");
const STARTUP: Duration = Duration::from_secs(20);
const ENDING: Duration = Duration::from_secs(5);

/// As many threads as nginx has workers.
const THREADS: &str = "2";

/// Something between the load and the stand-in, or nothing.
#[derive(Debug)]
pub(crate) struct System {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    /// The processes whose cost counts; none for the direct connection.
    pub(crate) pids: Vec<u32>,
}

/// All systems and the stand-in; they end when this is dropped.
#[derive(Debug)]
pub(crate) struct Stage {
    pub(crate) systems: Vec<System>,
    children: Vec<Ended>,
    _folder: TempDir,
}

#[derive(Debug)]
struct Ended(Child);

impl Drop for Ended {
    /// Asks first: a killed nginx would leave its workers behind.
    fn drop(&mut self) {
        let pid = i32::try_from(self.0.id()).ok().and_then(Pid::from_raw);
        let asked = pid.is_some_and(|pid| kill_process(pid, Signal::TERM).is_ok());
        let deadline = Instant::now() + ENDING;
        while asked && Instant::now() < deadline {
            if !matches!(self.0.try_wait(), Ok(None)) {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl Stage {
    /// Starts everything and asks each system once, so that what is measured later works.
    pub(crate) async fn start(options: &Options) -> Result<Self> {
        let temporary = TempDir::with_prefix("callsheet-bench-")?;
        let folder = temporary.path().to_owned();
        let mut stage = Self { systems: Vec::new(), children: Vec::new(), _folder: temporary };
        let backend = stage.stand_in(options.stand_in_port)?;
        stage.add("direct", backend, Vec::new());
        if let Some(nginx) = nginx_binary() {
            stage.nginx(&nginx, backend, &folder)?;
        } else {
            eprintln!("nginx is not installed: its columns are left out");
        }
        match callsheet_binary(options) {
            Ok(exe) => stage.callsheet(&exe, backend, &folder)?,
            Err(error) if options.also.is_empty() => return Err(error),
            Err(error) => eprintln!("{error:#}: its columns are left out"),
        }
        for also in &options.also {
            stage.add(&also.name, also.address, vec![also.pid]);
        }
        for system in &stage.systems {
            wait_until_it_answers(system).await?;
        }
        // nginx has its workers by now.
        for system in stage.systems.iter_mut().filter(|system| system.name == "nginx") {
            let workers = procfs::children(system.pids[0])?;
            system.pids.extend(workers);
        }
        Ok(stage)
    }

    /// Returns the system of this name.
    pub(crate) fn system(&self, name: &str) -> Option<&System> {
        self.systems.iter().find(|system| system.name == name)
    }

    fn add(&mut self, name: &str, address: SocketAddr, pids: Vec<u32>) {
        self.systems.push(System { name: name.to_owned(), address, pids });
    }

    fn stand_in(&mut self, port: u16) -> Result<SocketAddr> {
        let mut child = Command::new(std::env::current_exe()?)
            .args([stand_in::ARGUMENT, &port.to_string()])
            .stdout(Stdio::piped())
            .spawn()
            .context("starting the stand-in")?;
        let line = first_line(&mut child)?;
        self.children.push(Ended(child));
        let port: u16 = line.trim().parse().context("the stand-in's port")?;
        Ok(SocketAddr::from(([127, 0, 0, 1], port)))
    }

    fn nginx(&mut self, exe: &Path, backend: SocketAddr, folder: &Path) -> Result<()> {
        let address = free_address()?;
        let config = NGINX_CONFIG
            .replace("@DIR@", &folder.display().to_string())
            .replace("@BACKEND@", &backend.to_string())
            .replace("@LISTEN@", &address.to_string());
        let path = folder.join("nginx.conf");
        std::fs::write(&path, config)?;
        let child = Command::new(exe)
            .arg("-c")
            .arg(&path)
            .arg("-p")
            .arg(folder)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(File::create(folder.join("nginx.err"))?)
            .spawn()
            .context("starting nginx")?;
        self.add("nginx", address, vec![child.id()]);
        self.children.push(Ended(child));
        Ok(())
    }

    fn callsheet(&mut self, exe: &Path, backend: SocketAddr, folder: &Path) -> Result<()> {
        let models: Vec<_> =
            Workload::ALL.iter().map(|workload| format!("\"{}\"", workload.model())).collect();
        let mut config = String::from("[server]\nlisten = \"127.0.0.1:0\"\n\n[[backends]]\n");
        write!(
            config,
            "name = \"stand-in\"\nurl = \"http://{backend}\"\nmodels = [{}]\n",
            models.join(", ")
        )?;
        let path = folder.join("callsheet.toml");
        std::fs::write(&path, config)?;
        let mut child = Command::new(exe)
            .arg("serve")
            .arg("--config")
            .arg(&path)
            .env("TOKIO_WORKER_THREADS", THREADS)
            .env("XDG_CONFIG_HOME", folder.join("config"))
            .env("XDG_DATA_HOME", folder.join("data"))
            .env("XDG_CACHE_HOME", folder.join("cache"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(File::create(folder.join("callsheet.log"))?)
            .spawn()
            .with_context(|| format!("starting {}", exe.display()))?;
        let line = first_line(&mut child);
        let pid = child.id();
        self.children.push(Ended(child));
        let log = || std::fs::read_to_string(folder.join("callsheet.log")).unwrap_or_default();
        let line = line.with_context(log)?;
        let address = line
            .trim()
            .strip_prefix("callsheet is listening on http://")
            .and_then(|address| address.parse().ok())
            .with_context(|| format!("not an address: {line:?}\n{}", log()))?;
        self.add("callsheet", address, vec![pid]);
        Ok(())
    }
}

/// Takes the child's first line. The pipe stays open: a later line must not end the child.
fn first_line(child: &mut Child) -> Result<String> {
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().context("a piped standard output")?);
    stdout.read_line(&mut line)?;
    child.stdout = Some(stdout.into_inner());
    ensure!(!line.is_empty(), "it ended without a word");
    Ok(line)
}

async fn wait_until_it_answers(system: &System) -> Result<()> {
    let deadline = Instant::now() + STARTUP;
    let request = Workload::Plain.request(system.address);
    let expected = Workload::Plain.body();
    loop {
        let answer =
            async { Client::connect(system.address).await?.call(&request, &expected).await };
        match tokio::time::timeout(STARTUP, answer).await {
            Ok(Ok(_)) => return Ok(()),
            Ok(Err(error)) if Instant::now() > deadline => {
                return Err(error.context(format!("{} does not answer", system.name)));
            }
            Err(_) => bail!("{} does not answer", system.name),
            Ok(Err(_)) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

fn free_address() -> Result<SocketAddr> {
    Ok(TcpListener::bind("127.0.0.1:0")?.local_addr()?)
}

fn nginx_binary() -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .chain([PathBuf::from("/usr/sbin")])
        .map(|folder| folder.join("nginx"))
        .find(|exe| exe.exists())
}

/// The release build lies beside the folder of this benchmark's own executable.
fn callsheet_binary(options: &Options) -> Result<PathBuf> {
    let exe = match &options.callsheet {
        Some(exe) => exe.clone(),
        None => std::env::current_exe()?
            .parent()
            .and_then(Path::parent)
            .context("a folder above this executable")?
            .join("callsheet"),
    };
    ensure!(exe.exists(), "{} does not exist", exe.display());
    Ok(exe)
}
