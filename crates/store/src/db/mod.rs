//! One way to speak to two databases: statements with `$1…$n`, values of four sorts, rows that are
//! read without copying, and two bulk forms. What is above writes its logic once.

mod pool;
mod postgres;
mod schema;
mod sqlite;

pub(crate) use pool::Pool;
pub(crate) use schema::{SCHEMA, set_meta};

use crate::StoreError;
use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

/// What a statement is given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Value<'a> {
    Null,
    Int(i64),
    Text(&'a str),
    Bytes(&'a [u8]),
}

impl From<i64> for Value<'_> {
    fn from(value: i64) -> Self {
        Self::Int(value)
    }
}

impl<'a> From<&'a str> for Value<'a> {
    fn from(value: &'a str) -> Self {
        Self::Text(value)
    }
}

impl<'a, T: Into<Value<'a>>> From<Option<T>> for Value<'a> {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::Null, Into::into)
    }
}

/// What a column holds.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Type {
    Int,
    Text,
    Bytes,
}

/// A column, and what it holds.
pub(crate) type Column = (&'static str, Type);

/// Where rows are written in bulk: those that have the same `key` as one that is there replace it.
pub(crate) struct Table {
    pub(crate) name: &'static str,
    pub(crate) key: &'static [&'static str],
    pub(crate) columns: &'static [Column],
}

impl Table {
    fn names(&self) -> String {
        let names: Vec<_> = self.columns.iter().map(|(name, _)| *name).collect();
        names.join(", ")
    }

    /// What is done with a row that is there already.
    fn on_conflict(&self) -> String {
        if self.key.is_empty() {
            return String::new();
        }
        let others = self.columns.iter().filter(|(name, _)| !self.key.contains(name));
        let set: Vec<_> = others.map(|(name, _)| format!("{name} = excluded.{name}")).collect();
        let key = self.key.join(", ");
        if set.is_empty() {
            format!(" ON CONFLICT ({key}) DO NOTHING")
        } else {
            format!(" ON CONFLICT ({key}) DO UPDATE SET {}", set.join(", "))
        }
    }
}

/// A row of an answer.
pub(crate) struct Row<'a> {
    place: &'a Arc<str>,
    cells: Cells<'a>,
}

enum Cells<'a> {
    Sqlite(&'a rusqlite::Row<'a>),
    Postgres(&'a tokio_postgres::Row),
}

impl Row<'_> {
    pub(crate) fn int(&self, column: usize) -> Result<i64, StoreError> {
        self.int_if_any(column)?.ok_or_else(|| self.damaged("nothing stands where a number should"))
    }

    pub(crate) fn int_if_any(&self, column: usize) -> Result<Option<i64>, StoreError> {
        match self.cells {
            Cells::Sqlite(row) => row.get(column).map_err(|error| self.damaged(error)),
            Cells::Postgres(row) => row.try_get(column).map_err(|error| self.damaged(error)),
        }
    }

    /// A number that is never negative.
    pub(crate) fn count(&self, column: usize) -> Result<u64, StoreError> {
        u64::try_from(self.int(column)?).map_err(|error| self.damaged(error))
    }

    pub(crate) fn text(&self, column: usize) -> Result<&str, StoreError> {
        self.text_if_any(column)?.ok_or_else(|| self.damaged("nothing stands where a text should"))
    }

    pub(crate) fn text_if_any(&self, column: usize) -> Result<Option<&str>, StoreError> {
        match self.cells {
            Cells::Sqlite(row) => row
                .get_ref(column)
                .map_err(|error| self.damaged(error))?
                .as_str_or_null()
                .map_err(|error| self.damaged(error)),
            Cells::Postgres(row) => row.try_get(column).map_err(|error| self.damaged(error)),
        }
    }

    pub(crate) fn bytes(&self, column: usize) -> Result<&[u8], StoreError> {
        self.bytes_if_any(column)?
            .ok_or_else(|| self.damaged("nothing stands where a digest should"))
    }

    pub(crate) fn bytes_if_any(&self, column: usize) -> Result<Option<&[u8]>, StoreError> {
        match self.cells {
            Cells::Sqlite(row) => row
                .get_ref(column)
                .map_err(|error| self.damaged(error))?
                .as_blob_or_null()
                .map_err(|error| self.damaged(error)),
            Cells::Postgres(row) => row.try_get(column).map_err(|error| self.damaged(error)),
        }
    }

    /// Says that what stands in the row cannot be.
    #[allow(clippy::needless_pass_by_value, reason = "texts and errors are given alike")]
    pub(crate) fn damaged(&self, what: impl ToString) -> StoreError {
        StoreError::Damaged { place: self.place.clone(), what: what.to_string() }
    }
}

/// Which of the two it is, for the little that they say differently.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Dialect {
    Sqlite,
    Postgres,
}

/// An open connection.
pub(crate) enum Connection {
    Sqlite(sqlite::Connection),
    Postgres(Box<postgres::Connection>),
}

/// What is done with each row of an answer.
type Visit<'a> = dyn FnMut(&Row<'_>) -> Result<(), StoreError> + 'a;

impl Connection {
    pub(crate) fn dialect(&self) -> Dialect {
        match self {
            Self::Sqlite(_) => Dialect::Sqlite,
            Self::Postgres(_) => Dialect::Postgres,
        }
    }

