//! Where an answer's body ends.

use crate::{Malformed, chunked};
use bytes::{Bytes, BytesMut};

/// What is left of a body, and how its end is known.
#[derive(Debug)]
pub(crate) enum Framing {
    /// So many bytes are left.
    Length(u64),
    Chunked(chunked::Decoder),
    /// The body lasts until the backend closes the connection.
    UntilClose,
}

impl Framing {
    /// Returns whether the end has been reached.
    pub(crate) fn is_end(&self) -> bool {
        match self {
            Self::Length(left) => *left == 0,
            Self::Chunked(decoder) => decoder.is_end(),
            Self::UntilClose => false,
        }
    }

    /// Takes out of the buffer what belongs to the body; `None` where more has to be read or the
    /// end has been reached. What is left in the buffer after the end belongs to no answer.
    pub(crate) fn take(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let here = match self {
            Self::Length(left) => {
                let here =
                    usize::try_from(*left).map_or(buffer.len(), |left| left.min(buffer.len()));
                *left -= here as u64;
                here
            }
            Self::Chunked(decoder) => return decoder.decode(buffer),
            Self::UntilClose => buffer.len(),
        };
        Ok((here > 0).then(|| buffer.split_to(here).freeze()))
    }
}
