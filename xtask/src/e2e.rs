//! `cargo xtask e2e`: builds the real binary and hands over to the end-to-end suite.

use std::process::Command;

use anyhow::Result;

use crate::machine;
use crate::step::{self, Done, cargo};

/// Where the suite learns that the Python package for models' files lies.
const MODFLOW_DEVTOOLS: &str = "CALLSHEET_E2E_MODFLOW_DEVTOOLS";

/// Runs the suite, or the parts of it that are named.
pub(crate) fn run(parts: &[&str]) -> Result<()> {
    let mut suite = prepared(parts)?;
    step::run(suite.args(parts))
}

/// Runs the whole suite as one step of the tests.
pub(crate) fn as_step() -> Done {
    match prepared(&[]) {
        Ok(mut suite) => step::step("end to end", &mut suite),
        Err(error) => step::fail("end to end", &error),
    }
}

fn prepared(parts: &[&str]) -> Result<Command> {
    if let Err(missing) = machine::ensure_python_venv() {
        eprintln!("{missing}: the parts that need it will be skipped");
    }
    step::run(&mut cargo(["build", "-p", "callsheet"]))?;
    let mut suite = cargo(["test", "--quiet", "-p", "xtask", "--test", "e2e", "--"]);
    if parts.is_empty() || parts.contains(&"files") {
        match machine::ensure_modflow_devtools() {
            Ok(folder) => drop(suite.env(MODFLOW_DEVTOOLS, folder)),
            Err(missing) => eprintln!("{missing}: files will be skipped"),
        }
    }
    Ok(suite)
}
