//! The command line.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use crate::workload::Workload;

pub(crate) const USAGE: &str = "\
Usage: cargo xtask bench gateway [OPTION…]

  --rounds N            rounds, each measuring every system once per case (5)
  --seconds S           seconds of load per measurement (2)
  --only A,B            of plain, back-to-back, event-by-event, paced (all)
  --connections A,B     connections (1,16,64)
  --quick               2 rounds of half a second at 16 connections
  --open-streams N      memory with N open streams, instead of the comparison
  --soak N              memory over N requests, instead of the comparison
  --callsheet PATH      another binary
  --stand-in-port PORT  the stand-in's port (a free one)
  --also NAME,ADDRESS,PID
                        one more system, started by you, in front of the stand-in's port";

/// What is measured.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Mode {
    Help,
    Compare,
    OpenStreams(usize),
    Soak(usize),
}

/// A gateway that somebody else started.
#[derive(Clone, Debug)]
pub(crate) struct Also {
    pub(crate) name: String,
    pub(crate) address: SocketAddr,
    pub(crate) pid: u32,
}

#[derive(Clone, Debug)]
pub(crate) struct Options {
    pub(crate) mode: Mode,
    pub(crate) rounds: usize,
    pub(crate) duration: Duration,
    pub(crate) workloads: Vec<Workload>,
    pub(crate) connections: Vec<usize>,
    pub(crate) callsheet: Option<PathBuf>,
    pub(crate) stand_in_port: u16,
    pub(crate) also: Vec<Also>,
}

impl Options {
    pub(crate) fn parse(args: &[String]) -> Result<Self, String> {
        let mut options = Self {
            mode: Mode::Compare,
            rounds: 5,
            duration: Duration::from_secs(2),
            workloads: Workload::COMPARED.to_vec(),
            connections: vec![1, 16, 64],
            callsheet: None,
            stand_in_port: 0,
            also: Vec::new(),
        };
        let mut args = args.iter();
        while let Some(arg) = args.next() {
            let mut value =
                || args.next().map(String::as_str).ok_or(format!("{arg} needs a value"));
            match arg.as_str() {
                "--help" | "-h" => options.mode = Mode::Help,
                "--rounds" => options.rounds = number::<usize>(value()?)?.max(1),
                "--seconds" => {
                    let seconds: f64 = number(value()?)?;
                    options.duration = Duration::try_from_secs_f64(seconds)
                        .map_err(|error| format!("--seconds: {error}"))?;
                }
                "--only" => {
                    options.workloads = list(value()?, |name| {
                        Workload::COMPARED
                            .into_iter()
                            .find(|workload| workload.name() == name)
                            .ok_or(format!("--only: no {name:?}"))
                    })?;
                }
                "--connections" => options.connections = list(value()?, number)?,
                "--quick" => {
                    options.rounds = 2;
                    options.duration = Duration::from_millis(500);
                    options.connections = vec![16];
                }
                "--open-streams" => options.mode = Mode::OpenStreams(number(value()?)?),
                "--soak" => options.mode = Mode::Soak(number(value()?)?),
                "--callsheet" => options.callsheet = Some(PathBuf::from(value()?)),
                "--stand-in-port" => options.stand_in_port = number(value()?)?,
                "--also" => options.also.push(also(value()?)?),
                _ => return Err(format!("no option {arg:?}")),
            }
        }
        Ok(options)
    }
}

fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("not a number: {text:?}"))
}

fn list<T>(text: &str, parse: impl Fn(&str) -> Result<T, String>) -> Result<Vec<T>, String> {
    text.split(',').map(parse).collect()
}

fn also(text: &str) -> Result<Also, String> {
    let parts: Vec<&str> = text.split(',').collect();
    let [name, address, pid] = parts.as_slice() else {
        return Err(format!("--also NAME,ADDRESS,PID, not {text:?}"));
    };
    let address = address.parse().map_err(|_| format!("not an address: {address:?}"))?;
    Ok(Also { name: (*name).to_owned(), address, pid: number(pid)? })
}
