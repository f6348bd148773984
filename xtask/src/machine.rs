//! What this machine has, and what can be installed on it without asking.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::step::{cargo, run, works};

/// Returns whether cargo has this subcommand.
pub(crate) fn has_cargo_command(name: &str) -> bool {
    works(cargo([name]).arg("--version"))
}

/// Makes sure that a component of the toolchain is there; true if it is.
pub(crate) fn ensure_component(name: &str, command: &str) -> bool {
    has_cargo_command(command)
        || (works(Command::new("rustup").arg("--version"))
            && run(Command::new("rustup").args(["component", "add", name])).is_ok())
}

/// Makes sure that Python can make a virtual environment; otherwise says what is missing.
pub(crate) fn ensure_python_venv() -> Result<(), String> {
    let has_venv = || works(Command::new("python3").args(["-c", "import ensurepip, venv"]));
    if has_venv() || (apt_install("python3-venv") && has_venv()) {
        return Ok(());
    }
    Err("python3 with venv is missing (Debian: apt-get install python3-venv)".to_owned())
}

/// Makes sure that nginx is there; otherwise says what is missing.
pub(crate) fn ensure_nginx() -> Result<(), String> {
    let has_nginx =
        || works(Command::new("nginx").arg("-v")) || Path::new("/usr/sbin/nginx").exists();
    if has_nginx() || (apt_install("nginx-light") && has_nginx()) {
        return Ok(());
    }
    Err("nginx is missing (Debian: apt-get install nginx-light)".to_owned())
}

/// Makes sure that PostgreSQL is there, of which tests start servers of their own; otherwise says
/// what is missing.
pub(crate) fn ensure_postgres() -> Result<(), String> {
    let has_postgres = || {
        let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
        works(Command::new("initdb").arg("--version"))
            || debian.map(|version| version.path().join("bin/initdb")).any(|path| path.exists())
    };
    if has_postgres() || (apt_install("postgresql") && has_postgres()) {
        return Ok(());
    }
    Err("PostgreSQL is missing (Debian: apt-get install postgresql)".to_owned())
}

/// Makes sure that Moto is there, of which tests start S3 servers of their own; otherwise says what
/// is missing. It lies where `callsheet_testkit::s3::folder` looks for it.
pub(crate) fn ensure_moto() -> Result<(), String> {
    let packages = ["moto[s3]==5.2.5", "flask", "flask-cors"];
    ensure_python("moto", &packages, "import boto3, flask, moto.server").map(drop)
}

/// Makes sure that the Python package is there whose registries are read and written, and beside
/// which files are measured; returns its virtual environment, or says what is missing.
pub(crate) fn ensure_modflow_devtools() -> Result<PathBuf, String> {
    let packages = ["modflow-devtools[models]==1.9.2"];
    let check = "from importlib.metadata import version; import modflow_devtools.models; \
                 assert version('modflow-devtools') == '1.9.2'";
    ensure_python("modflow-devtools", &packages, check)
}

/// Makes sure that a virtual environment in the user's cache has Python packages with which this
/// runs.
fn ensure_python(name: &str, packages: &[&str], check: &str) -> Result<PathBuf, String> {
    let cache = env::var_os("XDG_CACHE_HOME")
        .map(PathBuf::from)
        .or_else(|| env::var_os("HOME").map(|home| PathBuf::from(home).join(".cache")))
        .ok_or("neither XDG_CACHE_HOME nor HOME says where it may lie")?;
    let folder = cache.join("callsheet-tests").join(name);
    let python = folder.join("bin/python");
    let is_there = || works(Command::new(&python).args(["-c", check]));
    if is_there() {
        return Ok(folder);
    }
    ensure_python_venv()?;
    let made = run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&folder));
    let install = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check"];
    let installed = made.and_then(|()| run(Command::new(&python).args(install).args(packages)));
    if installed.is_ok() && is_there() {
        return Ok(folder);
    }
    Err(format!("{name} cannot be installed (pip install '{}')", packages.join("' '")))
}

/// Installs a Debian package where that is possible without a question.
fn apt_install(package: &str) -> bool {
    let is_root = std::fs::metadata("/proc/self").is_ok_and(|metadata| {
        use std::os::unix::fs::MetadataExt as _;
        metadata.uid() == 0
    });
    if !is_root || !works(Command::new("apt-get").arg("--version")) {
        return false;
    }
    let apt = |args: &[&str]| {
        let mut command = Command::new("apt-get");
        command.args(args).env("DEBIAN_FRONTEND", "noninteractive");
        // A service that starts by itself would only be in the way of what is measured.
        command.env("RUNLEVEL", "1");
        run(&mut command).is_ok()
    };
    let install = ["install", "--quiet", "--yes", "--no-install-recommends", package];
    apt(&install) || (apt(&["update", "--quiet"]) && apt(&install))
}
