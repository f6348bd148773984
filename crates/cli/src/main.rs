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
    let args = args::Args::parse();
    match commands::run(args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}
