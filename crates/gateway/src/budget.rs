//! What all requests share: memory for their bodies, and permission to be tried again.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

/// Counts the bytes of request bodies that are held at this moment.
#[derive(Debug, Default)]
pub(crate) struct ByteBudget {
    held: AtomicUsize,
}

/// A share of a [`ByteBudget`], given back when dropped.
#[derive(Debug)]
pub(crate) struct Held {
    budget: Arc<ByteBudget>,
    bytes: usize,
}

impl ByteBudget {
    pub(crate) fn held(&self) -> usize {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn none(self: &Arc<Self>) -> Held {
        Held { budget: Arc::clone(self), bytes: 0 }
    }
}

impl Held {
    /// Adds bytes, unless that would exceed the limit for all.
    #[must_use]
    pub(crate) fn grow(&mut self, bytes: usize, limit: usize) -> bool {
        let before = self.budget.held.fetch_add(bytes, Ordering::Relaxed);
        if before.saturating_add(bytes) > limit {
            self.budget.held.fetch_sub(bytes, Ordering::Relaxed);
            return false;
        }
        self.bytes += bytes;
        true
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.held.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Keeps retries a fraction of the traffic, so that an outage does not double the load on what is
/// left: each request earns a part of a retry, a few a second are free, and a burst is saved up.
#[derive(Debug)]
pub(crate) struct RetryBudget {
    state: Mutex<Tokens>,
}

#[derive(Debug)]
struct Tokens {
    tokens: f64,
    filled_at: Instant,
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
        Self { state: Mutex::new(Tokens { tokens: f64::INFINITY, filled_at: now }) }
    }

    /// Counts a request.
    pub(crate) fn deposit(&self, allowance: RetryAllowance, now: Instant) {
        self.with(allowance, now, |tokens| *tokens += allowance.ratio);
    }

    /// Takes a retry, if one is left.
    #[must_use]
    pub(crate) fn withdraw(&self, allowance: RetryAllowance, now: Instant) -> bool {
        self.with(allowance, now, |tokens| {
            let granted = *tokens >= 1.0;
            if granted {
                *tokens -= 1.0;
            }
            granted
        })
    }

    fn with<T>(
        &self,
        allowance: RetryAllowance,
        now: Instant,
        act: impl FnOnce(&mut f64) -> T,
    ) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let elapsed: Duration = now.saturating_duration_since(state.filled_at);
        let cap = allowance.per_second * SAVED_FOR + allowance.ratio * SAVED_FOR;
        state.tokens = (state.tokens + elapsed.as_secs_f64() * allowance.per_second).min(cap);
        state.filled_at = state.filled_at.max(now);
        let result = act(&mut state.tokens);
        state.tokens = state.tokens.min(cap);
        result
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
                    budget.deposit(allowance, now);
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
        let budget = Arc::new(ByteBudget::default());
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
