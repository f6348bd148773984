//! Requests that wait for a place, and how a place is handed to them.
//!
//! A place that becomes free goes to the oldest request that it suits, without being free in
//! between: nobody who comes later can take it first.

use crate::in_flight::InFlight;
use crate::index::{Entry, Snapshot};
use crate::needs::{Needs, OwnedNeeds};
use crate::pick::{Route, pick};
use crate::registry::Backend;
use crate::shared::Shared;
use crate::sync::{AtomicU64, AtomicUsize, Mutex, Ordering, fence, lock};
use std::collections::VecDeque;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;
use tokio::sync::oneshot;

/// As many requests wait as may.
#[derive(Clone, Copy, Debug, Eq, PartialEq, thiserror::Error)]
#[error("{limit} requests wait already")]
pub struct QueueFull {
    /// How many may wait.
    pub limit: usize,
}

/// A request that could wait, but does not yet.
pub struct Wait {
    shared: Arc<Shared>,
    model: Arc<str>,
    needs: OwnedNeeds,
}

/// A request's place in the queue; a future of the place at a backend. Dropping it leaves the
/// queue, and passes on what was handed over at the same moment.
///
/// Some places come up without a request's end: when an ejection is over, nobody is told. Whoever
/// waits long should therefore pick again from time to time.
#[must_use]
pub struct Ticket {
    shared: Arc<Shared>,
    number: u64,
    state: State,
}

enum State {
    Granted(InFlight),
    Waiting(oneshot::Receiver<InFlight>),
    Done,
}

#[derive(Default)]
pub(crate) struct Queue {
    waiters: Mutex<VecDeque<Waiter>>,
    /// How many wait; read by every request that ends.
    waiting: AtomicUsize,
    /// How many ever joined: tells whoever frees a place whether somebody came meanwhile.
    joined: AtomicU64,
}

pub(crate) struct Waiter {
    number: u64,
    model: Arc<str>,
    needs: OwnedNeeds,
    place: oneshot::Sender<InFlight>,
}

impl Waiter {
    /// Hands over; gives the guard back if the request is gone.
    pub(crate) fn hand(self, in_flight: InFlight) -> Result<(), InFlight> {
        self.place.send(in_flight)
    }
}

impl Queue {
    pub(crate) fn waiting(&self) -> usize {
        self.waiting.load(Ordering::SeqCst)
    }

    pub(crate) fn joined(&self) -> u64 {
        self.joined.load(Ordering::SeqCst)
    }

    fn push(
        &self,
        limit: usize,
        model: Arc<str>,
        needs: OwnedNeeds,
    ) -> Result<(u64, oneshot::Receiver<InFlight>), QueueFull> {
        let (place, granted) = oneshot::channel();
        let mut waiters = lock(&self.waiters);
        if waiters.len() >= limit {
            return Err(QueueFull { limit });
        }
        let number = self.joined.load(Ordering::SeqCst);
        waiters.push_back(Waiter { number, model, needs, place });
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        // Last: whoever sees this number must see that somebody waits. The other way round, a
        // place is freed between the two without anybody being told.
        self.joined.store(number + 1, Ordering::SeqCst);
        Ok((number, granted))
    }

    /// Takes out the oldest request that this backend can serve.
    pub(crate) fn pop(&self, snapshot: &Snapshot, backend: &Backend) -> Option<Waiter> {
        let mut waiters = lock(&self.waiters);
        let at = waiters.iter().position(|waiter| waiter.suits(snapshot, backend))?;
        let waiter = waiters.remove(at);
        self.waiting.store(waiters.len(), Ordering::SeqCst);
        waiter
    }

    fn leave(&self, number: u64) {
        let mut waiters = lock(&self.waiters);
        // Numbers rise from front to back.
        if let Ok(at) = waiters.binary_search_by_key(&number, |waiter| waiter.number) {
            let gone = waiters.remove(at);
            self.waiting.store(waiters.len(), Ordering::SeqCst);
            drop(waiters);
            drop(gone);
        }
    }
}

impl Waiter {
    fn suits(&self, snapshot: &Snapshot, backend: &Backend) -> bool {
        let needs = self.needs.borrow();
        let unknown = snapshot.policy.unknown_capabilities;
        let meets_needs = |entry: &Entry| {
            let at = entry.position(&backend.id);
            at.is_some_and(|at| entry.offers[at].unmet(&needs, unknown).is_none())
        };
        needs.only.is_none_or(|only| only == backend.id)
            && !needs.was_sent_to(backend)
            && snapshot.entry(&self.model).is_some_and(|entry| meets_needs(entry))
    }
}

impl Wait {
    pub(crate) fn new(shared: Arc<Shared>, model: Arc<str>, needs: &Needs<'_>) -> Self {
        Self { shared, model, needs: needs.into() }
    }

    /// Joins the queue, unless it is full.
    pub fn join(self) -> Result<Ticket, QueueFull> {
        let Self { shared, model, needs } = self;
        let limit = shared.snapshot.load().policy.queue_size;
        let again = OwnedNeeds::from(&needs.borrow());
        let (number, granted) = shared.queue.push(limit, Arc::clone(&model), needs)?;
        let mut ticket =
            Ticket { shared: Arc::clone(&shared), number, state: State::Waiting(granted) };
        fence(Ordering::SeqCst);
        // A place may have become free after the decision to wait and before the queue was joined;
        // who freed it saw nobody wait. From here on, whoever frees one sees this request.
        if let Route::To(in_flight) = pick(&shared, &model, &again.borrow(), Instant::now()) {
            shared.queue.leave(number);
            // Drops what was handed over in between, which passes it on.
            ticket.state = State::Granted(in_flight);
        }
        Ok(ticket)
    }
}

impl Ticket {
    /// Waits for a place. Cancel safe. Never ends a second time.
    pub async fn granted(&mut self) -> InFlight {
        self.await
    }
}

impl Future for Ticket {
    type Output = InFlight;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<InFlight> {
        match std::mem::replace(&mut self.state, State::Done) {
            State::Granted(in_flight) => Poll::Ready(in_flight),
            State::Waiting(mut granted) => match Pin::new(&mut granted).poll(context) {
                Poll::Ready(Ok(in_flight)) => Poll::Ready(in_flight),
                // The sending half lives in the queue, which lives as long as the ticket.
                Poll::Ready(Err(_)) => Poll::Pending,
                Poll::Pending => {
                    self.state = State::Waiting(granted);
                    Poll::Pending
                }
            },
            State::Done => Poll::Pending,
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if let State::Waiting(granted) = &mut self.state {
            granted.close();
            self.shared.queue.leave(self.number);
        }
    }
}

impl fmt::Debug for Wait {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Wait").field("model", &self.model).finish_non_exhaustive()
    }
}

impl fmt::Debug for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ticket").field("number", &self.number).finish_non_exhaustive()
    }
}

#[cfg(test)]
#[cfg(not(feature = "shuttle"))]
mod tests;
