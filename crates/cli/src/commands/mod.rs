//! One file for each noun.

mod backend;
mod config;
mod route;
mod serve;

use crate::{
    args::{Args, Command},
    context::Context,
    failure::Failure,
};
use clap::CommandFactory;
use serde::Serialize;
use std::{future::Future, io::Write};

/// Runs a command.
pub(crate) fn run(args: Args) -> Result<(), Failure> {
    let Args { global, command } = args;
    if let Command::Completions { shell } = command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Args::command(), "callsheet", &mut script);
        return print(&String::from_utf8(script)?);
    }
    let context = Context::new(global)?;
    match command {
        Command::Serve(serve) => serve::run(&context, &serve),
        Command::Backend(command) => in_runtime(backend::run(&context, command)),
        Command::Route(question) => in_runtime(route::run(&context, &question)),
        Command::Config(command) => config::run(&context, &command),
        Command::Completions { .. } => Ok(()),
    }
}

/// A short command needs one thread.
fn in_runtime(command: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(command)
}

/// Prints a result; a reader that has gone away is no failure.
fn print(text: &str) -> Result<(), Failure> {
    let mut out = std::io::stdout().lock();
    match out.write_all(text.as_bytes()).and_then(|()| out.flush()) {
        Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe => Ok(()),
        other => other.map_err(Failure::from),
    }
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}
