//! Moments as one number, so that an atomic can hold them.

use std::sync::LazyLock;
use std::time::{Duration, Instant};

static EPOCH: LazyLock<Instant> = LazyLock::new(Instant::now);

/// Nanoseconds since the first registry of this process was made; never 0, which thereby is free to
/// mean "never".
pub(crate) fn nanos(moment: Instant) -> u64 {
    nanos_of(moment.saturating_duration_since(*EPOCH)).max(1)
}

/// Returns the moment that [`nanos`] made this number of.
pub(crate) fn moment(nanos: u64) -> Instant {
    *EPOCH + Duration::from_nanos(nanos)
}

/// Returns a duration's nanoseconds, at most some 146 years of them: one bit of the number stays
/// free for whoever stores it.
pub(crate) fn nanos_of(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX).min(u64::MAX >> 2)
}

/// Starts the epoch, so that the moments of a registry's life lie after it.
pub(crate) fn start() {
    LazyLock::force(&EPOCH);
}
