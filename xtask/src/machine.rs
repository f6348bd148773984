//! What this machine has, and what can be installed on it without asking.

use std::path::Path;
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
