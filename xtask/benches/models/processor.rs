//! Time on a processor, as the kernel counts it.

use rustix::time::{ClockId, clock_gettime};
use std::time::Duration;

/// The kernel counts in these on every Linux that Rust supports.
const TICKS_PER_SECOND: u32 = 100;

/// Returns for how long this thread has been on a processor.
pub(crate) fn of_thread() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::try_from(time).unwrap_or_default()
}

/// Returns for how long all processes that this one started, and that have ended, were on a
/// processor. It is cut to whole ticks, which evens out over many.
pub(crate) fn of_children() -> Option<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The name in parentheses may hold anything; fields are counted after it.
    let (_, rest) = stat.rsplit_once(')')?;
    let mut fields = rest.split_whitespace().skip(13);
    let user: u32 = fields.next()?.parse().ok()?;
    let kernel: u32 = fields.next()?.parse().ok()?;
    Some(Duration::from_secs(1) * (user + kernel) / TICKS_PER_SECOND)
}
