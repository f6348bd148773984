//! PostgreSQL, by the blocking client.

use super::{Cells, Column, Row, Table, Type, Value, Visit};
use crate::{StoreError, url::PostgresUrl};
use postgres::{
    Client, Error, NoTls, Statement,
    config::SslMode,
    error::SqlState,
    fallible_iterator::FallibleIterator as _,
    types::{self, IsNull, ToSql, to_sql_checked},
};
use std::{collections::HashMap, sync::Arc, time::Duration};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For how long a server may acknowledge nothing, not even that it is there.
const SILENCE: Duration = Duration::from_secs(30);

/// For how long a server may take to answer at first.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Rows that are sent at once.
const ROWS_AT_ONCE: usize = 5_000;

/// What holds for every connection: how long one waits for a lock, and how long the server keeps
/// the locks of somebody who went away in the middle. The tables have a schema of their own, so
/// that a database can be shared with something else.
const SETTINGS: &str = "SET search_path TO callsheet; SET lock_timeout TO '10s';
     SET idle_in_transaction_session_timeout TO '5min'; SET client_min_messages TO warning";

pub(crate) struct Connection {
    /// Always there but in `drop`.
    client: Option<Client>,
    statements: HashMap<String, Statement>,
    is_in_transaction: bool,
    place: Arc<str>,
}

