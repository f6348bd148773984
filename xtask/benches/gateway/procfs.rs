//! What the kernel knows of a process.

use std::time::Duration;

use anyhow::{Context as _, Result};

/// The kernel counts in these on every Linux that Rust supports.
const TICKS_PER_SECOND: u32 = 100;

/// Returns the processor time of these processes, in user space and in the kernel, including that
/// of threads that have ended.
pub(crate) fn processor_time(pids: &[u32]) -> Result<Duration> {
    pids.iter().map(|pid| one_processor_time(*pid)).sum()
}

/// Takes the larger of two counts: the scheduler's is exact but forgets threads that have ended,
/// the other keeps them and is cut to whole ticks.
fn one_processor_time(pid: u32) -> Result<Duration> {
    Ok(ticks(pid)?.max(threads(pid).unwrap_or_default()))
}

fn threads(pid: u32) -> Result<Duration> {
    std::fs::read_dir(format!("/proc/{pid}/task"))?
        .map(|thread| {
            let text = std::fs::read_to_string(thread?.path().join("schedstat"))?;
            let nanoseconds = text.split(' ').next().unwrap_or_default().parse()?;
            Ok(Duration::from_nanos(nanoseconds))
        })
        .sum()
}

fn ticks(pid: u32) -> Result<Duration> {
    let path = format!("/proc/{pid}/stat");
    let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    // The name in parentheses may hold anything; fields are counted after it.
    let (_, rest) = stat.rsplit_once(')').with_context(|| format!("{path} is odd"))?;
    let ticks: u32 = rest
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u32>().context("a tick count"))
        .sum::<Result<u32>>()?;
    Ok(Duration::from_secs(1) * ticks / TICKS_PER_SECOND)
}

/// Returns the children of a process, such as nginx's workers.
pub(crate) fn children(pid: u32) -> Result<Vec<u32>> {
    let path = format!("/proc/{pid}/task/{pid}/children");
    let text = std::fs::read_to_string(&path).context(path)?;
    text.split_whitespace().map(|pid| pid.parse().context("a process id")).collect()
}

/// Returns the resident memory of these processes now, in bytes. Pages that they share count for
/// each of them.
pub(crate) fn resident_bytes(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_kib(*pid, "VmRSS:").map(|kib| kib * 1024)).sum()
}

/// Returns the largest resident memory of these processes since [`forget_peak`], in bytes.
pub(crate) fn peak_bytes(pids: &[u32]) -> Result<u64> {
    pids.iter().map(|pid| status_kib(*pid, "VmHWM:").map(|kib| kib * 1024)).sum()
}

/// Starts the peaks anew; where that is not allowed they count from the start of the process.
pub(crate) fn forget_peak(pids: &[u32]) {
    for pid in pids {
        let _ = std::fs::write(format!("/proc/{pid}/clear_refs"), "5");
    }
}

fn status_kib(pid: u32, field: &str) -> Result<u64> {
    let path = format!("/proc/{pid}/status");
    let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
    status
        .lines()
        .find_map(|line| line.strip_prefix(field))
        .and_then(|value| value.trim().strip_suffix(" kB"))
        .and_then(|value| value.trim().parse().ok())
        .with_context(|| format!("{path} has no {field}"))
}
