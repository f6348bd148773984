//! Connections that are kept for the next who needs one.

use super::{Connection, Mode, Transaction, postgres, schema, sqlite};
use crate::{StoreError, StoreUrl};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Connections that are kept; more are opened where more are needed at once.
const KEPT: usize = 4;

pub(crate) struct Pool {
    url: StoreUrl,
    place: Arc<str>,
    idle: Mutex<Vec<Connection>>,
    /// SQLite has one writer; threads of one process wait for each other here, where they need not
    /// ask again and again.
    writing: Mutex<()>,
}

impl Pool {
    /// Opens the first connection and brings the schema up to date.
    pub(crate) fn open(url: &StoreUrl) -> Result<Self, StoreError> {
        let pool = Self {
            url: url.clone(),
            place: url.to_string().into(),
            idle: Mutex::default(),
            writing: Mutex::default(),
        };
        let mut connection = pool.connect()?;
        schema::bring_up_to_date(&mut connection)?;
        pool.put_back(connection);
        Ok(pool)
    }

    pub(crate) fn url(&self) -> &StoreUrl {
        &self.url
    }

    /// Opens a connection of one's own.
    pub(crate) fn connect(&self) -> Result<Connection, StoreError> {
        match &self.url {
            StoreUrl::Sqlite(path) => {
                sqlite::Connection::open(path, &self.place).map(Connection::Sqlite)
            }
            StoreUrl::Postgres(url) => postgres::Connection::open(url, &self.place)
                .map(|connection| Connection::Postgres(Box::new(connection))),
        }
    }

    /// Reads one state; once more on a new connection where an old one turns out to be dead.
    pub(crate) fn read<T>(
        &self,
        mut read: impl FnMut(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        self.with(|connection| {
            let mut transaction = connection.begin(Mode::Read)?;
            let found = read(&mut transaction)?;
            transaction.commit()?;
            Ok(found)
        })
    }

    /// Reads by a single statement, which needs no transaction to see one state.
    pub(crate) fn with<T>(
        &self,
        mut read: impl FnMut(&mut Connection) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        if let Some(mut connection) = self.take() {
            match read(&mut connection) {
                Err(StoreError::Unreachable { .. }) => self.lock().clear(),
                done => {
                    self.put_back(connection);
                    return done;
                }
            }
        }
        let mut connection = self.connect()?;
        let done = read(&mut connection);
        self.put_back(connection);
        done
    }

    /// Writes; the transaction is committed if `write` says so by an answer that is no error.
    pub(crate) fn write<T, E: From<StoreError>>(
        &self,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let _turn = matches!(self.url, StoreUrl::Sqlite(_))
            .then(|| self.writing.lock().unwrap_or_else(PoisonError::into_inner));
        let mut connection = self.connection_that_answers()?;
        let done = Self::write_on(&mut connection, write);
        self.put_back(connection);
        done
    }

    fn write_on<T, E: From<StoreError>>(
        connection: &mut Connection,
        write: impl FnOnce(&mut Transaction<'_>) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut transaction = connection.begin(Mode::Write)?;
        let done = write(&mut transaction)?;
        transaction.commit()?;
        Ok(done)
    }

    /// Nothing that writes is tried twice, so whether the server is still there is asked before.
    fn connection_that_answers(&self) -> Result<Connection, StoreError> {
        if let Some(mut connection) = self.take() {
            if connection.is_answered() {
                return Ok(connection);
            }
            self.lock().clear();
        }
        self.connect()
    }

    fn take(&self) -> Option<Connection> {
        let mut idle = self.lock();
        loop {
            let connection = idle.pop()?;
            if connection.is_usable() {
                return Some(connection);
            }
        }
    }

    pub(crate) fn put_back(&self, connection: Connection) {
        let mut idle = self.lock();
        if connection.is_usable() && idle.len() < KEPT {
            idle.push(connection);
        }
    }

    fn lock(&self) -> MutexGuard<'_, Vec<Connection>> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
