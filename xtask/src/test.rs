//! `cargo xtask test`: everything that must hold before a change is merged.

use anyhow::{Result, bail};

use crate::step::{Done, Outcome, cargo, skip, step, step_keeping};
use crate::{e2e, machine};

/// Whether the end-to-end suite is part of it.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum EndToEnd {
    Run,
    Leave,
}

/// Runs every step, even after a failure, and ends with their list and the tests' summary.
pub(crate) fn run(end_to_end: EndToEnd) -> Result<()> {
    let has_nextest = machine::has_cargo_command("nextest");
    let mut done = vec![
        if machine::ensure_component("rustfmt", "fmt") {
            step("format", &mut cargo(["fmt", "--all", "--check"]))
        } else {
            skip("format", "cargo fmt is missing")
        },
        if machine::ensure_component("clippy", "clippy") {
            let args = ["clippy", "--workspace", "--all-targets", "--", "-D", "warnings"];
            step("clippy", &mut cargo(args))
        } else {
            skip("clippy", "cargo clippy is missing")
        },
    ];
    if let Err(missing) = machine::ensure_postgres() {
        println!("tests on PostgreSQL are skipped: {missing}");
    }
    if let Err(missing) = machine::ensure_moto() {
        println!("tests on S3 are skipped: {missing}");
    }
    let (tests, summary) = workspace_tests(has_nextest);
    done.push(tests);
    done.push(interleavings(has_nextest));
    done.push(step("doc tests", &mut cargo(["test", "--quiet", "--doc", "--workspace"])));
    done.push(step(
        "docs",
        cargo(["doc", "--no-deps", "--workspace"]).env("RUSTDOCFLAGS", "-Dwarnings"),
    ));
    done.push(if machine::has_cargo_command("deny") {
        step("dependencies", &mut cargo(["deny", "check"]))
    } else {
        skip("dependencies", "cargo-deny is not installed")
    });
    done.push(match end_to_end {
        EndToEnd::Run => e2e::as_step(),
        EndToEnd::Leave => skip("end to end", "--no-e2e"),
    });
    conclude(&done, &summary)
}

fn workspace_tests(has_nextest: bool) -> (Done, Vec<String>) {
    if has_nextest {
        let mut command = cargo(["nextest", "run", "--workspace", "--no-fail-fast"]);
        return step_keeping("tests", &mut command, |line| line.starts_with("Summary ["));
    }
    // Benchmarks are built by clippy already; running them is not a test.
    let args =
        ["test", "--workspace", "--lib", "--bins", "--tests", "--examples", "--no-fail-fast"];
    let (done, lines) =
        step_keeping("tests", &mut cargo(args), |line| line.starts_with("test result:"));
    let summary = sum(&lines);
    (done, vec![summary])
}

/// The fleet's tests under a scheduler that tries interleavings.
fn interleavings(has_nextest: bool) -> Done {
    let package = ["-p", "callsheet-fleet", "--features", "shuttle", "--lib"];
    let mut command = if has_nextest {
        let mut command = cargo(["nextest", "run"]);
        command.args(package).args(["-E", "test(shuttle_)"]);
        command
    } else {
        let mut command = cargo(["test"]);
        command.args(package).arg("shuttle_");
        command
    };
    step("interleavings", &mut command)
}

/// Adds up the lines that `cargo test` prints for each target.
fn sum(lines: &[String]) -> String {
    let count = |what: &str| -> u64 {
        lines
            .iter()
            .flat_map(|line| line.split([';', '.']))
            .filter_map(|part| part.trim().strip_suffix(what)?.trim().parse::<u64>().ok())
            .sum()
    };
    let (passed, failed, ignored) = (count("passed"), count("failed"), count("ignored"));
    let verdict = if failed == 0 { "ok" } else { "FAILED" };
    format!("test result: {verdict}. {passed} passed; {failed} failed; {ignored} ignored")
}

fn conclude(done: &[Done], summary: &[String]) -> Result<()> {
    println!();
    for step in done {
        println!("{step}");
    }
    for line in summary {
        println!("{line}");
    }
    let failed: Vec<_> = done
        .iter()
        .filter(|step| matches!(step.outcome, Outcome::Failed(_)))
        .map(|step| step.name)
        .collect();
    if !failed.is_empty() {
        bail!("failed: {}", failed.join(", "));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn results_of_targets_add_up() {
        let line = "test result: ok. 12 passed; 1 failed; 2 ignored; 0 measured; 0 filtered out; \
                    finished in 1.30s";
        let lines = vec![line.to_owned(), line.to_owned()];
        assert_eq!(sum(&lines), "test result: FAILED. 24 passed; 2 failed; 4 ignored");
    }
}
