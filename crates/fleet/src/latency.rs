//! A moving average of durations that neither loses its fraction nor mistakes 0 for "none yet".

use crate::sync::{AtomicU64, Ordering};
use std::time::Duration;

/// Bits of a millisecond's fraction: enough that whole milliseconds up to `u32::MAX`, times four,
/// still fit 64 bits.
const FRACTION: u32 = 24;
const NONE: u64 = u64::MAX;

/// An exponential moving average of milliseconds, α = 1/5: `new = (sample + 4·old) / 5`.
///
/// Kept in fixed point and rounded only when read. With whole numbers the rounding would swallow
/// every change smaller than five milliseconds, and the average would never arrive.
pub(crate) struct Average(AtomicU64);

impl Average {
    pub(crate) fn new() -> Self {
        Self(AtomicU64::new(NONE))
    }

    /// Takes over what another one has come to.
    pub(crate) fn set_like(&self, other: &Self) {
        self.0.store(other.0.load(Ordering::Relaxed), Ordering::Relaxed);
    }

    pub(crate) fn record_ms(&self, sample_ms: u32) {
        self.record_fixed(u64::from(sample_ms) << FRACTION);
    }

    pub(crate) fn record(&self, sample: Duration) {
        let micros = u64::try_from(sample.as_micros()).unwrap_or(u64::MAX);
        let fixed = (u128::from(micros) << FRACTION) / 1000;
        let most = u64::from(u32::MAX) << FRACTION;
        self.record_fixed(u64::try_from(fixed).unwrap_or(most).min(most));
    }

    fn record_fixed(&self, sample: u64) {
        let mut old = self.0.load(Ordering::Relaxed);
        loop {
            let new = if old == NONE { sample } else { (sample + 4 * old) / 5 };
            match self.0.compare_exchange_weak(old, new, Ordering::Relaxed, Ordering::Relaxed) {
                Ok(_) => return,
                Err(seen) => old = seen,
            }
        }
    }

    /// Returns the average in milliseconds with its fraction; `None` before the first sample.
    pub(crate) fn exact_ms(&self) -> Option<f64> {
        let fixed = self.0.load(Ordering::Relaxed);
        (fixed != NONE).then(|| fixed as f64 / f64::from(1_u32 << FRACTION))
    }

    /// Returns the average in whole milliseconds, rounded; `None` before the first sample.
    pub(crate) fn rounded_ms(&self) -> Option<u32> {
        let fixed = self.0.load(Ordering::Relaxed);
        let half = 1_u64 << (FRACTION - 1);
        (fixed != NONE).then(|| u32::try_from((fixed + half) >> FRACTION).unwrap_or(u32::MAX))
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn no_sample_is_not_zero() {
        let average = Average::new();
        assert_eq!((average.rounded_ms(), average.exact_ms()), (None, None));
        average.record_ms(0);
        assert_eq!((average.rounded_ms(), average.exact_ms()), (Some(0), Some(0.0)));
        average.record_ms(10);
        assert_eq!(average.rounded_ms(), Some(2));
    }

    #[test]
    fn keeps_microseconds() {
        let average = Average::new();
        average.record(Duration::from_micros(250));
        assert!((average.exact_ms().unwrap() - 0.25).abs() < 1e-6);
        assert_eq!(average.rounded_ms(), Some(0));
    }

    #[test]
    fn the_longest_durations_saturate() {
        let average = Average::new();
        for _ in 0..100 {
            average.record(Duration::MAX);
        }
        assert_eq!(average.rounded_ms(), Some(u32::MAX));
    }

    proptest! {
        #[test]
        fn converges_to_any_constant(first in any::<u32>(), constant in any::<u32>()) {
            let average = Average::new();
            average.record_ms(first);
            for _ in 0..200 {
                average.record_ms(constant);
            }
            prop_assert_eq!(average.rounded_ms(), Some(constant));
        }

        #[test]
        fn stays_within_the_samples(samples in proptest::collection::vec(any::<u32>(), 1..100)) {
            let average = Average::new();
            for sample in &samples {
                average.record_ms(*sample);
                let now = average.rounded_ms().unwrap();
                prop_assert!(now >= *samples.iter().min().unwrap());
                prop_assert!(now <= *samples.iter().max().unwrap());
            }
        }
    }
}
