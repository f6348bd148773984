//! `cargo xtask e2e`: builds the real binary and hands over to the end-to-end suite.

use std::process::Command;

use anyhow::Result;

use crate::machine;
use crate::step::{self, Done, cargo};

/// Runs the suite, or the parts of it that are named.
pub(crate) fn run(parts: &[&str]) -> Result<()> {
    prepare()?;
    step::run(suite().args(parts))
}

/// Runs the whole suite as one step of the tests.
pub(crate) fn as_step() -> Done {
    match prepare() {
        Ok(()) => step::step("end to end", &mut suite()),
        Err(error) => step::fail("end to end", &error),
    }
}

fn prepare() -> Result<()> {
    if let Err(missing) = machine::ensure_python_venv() {
        eprintln!("{missing}: the parts that need it will be skipped");
    }
    step::run(&mut cargo(["build", "-p", "callsheet"]))
}

fn suite() -> Command {
    cargo(["test", "--quiet", "-p", "xtask", "--test", "e2e", "--"])
}
