//! The head of an answer as a function of bytes: status, headers, and where the body ends.

use crate::{Malformed, chunked, framing::Framing};
use bytes::{Buf, BytesMut};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::mem::MaybeUninit;

/// More headers than this are refused.
const MAX_HEADERS: usize = 128;
/// More interim answers before the real one are refused.
const MAX_INTERIM: u8 = 16;

/// The head of an answer.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) framing: Framing,
    /// Whether the connection may carry another request after this answer.
    pub(crate) persistent: bool,
}

/// What the bytes at the front of a connection turned out to be.
#[derive(Debug)]
pub(crate) enum Parsed {
    /// An interim answer (1xx), to be skipped.
    Interim,
    Final(Head),
}

/// A head that cannot be accepted.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HeadError {
    TooLarge,
    Malformed(Malformed),
}

/// Finds the head of the answer among what has been read so far.
#[derive(Debug)]
pub(crate) struct Reader {
    to_head_request: bool,
    max_bytes: usize,
    interim: u8,
    /// How much of the buffer has been looked at and found incomplete.
    seen: usize,
}

impl Reader {
    pub(crate) fn new(to_head_request: bool, max_bytes: usize) -> Self {
        Self { to_head_request, max_bytes, interim: 0, seen: 0 }
    }

    /// Returns whether anything of an answer has come, be it an interim one.
    pub(crate) fn has_heard(&self) -> bool {
        self.seen > 0 || self.interim > 0
    }

    /// Takes the head off the buffer, and interim answers before it; `None` if more has to be read.
    pub(crate) fn read(&mut self, buffer: &mut BytesMut) -> Result<Option<Head>, HeadError> {
        loop {
            // A head that comes in drips is parsed once per line, not once per byte. The first
            // bytes are parsed whatever they are, so that garbage is known at once.
            let worth = self.seen == 0 || memchr::memchr(b'\n', &buffer[self.seen..]).is_some();
            let parsed = if worth { self.parse(buffer)? } else { None };
            let Some((parsed, used)) = parsed else {
                self.seen = buffer.len();
                return if buffer.len() < self.max_bytes {
                    Ok(None)
                } else {
                    Err(HeadError::TooLarge)
                };
            };
            if used > self.max_bytes {
                return Err(HeadError::TooLarge);
            }
            buffer.advance(used);
            self.seen = 0;
            match parsed {
                Parsed::Final(head) => return Ok(Some(head)),
                Parsed::Interim if self.interim == MAX_INTERIM => {
                    return Err(HeadError::Malformed(Malformed::TooManyInterim));
                }
                Parsed::Interim => self.interim += 1,
            }
        }
    }

    /// Returns what is wrong with an answer that ended before its head did, if it could never
    /// have become one.
    pub(crate) fn at_eof(&self, buffer: &[u8]) -> Option<HeadError> {
        self.parse(buffer).err()
    }

    fn parse(&self, bytes: &[u8]) -> Result<Option<(Parsed, usize)>, HeadError> {
        if bytes.is_empty() {
            return Ok(None);
        }
        parse(bytes, self.to_head_request).map_err(HeadError::Malformed)
    }
}

/// Reads a head; returns it and how many bytes it has, or `None` where it is incomplete.
pub(crate) fn parse(
    bytes: &[u8],
    to_head_request: bool,
) -> Result<Option<(Parsed, usize)>, Malformed> {
    let mut room = [MaybeUninit::uninit(); MAX_HEADERS];
    let mut answer = httparse::Response::new(&mut []);
    let outcome = httparse::ParserConfig::default().parse_response_with_uninit_headers(
        &mut answer,
        bytes,
        &mut room,
    );
    let used = match outcome {
        Ok(httparse::Status::Complete(used)) => used,
        Ok(httparse::Status::Partial) => return Ok(None),
        Err(httparse::Error::TooManyHeaders) => return Err(Malformed::TooManyHeaders),
        Err(error) => return Err(Malformed::Head(error)),
    };
    let status = StatusCode::from_u16(answer.code.unwrap_or_default());
    let status = status.map_err(|_| Malformed::Status)?;
    if status == StatusCode::SWITCHING_PROTOCOLS {
        return Err(Malformed::Upgrade);
    }
    if status.is_informational() {
        return Ok(Some((Parsed::Interim, used)));
    }
    let is_http_10 = answer.version == Some(0);
    let mut lines = HeaderLines::new(answer.headers.len());
    for line in &*answer.headers {
        lines.add(line)?;
    }
    lines
        .into_head(status, is_http_10, to_head_request)
        .map(|head| Some((Parsed::Final(head), used)))
}

