//! `cargo xtask bench`: builds what is measured, then hands over to the benchmark.

use anyhow::Result;

use crate::machine;
use crate::step::{cargo, run};

/// The fleet's index, picks and queries beside a baseline.
pub(crate) fn fleet(args: &[&str]) -> Result<()> {
    run(cargo(["bench", "-p", "callsheet-fleet", "--bench", "fleet", "--"]).args(args))
}

/// Where the benchmark of files learns that the Python package lies.
const MODFLOW_DEVTOOLS: &str = "CALLSHEET_BENCH_MODFLOW_DEVTOOLS";

/// Registries and models' files, beside `openssl` and a Python package.
pub(crate) fn files(args: &[&str]) -> Result<()> {
    let mut bench = cargo(["bench", "-p", "xtask", "--bench", "files", "--"]);
    match machine::ensure_modflow_devtools() {
        Ok(folder) => drop(bench.env(MODFLOW_DEVTOOLS, folder)),
        Err(missing) => eprintln!("{missing}: its columns are left out"),
    }
    run(&mut cargo(["build", "--release", "-p", "callsheet"]))?;
    run(bench.args(args))
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
