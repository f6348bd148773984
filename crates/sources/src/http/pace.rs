//! How fast a body comes: one that trickles would keep its connection for ever.

use std::time::Duration;

/// Fewer bytes in a second are none.
const MIN_BYTES_PER_SECOND: u64 = 1024;
/// Over this time, at least: what comes in bursts is not slow.
const WINDOW: Duration = Duration::from_mins(1);

/// What came since it was last looked at.
#[derive(Debug)]
pub(super) struct Pace {
    window: Duration,
    waited: Duration,
    bytes: u64,
}

/// Too few bytes came.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct TooFew {
    pub(super) bytes: u64,
    pub(super) over: Duration,
}

impl Pace {
    /// Begins to count. Where silence is allowed for longer than a minute, the pace counts over
    /// that time.
    pub(super) fn new(patience: Duration) -> Self {
        Self { window: WINDOW.max(patience), waited: Duration::ZERO, bytes: 0 }
    }

    /// Counts bytes that were waited for so long. What the receiver did between them does not
    /// count: a slow disk is not the server's fault.
    pub(super) fn count(&mut self, bytes: u64, waited: Duration) -> Result<(), TooFew> {
        self.bytes += bytes;
        self.waited += waited;
        if self.waited < self.window {
            return Ok(());
        }
        let (bytes, over) = (self.bytes, self.waited);
        (self.bytes, self.waited) = (0, Duration::ZERO);
        if u128::from(bytes) * 1000 < u128::from(MIN_BYTES_PER_SECOND) * over.as_millis() {
            return Err(TooFew { bytes, over });
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);
    const MINUTE: Duration = Duration::from_mins(1);

    #[test]
    fn a_trickle_is_told_from_bursts_after_a_minute() {
        let mut pace = Pace::new(SECOND);
        for _ in 0..59 {
            assert_eq!(pace.count(1, SECOND), Ok(()));
        }
        assert_eq!(pace.count(1, SECOND), Err(TooFew { bytes: 60, over: MINUTE }));
        for _ in 0..300 {
            assert_eq!(pace.count(1024, SECOND), Ok(()));
        }
        assert_eq!(pace.count(60 * 1024, SECOND), Ok(()));
        assert_eq!(pace.count(0, SECOND * 59), Ok(()));
        // What came in an earlier minute is no excuse.
        assert_eq!(pace.count(60 * 1024 - 1, MINUTE), Err(TooFew { bytes: 61_439, over: MINUTE }));
    }

    #[test]
    fn allowed_silence_is_no_trickle() {
        let mut pace = Pace::new(MINUTE * 5);
        assert_eq!(pace.count(1, MINUTE * 4), Ok(()));
        assert_eq!(pace.count(300 * 1024, MINUTE), Ok(()));
        assert_eq!(pace.count(1, MINUTE * 5), Err(TooFew { bytes: 1, over: MINUTE * 5 }));
    }
}
