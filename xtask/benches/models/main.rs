//! What models cost: taking catalogs in, planning, listing, searching, refreshing and storing.
//!
//! Whole processes are runs of the release binary on data of their own; the rest happens in this
//! process. All cases take turns within each round, so that whatever else happens on the machine
//! meets all of them. Beside each time stands the time on a processor, which means something on a
//! busy machine, too.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command for a terminal")]

mod apply;
mod binary;
mod book;
mod catalog;
mod import;
mod list;
mod options;
mod plan;
mod processor;
mod refresh;
mod search;

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
    /// Measures once.
    fn round(&mut self, book: &mut Book) -> Result<()>;
    /// Returns what the tables do not say, as Markdown.
    fn details(&self, book: &Book) -> String;
}

fn run(options: &Options) -> Result<()> {
    let before = load_average();
    let mut cases: Vec<(Case, Box<dyn Measured>)> = Vec::new();
    for case in &options.cases {
        eprintln!("preparing {}", case.name());
        let prepared: Result<Box<dyn Measured>> = match case {
            Case::Import => import::Import::prepare(options).map(|case| Box::new(case) as _),
            Case::Plan => plan::Planning::prepare(options).map(|case| Box::new(case) as _),
            Case::List => list::Listing::prepare(options).map(|case| Box::new(case) as _),
            Case::Search => search::Search::prepare(options).map(|case| Box::new(case) as _),
            Case::Refresh => refresh::Refresh::prepare(options).map(|case| Box::new(case) as _),
            Case::Apply => apply::Apply::prepare(options).map(|case| Box::new(case) as _),
        };
        cases.push((*case, prepared.with_context(|| case.name())?));
    }
    let mut book = Book::default();
    for round in 1..=options.rounds {
        for (case, measured) in &mut cases {
            eprintln!("round {round}/{}: {}", options.rounds, case.name());
            measured.round(&mut book).with_context(|| case.name())?;
        }
    }
    println!(
        "Rounds in which all cases take turns: {}; processors: {}; load average: {before} before and \
         {} after. Medians, in parentheses the least and the most.\n",
        options.rounds,
        std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        load_average(),
    );
    println!("{}", book.verdicts());
    for (case, measured) in &cases {
        println!("\n### {}\n\n{}", case.name(), book.times(case.name()));
        println!("{}", measured.details(&book).trim_end());
    }
    Ok(())
}

/// Returns the load average of the last minute.
fn load_average() -> String {
    let text = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().filter(|load| !load.is_empty()).unwrap_or("unknown").to_owned()
}
