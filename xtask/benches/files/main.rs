//! What files cost: registries made, synced and loaded, models listed and copied; beside `openssl`
//! and the Python package where these do the same.
//!
//! Whole processes are runs of the release binary in homes of their own. All cases take turns within
//! each round, and what is compared runs one right after the other.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod book;
mod index;
mod large;
mod options;
mod package;
mod process;
#[path = "../models/processor.rs"]
mod processor;
mod tree;

use anyhow::{Context as _, Result};
use book::Book;
use options::{Case, Mode, Options};
use std::process::ExitCode;

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).filter(|arg| arg != "--bench").collect();
    let options = match Options::parse(&args) {
        Ok(options) => options,
        Err(message) => {
            eprintln!("{message}\n\n{}", options::USAGE);
            return ExitCode::from(2);
        }
    };
    let result = match options.mode {
        Mode::Help => {
            println!("{}", options::USAGE);
            Ok(())
        }
        Mode::Measure => run(&options),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Something that is measured round by round.
trait Measured {
    /// Says what is wanted.
    fn want(&self, book: &mut Book);
    /// Measures once.
    fn round(&mut self, book: &mut Book) -> Result<()>;
    /// Returns what the tables do not say, as Markdown.
    fn details(&self) -> String;
}

fn run(options: &Options) -> Result<()> {
    let before = load_average();
    let mut cases: Vec<(Case, Box<dyn Measured>)> = Vec::new();
    for case in &options.cases {
        eprintln!("preparing {}", case.name());
        let prepared: Result<Option<Box<dyn Measured>>> = match case {
            Case::Index => index::Indexing::prepare(options).map(|case| Some(Box::new(case) as _)),
            Case::Package => {
                package::Beside::prepare(options).map(|case| case.map(|case| Box::new(case) as _))
            }
            Case::Large => large::Large::prepare(options).map(|case| Some(Box::new(case) as _)),
        };
        match prepared.with_context(|| case.name())? {
            Some(prepared) => cases.push((*case, prepared)),
            None => eprintln!("skipped: {}: modflow-devtools is not installed", case.name()),
        }
    }
    let mut book = Book::default();
    for (_, measured) in &cases {
        measured.want(&mut book);
    }
    for round in 1..=options.rounds {
        for (case, measured) in &mut cases {
            eprintln!("round {round}/{}: {}", options.rounds, case.name());
            measured.round(&mut book).with_context(|| case.name())?;
        }
    }
    println!(
        "Rounds in which all cases take turns: {}; processors: {}; load average: {before} before and \
         {} after. Medians, in parentheses the least and the most; ratios are of neighbours.\n",
        options.rounds,
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        load_average(),
    );
    println!("{}", book.verdicts());
    for (case, measured) in &cases {
        println!("\n### Files: {}\n\n{}", case.name(), book.times(case.name()));
        println!("{}", measured.details().trim_end());
    }
    Ok(())
}

/// Returns the load average of the last minute.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}
