//! What all requests share: memory for their bodies, and permission to be tried again.

use callsheet_types::Sharded;
use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicIsize, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts the bytes of request bodies that are held at this moment.
#[derive(Debug, Default)]
pub(crate) struct ByteBudget {
    /// Bytes that were taken less bytes that were given back, by thread; a body that was taken on one
    /// thread may be given back on another, so that only the sum means something.
    held: Sharded<AtomicIsize>,
}

/// A share of a [`ByteBudget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Held<'a> {
    budget: &'a ByteBudget,
    bytes: usize,
}

impl ByteBudget {
    pub(crate) fn held(&self) -> usize {
        let sum: isize = self.held.iter().map(|held| held.load(Ordering::Relaxed)).sum();
        usize::try_from(sum).unwrap_or(0)
    }

    pub(crate) fn none(&self) -> Held<'_> {
        Held { budget: self, bytes: 0 }
    }
}

impl Held<'_> {
    /// Adds bytes, unless that would exceed the limit for all.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize, limit: usize) -> bool {
        let Ok(signed) = isize::try_from(bytes) else { return false };
        let mine = self.budget.held.local();
        let before = mine.fetch_add(signed, Ordering::Relaxed);
        // A thread that stays below its part of the limit need not look at the others.
        let part = limit / self.budget.held.count();
        let is_little = usize::try_from(before).unwrap_or(0).saturating_add(bytes) <= part / 2;
        if !is_little && self.budget.held() > limit {
            mine.fetch_sub(signed, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // What was taken fits, see above.
        self.budget.held.local().fetch_sub(self.bytes.cast_signed(), Ordering::Relaxed);
    }
}

/// Keeps retries a fraction of the traffic, so that an outage does not double the load on what is
/// left: each request earns a part of a retry, a few a second are free, and a burst is saved up.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    /// Requests so far, by thread: every request counts here, and only a retry adds them up.
    requests: Sharded<AtomicU64>,
    state: Mutex<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    left: f64,
    filled_at: Instant,
    /// The requests that have earned their part already.
    counted: u64,
}

/// How large the budget is.
#[derive(Clone, Copy, Debug)]
pub struct RetryAllowance {
    /// Retries earned by each request.
    pub ratio: f64,
    /// Retries that are free in each second; ten seconds' worth can be saved up.
    pub per_second: f64,
}

impl Default for RetryAllowance {
    fn default() -> Self {
        Self { ratio: 0.2, per_second: 10.0 }
    }
}

const SAVED_FOR: f64 = 10.0;

impl RetryBudget {
    pub(crate) fn new(now: Instant) -> Self {
        let full = Tokens { left: f64::INFINITY, filled_at: now, counted: 0 };
        Self { requests: Sharded::default(), state: Mutex::new(full) }
    }

    /// Counts a request.
    pub(crate) fn deposit(&self) {
        self.requests.local().fetch_add(1, Ordering::Relaxed);
    }

    /// Takes a retry, if one is left.
    #[must_use]
    pub(crate) fn withdraw(&self, allowance: RetryAllowance, now: Instant) -> bool {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let requests: u64 = self.requests.iter().map(|n| n.load(Ordering::Relaxed)).sum();
        let earned = requests.saturating_sub(state.counted) as f64 * allowance.ratio;
        let elapsed: Duration = now.saturating_duration_since(state.filled_at);
        let cap = (allowance.per_second + allowance.ratio) * SAVED_FOR;
        let filled = state.left + elapsed.as_secs_f64() * allowance.per_second + earned;
        state.left = filled.min(cap);
        state.filled_at = state.filled_at.max(now);
        state.counted = state.counted.max(requests);
        let granted = state.left >= 1.0;
        if granted {
            state.left -= 1.0;
        }
        granted
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_gets_the_saved_burst_and_then_a_trickle() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        let allowance = RetryAllowance { ratio: 0.2, per_second: 1.0 };
        let granted = |requests: usize, now: Instant| {
            (0..requests)
                .filter(|_| {
                    budget.deposit();
                    budget.withdraw(allowance, now)
                })
                .count()
        };
        let burst = granted(1000, start);
        assert!((200..=220).contains(&burst), "a fifth of 1000, and what was saved: {burst}");
        assert_eq!(granted(10, start), 2);
        assert_eq!(granted(0, start + Duration::from_secs(5)), 0);
        assert!(budget.withdraw(allowance, start + Duration::from_secs(6)));
    }

    #[test]
    fn a_budget_of_nothing_grants_nothing() {
        let start = Instant::now();
        let budget = RetryBudget::new(start);
        let nothing = RetryAllowance { ratio: 0.0, per_second: 0.0 };
        assert!(!budget.withdraw(nothing, start + Duration::from_secs(100)));
    }

    #[test]
    fn bytes_are_given_back_even_when_refused() {
        let budget = ByteBudget::default();
        let mut first = budget.none();
        assert!(first.grow(60, 100) && first.grow(40, 100) && !first.grow(1, 100));
        let mut second = budget.none();
        assert!(!second.grow(1, 100));
        drop(first);
        assert!(second.grow(100, 100));
        drop(second);
        assert_eq!(budget.held(), 0);
    }
}