    pub(crate) fn place(&self) -> &Arc<str> {
        match self {
            Self::Sqlite(connection) => connection.place(),
            Self::Postgres(connection) => connection.place(),
        }
    }

    /// Says that what is stored cannot be.
    #[allow(clippy::needless_pass_by_value, reason = "texts and errors are given alike")]
    pub(crate) fn damaged(&self, what: impl ToString) -> StoreError {
        StoreError::Damaged { place: self.place().clone(), what: what.to_string() }
    }

    /// Visits each row of an answer, without holding all of them.
    pub(crate) fn each(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut visit: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.each(sql, values, &mut visit),
            Self::Postgres(connection) => connection.each(sql, values, &mut visit),
        }
    }

    pub(crate) fn query<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        mut read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Vec<T>, StoreError> {
        let mut found = Vec::new();
        self.each(sql, values, |row| {
            found.push(read(row)?);
            Ok(())
        })?;
        Ok(found)
    }

    /// Returns the first row of an answer.
    pub(crate) fn first<T>(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        read: impl FnMut(&Row<'_>) -> Result<T, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        self.query(sql, values, read).map(|found| found.into_iter().next())
    }

    /// Returns the number in the only row of an answer, such as a count.
    pub(crate) fn number(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let found = self.first(sql, values, |row| row.count(0))?;
        found.ok_or_else(|| self.damaged("a count is missing"))
    }

    /// Returns how many rows it concerned.
    pub(crate) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        match self {
            Self::Sqlite(connection) => connection.execute(sql, values),
            Self::Postgres(connection) => connection.execute(sql, values),
        }
    }

    /// Executes several statements that need no values.
    pub(crate) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.batch(sql),
            Self::Postgres(connection) => connection.batch(sql),
        }
    }

    /// Writes rows that stand in `values` one behind the other.
    pub(crate) fn write(&mut self, table: &Table, values: &[Value<'_>]) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.write(table, values),
            Self::Postgres(connection) => connection.write(table, values),
        }
    }

    /// Visits the rows of `select` whose columns `by` have any of the values that stand in `keys`
    /// one behind the other. The order is any; `select` ends with its joins.
    pub(crate) fn each_of(
        &mut self,
        select: &str,
        by: &[Column],
        keys: &[Value<'_>],
        mut visit: impl FnMut(&Row<'_>) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.each_of(select, by, keys, &mut visit),
            Self::Postgres(connection) => connection.each_of(select, by, keys, &mut visit),
        }
    }

    /// Deletes the rows of these ids.
    pub(crate) fn delete(
        &mut self,
        table: &str,
        column: &str,
        ids: &[i64],
    ) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(connection) => connection.delete(table, column, ids),
            Self::Postgres(connection) => connection.delete(table, column, ids),
        }
    }

    /// Begins a transaction, which is undone unless it is committed.
    pub(crate) fn begin(&mut self, mode: Mode) -> Result<Transaction<'_>, StoreError> {
        self.batch(match (self.dialect(), mode) {
            (Dialect::Sqlite, Mode::Read) => "BEGIN DEFERRED",
            (Dialect::Sqlite, Mode::Write) => "BEGIN IMMEDIATE",
            (Dialect::Postgres, Mode::Read) => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY",
            (Dialect::Postgres, Mode::Write) => "BEGIN ISOLATION LEVEL READ COMMITTED",
        })?;
        Ok(Transaction { connection: self, is_open: true })
    }

    /// Lets the statements of the transaction take as long as it takes to go through all that is
    /// stored.
    pub(crate) fn take_time(&mut self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(_) => Ok(()),
            Self::Postgres(connection) => connection.take_time(),
        }
    }

    /// Returns whether the database is still there.
    fn is_answered(&mut self) -> bool {
        match self {
            Self::Sqlite(_) => true,
            Self::Postgres(connection) => connection.is_answered(),
        }
    }

    /// Returns whether the connection can be used again.
    fn is_usable(&self) -> bool {
        match self {
            Self::Sqlite(connection) => connection.is_usable(),
            Self::Postgres(connection) => connection.is_usable(),
        }
    }
}

/// What a transaction does.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mode {
    /// It reads, and sees one state from beginning to end.
    Read,
    /// It writes.
    Write,
}

/// What is done wholly or not at all.
pub(crate) struct Transaction<'a> {
    connection: &'a mut Connection,
    is_open: bool,
}

impl Transaction<'_> {
    pub(crate) fn commit(mut self) -> Result<(), StoreError> {
        self.is_open = false;
        let done = self.connection.batch("COMMIT");
        if done.is_err() {
            // SQLite leaves a transaction open that it could not commit.
            let _ = self.connection.batch("ROLLBACK");
        }
        done
    }
}

impl Drop for Transaction<'_> {
    fn drop(&mut self) {
        if self.is_open {
            // A connection on which this fails is not used again: the pool sees what state it is in.
            let _ = self.connection.batch("ROLLBACK");
        }
    }
}

impl Deref for Transaction<'_> {
    type Target = Connection;
    fn deref(&self) -> &Connection {
        self.connection
    }
}

impl DerefMut for Transaction<'_> {
    fn deref_mut(&mut self) -> &mut Connection {
        self.connection
    }
}
