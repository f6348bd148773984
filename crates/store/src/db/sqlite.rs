//! SQLite: one file, one writer at a time, and readers that do not wait for it.

use super::{Cells, Column, Row, Table, Value, Visit};
use crate::StoreError;
use rusqlite::{CachedStatement, ErrorCode, OpenFlags, types::ToSqlOutput};
use std::{
    fs::OpenOptions,
    io,
    os::unix::fs::OpenOptionsExt as _,
    path::Path,
    sync::Arc,
    time::{Duration, Instant},
};

/// For how long one waits while somebody else writes.
const PATIENCE: Duration = Duration::from_secs(10);

/// Statements that are kept ready on each connection.
const STATEMENTS: usize = 128;

pub(crate) struct Connection {
    connection: rusqlite::Connection,
    place: Arc<str>,
}

impl Connection {
    /// Opens a file, and makes it if need be; nobody but its owner can read a new one.
    pub(super) fn open(path: &Path, place: &Arc<str>) -> Result<Self, StoreError> {
        let unreachable = |cause: io::Error| StoreError::Unreachable {
            place: place.clone(),
            cause: Box::new(cause),
        };
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                return Err(unreachable(error));
            }
            _ => {}
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = rusqlite::Connection::open_with_flags(path, flags)
            .map_err(|error| fail(place, error))?;
        let opened = Self { connection, place: place.clone() };
        opened.prepare_to_work().map_err(|error| fail(place, error))?;
        Ok(opened)
    }

    fn prepare_to_work(&self) -> rusqlite::Result<()> {
        let connection = &self.connection;
        connection.busy_timeout(PATIENCE)?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        self.use_write_ahead_log()?;
        // The file is not mapped: whoever cut it short would end the process.
        connection.execute_batch(
            "PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON; PRAGMA temp_store = MEMORY;
             PRAGMA cache_size = -8192;",
        )
    }

    /// Who opens a new file at the same time as another is told that it is busy without waiting.
    fn use_write_ahead_log(&self) -> rusqlite::Result<()> {
        let since = Instant::now();
        loop {
            let mode = self.connection.query_row("PRAGMA journal_mode", (), |row| {
                row.get::<_, String>(0).map(|mode| mode == "wal")
            });
            let done = match mode {
                Ok(true) => Ok(()),
                Ok(false) => self.connection.query_row("PRAGMA journal_mode = WAL", (), |_| Ok(())),
                Err(error) => Err(error),
            };
            match done {
                Err(error) if is_busy(&error) && since.elapsed() < PATIENCE => {
                    std::thread::sleep(Duration::from_millis(5));
                }
                done => return done,
            }
        }
    }

    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    pub(super) fn is_usable(&self) -> bool {
        self.connection.is_autocommit()
    }

    fn fail(&self, error: rusqlite::Error) -> StoreError {
        fail(&self.place, error)
    }

    fn prepare(&self, sql: &str) -> Result<CachedStatement<'_>, StoreError> {
        self.connection.prepare_cached(&sql.replace('$', "?")).map_err(|error| self.fail(error))
    }

    fn bind(
        &self,
        statement: &mut CachedStatement<'_>,
        values: &[Value<'_>],
    ) -> Result<(), StoreError> {
        for (i, value) in values.iter().enumerate() {
            statement.raw_bind_parameter(i + 1, value).map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    fn visit(
        &self,
        statement: &mut CachedStatement<'_>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut rows = statement.raw_query();
        while let Some(row) = rows.next().map_err(|error| self.fail(error))? {
            visit(&Row { place: &self.place, cells: Cells::Sqlite(row) })?;
        }
        Ok(())
    }

    pub(super) fn each(
        &self,
        sql: &str,
        values: &[Value<'_>],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let mut statement = self.prepare(sql)?;
        self.bind(&mut statement, values)?;
        self.visit(&mut statement, visit)
    }

    pub(super) fn execute(&self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let mut statement = self.prepare(sql)?;
        self.bind(&mut statement, values)?;
        statement.raw_execute().map(|rows| rows as u64).map_err(|error| self.fail(error))
    }

    pub(super) fn batch(&self, sql: &str) -> Result<(), StoreError> {
        self.connection.execute_batch(sql).map_err(|error| self.fail(error))
    }

    pub(super) fn write(&self, table: &Table, values: &[Value<'_>]) -> Result<(), StoreError> {
        let marks: Vec<_> = (1..=table.columns.len()).map(|i| format!("?{i}")).collect();
        let mut statement = self.prepare(&format!(
            "INSERT INTO {} ({}) VALUES ({}){}",
            table.name,
            table.names(),
            marks.join(", "),
            table.on_conflict(),
        ))?;
        for row in values.chunks(table.columns.len()) {
            self.bind(&mut statement, row)?;
            statement.raw_execute().map_err(|error| self.fail(error))?;
        }
        Ok(())
    }

    pub(super) fn each_of(
        &self,
        select: &str,
        by: &[Column],
        keys: &[Value<'_>],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let conditions: Vec<_> =
            by.iter().enumerate().map(|(i, (name, _))| format!("{name} = ?{}", i + 1)).collect();
        let mut statement =
            self.prepare(&format!("{select} WHERE {}", conditions.join(" AND ")))?;
        for key in keys.chunks(by.len()) {
            self.bind(&mut statement, key)?;
            self.visit(&mut statement, visit)?;
        }
        Ok(())
    }

    pub(super) fn delete(&self, table: &str, column: &str, ids: &[i64]) -> Result<(), StoreError> {
        let mut statement = self.prepare(&format!("DELETE FROM {table} WHERE {column} = ?1"))?;
        for id in ids {
            self.bind(&mut statement, &[Value::Int(*id)])?;
            statement.raw_execute().map_err(|error| self.fail(error))?;
        }
        Ok(())
    }
}

impl rusqlite::ToSql for Value<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        use rusqlite::types::ValueRef;
        Ok(ToSqlOutput::Borrowed(match self {
            Value::Null => ValueRef::Null,
            Value::Int(number) => ValueRef::Integer(*number),
            Value::Text(text) => ValueRef::Text(text.as_bytes()),
            Value::Bytes(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn is_busy(error: &rusqlite::Error) -> bool {
    matches!(error.sqlite_error_code(), Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked))
}

fn fail(place: &Arc<str>, error: rusqlite::Error) -> StoreError {
    let place = place.clone();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Busy { place },
        Some(ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase) => {
            StoreError::Damaged { place, what: error.to_string() }
        }
        Some(ErrorCode::CannotOpen | ErrorCode::PermissionDenied) => {
            StoreError::Unreachable { place, cause: Box::new(error) }
        }
        _ => StoreError::Database { place, cause: Box::new(error) },
    }
}
