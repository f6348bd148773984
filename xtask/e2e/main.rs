//! End to end: official clients, and a real llama.cpp that dies under load, through the real
//! binary with a real config file; and models' files, to and from the Python package for them.
//!
//! Started by `cargo xtask e2e`, which builds the binary first. A part whose tools cannot be had
//! on this machine is skipped, visibly; a part that fails makes the whole fail.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod files;
mod llama;
mod load;
mod official;

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context as _, Result, ensure};

/// What became of a part.
enum Outcome {
    Passed,
    Skipped(String),
}

const PARTS: [&str; 4] = ["python", "node", "llama", "files"];

fn main() -> ExitCode {
    let mut parts: Vec<String> = std::env::args().skip(1).collect();
    if let Some(unknown) = parts.iter().find(|part| !PARTS.contains(&part.as_str())) {
        eprintln!("no part {unknown:?}; there are {}", PARTS.join(", "));
        return ExitCode::from(2);
    }
    if parts.is_empty() {
        parts = PARTS.map(str::to_owned).to_vec();
    }
    match tokio::runtime::Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime.block_on(run(&parts)),
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn run(parts: &[String]) -> ExitCode {
    let (mut passed, mut failed, mut skipped) = (0, 0, 0);
    for part in parts {
        let started = Instant::now();
        let outcome = match part.as_str() {
            "python" => official::python().await,
            "node" => official::node().await,
            "llama" => llama::run().await,
            _ => files::run().await,
        };
        let seconds = started.elapsed().as_secs_f64();
        match outcome {
            Ok(Outcome::Passed) => {
                passed += 1;
                println!("pass {part} ({seconds:.1} s)");
            }
            Ok(Outcome::Skipped(why)) => {
                skipped += 1;
                println!("SKIP {part}: {why}");
            }
            Err(error) => {
                failed += 1;
                println!("FAIL {part} ({seconds:.1} s): {error:#}");
            }
        }
    }
    println!("end to end: {passed} passed, {failed} failed, {skipped} skipped");
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The binary lies beside the folder of this test's own executable.
fn callsheet() -> Result<PathBuf> {
    let exe = std::env::current_exe()?
        .parent()
        .and_then(Path::parent)
        .context("a folder above this executable")?
        .join("callsheet");
    ensure!(exe.exists(), "{} does not exist: cargo xtask e2e builds it", exe.display());
    Ok(exe)
}

/// Returns the folder where installed clients stay between runs.
fn cache() -> Result<PathBuf> {
    let base = std::env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(PathBuf::from(std::env::var_os("HOME")?).join(".cache")))
        .context("neither XDG_CACHE_HOME nor HOME is set")?;
    Ok(base.join("callsheet-e2e"))
}
