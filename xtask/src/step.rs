//! Runs programs, one line and one time each.

use std::ffi::OsString;
use std::io::{BufRead, BufReader, IsTerminal as _, Read, Write};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A step that is over.
#[derive(Debug)]
pub(crate) struct Done {
    pub(crate) name: &'static str,
    pub(crate) outcome: Outcome,
}

#[derive(Debug)]
pub(crate) enum Outcome {
    Passed(Duration),
    Failed(Duration),
    Skipped(String),
}

impl std::fmt::Display for Done {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { name, outcome } = self;
        match outcome {
            Outcome::Passed(took) => write!(f, "{name:<14} {:>7.1} s  passed", took.as_secs_f64()),
            Outcome::Failed(took) => write!(f, "{name:<14} {:>7.1} s  FAILED", took.as_secs_f64()),
            Outcome::Skipped(why) => write!(f, "{name:<14}       –    skipped: {why}"),
        }
    }
}

/// Returns the cargo that started this program.
pub(crate) fn cargo<'a>(args: impl IntoIterator<Item = &'a str>) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| OsString::from("cargo"));
    let mut command = Command::new(cargo);
    command.args(args);
    command
}

/// Returns whether a program can be run and succeeds; its output is nobody's concern.
pub(crate) fn works(command: &mut Command) -> bool {
    command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

/// Runs a program with this terminal; an error if it fails.
pub(crate) fn run(command: &mut Command) -> Result<()> {
    let name = shown(command);
    let status = command.status().with_context(|| format!("cannot run {name}"))?;
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

/// Runs a program as a step.
pub(crate) fn step(name: &'static str, command: &mut Command) -> Done {
    let started = announce(name, command);
    let outcome = match run(command) {
        Ok(()) => Outcome::Passed(started.elapsed()),
        Err(error) => failed(started, &error),
    };
    finish(name, outcome)
}

/// Runs a program as a step and returns those lines of its output that `keep` accepts.
pub(crate) fn step_keeping(
    name: &'static str,
    command: &mut Command,
    keep: fn(&str) -> bool,
) -> (Done, Vec<String>) {
    let started = announce(name, command);
    let kept = Arc::new(Mutex::new(Vec::new()));
    let outcome = match pipe(command, &kept, keep) {
        Ok(()) => Outcome::Passed(started.elapsed()),
        Err(error) => failed(started, &error),
    };
    let kept = std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner));
    (finish(name, outcome), kept)
}

/// Names a step that does not run, and why.
pub(crate) fn skip(name: &'static str, why: impl Into<String>) -> Done {
    finish(name, Outcome::Skipped(why.into()))
}

/// Names a step that could not even begin.
pub(crate) fn fail(name: &'static str, error: &anyhow::Error) -> Done {
    finish(name, failed(Instant::now(), error))
}

fn announce(name: &str, command: &Command) -> Instant {
    eprintln!("\n── {name}: {}", shown(command));
    Instant::now()
}

fn failed(started: Instant, error: &anyhow::Error) -> Outcome {
    eprintln!("{error:#}");
    Outcome::Failed(started.elapsed())
}

fn finish(name: &'static str, outcome: Outcome) -> Done {
    let done = Done { name, outcome };
    eprintln!("── {done}");
    done
}

fn pipe(
    command: &mut Command,
    kept: &Arc<Mutex<Vec<String>>>,
    keep: fn(&str) -> bool,
) -> Result<()> {
    if std::io::stderr().is_terminal() {
        command.env("CARGO_TERM_COLOR", "always");
    }
    let name = shown(command);
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot run {name}"))?;
    let out = child.stdout.take().context("a piped standard output")?;
    let err = child.stderr.take().context("a piped standard error")?;
    let copiers = [
        copy(out, std::io::stdout(), Arc::clone(kept), keep),
        copy(err, std::io::stderr(), Arc::clone(kept), keep),
    ];
    let status = child.wait()?;
    for copier in copiers {
        // A copier only panics when the terminal is gone, and then nobody reads the outcome.
        let _ = copier.join();
    }
    if !status.success() {
        bail!("{name} ended with {status}");
    }
    Ok(())
}

fn copy(
    from: impl Read + Send + 'static,
    mut to: impl Write + Send + 'static,
    kept: Arc<Mutex<Vec<String>>>,
    keep: fn(&str) -> bool,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut reader = BufReader::new(from);
        let mut line = Vec::new();
        while matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
            let _ = to.write_all(&line).and_then(|()| to.flush());
            let text = without_colours(&String::from_utf8_lossy(&line));
            if keep(&text) {
                kept.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
            line.clear();
        }
    })
}

fn without_colours(line: &str) -> String {
    let mut text = String::new();
    let mut rest = line.trim();
    while let Some((before, after)) = rest.split_once("\u{1b}[") {
        text.push_str(before);
        rest = after.split_once('m').map_or("", |(_, after)| after);
    }
    text.push_str(rest);
    text
}

fn shown(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let mut text = program.file_name().unwrap_or_default().to_string_lossy().into_owned();
    for arg in command.get_args() {
        text.push(' ');
        text.push_str(&arg.to_string_lossy());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_are_removed_and_text_stays() {
        assert_eq!(
            without_colours("  \u{1b}[32;1mSummary\u{1b}[0m [ 1s] 3 run\n"),
            "Summary [ 1s] 3 run"
        );
    }

    #[test]
    fn a_failing_program_is_a_failed_step_and_its_lines_are_kept() {
        let mut command = Command::new("sh");
        command.args(["-c", "echo keep me; echo not me; echo keep too >&2; exit 3"]);
        let (done, mut kept) = step_keeping("sh", &mut command, |line| line.starts_with("keep"));
        kept.sort();
        assert!(matches!(done.outcome, Outcome::Failed(_)));
        assert_eq!(kept, ["keep me", "keep too"]);
    }
}
