//! PostgreSQL. What goes over the connections runs on a thread of the store's own; who asks waits for
//! the answer on its own thread, whatever else drives that, and not without end.

use super::{Cells, Column, Row, Table, Type, Value, Visit};
use crate::{StoreError, drivers::drivers, url::PostgresUrl};
use futures_util::StreamExt as _;
use std::{
    collections::HashMap,
    future::poll_fn,
    io,
    pin::pin,
    sync::{
        Arc,
        mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel},
    },
    task::{Context, Poll, Wake, Waker},
    thread::{self, Thread},
    time::{Duration, Instant},
};
use tokio::task::AbortHandle;
use tokio_postgres::{
    AsyncMessage, Client, Config, Error, NoTls, Socket, Statement,
    config::SslMode,
    error::SqlState,
    tls::{MakeTlsConnect, TlsConnect},
    types::{self, IsNull, ToSql, to_sql_checked},
};
use tokio_postgres_rustls::MakeRustlsConnect;

/// For how long a server may say nothing to a question, unless `tcp_user_timeout` of the address
/// says otherwise.
const SILENCE: Duration = Duration::from_secs(30);

/// The same where all that is stored is read or written.
const LONG_SILENCE: Duration = Duration::from_mins(15);

/// How long one waits for a lock at most.
const LOCK_PATIENCE: Duration = Duration::from_secs(10);

/// For how long a server may take to let one in, unless `connect_timeout` says otherwise.
const CONNECT_PATIENCE: Duration = Duration::from_secs(5);

/// Rows that are sent at once.
const ROWS_AT_ONCE: usize = 5_000;

pub(crate) struct Connection {
    /// None when it was given up.
    link: Option<Link>,
    statements: HashMap<String, Statement>,
    is_in_transaction: bool,
    /// Whether the transaction may take long.
    is_long: bool,
    silence: Duration,
    place: Arc<str>,
}