/// The header lines, sorted into those for the caller and those that frame the answer.
struct HeaderLines {
    headers: HeaderMap,
    length: Option<u64>,
    codings: usize,
    chunked: bool,
    close: bool,
    keep_alive: bool,
    /// The values of `Connection`, which names headers that concern this connection alone.
    connection: Vec<HeaderValue>,
}

impl HeaderLines {
    fn new(count: usize) -> Self {
        Self {
            headers: HeaderMap::with_capacity(count),
            length: None,
            codings: 0,
            chunked: false,
            close: false,
            keep_alive: false,
            connection: Vec::new(),
        }
    }

    fn add(&mut self, line: &httparse::Header<'_>) -> Result<(), Malformed> {
        // They speak of the server and not of its answer, which whoever passes it on dates anew.
        if line.name.eq_ignore_ascii_case("date") || line.name.eq_ignore_ascii_case("server") {
            return Ok(());
        }
        let name = HeaderName::from_bytes(line.name.as_bytes())
            .map_err(|_| Malformed::Head(httparse::Error::HeaderName))?;
        match name {
            header::CONTENT_LENGTH => {
                let length = content_length(line.value).ok_or(Malformed::ContentLength)?;
                if self.length.is_some_and(|other| other != length) {
                    return Err(Malformed::ContentLength);
                }
                self.length = Some(length);
            }
            header::TRANSFER_ENCODING => {
                self.codings += 1;
                self.chunked = line.value.trim_ascii().eq_ignore_ascii_case(b"chunked");
            }
            header::CONNECTION => {
                let mut names_headers = false;
                for option in options(line.value) {
                    let (close, keep_alive) = (
                        option.eq_ignore_ascii_case(b"close"),
                        option.eq_ignore_ascii_case(b"keep-alive"),
                    );
                    self.close |= close;
                    self.keep_alive |= keep_alive;
                    names_headers |= !close && !keep_alive;
                }
                if names_headers {
                    self.connection.push(header_value(line.value)?);
                }
            }
            header::TE | header::TRAILER | header::UPGRADE => {}
            name if matches!(name.as_str(), "keep-alive" | "proxy-connection") => {}
            name => {
                self.headers.append(name, header_value(line.value)?);
            }
        }
        Ok(())
    }

    /// Decides where the body ends, by RFC 9112, section 6.3, and refuses where it leaves a choice.
    fn into_head(
        mut self,
        status: StatusCode,
        is_http_10: bool,
        to_head_request: bool,
    ) -> Result<Head, Malformed> {
        for value in &self.connection {
            for option in options(value.as_bytes()) {
                if let Ok(name) = HeaderName::from_bytes(option) {
                    self.headers.remove(name);
                }
            }
        }
        let mut persistent = if is_http_10 { self.keep_alive && !self.close } else { !self.close };
        let no_content = status == StatusCode::NO_CONTENT;
        let framing = if to_head_request || no_content || status == StatusCode::NOT_MODIFIED {
            // A backend that announces a body where none can be may well send one; its bytes must
            // not become the answer to the next request.
            let announced = self.codings > 0 || self.length.is_some_and(|length| length > 0);
            persistent &= !(no_content && announced);
            Framing::Length(0)
        } else if self.codings > 0 {
            if self.length.is_some() {
                return Err(Malformed::TwoLengths);
            }
            if self.codings > 1 || !self.chunked || is_http_10 {
                return Err(Malformed::TransferCoding);
            }
            Framing::Chunked(chunked::Decoder::default())
        } else if let Some(length) = self.length {
            Framing::Length(length)
        } else {
            persistent = false;
            Framing::UntilClose
        };
        Ok(Head { status, headers: self.headers, framing, persistent })
    }
}

fn header_value(value: &[u8]) -> Result<HeaderValue, Malformed> {
    HeaderValue::from_bytes(value).map_err(|_| Malformed::Head(httparse::Error::HeaderValue))
}

/// Returns the members of a comma-separated list.
fn options(value: &[u8]) -> impl Iterator<Item = &[u8]> {
    value.split(|b| *b == b',').map(<[u8]>::trim_ascii).filter(|option| !option.is_empty())
}

/// Reads a length, or a list of the same length several times, as some proxies make it.
fn content_length(value: &[u8]) -> Option<u64> {
    let mut all = None;
    for member in value.split(|b| *b == b',') {
        let digits = member.trim_ascii();
        if digits.is_empty() {
            return None;
        }
        let mut length: u64 = 0;
        for digit in digits {
            if !digit.is_ascii_digit() {
                return None;
            }
            length = length.checked_mul(10)?.checked_add(u64::from(digit - b'0'))?;
        }
        if all.is_some_and(|other| other != length) {
            return None;
        }
        all = Some(length);
    }
    all
}

#[cfg(test)]
#[path = "head_tests.rs"]
mod tests;
