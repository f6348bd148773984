//! Passive ejection: a backend that keeps failing real requests is left alone for a while, then
//! let back through a single trial.
//!
//! Everything that `pick` needs to know is one word: 0 for "in service", otherwise the moment until
//! which the backend is ejected, with one bit more while a request tries whether it is well again.

use crate::clock::{nanos, nanos_of};
use crate::index::Snapshot;
use crate::policy::Policy;
use crate::registry::{Backend, BackendStatus};
use crate::sync::{AtomicU32, AtomicU64, Mutex, Ordering, lock};
use std::sync::Arc;
use std::time::{Duration, Instant};

const IN_SERVICE: u64 = 0;
const ON_TRIAL: u64 = 1 << 63;

/// Whether a backend is ejected, and how often in a row it was.
pub(crate) struct Ejection {
    word: AtomicU64,
    /// Written under the lock of [`Ejector`], or by the one request that is the trial.
    times_in_a_row: AtomicU32,
}

/// What ejection says of giving a backend a request.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Term {
    InService,
    /// Its time is over: one request may try it. Holds the word that the trial replaces.
    Due(u64),
    /// Not now: until this moment, or for as long as the trial under way lasts.
    Ejected(u64),
}

impl Ejection {
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(IN_SERVICE), times_in_a_row: AtomicU32::new(0) }
    }

    /// Takes over where another one stands. A trial under way is not taken over, since it reports to
    /// the other: the backend is due for a new one.
    pub(crate) fn set_like(&self, other: &Self) {
        let word = other.word.load(Ordering::Acquire) & !ON_TRIAL;
        let times = other.times_in_a_row.load(Ordering::Relaxed);
        self.times_in_a_row.store(times, Ordering::Relaxed);
        self.word.store(word, Ordering::Release);
    }

    pub(crate) fn term(&self, now: u64) -> Term {
        match self.word.load(Ordering::Acquire) {
            IN_SERVICE => Term::InService,
            word if word & ON_TRIAL != 0 => Term::Ejected(word & !ON_TRIAL),
            until if until <= now => Term::Due(until),
            until => Term::Ejected(until),
        }
    }

    pub(crate) fn until(&self) -> Option<u64> {
        let word = self.word.load(Ordering::Acquire);
        (word != IN_SERVICE).then_some(word & !ON_TRIAL)
    }

    /// Begins the trial of a backend that is due; of several requests, one succeeds.
    pub(crate) fn begin_trial(&self, due: u64) -> bool {
        self.replace(due, due | ON_TRIAL)
    }

    /// Ends a trial that found nothing out: the backend is due again.
    pub(crate) fn abandon_trial(&self, due: u64) {
        self.replace(due | ON_TRIAL, due);
    }

    /// Ends a trial well. If the backend was ejected anew meanwhile, it stays so.
    pub(crate) fn pass_trial(&self, due: u64) {
        self.times_in_a_row.store(0, Ordering::Relaxed);
        self.replace(due | ON_TRIAL, IN_SERVICE);
    }

    fn replace(&self, old: u64, new: u64) -> bool {
        self.word.compare_exchange(old, new, Ordering::AcqRel, Ordering::Acquire).is_ok()
    }

    fn is_ejected(&self) -> bool {
        self.word.load(Ordering::Acquire) != IN_SERVICE
    }
}

/// Decides about ejections, one at a time, so that two of them cannot each believe that they leave
/// half of the backends in service.
#[derive(Default)]
pub(crate) struct Ejector(Mutex<()>);

impl Ejector {
    /// Counts a failure. Returns for how long this ejected the backend, if it did. `trial` is the
    /// word of the trial that the failing request was.
    pub(crate) fn failed(
        &self,
        snapshot: &Snapshot,
        backend: &Arc<Backend>,
        trial: Option<u64>,
        now: Instant,
    ) -> Option<Duration> {
        let policy = &snapshot.policy;
        if trial.is_none() {
            // News of requests that began before the ejection is old and changes nothing.
            if policy.eject_after == 0 || backend.ejection().is_ejected() {
                return None;
            }
            if backend.count_failure() < policy.eject_after {
                return None;
            }
        }
        let _one_at_a_time = lock(&self.0);
        let times = backend.ejection().times_in_a_row.load(Ordering::Relaxed);
        let how_long = term_of(policy, times);
        let until = until(now, how_long);
        let ejected = if let Some(due) = trial {
            // It counts as ejected already; half of its peers are in service as before.
            backend.ejection().replace(due | ON_TRIAL, until)
        } else {
            // Refused or not, the next attempt takes as many failures again.
            backend.forget_failures();
            leaves_half(snapshot, backend) && backend.ejection().replace(IN_SERVICE, until)
        };
        if ejected {
            backend.ejection().times_in_a_row.store(times.saturating_add(1), Ordering::Relaxed);
        }
        ejected.then_some(how_long)
    }

    /// Ejects a backend that asked for quiet, for as long as it asked for, at most
    /// `policy.max_eject`. Returns for how long, or `None` if too few peers would be left.
    pub(crate) fn rest(
        &self,
        snapshot: &Snapshot,
        backend: &Arc<Backend>,
        how_long: Duration,
        now: Instant,
    ) -> Option<Duration> {
        let how_long = how_long.min(snapshot.policy.max_eject);
        if how_long.is_zero() {
            return None;
        }
        let until = until(now, how_long);
        let _one_at_a_time = lock(&self.0);
        // A trial may begin, pass or be abandoned at the same time; whatever the word becomes,
        // the backend's wish goes before it.
        loop {
            let word = backend.ejection().word.load(Ordering::Acquire);
            if word == IN_SERVICE && !leaves_half(snapshot, backend) {
                return None;
            }
            let new = until.max(word & !ON_TRIAL);
            if word == new || backend.ejection().replace(word, new) {
                backend.forget_failures();
                return Some(how_long);
            }
        }
    }
}

fn until(now: Instant, how_long: Duration) -> u64 {
    nanos(now).saturating_add(nanos_of(how_long)).min(!ON_TRIAL)
}

fn term_of(policy: &Policy, times_in_a_row: u32) -> Duration {
    let factor = 1_u32.checked_shl(times_in_a_row).unwrap_or(u32::MAX);
    policy.eject_for.saturating_mul(factor).min(policy.max_eject)
}

/// Whether every model of this backend keeps at least half of its healthy backends in service if
/// this one is ejected as well. Only healthy ones count: an ejection must not take the last backend
/// that answers because others are down anyway. One that awaits its trial, or is on trial, takes no
/// ordinary requests and so counts as ejected. A lone backend is never ejected.
fn leaves_half(snapshot: &Snapshot, backend: &Arc<Backend>) -> bool {
    backend.models().iter().filter_map(|model| snapshot.entry(&model.id)).all(|entry| {
        let others = entry.backends.iter().filter(|other| !Arc::ptr_eq(other, backend));
        let healthy = others.filter(|other| other.status() == BackendStatus::Healthy);
        let (all, ejected) = healthy.fold((1, 1), |(all, ejected), other| {
            (all + 1, ejected + usize::from(other.ejection().is_ejected()))
        });
        ejected <= all / 2
    })
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
