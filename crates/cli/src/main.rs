//! The `callsheet` binary: reads the command line, speaks the API, and says the result.
//!
//! Every verb but `serve` and `config` is a request to the API, whether of the daemon that runs or
//! of the same router in this process ([`api`]); nothing here knows what the answer is made of.
//! This is the only crate that prints.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "this is the crate that prints")]

mod api;
mod args;
mod commands;
mod context;
mod failure;
mod logs;
mod progress;
mod table;

use clap::Parser;
use std::process::ExitCode;

fn main() -> ExitCode {
    let done = if is_called_mf() {
        let args::MfArgs { global, mf } = args::MfArgs::parse();
        commands::run(args::Args { global, command: args::Command::Mf(mf) })
    } else {
        commands::run(args::Args::parse())
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

/// Returns whether the binary was called by the name of MODFLOW's command.
fn is_called_mf() -> bool {
    let name = std::env::args_os().next().map(std::path::PathBuf::from);
    name.as_deref().and_then(std::path::Path::file_stem).is_some_and(|name| name == "mf")
}
