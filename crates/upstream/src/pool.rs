//! The idle connections of one backend.

use crate::connection::Connection;
use callsheet_types::Sharded;
use std::{
    collections::VecDeque,
    mem,
    sync::{Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant},
};

/// Idle connections, the one used last in front of all others: it is the least likely to have been
/// closed by the backend, and those that a lull leaves over grow old together and go.
///
/// Each thread keeps its own, whose events its own runtime is told of, and takes from others only
/// when it has none.
#[derive(Debug)]
pub(crate) struct Pool {
    /// The longest idle first.
    idle: Sharded<Mutex<VecDeque<Idle>>>,
    idle_timeout: Duration,
    max_idle: usize,
}

/// How long a connection is idle before the system is asked whether it is still open.
const RESTED: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Idle {
    connection: Connection,
    since: Instant,
}

impl Pool {
    pub(crate) fn new(idle_timeout: Duration, max_idle: usize) -> Self {
        Self { idle: Sharded::default(), idle_timeout, max_idle }
    }

    /// Takes a connection that is not known to be closed.
    pub(crate) fn take(&self, now: Instant) -> Option<Connection> {
        let here = thread::current().id();
        let mut shards = std::iter::once(self.idle.local()).chain(self.idle.iter());
        let mut shard = shards.next()?;
        loop {
            let Some(idle) = lock(shard).pop_back() else {
                shard = shards.next()?;
                continue;
            };
            // One that is too old, and all that were idle before it, go when the next is put back.
            if now.saturating_duration_since(idle.since) > self.idle_timeout {
                continue;
            }
            let mut connection = idle.connection;
            // After a while the runtime's word is not enough: it may not have looked yet.
            let is_rested = now.saturating_duration_since(idle.since) > RESTED;
            let is_foreign = connection.home != here;
            let is_quiet = connection.stream.is_quiet()
                && (!(is_rested || is_foreign) || connection.stream.is_quiet_to_the_system());
            if is_quiet && (!is_foreign || connection.move_here().is_ok()) {
                return Some(connection);
            }
        }
    }

    /// Keeps a connection whose answer has been read to its end.
    pub(crate) fn put(&self, mut connection: Connection, now: Instant) {
        connection.buffer.rest();
        // Connections are closed after the lock is free: closing is a system call.
        let mut surplus = Vec::new();
        let others = self.others_if_many();
        let mut idle = lock(self.idle.local());
        while let Some(oldest) = idle.front()
            && (idle.len() + others >= self.max_idle
                || now.saturating_duration_since(oldest.since) > self.idle_timeout)
        {
            surplus.extend(idle.pop_front());
        }
        if idle.len() + others < self.max_idle {
            idle.push_back(Idle { connection, since: now });
        }
        drop(idle);
    }

    /// Returns how many connections other threads keep; 0 without looking while this thread keeps
    /// less than its part of those that are allowed.
    fn others_if_many(&self) -> usize {
        let mine = lock(self.idle.local()).len();
        if mine < self.max_idle / self.idle.count() { 0 } else { self.len().saturating_sub(mine) }
    }

    pub(crate) fn clear(&self) {
        for shard in self.idle.iter() {
            let all = mem::take(&mut *lock(shard));
            drop(all);
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.idle.iter().map(|shard| lock(shard).len()).sum()
    }
}

fn lock(shard: &Mutex<VecDeque<Idle>>) -> MutexGuard<'_, VecDeque<Idle>> {
    shard.lock().unwrap_or_else(PoisonError::into_inner)
}
