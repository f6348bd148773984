//! What the registry, the guards and the tickets have in common, and how a place changes hands.

use crate::clock::nanos;
use crate::eject::Ejector;
use crate::in_flight::InFlight;
use crate::index::Snapshot;
use crate::policy::Policy;
use crate::queue::Queue;
use crate::registry::Backend;
use crate::sight::{Fit, standing};
use crate::sync::{ArcSwap, Mutex, Ordering, fence};
use std::sync::Arc;
use std::time::Instant;

pub(crate) struct Shared {
    pub(crate) snapshot: ArcSwap<Snapshot>,
    /// Held by whoever makes a new snapshot. Readers never take it.
    pub(crate) writer: Mutex<()>,
    /// Held by whoever sets the directory, so that what was asked first does not stand last.
    pub(crate) directory: Mutex<()>,
    pub(crate) ejector: Ejector,
    pub(crate) queue: Queue,
}

impl Shared {
    pub(crate) fn new(policy: Policy) -> Self {
        Self {
            snapshot: ArcSwap::new(Arc::new(Snapshot::empty(Arc::new(policy)))),
            writer: Mutex::new(()),
            directory: Mutex::new(()),
            ejector: Ejector::default(),
            queue: Queue::default(),
        }
    }

    /// Gives up a place that the caller has taken: to the oldest request that waits and that it
    /// suits, or to nobody.
    pub(crate) fn give_back(self: &Arc<Self>, backend: &Arc<Backend>) {
        let mut backend = backend;
        loop {
            let joined = self.queue.joined();
            let is_over_limit = backend.is_over_limit();
            if !is_over_limit && self.queue.waiting() > 0 && self.hand_over(backend) {
                return;
            }
            if let Err(successor) = backend.free_place() {
                backend = successor;
                continue;
            }
            if is_over_limit {
                // Others may have freed theirs at the same time, all for the same reason.
                return self.offer(backend);
            }
            // Whoever joined after the look at the queue may have looked at the backend before
            // the place was free. One of the two must see the other; this is the one.
            if self.queue.joined() == joined || !backend.take_place() {
                return;
            }
        }
    }

    /// Offers what a backend has free to the requests that wait: after a change that may have made
    /// it able to serve them.
    pub(crate) fn offer(self: &Arc<Self>, backend: &Arc<Backend>) {
        // The change comes before the look at the queue, as joining the queue comes before the look
        // at the backend: one of the two sees the other.
        fence(Ordering::SeqCst);
        while self.queue.waiting() > 0 && backend.take_place() {
            if !self.hand_over(backend) {
                return self.give_back(backend);
            }
        }
    }

    pub(crate) fn offer_all(self: &Arc<Self>) {
        let snapshot = self.snapshot.load();
        for backend in snapshot.all.iter() {
            self.offer(backend);
        }
    }

    /// Hands a place that the caller has taken to a request that waits; false if it suits none.
    fn hand_over(self: &Arc<Self>, backend: &Arc<Backend>) -> bool {
        let snapshot = self.snapshot.load();
        if !snapshot.holds(backend) {
            return false;
        }
        let trial = match standing(backend, nanos(Instant::now())) {
            Ok(Fit::Ready) => None,
            Ok(Fit::Trial(due)) if backend.ejection().begin_trial(due) => Some(due),
            _ => return false,
        };
        while let Some(waiter) = self.queue.pop(&snapshot, backend) {
            let in_flight = InFlight::new(Arc::clone(self), Arc::clone(backend), trial);
            match waiter.hand(in_flight) {
                Ok(()) => return true,
                // The request is gone; its place and its trial are ours again.
                Err(in_flight) => in_flight.disarm(),
            }
        }
        if let Some(due) = trial {
            backend.ejection().abandon_trial(due);
        }
        false
    }
}
