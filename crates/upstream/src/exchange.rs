//! Writing a request and reading the head of its answer, on one connection.

use crate::{
    Request, SendError,
    connection::Connection,
    head::{Head, HeadError, Reader},
    request::HeadEnd,
    stream::Stream,
};
use std::{
    future::poll_fn,
    io::{self, IoSlice},
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::{io::AsyncWrite, time::Instant};

/// An answer whose head has been read.
pub(crate) struct Exchanged {
    pub(crate) connection: Connection,
    pub(crate) head: Head,
}

/// An exchange that brought no head.
pub(crate) enum Failure {
    /// The connection ended before any byte of an answer, which is what a stale one does.
    Silent {
        /// Whether the whole request had been written.
        sent: bool,
        source: io::Error,
    },
    Other(SendError),
}

impl From<Failure> for SendError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Silent { sent, source } => Self::Closed { sent, source },
            Failure::Other(error) => error,
        }
    }
}

impl From<HeadError> for Failure {
    fn from(error: HeadError) -> Self {
        Self::Other(match error {
            HeadError::TooLarge => SendError::HeadTooLarge,
            HeadError::Malformed(malformed) => SendError::Malformed(malformed),
        })
    }
}

/// Sends a request and reads until the head of its answer is complete.
///
/// The connection is owned, so that dropping the future closes it.
pub(crate) async fn exchange(
    mut connection: Connection,
    request: &Request,
    max_head_bytes: usize,
    deadline: Instant,
) -> Result<Exchanged, Failure> {
    connection.buffer.refill();
    let mut head_end = HeadEnd::new();
    let mut talk = Talk {
        outgoing: Outgoing { rest: request.wire(&mut head_end), flushed: false },
        reader: Reader::new(request.is_head(), max_head_bytes),
        write_error: None,
        early: None,
    };
    let mut head = poll_fn(|cx| match talk.poll(cx, &mut connection) {
        Poll::Pending => {
            let too_late = || Err(Failure::Other(SendError::HeadTimeout));
            connection.alarm.poll(cx, deadline).map(|()| too_late())
        }
        ready @ Poll::Ready(_) => ready,
    })
    .await?;
    // What was not sent would be taken for the beginning of the next request.
    head.persistent &= talk.outgoing.flushed;
    Ok(Exchanged { connection, head })
}

struct Talk<'a> {
    outgoing: Outgoing<'a>,
    reader: Reader,
    write_error: Option<io::Error>,
    /// An answer that came while the request was being written and is no refusal of it.
    early: Option<Head>,
}

impl Talk<'_> {
    /// Writes while there is something to write, and listens at the same time: a backend that
    /// refuses a large body answers and closes while we still write, and the answer says why.
    fn poll(
        &mut self,
        cx: &mut Context<'_>,
        connection: &mut Connection,
    ) -> Poll<Result<Head, Failure>> {
        if self.is_writing()
            && let Poll::Ready(Err(error)) = self.outgoing.poll(cx, &mut connection.stream)
        {
            // What the backend said before it closed may still be there to read.
            self.write_error = Some(error);
        }
        loop {
            if self.early.is_some() && self.is_writing() {
                return Poll::Pending;
            }
            if let Some(head) = self.early.take() {
                return Poll::Ready(Ok(head));
            }
            match ready!(connection.poll_read(cx)) {
                Ok(0) => {
                    if let Some(error) = self.reader.at_eof(&connection.buffer.bytes) {
                        return Poll::Ready(Err(error.into()));
                    }
                    return Poll::Ready(Err(self.ended(io::ErrorKind::UnexpectedEof.into())));
                }
                Err(error) => return Poll::Ready(Err(self.ended(error))),
                Ok(_) => {}
            }
            let Some(head) = self.reader.read(&mut connection.buffer.bytes)? else { continue };
            if !self.is_writing() || head.status.is_client_error() || head.status.is_server_error()
            {
                return Poll::Ready(Ok(head));
            }
            self.early = Some(head);
        }
    }

    fn is_writing(&self) -> bool {
        !self.outgoing.flushed && self.write_error.is_none()
    }

    /// The connection has ended; the error of the write that failed first says more than the end
    /// of the stream that was read after it.
    fn ended(&mut self, read_error: io::Error) -> Failure {
        let sent = self.outgoing.flushed;
        let source = self.write_error.take().unwrap_or(read_error);
        if self.reader.has_heard() {
            Failure::Other(SendError::Closed { sent, source })
        } else {
            Failure::Silent { sent, source }
        }
    }
}

/// What is still to be written of a request.
struct Outgoing<'a> {
    rest: [&'a [u8]; 5],
    /// Whether everything has left for the system.
    flushed: bool,
}

impl Outgoing<'_> {
    /// Writes all segments, in one system call if the socket takes them: nothing is copied
    /// together, and a head never travels in a packet of its own.
    fn poll(&mut self, cx: &mut Context<'_>, stream: &mut Stream) -> Poll<io::Result<()>> {
        loop {
            let mut slices = [IoSlice::new(&[]); 5];
            let mut count = 0;
            for segment in self.rest {
                if !segment.is_empty() {
                    slices[count] = IoSlice::new(segment);
                    count += 1;
                }
            }
            if count == 0 {
                // TLS keeps records of its own, which leave here.
                ready!(Pin::new(stream).poll_flush(cx))?;
                self.flushed = true;
                return Poll::Ready(Ok(()));
            }
            match ready!(Pin::new(&mut *stream).poll_write_vectored(cx, &slices[..count]))? {
                0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
                written => self.advance(written),
            }
        }
    }

    fn advance(&mut self, mut written: usize) {
        for segment in &mut self.rest {
            let here = written.min(segment.len());
            *segment = &segment[here..];
            written -= here;
        }
    }
}
