//! The idle connections of one backend.

use crate::connection::Connection;
use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Idle connections, the one used last in front of all others: it is the least likely to have been
/// closed by the backend, and those that a lull leaves over grow old together and go.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The longest idle first.
    idle: Mutex<VecDeque<Idle>>,
    idle_timeout: Duration,
    max_idle: usize,
}

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(idle_timeout: Duration, max_idle: usize) -> Self {
        Self { idle: Mutex::default(), idle_timeout, max_idle }
    }

    /// Takes a connection that is not known to be closed; one that was made on this thread, if there
    /// is one: events on any other have to wake this thread from afar.
    pub(crate) fn take(&self, now: Instant) -> Option<Connection> {
        let here = thread::current().id();
        loop {
            let idle = {
                let mut idle = self.lock();
                let at = idle.iter().rposition(|idle| idle.connection.home == here);
                match at {
                    Some(at) => idle.remove(at)?,
                    None => idle.pop_back()?,
                }
            };
            // One that is too old, and all that were idle before it, go when the next is put back.
            if now.saturating_duration_since(idle.since) > self.idle_timeout {
                continue;
            }
            let mut connection = idle.connection;
            if connection.stream.is_quiet()
                && (connection.home == here || connection.move_here().is_ok())
            {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, mut connection: Connection, now: Instant) {
        connection.buffer.rest();
        // Connections are closed after the lock is free: closing is a system call.
        let mut surplus = Vec::new();
        let mut idle = self.lock();
        while let Some(oldest) = idle.front()
            && (idle.len() >= self.max_idle
                || now.saturating_duration_since(oldest.since) > self.idle_timeout)
        {
            surplus.extend(idle.pop_front());
        }
        if self.max_idle > 0 {
            idle.push_back(Idle { connection, since: now });
        }
        drop(idle);
    }

    pub(crate) fn clear(&self) {
        let all = mem::take(&mut *self.lock());
        drop(all);
    }

    pub(crate) fn len(&self) -> usize {
        self.lock().len()
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Idle>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
