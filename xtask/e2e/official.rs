//! The official OpenAI clients.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use callsheet_testkit::{FakeBackend, TestServer};
use tokio::process::Command;

use crate::{Outcome, cache, callsheet};

const PYTHON_CLIENT: &str = "openai==3.51.0";

/// The last line that runs on Node.js 20.
const NODE_CLIENT: &str = "openai@6.30.1";

/// How long a package registry may take.
const INSTALLING: Duration = Duration::from_secs(300);

/// How long the checks of one client may take.
const CHECKING: Duration = Duration::from_secs(120);

pub(crate) async fn python() -> Result<Outcome> {
    if let Some(missing) = missing("python3", &["-c", "import ensurepip, venv"]).await {
        return Ok(Outcome::Skipped(missing));
    }
    let folder = match installed(PYTHON_CLIENT, install_python).await {
        Ok(folder) => folder,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/python/client.py");
    let mut command = Command::new(folder.join("venv/bin/python"));
    command.arg(script);
    through_the_gateway(command).await
}

pub(crate) async fn node() -> Result<Outcome> {
    for tool in ["node", "npm"] {
        if let Some(missing) = missing(tool, &["--version"]).await {
            return Ok(Outcome::Skipped(missing));
        }
    }
    let folder = match installed(NODE_CLIENT, install_node).await {
        Ok(folder) => folder,
        Err(error) => return Ok(Outcome::Skipped(format!("{error:#}"))),
    };
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("e2e/node/client.mjs");
    let mut command = Command::new("node");
    command.arg(script).env("CLIENT", folder);
    through_the_gateway(command).await
}

/// Runs a client's checks against the real daemon in front of a stand-in.
async fn through_the_gateway(mut client: Command) -> Result<Outcome> {
    let backend = FakeBackend::start().await;
    let config = format!(
        "[server]\nlisten = \"127.0.0.1:0\"\n{}\n[routing.aliases]\nfast = \"test-model\"\n",
        backend.config("stand-in")
    );
    let server = TestServer::builder(&callsheet()?).config(config).start().await;
    client
        .env("OPENAI_BASE_URL", format!("{}/v1", server.url()))
        .env("OPENAI_API_KEY", "sk-of-the-client")
        .env("NO_PROXY", "127.0.0.1")
        .stdin(Stdio::null())
        .kill_on_drop(true);
    let status =
        tokio::time::timeout(CHECKING, client.status()).await.context("a client hangs")??;
    if !status.success() {
        bail!("the client's checks ended with {status}\n{}", server.stderr());
    }
    backend.wait_until_idle().await;
    for request in backend.requests() {
        if request.header("authorization").is_some() {
            bail!("the client's key reached the backend: {request:?}");
        }
    }
    Ok(Outcome::Passed)
}

async fn missing(tool: &str, args: &[&str]) -> Option<String> {
    let output = Command::new(tool).args(args).stdin(Stdio::null()).output().await;
    let is_there = output.is_ok_and(|output| output.status.success());
    (!is_there).then(|| format!("{tool} {} does not work here", args.join(" ")))
}

/// Returns the folder with a client, installing it when it is not complete.
async fn installed(
    package: &str,
    install: impl AsyncFnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let folder = cache()?.join(package);
    let marker = folder.join(".complete");
    if !marker.exists() {
        println!("     installing {package} into {}", folder.display());
        if folder.exists() {
            std::fs::remove_dir_all(&folder)?;
        }
        std::fs::create_dir_all(&folder)?;
        tokio::time::timeout(INSTALLING, install(&folder))
            .await
            .context("the package registry takes too long")?
            .with_context(|| format!("{package} cannot be installed"))?;
        std::fs::write(marker, "")?;
    }
    Ok(folder)
}

async fn install_python(folder: &Path) -> Result<()> {
    let venv = folder.join("venv");
    finish(Command::new("python3").args(["-m", "venv"]).arg(&venv)).await?;
    let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PYTHON_CLIENT];
    finish(Command::new(venv.join("bin/python")).args(pip)).await
}

async fn install_node(folder: &Path) -> Result<()> {
    std::fs::write(folder.join("package.json"), "{\"private\": true}\n")?;
    let npm = ["install", "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"];
    finish(Command::new("npm").args(npm).arg(NODE_CLIENT).current_dir(folder)).await
}

async fn finish(command: &mut Command) -> Result<()> {
    let output = command.stdin(Stdio::null()).kill_on_drop(true).output().await?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        let last: Vec<_> = text.lines().rev().take(3).collect();
        bail!("{}: {}", output.status, last.into_iter().rev().collect::<Vec<_>>().join(" / "));
    }
    Ok(())
}
