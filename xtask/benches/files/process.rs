//! Whole processes of what is measured.

use crate::{book::Sample, options::Options, processor};
use anyhow::{Context as _, Result, ensure};
use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    time::Instant,
};

/// Where `cargo xtask` says that the Python package is installed.
const INSTALLED: &str = "CALLSHEET_BENCH_MODFLOW_DEVTOOLS";

/// Runs a program and then says on its last line how many kilobytes it had at most.
const WITH_PEAK: &str = "import resource, subprocess, sys\n\
    code = subprocess.call(sys.argv[1:])\n\
    print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)\n\
    sys.exit(code)";

/// The programs.
#[derive(Clone, Debug)]
pub(crate) struct Programs {
    pub(crate) callsheet: PathBuf,
    /// The virtual environment of the Python package, if it is installed.
    pub(crate) package: Option<PathBuf>,
}

impl Programs {
    /// Finds the release build, which lies beside the folder of this benchmark's own executable, and
    /// the package.
    pub(crate) fn find(options: &Options) -> Result<Self> {
        let callsheet = match &options.callsheet {
            Some(exe) => exe.clone(),
            None => std::env::current_exe()?
                .parent()
                .and_then(Path::parent)
                .context("a folder above this executable")?
                .join("callsheet"),
        };
        ensure!(callsheet.exists(), "{} does not exist", callsheet.display());
        Ok(Self { callsheet, package: std::env::var_os(INSTALLED).map(PathBuf::from) })
    }
}

/// A user's home, and what their programs are told.
#[derive(Clone, Debug)]
pub(crate) struct Home {
    pub(crate) path: PathBuf,
    pub(crate) env: Vec<(String, String)>,
}

impl Home {
    pub(crate) fn new(path: &Path, env: &[(&str, String)]) -> Result<Self> {
        std::fs::create_dir_all(path.join("work"))?;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect();
        Ok(Self { path: path.to_owned(), env })
    }

    /// Measures a program; an error with what it said if it fails.
    pub(crate) fn run<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> Result<Sample> {
        let before = processor::of_children();
        let started = Instant::now();
        self.output(program, args)?;
        let took = started.elapsed();
        let after = processor::of_children();
        let processor = after.zip(before).map(|(after, before)| after.saturating_sub(before));
        Ok(Sample { took, processor })
    }

    /// Returns how much memory a program has at most, in megabytes.
    pub(crate) fn peak(&self, program: &Path, args: &[&str]) -> Result<f64> {
        let program = program.to_str().context("a path that is text")?;
        let all = [&["-c", WITH_PEAK, program], args].concat();
        let output = self.output(Path::new("python3"), &all)?;
        let text = String::from_utf8(output.stdout)?;
        let kilobytes: f64 = text.lines().last().context("a peak")?.parse()?;
        Ok(kilobytes * 1024.0 / 1e6)
    }

    fn output<S: AsRef<OsStr>>(&self, program: &Path, args: &[S]) -> Result<Output> {
        let mut command = Command::new(program);
        command
            .args(args)
            .current_dir(self.path.join("work"))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.path)
            .env("USER", "bench")
            .envs(self.env.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null());
        let output = command.output().with_context(|| format!("starting {}", program.display()))?;
        let said = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "{command:?}: {}: {said}", output.status);
        Ok(output)
    }
}
