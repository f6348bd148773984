//! `cargo xtask bench`: builds what is measured, then hands over to the benchmark.

use anyhow::Result;

use crate::machine;
use crate::step::{cargo, run};

/// The fleet's index, picks and queries beside a baseline.
pub(crate) fn fleet(args: &[&str]) -> Result<()> {
    run(cargo(["bench", "-p", "callsheet-fleet", "--bench", "fleet", "--"]).args(args))
}

/// The gateway beside nginx and a direct connection.
pub(crate) fn gateway(args: &[&str]) -> Result<()> {
    if let Err(missing) = machine::ensure_nginx() {
        eprintln!("{missing}: its columns are left out");
    }
    run(&mut cargo(["build", "--release", "-p", "callsheet"]))?;
    run(cargo(["bench", "-p", "xtask", "--bench", "gateway", "--"]).args(args))
}

/// Catalogs of models: taken in, planned, listed, searched, refreshed and stored.
pub(crate) fn models(args: &[&str]) -> Result<()> {
    run(&mut cargo(["build", "--release", "-p", "callsheet"]))?;
    run(cargo(["bench", "-p", "xtask", "--bench", "models", "--"]).args(args))
}
