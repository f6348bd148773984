//! What a stand-in does with a request.

use std::time::Duration;

use bytes::Bytes;

use crate::Gate;

/// How a backend answers.
#[derive(Clone, Debug)]
pub enum Behaviour {
    /// A valid answer for the endpoint. Chat echoes the last user message with `usage`, streams if
    /// asked to, and calls the first of `tools` when that message contains "call".
    Answer,
    /// This status, these headers and this body, with its `Content-Length`.
    Status {
        /// The status code.
        code: u16,
        /// Further headers.
        headers: Vec<(String, String)>,
        /// The body, JSON unless a header says otherwise.
        body: String,
    },
    /// These bytes and pauses, nothing else. The connection stays open afterwards, ready for the
    /// next request, unless a step ended it.
    Raw(Vec<RawStep>),
    /// A stream of server-sent events with chunked framing.
    Stream {
        /// Each is the text of one `data:` line, or a verbatim event if it ends with a blank line.
        events: Vec<String>,
        /// How the stream ends after the last event.
        end: End,
        /// How events become HTTP chunks and writes.
        chunking: Chunking,
        /// The pause between two writes.
        gap: Duration,
    },
    /// The inner behaviour, later.
    Delay(Duration, Box<Behaviour>),
    /// The inner behaviour, when the test opens the gate.
    Hold(Gate, Box<Behaviour>),
    /// A reset as soon as a connection is accepted, whatever would have been asked on it: probes
    /// meet it too. On a connection that exists already: a reset instead of an answer.
    ResetOnAccept,
    /// A reset once the whole request was read.
    ResetAfterRequest,
    /// Reads the request and never answers.
    Stall,
}

impl Behaviour {
    /// Returns a JSON error of `OpenAI`'s shape with this status.
    pub fn status(code: u16) -> Self {
        let body = format!(
            r#"{{"error":{{"message":"stand-in says {code}","type":"stand_in","param":null,"code":"stand_in_{code}"}}}}"#
        );
        Self::Status { code, headers: Vec::new(), body }
    }

    /// Returns [`Behaviour::status`] with one more header.
    pub fn status_with_header(code: u16, name: &str, value: &str) -> Self {
        let Self::Status { code, mut headers, body } = Self::status(code) else { unreachable!() };
        headers.push((name.to_owned(), value.to_owned()));
        Self::Status { code, headers, body }
    }

    /// Returns a 200 with this body.
    pub fn body(body: &str) -> Self {
        Self::Status { code: 200, headers: Vec::new(), body: body.to_owned() }
    }

    /// Returns a stream of these events, each its own chunk and write, without pauses.
    pub fn stream<S: Into<String>>(events: impl IntoIterator<Item = S>, end: End) -> Self {
        Self::Stream {
            events: events.into_iter().map(Into::into).collect(),
            end,
            chunking: Chunking::EachEvent,
            gap: Duration::ZERO,
        }
    }

    /// Returns this behaviour, answering only once `gate` is open.
    #[must_use]
    pub fn held_by(self, gate: &Gate) -> Self {
        Self::Hold(gate.clone(), Box::new(self))
    }

    /// Returns this behaviour, answering only after `delay`.
    #[must_use]
    pub fn after(self, delay: Duration) -> Self {
        Self::Delay(delay, Box::new(self))
    }
}

/// One step of [`Behaviour::Raw`].
#[derive(Clone, Debug)]
pub enum RawStep {
    /// Writes these bytes as they are.
    Write(Bytes),
    /// Writes these bytes again and again until the peer goes away.
    Forever(Bytes),
    /// Flushes what was written.
    Flush,
    /// Pauses.
    Wait(Duration),
    /// Pauses until the test opens the gate.
    WaitFor(Gate),
    /// Ends the connection with a reset.
    Reset,
    /// Ends the connection in order.
    Close,
    /// Keeps the connection open and silent until the peer goes away.
    Stall,
}

impl RawStep {
    /// Returns a [`RawStep::Write`] of this text.
    pub fn text(text: &str) -> Self {
        Self::Write(Bytes::copy_from_slice(text.as_bytes()))
    }
}

/// How a stream ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// `data: [DONE]`, then the last chunk.
    Done,
    /// The connection closes without `[DONE]` and without the last chunk.
    CloseWithoutDone,
    /// The last chunk without `[DONE]`.
    CleanEndWithoutDone,
    /// A reset.
    Reset,
    /// Silence until the peer goes away.
    Stall,
}

/// How the events of a stream become HTTP chunks; each chunk is one write.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Chunking {
    /// One event, one chunk.
    EachEvent,
    /// Chunks of this many bytes, wherever that cuts.
    Bytes(usize),
    /// Everything in one chunk.
    Merged,
}
