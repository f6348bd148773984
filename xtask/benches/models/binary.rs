//! Whole processes of the binary that is measured.

use crate::{book::Sample, options::Options, processor};
use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use std::{
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Instant,
};

/// The `callsheet` binary.
#[derive(Clone, Debug)]
pub(crate) struct Binary {
    exe: PathBuf,
}

/// A run that ended well.
#[derive(Debug)]
pub(crate) struct Ran {
    pub(crate) sample: Sample,
    pub(crate) stdout: Vec<u8>,
}

impl Ran {
    /// Reads what it printed.
    pub(crate) fn json(&self) -> Result<Value> {
        serde_json::from_slice(&self.stdout).context("what callsheet printed")
    }
}

impl Binary {
    /// Finds the release build: it lies beside the folder of this benchmark's own executable.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let exe = match &options.callsheet {
            Some(exe) => exe.clone(),
            None => std::env::current_exe()?
                .parent()
                .and_then(Path::parent)
                .context("a folder above this executable")?
                .join("callsheet"),
        };
        ensure!(exe.exists(), "{} does not exist", exe.display());
        Ok(Self { exe })
    }

    /// Runs a command on the data in a folder, with nothing of the environment that could change
    /// what it does, and takes its output from pipes. Fails where it does.
    pub(crate) fn run(&self, data: &Path, args: &[&str]) -> Result<Ran> {
        let mut command = Command::new(&self.exe);
        command.args(args).env_clear().stdin(Stdio::null());
        command.env("CALLSHEET_DATA_DIR", data).env("USER", "bench").env("HOME", data);
        let config = data.join("callsheet.toml");
        if config.exists() {
            command.env("CALLSHEET_CONFIG", config);
        }
        let before = processor::of_children();
        let started = Instant::now();
        let output =
            command.output().with_context(|| format!("starting {}", self.exe.display()))?;
        let took = started.elapsed();
        let after = processor::of_children();
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "callsheet {}: {}: {said}", args.join(" "), output.status);
        let processor = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(Ran { sample: Sample { took, processor }, stdout: output.stdout })
    }
}
