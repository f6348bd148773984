//! `cargo xtask`: what is done to this repository. Never part of the product, and quick to build:
//! whatever needs libraries is a test or benchmark target that these commands start.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod bench;
mod e2e;
mod machine;
mod step;
mod test;

use std::process::ExitCode;

const USAGE: &str = "\
Usage: cargo xtask <command>

  test [--no-e2e]          everything that must hold before a change is merged
  e2e [PART…]              official clients, a real llama.cpp, and the Python package for models'
                           files, through the real binary; parts: python, node, llama, files
  bench files [OPTION…]    models' files: index, sync, list, copy, beside openssl and the Python
                           package; --help lists options
  bench fleet [OPTION…]    the fleet's index, picks and queries beside a baseline
  bench gateway [OPTION…]  callsheet beside nginx and a direct connection; --help lists options
  bench models [OPTION…]   catalogs: import, plan, list, search, refresh, apply; --help lists options
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let result = match args.as_slice() {
        ["test"] => test::run(test::EndToEnd::Run),
        ["test", "--no-e2e"] => test::run(test::EndToEnd::Leave),
        ["e2e", rest @ ..] => e2e::run(rest),
        ["bench", "files", rest @ ..] => bench::files(rest),
        ["bench", "fleet", rest @ ..] => bench::fleet(rest),
        ["bench", "gateway", rest @ ..] => bench::gateway(rest),
        ["bench", "models", rest @ ..] => bench::models(rest),
        ["--help" | "-h" | "help"] => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
