//! What is counted with every request: in one place for each thread, added up when somebody asks.

use callsheet_types::Sharded;
use prometheus::proto::{Bucket, Histogram};
use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

/// How many of each kind, and how long they took.
#[derive(Debug, Default)]
pub(crate) struct Tally(Sharded<Counts>);

#[derive(Debug, Default)]
struct Counts {
    outcomes: [AtomicU64; OUTCOMES.len()],
    first_byte: Durations,
    total: Durations,
}

/// Every outcome of a request, as metrics name them.
pub(crate) const OUTCOMES: [&str; 6] =
    ["ok", "client_error", "server_error", "cut", "client_gone", "refused"];

/// The upper bounds of all buckets but the last, in microseconds.
const BOUNDS: [u64; 15] = [
    1_000,
    2_500,
    5_000,
    10_000,
    25_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    15_000_000,
    60_000_000,
    300_000_000,
];

#[derive(Debug, Default)]
struct Durations {
    buckets: [AtomicU64; BOUNDS.len() + 1],
    sum_micros: AtomicU64,
}

impl Durations {
    fn add(&self, duration: Duration) {
        let micros = duration.as_micros() as u64;
        let bucket = BOUNDS.iter().position(|bound| micros <= *bound).unwrap_or(BOUNDS.len());
        self.buckets[bucket].fetch_add(1, Ordering::Relaxed);
        self.sum_micros.fetch_add(micros, Ordering::Relaxed);
    }
}

impl Tally {
    /// Counts a request that has ended; an outcome that is none of [`OUTCOMES`] counts nowhere.
    pub(crate) fn ended(&self, outcome: &str, total: Duration) {
        let counts = self.0.local();
        if let Some(at) = OUTCOMES.iter().position(|known| *known == outcome) {
            counts.outcomes[at].fetch_add(1, Ordering::Relaxed);
        }
        counts.total.add(total);
    }

    /// Counts the time to a first byte.
    pub(crate) fn first_byte(&self, took: Duration) {
        self.0.local().first_byte.add(took);
    }

    /// Returns how many requests ended in each way.
    pub(crate) fn outcomes(&self) -> [u64; OUTCOMES.len()] {
        std::array::from_fn(|at| {
            self.0.iter().map(|counts| counts.outcomes[at].load(Ordering::Relaxed)).sum()
        })
    }

    /// Returns the times to the first byte.
    pub(crate) fn first_bytes(&self) -> Histogram {
        self.histogram(|counts| &counts.first_byte)
    }

    /// Returns how long requests took.
    pub(crate) fn totals(&self) -> Histogram {
        self.histogram(|counts| &counts.total)
    }

    fn histogram(&self, of: impl Fn(&Counts) -> &Durations) -> Histogram {
        let mut count = 0;
        let mut buckets = Vec::with_capacity(BOUNDS.len());
        for at in 0..=BOUNDS.len() {
            let here = |counts| of(counts).buckets[at].load(Ordering::Relaxed);
            count += self.0.iter().map(here).sum::<u64>();
            // The bucket without a bound is written as the count.
            if let Some(bound) = BOUNDS.get(at) {
                let mut bucket = Bucket::default();
                bucket.set_cumulative_count(count);
                bucket.set_upper_bound(*bound as f64 / 1e6);
                buckets.push(bucket);
            }
        }
        let micros = |counts| of(counts).sum_micros.load(Ordering::Relaxed);
        let sum: u64 = self.0.iter().map(micros).sum();
        let mut histogram = Histogram::default();
        histogram.set_sample_count(count);
        histogram.set_sample_sum(sum as f64 / 1e6);
        histogram.set_bucket(buckets);
        histogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_duration_falls_into_the_first_bucket_that_holds_it() {
        let tally = Tally::default();
        for millis in [0, 1, 2, 400, 299_999, 400_000] {
            tally.ended("ok", Duration::from_millis(millis));
        }
        tally.first_byte(Duration::from_millis(7));
        let totals = tally.totals();
        let cumulative: Vec<_> = totals.get_bucket().iter().map(Bucket::cumulative_count).collect();
        assert_eq!(cumulative, [2, 3, 3, 3, 3, 3, 3, 3, 4, 4, 4, 4, 4, 4, 5]);
        assert_eq!((totals.get_sample_count(), tally.first_bytes().get_sample_count()), (6, 1));
        assert!((totals.get_sample_sum() - 700.402).abs() < 1e-6);
        assert_eq!(tally.outcomes(), [6, 0, 0, 0, 0, 0]);
    }
}
