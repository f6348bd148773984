//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench models [OPTION…]

  --rounds N        rounds, each measuring every case (5)
  --case A,B        of import, plan, list, search, refresh, apply (all)
  --quick           2 rounds, with a tenth of the entries where they are made up
  --callsheet PATH  another binary";

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Help,
    Measure,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Case {
    Import,
    Plan,
    List,
    Search,
    Refresh,
    Apply,
}

impl Case {
    const ALL: [Self; 6] =
        [Self::Import, Self::Plan, Self::List, Self::Search, Self::Refresh, Self::Apply];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Plan => "plan",
            Self::List => "list",
            Self::Search => "search",
            Self::Refresh => "refresh",
            Self::Apply => "apply",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
    pub(crate) is_quick: bool,
    pub(crate) callsheet: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut rounds = None;
        let mut options = Self {
            mode: Mode::Measure,
            rounds: 5,
            cases: Vec::new(),
            is_quick: false,
            callsheet: None,
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => options.mode = Mode::Help,
                "--rounds" => {
                    let text = value()?;
                    let number: Option<usize> = text.parse().ok().filter(|number| *number > 0);
                    rounds =
                        Some(number.ok_or(format!("--rounds: no number of rounds: {text:?}"))?);
                }
                "--case" => {
                    for name in value()?.split(',') {
                        let case = Case::ALL.into_iter().find(|case| case.name() == name);
                        options.cases.push(case.ok_or(format!("--case: no {name:?}"))?);
                    }
                }
                "--quick" => options.is_quick = true,
                "--callsheet" => options.callsheet = Some(PathBuf::from(value()?)),
                _ => return Err(format!("no option {arg:?}")),
            }
        }
        if options.cases.is_empty() {
            options.cases = Case::ALL.to_vec();
        }
        options.rounds = rounds.unwrap_or(if options.is_quick { 2 } else { options.rounds });
        Ok(options)
    }

    /// Returns how many entries to make up where this many are wanted.
    pub(crate) fn entries(&self, wanted: usize) -> usize {
        if self.is_quick { wanted / 10 } else { wanted }
    }
}