/// What is there as long as the server answers.
struct Link {
    client: Client,
    /// Ends what reads from the server and writes to it.
    driver: AbortHandle,
    /// That something was written.
    notices: Receiver<()>,
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
        let silence = config.get_tcp_user_timeout().copied().unwrap_or(SILENCE);
        if config.get_application_name().is_none() {
            config.application_name("callsheet");
        }
        let is_plain = match config.get_ssl_mode() {
            SslMode::Disable => true,
            SslMode::Prefer => url.is_local(),
            _ => false,
        };
        let link = if is_plain {
            config.ssl_mode(SslMode::Disable);
            link(config, NoTls, place)
        } else {
            let tls = tls().map_err(|cause| unreachable(place, cause))?;
            link(config, tls, place)
        };
        let mut opened = Self {
            link: Some(link?),
            statements: HashMap::new(),
            is_in_transaction: false,
            is_long: false,
            silence,
            place: place.clone(),
        };
        opened.batch(&settings(silence))?;
        Ok(opened)
    }

    pub(super) fn place(&self) -> &Arc<str> {
        &self.place
    }

    pub(super) fn is_usable(&self) -> bool {
        !self.is_in_transaction && self.link.as_ref().is_some_and(|link| !link.client.is_closed())
    }

    /// Returns whether the server is there. It has nothing to do for this, so it can be quick.
    pub(super) fn is_answered(&mut self) -> bool {
        let patience = self.silence.min(CONNECT_PATIENCE);
        self.ask_for(patience, async |client| client.batch_execute("").await).is_ok()
    }

    /// Lets the statements of this transaction take long.
    pub(super) fn take_time(&mut self) -> Result<(), StoreError> {
        self.batch("SET LOCAL statement_timeout TO 0")?;
        self.is_long = true;
        Ok(())
    }

    fn patience(&self) -> Duration {
        if self.is_long { self.silence.max(LONG_SILENCE) } else { self.silence }
    }

    fn ask<T>(
        &mut self,
        ask: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        self.ask_for(self.patience(), ask)
    }

    /// Asks the server something, and gives the connection up if no answer comes.
    fn ask_for<T>(
        &mut self,
        patience: Duration,
        ask: impl AsyncFnOnce(&Client) -> Result<T, Error>,
    ) -> Result<T, StoreError> {
        let Some(link) = &self.link else {
            return Err(unreachable(&self.place, "the connection is closed"));
        };
        match wait(ask(&link.client), patience) {
            Some(done) => done.map_err(|error| fail(&self.place, error)),
            None => Err(self.give_up(patience)),
        }
    }

    /// An answer that still came would be taken for that to the next question.
    fn give_up(&mut self, patience: Duration) -> StoreError {
        if let Some(link) = self.link.take() {
            link.driver.abort();
        }
        let seconds = patience.as_secs_f32();
        unreachable(&self.place, format!("the server said nothing for {seconds} seconds"))
    }

    /// Asking the server to prepare a statement costs as much as executing it.
    fn prepare(&mut self, sql: &str) -> Result<Statement, StoreError> {
        if let Some(statement) = self.statements.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.ask(async |client| client.prepare(sql).await)?;
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
        let rows = self.ask(async |client| client.query_raw(&statement, values).await)?;
        let mut rows = pin!(rows);
        let place = self.place.clone();
        while let Some(row) = self.ask(async |_| rows.next().await.transpose())? {
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
        self.ask(async |client| client.execute(&statement, values).await)
    }

    pub(super) fn batch(&mut self, sql: &str) -> Result<(), StoreError> {
        let done = self.ask(async |client| client.batch_execute(sql).await);
        if sql.starts_with("BEGIN") {
            self.is_in_transaction = done.is_ok();
        } else if sql == "COMMIT" || sql == "ROLLBACK" {
            self.is_in_transaction = done.is_err();
            self.is_long = false;
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
        let notice = self.link.as_ref().map(|link| link.notices.recv_timeout(at_most));
        match notice {
            Some(Ok(()) | Err(RecvTimeoutError::Timeout)) => Ok(()),
            Some(Err(RecvTimeoutError::Disconnected)) | None => {
                Err(unreachable(&self.place, "the server closed the connection"))
            }
        }
    }
}

/// What holds for every connection: how long the server works on a statement, how long one waits for
/// a lock, and how long the server keeps the locks of somebody who went away in the middle. The
/// tables have a schema of their own, so that a database can be shared with something else.
fn settings(silence: Duration) -> String {
    // The server gives up before one gives up the server, so that the connection is kept.
    let statement = (silence * 5 / 6).as_millis().max(1);
    let lock = (silence / 2).min(LOCK_PATIENCE).as_millis().max(1);
    format!(
        "SET search_path TO callsheet; SET statement_timeout TO {statement};
         SET lock_timeout TO {lock}; SET idle_in_transaction_session_timeout TO '5min';
         SET client_min_messages TO warning"
    )
}

/// Opens a connection; the whole greeting has to be done in time, not only the first packet.
fn link<T>(config: Config, tls: T, place: &Arc<str>) -> Result<Link, StoreError>
where
    T: MakeTlsConnect<Socket, Stream: Send + 'static, TlsConnect: Send> + Send + 'static,
    <T::TlsConnect as TlsConnect<Socket>>::Future: Send,
{
    let drivers = drivers().map_err(|error| unreachable(place, error))?;
    let places = config.get_hosts().len().max(config.get_hostaddrs().len()).max(1);
    let each = config.get_connect_timeout().copied().unwrap_or(CONNECT_PATIENCE);
    let patience = each.saturating_mul(u32::try_from(places).unwrap_or(u32::MAX));
    let (opened, opening) = sync_channel(1);
    let driver = drivers.spawn(async move {
        let (client, mut connection) = match config.connect(tls).await {
            Ok(connected) => connected,
            Err(error) => return drop(opened.try_send(Err(error))),
        };
        let (teller, notices) = sync_channel(1);
        if opened.try_send(Ok((client, notices))).is_err() {
            return;
        }
        drop(opened);
        while let Some(Ok(message)) = poll_fn(|context| connection.poll_message(context)).await {
            tell(&teller, &message);
        }
    });
    let driver = driver.abort_handle();
    match opening.recv_timeout(patience) {
        Ok(Ok((client, notices))) => Ok(Link { client, driver, notices }),
        Ok(Err(error)) => Err(unreachable(place, error)),
        Err(_) => {
            driver.abort();
            let seconds = patience.as_secs_f32();
            Err(unreachable(place, format!("no connection after {seconds} seconds")))
        }
    }
}

/// One notice that is not yet looked at is enough; the others would only wake for what is seen then.
fn tell(teller: &SyncSender<()>, message: &AsyncMessage) {
    if matches!(message, AsyncMessage::Notification(_)) {
        let _ = teller.try_send(());
    }
}

/// Wakes a thread that waits for an answer.
struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

/// Waits on this thread, which a runtime may drive: what is waited for makes its way elsewhere.
fn wait<F: Future>(future: F, at_most: Duration) -> Option<F::Output> {
    let mut future = pin!(future);
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut context = Context::from_waker(&waker);
    let started = Instant::now();
    loop {
        if let Poll::Ready(done) = future.as_mut().poll(&mut context) {
            return Some(done);
        }
        let left = at_most.checked_sub(started.elapsed()).filter(|left| !left.is_zero())?;
        thread::park_timeout(left);
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

fn unreachable(
    place: &Arc<str>,
    cause: impl Into<Box<dyn std::error::Error + Send + Sync>>,
) -> StoreError {
    StoreError::Unreachable { place: place.clone(), cause: cause.into() }
}

fn fail(place: &Arc<str>, error: Error) -> StoreError {
    let Some(state) = error.code() else {
        let is_broken = error.is_closed()
            || std::error::Error::source(&error)
                .is_some_and(<dyn std::error::Error>::is::<io::Error>);
        return if is_broken {
            unreachable(place, error)
        } else {
            StoreError::Database { place: place.clone(), cause: Box::new(error) }
        };
    };
    let is_busy = [
        SqlState::LOCK_NOT_AVAILABLE,
        // It took longer than a statement may.
        SqlState::QUERY_CANCELED,
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
