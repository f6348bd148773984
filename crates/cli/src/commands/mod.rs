//! One file for each noun.

mod backend;
mod changes;
mod config;
mod files;
mod mf;
mod model;
mod preset;
mod route;
mod serve;
mod source;
mod store;

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
        Command::Model(command) => in_runtime(model::run(&context, command)),
        Command::Files(command) => in_runtime(files::run(&context, command)),
        Command::Source(command) => in_runtime(source::run(&context, command)),
        Command::Mf(mf) => in_runtime(mf::run(&context, mf)),
        Command::Preset(command) => in_runtime(preset::run(&context, command)),
        Command::Changes(changes) => in_runtime(changes::run(&context, &changes)),
        Command::Store(command) => store::run(&context, command),
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

/// Says something beside the result; whoever closed standard error does not want to hear it.
fn eprint(text: &str) {
    let _ = std::io::stderr().lock().write_all(text.as_bytes());
}

fn print_json(value: &impl Serialize) -> Result<(), Failure> {
    print(&(serde_json::to_string_pretty(value)? + "\n"))
}

/// Writes a file so that it is there as a whole or not at all.
fn write_file(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
    use anyhow::Context as _;
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let dir = dir.unwrap_or(std::path::Path::new("."));
    if !dir.is_dir() {
        let (path, dir) = (path.display(), dir.display());
        return Err(Failure::new(anyhow::anyhow!("{path} cannot be written: {dir} is no folder")));
    }
    let written = tempfile::NamedTempFile::new_in(dir).and_then(|mut file| {
        file.write_all(bytes)?;
        file.as_file().sync_all()?;
        file.persist(path)?;
        Ok(())
    });
    written.with_context(|| format!("{} cannot be written", path.display())).map_err(Failure::new)
}
