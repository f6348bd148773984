use crate::{
    Answer, AnswerBody, Request, SendError, TlsError,
    connect::Connector,
    exchange::{Exchanged, Failure, exchange},
    pool::Pool,
};
use callsheet_types::{BackendUrl, LocalArc, SharedByAll};
use std::{fmt, time::Duration};
use tokio::time::Instant;

/// One backend: its address and its idle connections.
pub struct Upstream {
    url: BackendUrl,
    connector: Connector,
    pool: SharedByAll<Pool>,
    max_head_bytes: usize,
}

/// How an [`Upstream`] treats its connections.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Options {
    /// How long making a connection may take: name, TCP and TLS together.
    pub connect_timeout: Duration,
    /// How long a connection may have been idle and still be used again.
    pub idle_timeout: Duration,
    /// How many idle connections are kept.
    pub max_idle: usize,
    /// How long an answer's head may be, in bytes.
    pub max_head_bytes: usize,
}

/// What bounds one request.
#[derive(Clone, Copy, Debug)]
pub struct Deadlines {
    /// When the head of the answer must be complete.
    pub head: Instant,
    /// What happens on a stale connection.
    pub replay: Replay,
}

/// What a stale connection allows: one that was kept idle and turns out to be closed or reset
/// before any byte of the answer.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Replay {
    /// The request is sent once more, on a fresh connection.
    Always,
    /// The request is sent once more only if it had not been wholly written, so that the backend
    /// cannot have acted on it.
    BeforeSent,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            idle_timeout: Duration::from_secs(30),
            max_idle: 256,
            max_head_bytes: 64 * 1024,
        }
    }
}

impl Upstream {
    /// Prepares for a backend; nothing is connected yet.
    ///
    /// For `https` the system's root certificates are read from disk, once in the life of the
    /// process.
    pub fn new(url: &BackendUrl, options: Options) -> Result<Self, TlsError> {
        Ok(Self {
            url: url.clone(),
            connector: Connector::new(url, options.connect_timeout)?,
            pool: SharedByAll::new(Pool::new(options.idle_timeout, options.max_idle)),
            max_head_bytes: options.max_head_bytes,
        })
    }

    /// Sends a request and returns the answer as soon as its head is there.
    ///
    /// Dropping the future at any point closes the connection in use.
    pub async fn send(&self, request: &Request, deadlines: Deadlines) -> Result<Answer, SendError> {
        let pool = self.pool.get();
        if let Some(connection) = pool.take(std::time::Instant::now()) {
            match exchange(connection, request, self.max_head_bytes, deadlines.head).await {
                // A second idle connection would be as stale: one restart ends them all.
                Err(Failure::Silent { sent, .. })
                    if !sent || deadlines.replay == Replay::Always => {}
                outcome => return Self::answer(outcome, pool),
            }
        }
        let connection = self.connector.connect(deadlines.head).await?;
        let outcome = exchange(connection, request, self.max_head_bytes, deadlines.head).await;
        Self::answer(outcome, pool)
    }

    fn answer(
        outcome: Result<Exchanged, Failure>,
        pool: LocalArc<Pool>,
    ) -> Result<Answer, SendError> {
        let Exchanged { connection, head } = outcome?;
        let body = AnswerBody::new(connection, head.framing, head.persistent, pool);
        Ok(Answer { status: head.status, headers: head.headers, body })
    }

    /// Closes the idle connections.
    pub fn close_idle(&self) {
        self.pool.get().clear();
    }

    /// Returns how many connections are idle.
    pub fn idle_count(&self) -> usize {
        self.pool.get().len()
    }
}

impl fmt::Debug for Upstream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Upstream").field(&self.url).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

    /// Callers move all of these between threads; a field that forbade it would break them from
    /// afar.
    #[test]
    fn everything_may_cross_threads() {
        fn check<T: Send>(value: T) -> T {
            value
        }
        let url = BackendUrl::new("http://127.0.0.1:1").unwrap();
        let upstream = check(Arc::new(Upstream::new(&url, Options::default()).unwrap()));
        let request = check(Request::new("GET", "/", "h"));
        let deadlines = Deadlines { head: Instant::now(), replay: Replay::Always };
        drop(check(upstream.send(&request, deadlines)));
        check(None::<Answer>);
        assert_eq!(format!("{upstream:?}"), "Upstream(http://127.0.0.1:1)");
    }
}