impl Connection {
    pub(super) fn open(url: &PostgresUrl, place: &Arc<str>) -> Result<Self, StoreError> {
        let mut config = url.config().clone();
        if config.get_connect_timeout().is_none() {
            config.connect_timeout(CONNECT_PATIENCE);
        }
        if config.get_tcp_user_timeout().is_none() {
            config.tcp_user_timeout(SILENCE);
            config.keepalives_idle(SILENCE);
        }
        if config.get_application_name().is_none() {
            config.application_name("callsheet");
        }
        let is_plain = match config.get_ssl_mode() {
            SslMode::Disable => true,
            SslMode::Prefer => url.is_local(),
            _ => false,
        };
        let client = if is_plain {
            config.ssl_mode(SslMode::Disable);
            apart(|| config.connect(NoTls))
        } else {
            let tls = tls().map_err(|cause| StoreError::Unreachable {
                place: place.clone(),
                cause: Box::new(cause),
            })?;
            apart(|| config.connect(tls))
        };
        let client = client.map_err(|error| unreachable(place, error))?;
        let mut opened = Self {
            client: Some(client),
            statements: HashMap::new(),
            is_in_transaction: false,
            place: place.clone(),
        };
        opened.batch(SETTINGS)?;
        Ok(opened)
    }

    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.is_in_transaction && self.client.as_ref().is_some_and(|client| !client.is_closed())
    }

    fn client(&mut self) -> Result<&mut Client, StoreError> {
        let place = &self.place;
        self.client.as_mut().ok_or_else(|| StoreError::Unreachable {
            place: place.clone(),
            cause: "the connection is closed".into(),
        })
    }

    /// Asking the server to prepare a statement costs as much as executing it.
    fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let place = self.place.clone();
        let client = self.client()?;
        let statement = apart(|| client.prepare(sql)).map_err(|error| fail(&place, error))?;
        // The texts are few, but for lists of conditions.
        if self.statements.len() >= 256 {
            self.statements.clear();
        }
        self.statements.insert(sql.to_owned(), statement.clone());
        Ok(statement)
    }

    fn visit<'a>(
        &mut self,
        sql: &str,
        values: impl IntoIterator<Item = &'a (dyn ToSql + Sync), IntoIter: ExactSizeIterator>,
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let statement = self.prepare(sql)?;
        let place = self.place.clone();
        let client = self.client()?;
        if is_driven() {
            // The rows are read elsewhere, all of them, and looked at here.
            let values: Vec<_> = values.into_iter().collect();
            let rows = apart(|| client.query_raw(&statement, values)?.collect::<Vec<_>>());
            for row in &rows.map_err(|error| fail(&place, error))? {
                visit(&Row { place: &place, cells: Cells::Postgres(row) })?;
            }
            return Ok(());
        }
        let mut rows = client.query_raw(&statement, values).map_err(|error| fail(&place, error))?;
        while let Some(row) = rows.next().map_err(|error| fail(&place, error))? {
            visit(&Row { place: &place, cells: Cells::Postgres(&row) })?;
        }
        Ok(())
    }

    pub(super) fn each(
        &mut self,
        sql: &str,
        values: &[Value<'_>],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        self.visit(sql, values.iter().map(|value| value as &(dyn ToSql + Sync)), visit)
    }

    pub(super) fn execute(&mut self, sql: &str, values: &[Value<'_>]) -> Result<u64, StoreError> {
        let values: Vec<_> = values.iter().map(|value| value as &(dyn ToSql + Sync)).collect();
        self.execute_with(sql, &values)
    }

    fn execute_with(
        &mut self,
        sql: &str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, StoreError> {
        let statement = self.prepare(sql)?;
        let place = self.place.clone();
        let client = self.client()?;
        apart(|| client.execute(&statement, values)).map_err(|error| fail(&place, error))
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let place = self.place.clone();
        let client = self.client()?;
        let done = apart(|| client.batch_execute(sql)).map_err(|error| fail(&place, error));
        if sql.starts_with("BEGIN") {
            self.is_in_transaction = done.is_ok();
        } else if sql == "COMMIT" || sql == "ROLLBACK" {
            self.is_in_transaction = done.is_err();
        }
        done
    }

    pub(super) fn write(&mut self, table: &Table, values: &[Value<'_>]) -> Result<(), StoreError> {
        let sql = format!(
            "INSERT INTO {} ({}) SELECT * FROM {}{}",
            table.name,
            table.names(),
            unnest(table.columns),
            table.on_conflict(),
        );
        for rows in values.chunks(table.columns.len() * ROWS_AT_ONCE) {
            let arrays = arrays(table.columns, rows);
            let arrays: Vec<_> = arrays.iter().map(Array::as_value).collect();
            self.execute_with(&sql, &arrays)?;
        }
        Ok(())
    }

    pub(super) fn each_of(
        &mut self,
        select: &str,
        by: &[Column],
        keys: &[Value<'_>],
        visit: &mut Visit<'_>,
    ) -> Result<(), StoreError> {
        let names: Vec<_> = (1..=by.len()).map(|i| format!("c{i}")).collect();
        let conditions: Vec<_> =
            by.iter().zip(&names).map(|((name, _), c)| format!("{name} = wanted.{c}")).collect();
        let sql = format!(
            "{select} JOIN {} AS wanted({}) ON {}",
            unnest(by),
            names.join(", "),
            conditions.join(" AND "),
        );
        for keys in keys.chunks(by.len() * ROWS_AT_ONCE) {
            let arrays = arrays(by, keys);
            let values: Vec<_> = arrays.iter().map(Array::as_value).collect();
            self.visit(&sql, values, visit)?;
        }
        Ok(())
    }

    pub(super) fn delete(
        &mut self,
        table: &str,
        column: &str,
        ids: &[i64],
    ) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM {table} WHERE {column} = ANY($1)");
        for ids in ids.chunks(ROWS_AT_ONCE) {
            self.execute_with(&sql, &[&ids])?;
        }
        Ok(())
    }

    /// Waits until the server says that something was written, or the time is over.
    pub(crate) fn wait_for_notice(&mut self, at_most: Duration) -> Result<(), StoreError> {
        let place = self.place.clone();
        let client = self.client()?;
        client.notifications().timeout_iter(at_most).next().map_err(|error| fail(&place, error))?;
        // One is enough to look; the others would only wake for what is seen then.
        while client.notifications().iter().next().map_err(|error| fail(&place, error))?.is_some() {
        }
        if client.is_closed() {
            return Err(StoreError::Unreachable {
                place,
                cause: "the server closed the connection".into(),
            });
        }
        Ok(())
    }
}

/// Returns whether this thread may be one that drives a runtime, as that of a short command does.
fn is_driven() -> bool {
    tokio::runtime::Handle::try_current().is_ok()
}

/// Asks the server something. The client brings a runtime of its own, and ends the process where
/// another one drives the thread: there a thread of its own does it, which costs little beside the
/// way to the server and back.
fn apart<T: Send>(ask: impl FnOnce() -> T + Send) -> T {
    if !is_driven() {
        return ask();
    }
    let asked = std::thread::scope(|scope| scope.spawn(ask).join());
    asked.unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

/// The client brings a runtime of its own, which must not be dropped where another one runs, as may
/// be when the last owner of a store goes.
impl Drop for Connection {
    fn drop(&mut self) {
        if let Some(client) = self.client.take() {
            let close = std::thread::Builder::new().spawn(move || drop(client));
            drop(close);
        }
    }
}

/// One column of several rows.
enum Array<'a> {
    Int(Vec<Option<i64>>),
    Text(Vec<Option<&'a str>>),
    Bytes(Vec<Option<&'a [u8]>>),
}

impl Array<'_> {
    fn as_value(&self) -> &(dyn ToSql + Sync) {
        match self {
            Self::Int(values) => values,
            Self::Text(values) => values,
            Self::Bytes(values) => values,
        }
    }
}

fn arrays<'a>(columns: &[Column], values: &[Value<'a>]) -> Vec<Array<'a>> {
    let column = |i: usize| values.iter().skip(i).step_by(columns.len());
    let array = |(i, (_, sort)): (usize, &Column)| match sort {
        Type::Int => Array::Int(
            column(i)
                .map(|value| if let Value::Int(n) = value { Some(*n) } else { None })
                .collect(),
        ),
        Type::Text => Array::Text(
            column(i)
                .map(|value| if let Value::Text(text) = value { Some(*text) } else { None })
                .collect(),
        ),
        Type::Bytes => Array::Bytes(
            column(i)
                .map(|value| if let Value::Bytes(bytes) = value { Some(*bytes) } else { None })
                .collect(),
        ),
    };
    columns.iter().enumerate().map(array).collect()
}

fn unnest(columns: &[Column]) -> String {
    let arrays: Vec<_> = columns
        .iter()
        .enumerate()
        .map(|(i, (_, sort))| {
            let sort = match sort {
                Type::Int => "bigint",
                Type::Text => "text",
                Type::Bytes => "bytea",
            };
            format!("${}::{sort}[]", i + 1)
        })
        .collect();
    format!("unnest({})", arrays.join(", "))
}

impl ToSql for Value<'_> {
    fn to_sql(
        &self,
        ty: &types::Type,
        out: &mut types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(number) => number.to_sql(ty, out),
            Self::Text(text) => text.to_sql(ty, out),
            Self::Bytes(bytes) => bytes.to_sql(ty, out),
        }
    }

    fn accepts(_: &types::Type) -> bool {
        true
    }

    to_sql_checked!();
}

fn tls() -> Result<MakeRustlsConnect, rustls::Error> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(MakeRustlsConnect::new(config))
}

fn unreachable(place: &Arc<str>, error: Error) -> StoreError {
    StoreError::Unreachable { place: place.clone(), cause: Box::new(error) }
}

fn fail(place: &Arc<str>, error: Error) -> StoreError {
    let Some(state) = error.code() else {
        let is_broken = error.is_closed()
            || std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<std::io::Error>);
        return if is_broken {
            unreachable(place, error)
        } else {
            StoreError::Database { place: place.clone(), cause: Box::new(error) }
        };
    };
    let is_busy = [
        SqlState::LOCK_NOT_AVAILABLE,
        SqlState::T_R_SERIALIZATION_FAILURE,
        SqlState::T_R_DEADLOCK_DETECTED,
    ]
    .contains(state);
    // Class 57 is an operator who ends it, class 08 the connection itself.
    let is_gone = ["57P", "08"].iter().any(|class| state.code().starts_with(class));
    match (is_busy, is_gone) {
        (true, _) => StoreError::Busy { place: place.clone() },
        (_, true) => unreachable(place, error),
        _ => StoreError::Database { place: place.clone(), cause: Box::new(error) },
    }
}
