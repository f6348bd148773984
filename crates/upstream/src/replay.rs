//! Answers decoded from bytes alone, by the code that decodes them from sockets.
//!
//! Not part of the interface: the comparison with another client and the fuzz target live outside
//! the crate and need a way in.

use crate::{
    Malformed,
    framing::Framing,
    head::{Head, HeadError, Reader},
};
use bytes::BytesMut;
use http::{HeaderMap, StatusCode};

/// What came of an answer.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Replayed {
    /// The status and headers, once the head is complete.
    pub head: Option<(StatusCode, HeaderMap)>,
    /// The body as far as it came.
    pub body: Vec<u8>,
    /// How it ended.
    pub end: End,
}

/// How an answer ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum End {
    /// Cleanly; `reusable` is whether the connection would carry another request.
    Clean {
        /// Whether the connection would carry another request.
        reusable: bool,
    },
    /// The bytes came to an end first.
    Cut,
    /// The head was longer than the limit.
    HeadTooLarge,
    /// The bytes are no answer.
    Malformed(Malformed),
}

/// Decodes an answer that comes in the given pieces, each of them one read, until the backend
/// closes.
pub fn replay<'a>(
    to_head_request: bool,
    max_head_bytes: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Replayed {
    let mut reader = Reader::new(to_head_request, max_head_bytes);
    let mut buffer = BytesMut::new();
    let mut replayed = Replayed { head: None, body: Vec::new(), end: End::Cut };
    let mut framed: Option<(Framing, bool)> = None;
    for piece in pieces.into_iter().filter(|piece| !piece.is_empty()) {
        buffer.extend_from_slice(piece);
        if framed.is_none() {
            match reader.read(&mut buffer) {
                Ok(None) => continue,
                Ok(Some(Head { status, headers, framing, persistent })) => {
                    replayed.head = Some((status, headers));
                    framed = Some((framing, persistent));
                }
                Err(error) => return Replayed { end: error.into(), ..replayed },
            }
        }
        let Some((framing, _)) = &mut framed else { continue };
        loop {
            match framing.take(&mut buffer) {
                Ok(Some(data)) => replayed.body.extend_from_slice(&data),
                Ok(None) => break,
                Err(malformed) => return Replayed { end: End::Malformed(malformed), ..replayed },
            }
        }
    }
    replayed.end = match framed {
        None => reader.at_eof(&buffer).map_or(End::Cut, End::from),
        Some((Framing::UntilClose, _)) => End::Clean { reusable: false },
        Some((framing, persistent)) if framing.is_end() => {
            End::Clean { reusable: persistent && buffer.is_empty() }
        }
        Some(_) => End::Cut,
    };
    replayed
}

impl From<HeadError> for End {
    fn from(error: HeadError) -> Self {
        match error {
            HeadError::TooLarge => Self::HeadTooLarge,
            HeadError::Malformed(malformed) => Self::Malformed(malformed),
        }
    }
}

/// Splits fuzzed input into options and an answer, decodes the answer whole, byte by byte and in
/// pieces, and panics if it matters how it was split.
pub fn fuzz_answer(data: &[u8]) {
    let [options, step, answer @ ..] = data else { return };
    let to_head_request = options & 1 == 1;
    let max_head_bytes = if options & 2 == 2 { 256 } else { 64 * 1024 };
    let whole = replay(to_head_request, max_head_bytes, [answer]);
    for length in [1, usize::from(*step).max(2)] {
        let split = replay(to_head_request, max_head_bytes, answer.chunks(length));
        // Broken heads are found earlier or later, and as broken or too long, depending on the
        // reads; sound ones are not.
        if whole.head.is_none() {
            assert!(split.head.is_none(), "{whole:?}\n{split:?}");
        } else {
            assert_eq!(whole, split);
        }
    }
    if let Some((status, headers)) = &whole.head {
        assert!(!status.is_informational());
        for name in ["connection", "content-length", "transfer-encoding", "te", "upgrade"] {
            assert!(!headers.contains_key(name), "{name} in {headers:?}");
        }
    }
}
