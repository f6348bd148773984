//! The command line.

use std::path::PathBuf;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench files [OPTION…]

  --rounds N        rounds, each measuring every case (5)
  --case A,B        of index, package, large (all)
  --quick           2 rounds
  --callsheet PATH  another binary

Trees, caches and workspaces lie in the folder that TMPDIR names; on a disk that others write to, what
is measured is how long it takes to be written.";

/// What is to be done.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Help,
    Measure,
}

/// What can be measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Case {
    /// Making registries of folders.
    Index,
    /// The commands beside those of the Python package.
    Package,
    /// A registry of many files.
    Large,
}

impl Case {
    const ALL: [Self; 3] = [Self::Index, Self::Package, Self::Large];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Index => "index",
            Self::Package => "package",
            Self::Large => "large",
        }
    }
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) rounds: usize,
    pub(crate) cases: Vec<Case>,
    pub(crate) callsheet: Option<PathBuf>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let (mut rounds, mut is_quick) = (None, false);
        let mut options =
            Self { mode: Mode::Measure, rounds: 5, cases: Vec::new(), callsheet: None };
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
                "--quick" => is_quick = true,
                "--callsheet" => options.callsheet = Some(PathBuf::from(value()?)),
                _ => return Err(format!("no option {arg:?}")),
            }
        }
        if options.cases.is_empty() {
            options.cases = Case::ALL.to_vec();
        }
        options.rounds = rounds.unwrap_or(if is_quick { 2 } else { options.rounds });
        Ok(options)
    }
}
