//! A request on its way: counted as long as its guard lives.

use crate::clock::nanos;
use crate::registry::Backend;
use crate::shared::Shared;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A request that a backend was given. Keep it as long as the last byte of the answer is out:
/// dropping it, at whatever point, gives the place to a request that waits for one, or frees it.
#[must_use]
pub struct InFlight {
    shared: Arc<Shared>,
    backend: Arc<Backend>,
    /// The word that the trial replaced, if the request is one.
    trial: Option<u64>,
    armed: bool,
}

impl InFlight {
    /// Makes the guard of a place, and a trial, that the caller has taken.
    pub(crate) fn new(shared: Arc<Shared>, backend: Arc<Backend>, trial: Option<u64>) -> Self {
        backend.count_request();
        Self { shared, backend, trial, armed: true }
    }

    /// Takes the guard apart; the caller owns its place and its trial.
    pub(crate) fn disarm(mut self) {
        self.armed = false;
    }

    /// Returns who was given the request.
    pub fn backend(&self) -> &Arc<Backend> {
        &self.backend
    }

    /// Returns whether the request tries if an ejected backend is well again.
    pub fn is_trial(&self) -> bool {
        self.trial.is_some()
    }

    /// Reports the first byte of the answer, and how long it took.
    pub fn first_byte(&self, took: Duration, now: Instant) {
        self.backend.record_first_byte(took, nanos(now));
    }

    /// Reports the last byte of the answer, and how long all of it took.
    pub fn finished(&self, took: Duration) {
        self.backend.record_whole(took);
    }

    /// Reports that the backend did what it should: ends a row of failures, and a trial.
    pub fn succeeded(&self, _now: Instant) {
        self.backend.forget_failures();
        if let Some(due) = self.trial {
            self.backend.ejection().pass_trial(due);
            // It can take more than one request now.
            self.shared.offer(&self.backend);
        }
    }

    /// Reports a failure of the backend. Returns for how long this ejected it, if it did.
    pub fn failed(&self, now: Instant) -> Option<Duration> {
        let snapshot = self.shared.snapshot.load();
        self.shared.ejector.failed(&snapshot, &self.backend, self.trial, now)
    }

    /// Reports that the backend asked to be left alone. Returns for how long it will be: at most
    /// `policy.max_eject`; `None` if too few of its peers would be left in service.
    pub fn rest(&self, how_long: Duration, now: Instant) -> Option<Duration> {
        let snapshot = self.shared.snapshot.load();
        self.shared.ejector.rest(&snapshot, &self.backend, how_long, now)
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        if !self.armed {
            return;
        }
        // First the trial: whoever gets the place may need it.
        if let Some(due) = self.trial {
            self.backend.ejection().abandon_trial(due);
        }
        self.shared.give_back(&self.backend);
    }
}

impl fmt::Debug for InFlight {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("InFlight")
            .field("backend", &self.backend.id)
            .field("is_trial", &self.is_trial())
            .finish_non_exhaustive()
    }
}
