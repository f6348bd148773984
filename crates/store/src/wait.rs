//! Waiting for somebody to write. What wakes is only a hint: the cursor says whether there is
//! anything, and it is looked at from time to time even if nobody wakes.

use crate::{
    Cursor, StoreError,
    db::{Connection, Pool},
    write::Counter,
};
use std::{
    sync::{Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// How often a file is looked at for what other processes wrote.
const LOOK_AT_FILE: Duration = Duration::from_millis(50);

/// How often a server is asked, should its notice have been lost.
const ASK_SERVER: Duration = Duration::from_millis(500);

/// How long one waits before a server that went away is tried again.
const RECONNECT: Duration = Duration::from_millis(100);

#[derive(Default)]
pub(crate) struct Waiting {
    /// How often this process has written.
    written: Mutex<u64>,
    wake: Condvar,
    /// Connections that listen, each for one who waits.
    listening: Mutex<Vec<Connection>>,
}

impl Waiting {
    /// Wakes whoever waits in this process.
    pub(crate) fn wake(&self) {
        *self.written.lock().unwrap_or_else(PoisonError::into_inner) += 1;
        self.wake.notify_all();
    }

    /// Returns the newest cursor, as soon as it is greater than `since`, or the time is over.
    pub(crate) fn wait(
        &self,
        pool: &Pool,
        since: Cursor,
        at_most: Duration,
    ) -> Result<Cursor, StoreError> {
        let started = Instant::now();
        let mut connection = None;
        loop {
            let left = at_most.saturating_sub(started.elapsed());
            match self.look(pool, &mut connection, since, left) {
                Ok(Some(cursor)) => {
                    self.keep(connection);
                    return Ok(cursor);
                }
                Ok(None) => {}
                Err(error @ StoreError::Unreachable { .. }) => {
                    connection = None;
                    let left = at_most.saturating_sub(started.elapsed());
                    if left.is_zero() {
                        return Err(error);
                    }
                    std::thread::sleep(RECONNECT.min(left));
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Looks once, and waits for a hint; returns the cursor if it is an answer.
    fn look(
        &self,
        pool: &Pool,
        kept: &mut Option<Connection>,
        since: Cursor,
        left: Duration,
    ) -> Result<Option<Cursor>, StoreError> {
        let written = *self.written.lock().unwrap_or_else(PoisonError::into_inner);
        let connection = match kept {
            Some(connection) => connection,
            None => kept.insert(self.listen(pool)?),
        };
        let cursor = Counter::read(connection)?.cursor;
        if cursor > since || left.is_zero() {
            return Ok(Some(cursor));
        }
        match connection {
            Connection::Postgres(connection) => connection.wait_for_notice(left.min(ASK_SERVER))?,
            Connection::Sqlite(_) => {
                let guard = self.written.lock().unwrap_or_else(PoisonError::into_inner);
                let waited = self
                    .wake
                    .wait_timeout_while(guard, left.min(LOOK_AT_FILE), |now| *now == written);
                drop(waited);
            }
        }
        Ok(None)
    }

    fn listen(&self, pool: &Pool) -> Result<Connection, StoreError> {
        let kept = self.listening.lock().unwrap_or_else(PoisonError::into_inner).pop();
        if let Some(connection) = kept {
            return Ok(connection);
        }
        let mut connection = pool.connect()?;
        if matches!(connection, Connection::Postgres(_)) {
            connection.batch("LISTEN callsheet_feed")?;
        }
        Ok(connection)
    }

    fn keep(&self, connection: Option<Connection>) {
        let mut listening = self.listening.lock().unwrap_or_else(PoisonError::into_inner);
        if listening.len() < 4 {
            listening.extend(connection);
        }
    }
}
