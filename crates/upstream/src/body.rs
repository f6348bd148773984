use crate::{BodyError, DeadlinePassed, connection::Connection, framing::Framing, pool::Pool};
use bytes::{Bytes, BytesMut};
use callsheet_types::LocalArc;
use http::{HeaderMap, StatusCode};
use std::{
    fmt,
    future::poll_fn,
    io,
    task::{Context, Poll, ready},
    time::Instant,
};

/// What a backend answered: the head at once, the body as it comes.
#[derive(Debug)]
pub struct Answer {
    /// The status, never 1xx.
    pub status: StatusCode,
    /// The headers without those that concern one connection only, and without `Content-Length`,
    /// which [`AnswerBody::exact_length`] tells.
    pub headers: HeaderMap,
    /// The body.
    pub body: AnswerBody,
}

/// An answer's body, which owns the connection that it comes from.
///
/// When it has come to its end the connection returns to its [`Upstream`](crate::Upstream), if it
/// can carry another request; dropping it earlier closes the connection, which tells the backend
/// to stop.
pub struct AnswerBody {
    /// There until the end, or until an error.
    connection: Option<Connection>,
    framing: Framing,
    /// Whether the connection may carry another request.
    persistent: bool,
    pool: LocalArc<Pool>,
}

impl AnswerBody {
    pub(crate) fn new(
        mut connection: Connection,
        framing: Framing,
        persistent: bool,
        pool: LocalArc<Pool>,
    ) -> Self {
        if let Framing::Length(length) = framing {
            connection.buffer.expect(length);
        }
        let mut body = Self { connection: Some(connection), framing, persistent, pool };
        body.release_at_end();
        body
    }

    /// Returns the next bytes, as they came: what is buffered already, otherwise one read. `None`
    /// is the end; after an error there is nothing but the end.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BodyError>>> {
        loop {
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            if !connection.buffer.bytes.is_empty() {
                match self.framing.take(&mut connection.buffer.bytes) {
                    Ok(data) => {
                        self.release_at_end();
                        if let Some(data) = data {
                            return Poll::Ready(Some(Ok(data)));
                        }
                        if self.connection.is_none() {
                            return Poll::Ready(None);
                        }
                    }
                    Err(malformed) => return self.fail(malformed.into()),
                }
            }
            let Some(connection) = &mut self.connection else { return Poll::Ready(None) };
            match ready!(connection.poll_read(cx)) {
                Ok(0) if self.is_close_delimited() => {
                    self.connection = None;
                    return Poll::Ready(None);
                }
                Ok(0) => return self.fail(BodyError::Cut(io::ErrorKind::UnexpectedEof.into())),
                Ok(_) => {}
                Err(error) => return self.fail(BodyError::Cut(error)),
            }
        }
    }

    /// Waits for the next part of the body, but not beyond a deadline. Cancel safe, and costs no
    /// timer of its own.
    pub async fn data_before(
        &mut self,
        deadline: Instant,
    ) -> Result<Option<Result<Bytes, BodyError>>, DeadlinePassed> {
        poll_fn(|cx| match self.poll_data(cx) {
            Poll::Ready(data) => Poll::Ready(Ok(data)),
            Poll::Pending => self.poll_deadline(cx, deadline).map(|()| Err(DeadlinePassed)),
        })
        .await
    }

    /// Returns ready once `deadline` has passed, and until then has the task woken when it does. To
    /// be called after [`AnswerBody::poll_data`] was pending; costs no timer of its own.
    pub fn poll_deadline(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        match &mut self.connection {
            Some(connection) => connection.alarm.poll(cx, deadline.into()),
            None => Poll::Pending,
        }
    }

    /// Returns the next bytes, like [`AnswerBody::poll_data`]. Cancel safe.
    pub async fn data(&mut self) -> Option<Result<Bytes, BodyError>> {
        poll_fn(|cx| self.poll_data(cx)).await
    }

    /// Returns the whole body, if it has at most `limit` bytes.
    pub async fn collect(mut self, limit: usize) -> Result<Bytes, BodyError> {
        if self.exact_length().is_some_and(|length| length > limit as u64) {
            return Err(BodyError::TooLarge);
        }
        let mut first = Bytes::new();
        // Most bodies come in one read and need no copy.
        let mut all = BytesMut::new();
        while let Some(data) = self.data().await {
            let data = data?;
            if data.len() > limit - first.len() - all.len() {
                return Err(BodyError::TooLarge);
            }
            if first.is_empty() && all.is_empty() {
                first = data;
                continue;
            }
            if all.is_empty() {
                let left = self.exact_length().unwrap_or(0) as usize;
                all.reserve(first.len() + data.len() + left);
                all.extend_from_slice(&first);
                first = Bytes::new();
            }
            all.extend_from_slice(&data);
        }
        Ok(if all.is_empty() { first } else { all.freeze() })
    }

    /// Returns how many bytes are left, where `Content-Length` said or there is no body.
    pub fn exact_length(&self) -> Option<u64> {
        match self.framing {
            Framing::Length(left) => Some(left),
            Framing::Chunked(_) | Framing::UntilClose => None,
        }
    }

    /// Returns whether nothing more will come, as far as that is known without reading.
    pub fn is_end(&self) -> bool {
        self.connection.is_none()
    }

    /// Returns whether the body lasts until the backend closes the connection, so that a cut on a
    /// connection without TLS cannot be told from the end.
    pub fn is_close_delimited(&self) -> bool {
        matches!(self.framing, Framing::UntilClose)
    }

    /// Gives the connection back as soon as the end has been seen, which is before the caller asks
    /// for it: a client that has its answer sends the next request at once.
    fn release_at_end(&mut self) {
        if !self.framing.is_end() {
            return;
        }
        let Some(connection) = self.connection.take() else { return };
        // Bytes after the end would become the answer to somebody else's request.
        if self.persistent && connection.buffer.bytes.is_empty() {
            self.pool.put(connection, Instant::now());
        }
    }

    fn fail(&mut self, error: BodyError) -> Poll<Option<Result<Bytes, BodyError>>> {
        self.connection = None;
        Poll::Ready(Some(Err(error)))
    }
}

impl fmt::Debug for AnswerBody {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnswerBody")
            .field("framing", &self.framing)
            .field("is_end", &self.is_end())
            .finish_non_exhaustive()
    }
}
