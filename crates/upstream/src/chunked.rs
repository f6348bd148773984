//! The chunked transfer coding (RFC 9112, section 7.1) as a function of bytes.

use crate::Malformed;
use bytes::{Buf, Bytes, BytesMut};

/// How long a size line may be with its extensions, which nobody uses and which carry no data.
const MAX_LINE_BYTES: usize = 4 * 1024;
/// How long all trailers may be together.
const MAX_TRAILER_BYTES: usize = 16 * 1024;

/// Takes the payload out of a chunked body, wherever reads have split it.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    state: State,
}

#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
enum State {
    #[default]
    SizeLine,
    /// So much of the chunk is still to come.
    Data(u64),
    DataEnd,
    /// So many bytes of trailers have gone by.
    Trailers(usize),
    End,
}

impl Decoder {
    /// Returns whether the last chunk and the trailers have gone by.
    pub(crate) fn is_end(&self) -> bool {
        self.state == State::End
    }

    /// Takes the payload that is in the buffer; `None` if there is none, because more has to be
    /// read or because the end has been reached.
    ///
    /// What is left in the buffer is the beginning of something incomplete or, after the end,
    /// bytes that do not belong to the body. Payload that stands before an error is returned
    /// first, so that what a caller sees does not depend on how the bytes were split.
    ///
    /// A single payload is cut out of the buffer without being copied. Where several small chunks
    /// came in one read, the later ones are moved down inside the buffer to adjoin the first:
    /// that costs a few hundred bytes of copying and saves the caller a frame for each.
    pub(crate) fn decode(&mut self, buffer: &mut BytesMut) -> Result<Option<Bytes>, Malformed> {
        let mut read = 0;
        let mut payload = 0..0;
        let outcome = loop {
            let rest = &buffer[read..];
            match self.state {
                State::SizeLine => match size_line(rest) {
                    Ok(Some((size, used))) => {
                        read += used;
                        self.state = if size == 0 { State::Trailers(0) } else { State::Data(size) };
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                State::Data(left) => {
                    let here =
                        usize::try_from(left).map_or(rest.len(), |left| left.min(rest.len()));
                    if here == 0 {
                        break Ok(());
                    }
                    if payload.is_empty() {
                        payload = read..read + here;
                    } else {
                        buffer.copy_within(read..read + here, payload.end);
                        payload.end += here;
                    }
                    read += here;
                    let left = left - here as u64;
                    self.state = if left == 0 { State::DataEnd } else { State::Data(left) };
                }
                State::DataEnd => match rest {
                    [b'\r', b'\n', ..] => {
                        read += 2;
                        self.state = State::SizeLine;
                    }
                    [] | [b'\r'] => break Ok(()),
                    _ => break Err(Malformed::ChunkEnd),
                },
                State::Trailers(seen) => match trailer_line(rest, MAX_TRAILER_BYTES - seen) {
                    Ok(Some(2)) => {
                        read += 2;
                        self.state = State::End;
                    }
                    Ok(Some(used)) => {
                        read += used;
                        self.state = State::Trailers(seen + used);
                    }
                    Ok(None) => break Ok(()),
                    Err(error) => break Err(error),
                },
                State::End => break Ok(()),
            }
        };
        if payload.is_empty() {
            buffer.advance(read);
            return outcome.map(|()| None);
        }
        buffer.advance(payload.start);
        let data = buffer.split_to(payload.len());
        buffer.advance(read - payload.end);
        Ok(Some(data.freeze()))
    }
}

/// Reads a size line; returns the size and how many bytes the line has.
fn size_line(bytes: &[u8]) -> Result<Option<(u64, usize)>, Malformed> {
    // Said at once, so that a backend that is off by one chunk is not waited for.
    if bytes.first().is_some_and(|first| !first.is_ascii_hexdigit()) {
        return Err(Malformed::ChunkSize);
    }
    let window = &bytes[..bytes.len().min(MAX_LINE_BYTES)];
    let Some(newline) = memchr::memchr(b'\n', window) else {
        let full = window.len() == MAX_LINE_BYTES;
        return if full { Err(Malformed::ChunkLineTooLong) } else { Ok(None) };
    };
    // A bare LF, or a CR anywhere else, is where two readers may disagree about the line's end.
    if memchr::memchr(b'\r', &window[..newline]) != newline.checked_sub(1) {
        return Err(Malformed::ChunkSize);
    }
    let line = &window[..newline - 1];
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let mut size: u64 = 0;
    for digit in &line[..digits] {
        let value = match digit {
            b'0'..=b'9' => digit - b'0',
            _ => (digit | 0x20) - b'a' + 10,
        };
        let shifted = size.checked_mul(16).ok_or(Malformed::ChunkSize)?;
        size = shifted | u64::from(value);
    }
    match line[digits..].trim_ascii_start().first() {
        None | Some(b';') => Ok(Some((size, newline + 1))),
        Some(_) => Err(Malformed::ChunkSize),
    }
}

/// Returns how many bytes the next trailer line has; 2 is the empty line that ends them.
fn trailer_line(bytes: &[u8], room: usize) -> Result<Option<usize>, Malformed> {
    let window = &bytes[..bytes.len().min(room)];
    match memchr::memchr(b'\n', window) {
        Some(newline) if window[..newline].ends_with(b"\r") => Ok(Some(newline + 1)),
        Some(_) => Err(Malformed::Trailers),
        None if window.len() == room => Err(Malformed::TrailersTooLong),
        None => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Decodes pieces as they come; returns the payloads and what is left over after the end.
    fn decode(pieces: &[&[u8]]) -> Result<(Vec<Bytes>, Option<Vec<u8>>), Malformed> {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::new();
        let mut payloads = Vec::new();
        for piece in pieces {
            buffer.extend_from_slice(piece);
            while let Some(payload) = decoder.decode(&mut buffer)? {
                assert!(!payload.is_empty());
                payloads.push(payload);
            }
        }
        Ok((payloads, decoder.is_end().then(|| buffer.to_vec())))
    }

    #[test]
    fn payload_is_merged_per_read() {
        let (payloads, left) = decode(&[b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\nrest"]).unwrap();
        assert_eq!(payloads, ["abcde"]);
        assert_eq!(left.unwrap(), b"rest");
        let (payloads, left) = decode(&[b"3\r\nab", b"c\r\n2\r\nde\r\n", b"0\r\n\r\n"]).unwrap();
        assert_eq!(payloads, ["ab", "cde"]);
        assert_eq!(left.unwrap(), b"");
    }

    #[test]
    fn a_single_chunk_is_not_copied() {
        let mut buffer = BytesMut::from(&b"5\r\nhello\r\n"[..]);
        let at = buffer[3..].as_ptr();
        let payload = Decoder::default().decode(&mut buffer).unwrap().unwrap();
        assert_eq!(payload, "hello");
        assert_eq!(payload.as_ptr(), at);
    }

    #[test]
    fn sound_bodies_end() {
        for (wire, expected) in [
            (&b"0\r\n\r\n"[..], ""),
            (b"1\r\na\r\n0\r\n\r\n", "a"),
            (b"A\r\n0123456789\r\n00\r\n\r\n", "0123456789"),
            (b"a\r\n0123456789\r\n0\r\n\r\n", "0123456789"),
            (b"0000000000000000000000001\r\na\r\n0\r\n\r\n", "a"),
            (b"1 ;ext=\"v\"\r\na\r\n0;last\r\n\r\n", "a"),
            (b"1\t \r\na\r\n0\r\n\r\n", "a"),
            (b"1\r\na\r\n0\r\nx: y\r\nz: w\r\n\r\n", "a"),
            (b"2\r\n\r\n\r\n0\r\n\r\n", "\r\n"),
        ] {
            for split in 0..=wire.len() {
                let (payloads, left) = decode(&[&wire[..split], &wire[split..]]).unwrap();
                assert_eq!(payloads.concat(), expected.as_bytes());
                assert_eq!(left.as_deref(), Some(&b""[..]), "{} {split}", wire.escape_ascii());
            }
        }
    }

    #[test]
    fn broken_bodies_say_why() {
        let long_line = [b"1;".to_vec(), vec![b'x'; MAX_LINE_BYTES]].concat();
        let long_trailer = [b"0\r\n".to_vec(), vec![b'x'; MAX_TRAILER_BYTES]].concat();
        let many_trailers =
            [b"0\r\n".to_vec(), b"a: b\r\n".repeat(MAX_TRAILER_BYTES / 6 + 1)].concat();
        for (wire, expected) in [
            (&b"\r\n"[..], Malformed::ChunkSize),
            (b"g\r\n", Malformed::ChunkSize),
            (b"-1\r\n", Malformed::ChunkSize),
            (b"0x1\r\n", Malformed::ChunkSize),
            (b" 1\r\n", Malformed::ChunkSize),
            (b"1 2\r\n", Malformed::ChunkSize),
            (b"1\n", Malformed::ChunkSize),
            (b"1\r \n", Malformed::ChunkSize),
            (b"1;a\rb\r\n", Malformed::ChunkSize),
            (b"10000000000000000\r\n", Malformed::ChunkSize),
            (b"1\r\nab\r\n", Malformed::ChunkEnd),
            (b"1\r\na\n0\r\n", Malformed::ChunkEnd),
            (b"1\r\na\r0", Malformed::ChunkEnd),
            (b"0\r\nx: y\n\r\n", Malformed::Trailers),
            (b"0\r\n\n", Malformed::Trailers),
            (&long_line, Malformed::ChunkLineTooLong),
            (&long_trailer, Malformed::TrailersTooLong),
            (&many_trailers, Malformed::TrailersTooLong),
        ] {
            let shown = wire[..wire.len().min(40)].escape_ascii();
            assert_eq!(decode(&[wire]), Err(expected), "{shown}");
            let bytes: Vec<&[u8]> = wire.chunks(1).collect();
            assert_eq!(decode(&bytes), Err(expected), "{shown}, byte by byte");
        }
    }

    #[test]
    fn the_largest_size_is_counted_without_overflow() {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(&b"ffffffffffffffff\r\nabc"[..]);
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap(), "abc");
        assert_eq!(decoder.state, State::Data(u64::MAX - 3));
    }

    #[test]
    fn payload_before_an_error_is_returned_first() {
        let mut decoder = Decoder::default();
        let mut buffer = BytesMut::from(&b"1\r\na\r\n1\r\nb\r\nzzz"[..]);
        assert_eq!(decoder.decode(&mut buffer).unwrap().unwrap(), "ab");
        assert_eq!(decoder.decode(&mut buffer), Err(Malformed::ChunkSize));
    }
}
