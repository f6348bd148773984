//! callsheet beside nginx and a direct connection, against one fast stand-in.
//!
//! The stand-in is this executable in another process, the load generator is one thread of this
//! process, and only the processor time of the gateway under test is counted. Systems take turns
//! within each round, so that whatever else happens on the machine meets all of them; ratios are
//! taken within a round, and medians over rounds are reported.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod compare;
mod load;
mod memory;
mod options;
mod procfs;
mod report;
mod stand_in;
mod systems;
mod workload;

use std::process::ExitCode;

use options::{Mode, Options};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    if args.first().is_some_and(|arg| arg == stand_in::ARGUMENT) {
        return stand_in::main(args.get(1).and_then(|port| port.parse().ok()).unwrap_or(0));
    }
    let options = match Options::parse(&args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    raise_open_files();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let result = runtime.map_err(Into::into).and_then(|runtime| {
        runtime.block_on(async {
            match options.mode {
                Mode::Help => {
                    println!("{}", options::USAGE);
                    Ok(())
                }
                Mode::Compare => compare::run(&options).await,
                Mode::OpenStreams(count) => memory::open_streams(&options, count).await,
                Mode::Soak(requests) => memory::soak(&options, requests).await,
            }
        })
    });
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// A gateway needs two descriptors per open stream; children inherit the limit.
fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Where this is refused, too many connections fail visibly later.
    let _ = setrlimit(Resource::Nofile, limit);
}
