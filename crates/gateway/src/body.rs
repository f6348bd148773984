//! The body of an answer: whole in memory, or read from the backend as the client takes it.

use crate::{
    call::Call,
    error::{Failure, cut_event},
    sse::Events,
};
use bytes::Bytes;
use callsheet_upstream::{AnswerBody, BodyError};
use http_body::{Frame, SizeHint};
use std::{
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

/// The body of an answer.
pub struct Body(Kind);

enum Kind {
    Full(Bytes),
    Answer(Box<AnswerStream>),
}

/// An answer broke off after its beginning had been sent; the connection must be closed, so that
/// the client cannot take it for whole.
#[derive(Debug, thiserror::Error)]
#[error("the backend's answer broke off: {0}")]
pub struct BrokenOff(String);

impl Body {
    /// A body that is whole.
    pub fn full(bytes: impl Into<Bytes>) -> Self {
        Self(Kind::Full(bytes.into()))
    }

    pub(crate) fn answer(stream: AnswerStream) -> Self {
        Self(Kind::Answer(Box::new(stream)))
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        let data = match &mut self.0 {
            Kind::Full(bytes) if bytes.is_empty() => None,
            Kind::Full(bytes) => Some(Ok(std::mem::take(bytes))),
            Kind::Answer(stream) => ready!(stream.poll_data(cx)),
        };
        Poll::Ready(data.map(|data| data.map(Frame::data)))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Full(bytes) => bytes.is_empty(),
            Kind::Answer(stream) => stream.is_end(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Full(bytes) => SizeHint::with_exact(bytes.len() as u64),
            Kind::Answer(stream) => {
                stream.exact_length().map_or_else(SizeHint::default, SizeHint::with_exact)
            }
        }
    }
}

/// An answer that is still coming. It lives as long as the client reads; dropping it closes the
/// connection to the backend and gives its place back.
pub(crate) struct AnswerStream {
    call: Box<Call>,
    /// The model as the backend knows it.
    model: Box<str>,
    /// None once nothing more will be read.
    answer: Option<AnswerBody>,
    /// What was read before the answer was passed on.
    ready: Bytes,
    shape: Shape,
    patience: Patience,
}

/// What passes through.
pub(crate) enum Shape {
    /// Events, forwarded whole.
    Events { events: Events, limit: usize },
    /// Anything else, up to so many bytes more.
    Plain { left: u64 },
}

/// How long to wait: between two reads, and in all.
pub(crate) struct Patience {
    pub(crate) idle: Duration,
    pub(crate) deadline: Instant,
    pub(crate) last_read: Instant,
}

impl Patience {
    fn ends(&self) -> Instant {
        self.deadline.min(self.last_read + self.idle)
    }
}

/// What is wrong with an answer that is no stream and exceeds its limit.
pub(crate) const ANSWER_TOO_LONG: &str = "longer than limits.answer_bytes";

/// How long a backend may take to close a stream after it has said that it is complete.
const AFTER_DONE: Duration = Duration::from_millis(500);

impl AnswerStream {
    pub(crate) fn new(
        call: Box<Call>,
        model: &str,
        answer: AnswerBody,
        ready: Bytes,
        shape: Shape,
        patience: Patience,
    ) -> Self {
        let answer = Some(answer);
        let mut stream = Self { call, model: model.into(), answer, ready, shape, patience };
        stream.expect_end_if_complete();
        stream
    }

    fn is_end(&self) -> bool {
        self.answer.is_none() && self.ready.is_empty()
    }

    fn exact_length(&self) -> Option<u64> {
        match (&self.shape, &self.answer) {
            (Shape::Plain { .. }, Some(answer)) => {
                answer.exact_length().map(|left| left + self.ready.len() as u64)
            }
            _ => None,
        }
    }

    fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if !self.ready.is_empty() {
            let ready = std::mem::take(&mut self.ready);
            self.end_if_known();
            return self.send(ready);
        }
        loop {
            let Some(answer) = &mut self.answer else { return Poll::Ready(None) };
            let read = match answer.poll_data(cx) {
                Poll::Ready(read) => read,
                Poll::Pending => {
                    ready!(answer.poll_deadline(cx, self.patience.ends()));
                    return self.out_of_patience();
                }
            };
            self.patience.last_read = Instant::now();
            match read {
                // A backend that always has more to say is never waited for.
                Some(Ok(_)) if self.patience.last_read >= self.patience.deadline => {
                    return self.out_of_patience();
                }
                Some(Ok(chunk)) => match self.take(chunk) {
                    Ok(whole) if whole.is_empty() => {}
                    Ok(whole) => {
                        self.end_if_known();
                        return self.send(whole);
                    }
                    Err(message) => return self.cut(&Failure::Garbage { message }),
                },
                Some(Err(error)) => return self.cut(&broken(&error)),
                None => return self.ended(),
            }
        }
    }

    /// Takes what was read; returns what can be passed on.
    fn take(&mut self, chunk: Bytes) -> Result<Bytes, String> {
        match &mut self.shape {
            Shape::Events { events, limit } => {
                let whole = events.push(chunk, *limit).map_err(|error| error.to_string())?;
                self.expect_end_if_complete();
                Ok(whole)
            }
            Shape::Plain { left } => match left.checked_sub(chunk.len() as u64) {
                Some(rest) => {
                    *left = rest;
                    Ok(chunk)
                }
                None => Err(ANSWER_TOO_LONG.to_owned()),
            },
        }
    }

    /// Waits for the end no longer than a backend needs that has said everything.
    fn expect_end_if_complete(&mut self) {
        if let Shape::Events { events, .. } = &self.shape
            && events.is_complete()
        {
            self.patience.idle = AFTER_DONE;
        }
    }

    /// Ends at once where it is known that nothing more will come: the last bytes and the end then
    /// reach the client together, and the connection serves the next request.
    fn end_if_known(&mut self) {
        let complete = match &self.shape {
            Shape::Events { events, .. } => events.is_complete(),
            Shape::Plain { .. } => true,
        };
        if complete && self.answer.as_ref().is_some_and(AnswerBody::is_end) {
            self.finish();
        }
    }

    fn ended(&mut self) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        if let Shape::Events { events, .. } = &mut self.shape {
            let rest = events.finish();
            if !events.is_complete() {
                let message = "the stream ended without its end marker".to_owned();
                return self.cut(&Failure::Cut { message });
            }
            self.finish();
            return if rest.is_empty() { Poll::Ready(None) } else { self.send(rest) };
        }
        self.finish();
        Poll::Ready(None)
    }

    fn out_of_patience(&mut self) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        match &self.shape {
            // The client has its whole answer; only the backend has not hung up.
            Shape::Events { events, .. } if events.is_complete() => {
                self.finish();
                Poll::Ready(None)
            }
            _ if Instant::now() >= self.patience.deadline => self.cut(&Failure::OutOfTime),
            _ => self.cut(&Failure::Stalled),
        }
    }

    fn finish(&mut self) {
        self.answer = None;
        self.call.answered(Instant::now());
    }

    /// Ends an answer that cannot be completed: a stream says so in its last event, anything else
    /// can only break off.
    fn cut(&mut self, failure: &Failure) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.answer = None;
        if let Shape::Events { events, .. } = &self.shape
            && events.is_complete()
        {
            self.call.answered(Instant::now());
            return Poll::Ready(None);
        }
        self.call.cut(failure, &self.model);
        match &self.shape {
            Shape::Events { .. } => {
                let event = cut_event(self.call.backend(), failure, "stream_cut", self.call.id());
                self.send(event)
            }
            Shape::Plain { .. } => Poll::Ready(Some(Err(BrokenOff(failure.to_string())))),
        }
    }

    fn send(&mut self, data: Bytes) -> Poll<Option<Result<Bytes, BrokenOff>>> {
        self.call.sent_bytes += data.len() as u64;
        Poll::Ready(Some(Ok(data)))
    }
}

/// Returns what a broken body says of its backend.
pub(crate) fn broken(error: &BodyError) -> Failure {
    match error {
        BodyError::Cut(cause) => Failure::Cut { message: cause.to_string() },
        BodyError::Malformed(malformed) => Failure::Garbage { message: malformed.to_string() },
        BodyError::TooLarge => Failure::Garbage { message: "too long".to_owned() },
    }
}
