use bytes::Bytes;
use http::{HeaderName, HeaderValue};
use std::io::Write;

/// A request, written down once and sent as often as needed.
#[derive(Clone)]
pub struct Request {
    /// Request line and headers, without the line that ends them.
    head: Vec<u8>,
    body: [Bytes; 3],
}

impl Request {
    /// Begins a request with its request line and `Host`.
    ///
    /// A byte of `path` that cannot stand in a request line is percent-encoded, one of the others
    /// that cannot stand is left out; both are faults of the caller that debug builds refuse.
    pub fn new(method: &str, path: &str, authority: &str) -> Self {
        debug_assert!(!method.is_empty() && method.bytes().all(is_token), "method {method:?}");
        debug_assert!(path.starts_with('/') && path.bytes().all(is_visible), "path {path:?}");
        debug_assert!(authority.bytes().all(is_visible), "authority {authority:?}");
        let mut head = Vec::with_capacity(512);
        head.extend(method.bytes().filter(|b| is_token(*b)));
        head.push(b' ');
        for byte in path.bytes() {
            if is_visible(byte) {
                head.push(byte);
            } else {
                head.extend_from_slice(&[b'%', hex(byte >> 4), hex(byte & 15)]);
            }
        }
        head.extend_from_slice(b" HTTP/1.1\r\nhost: ");
        head.extend(authority.bytes().filter(|b| is_visible(*b)));
        head.extend_from_slice(b"\r\n");
        Self { head, body: [const { Bytes::new() }; 3] }
    }

    /// Begins a request as another one begins: with its request line and its headers so far.
    pub fn like(beginning: &Self) -> Self {
        let mut head = Vec::with_capacity(beginning.head.len() + 512);
        head.extend_from_slice(&beginning.head);
        Self { head, body: [const { Bytes::new() }; 3] }
    }

    /// Adds a header; see [`Headers::add`].
    pub fn header(&mut self, name: &str, value: &[u8]) {
        add(&mut self.head, name, value);
    }

    /// Adds headers that were written before.
    pub fn headers(&mut self, headers: &Headers) {
        self.head.extend_from_slice(&headers.0);
    }

    /// Sets the body: up to three segments that are sent one after the other and never copied.
    pub fn body(&mut self, segments: [Bytes; 3]) {
        self.body = segments;
    }

    /// Returns whether the answer will have no body whatever its headers say.
    pub(crate) fn is_head(&self) -> bool {
        self.head.starts_with(b"HEAD ")
    }

    /// Returns everything that goes over the wire, in order, given room for the head's end.
    pub(crate) fn wire<'a>(&'a self, head_end: &'a mut HeadEnd) -> [&'a [u8]; 5] {
        let length: u64 = self.body.iter().map(|segment| segment.len() as u64).sum();
        let expects_body = !self.head.starts_with(b"GET ") && !self.is_head();
        let end =
            if length > 0 || expects_body { head_end.with_content_length(length) } else { b"\r\n" };
        [&self.head, end, &self.body[0], &self.body[1], &self.body[2]]
    }
}

/// Headers, written down once and sent with as many requests as needed.
#[derive(Clone, Default)]
pub struct Headers(Vec<u8>);

impl Headers {
    /// No headers, with room for so many bytes.
    pub fn with_capacity(bytes: usize) -> Self {
        Self(Vec::with_capacity(bytes))
    }

    /// Adds a header.
    ///
    /// A name that is no token, a value with CR, LF or NUL, and the headers that frame the request
    /// (`Host`, `Content-Length`, `Transfer-Encoding`, which are the request's own business) are
    /// left out, since they could make one request look like two; debug builds refuse them.
    pub fn add(&mut self, name: &str, value: &[u8]) {
        add(&mut self.0, name, value);
    }

    /// Adds a header whose types show already that it is sound; it must not be one that frames the
    /// request.
    pub fn add_parsed(&mut self, name: &HeaderName, value: &HeaderValue) {
        debug_assert!(!FRAMING.contains(&name.as_str()), "header {name:?}");
        line(&mut self.0, name.as_str(), value.as_bytes());
    }
}

/// The headers that say where a request ends, or whose it is.
const FRAMING: [&str; 3] = ["host", "content-length", "transfer-encoding"];

fn add(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    let sound = !name.is_empty()
        && name.bytes().all(is_token)
        && !value.iter().any(|b| matches!(b, b'\r' | b'\n' | 0))
        && !FRAMING.iter().any(|framing| name.eq_ignore_ascii_case(framing));
    debug_assert!(sound, "header {name:?}");
    if sound {
        line(head, name, value);
    }
}

fn line(head: &mut Vec<u8>, name: &str, value: &[u8]) {
    head.reserve(name.len() + value.len() + 4);
    head.extend_from_slice(name.as_bytes());
    head.extend_from_slice(b": ");
    head.extend_from_slice(value);
    head.extend_from_slice(b"\r\n");
}

impl std::fmt::Debug for Headers {
    /// Shows how long they are alone, since they may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Headers({} bytes)", self.0.len())
    }
}

impl std::fmt::Debug for Request {
    /// Shows the request line alone, since headers may hold keys.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let line = self.head.split(|b| *b == b'\r').next().unwrap_or_default();
        write!(f, "Request({})", line.escape_ascii())
    }
}

/// Room for `Content-Length` and the empty line after it.
pub(crate) struct HeadEnd([u8; 40]);

impl HeadEnd {
    pub(crate) fn new() -> Self {
        Self([0; 40])
    }

    fn with_content_length(&mut self, length: u64) -> &[u8] {
        let room = self.0.len();
        let mut rest = &mut self.0[..];
        // The longest number has 20 digits and leaves room.
        let written = write!(rest, "content-length: {length}\r\n\r\n");
        debug_assert!(written.is_ok());
        let used = room - rest.len();
        &self.0[..used]
    }
}

fn hex(nibble: u8) -> u8 {
    b"0123456789ABCDEF"[usize::from(nibble)]
}

fn is_visible(byte: u8) -> bool {
    (0x21..0x7f).contains(&byte)
}

fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wire(request: &Request) -> String {
        let mut end = HeadEnd::new();
        String::from_utf8(request.wire(&mut end).concat()).unwrap()
    }

    #[test]
    fn content_length_is_there_when_a_body_is_or_could_be() {
        for (method, body, expected) in [
            ("GET", "", "GET /p HTTP/1.1\r\nhost: h:1\r\n\r\n"),
            ("HEAD", "", "HEAD /p HTTP/1.1\r\nhost: h:1\r\n\r\n"),
            ("GET", "x", "GET /p HTTP/1.1\r\nhost: h:1\r\ncontent-length: 3\r\n\r\n<x>"),
            ("POST", "", "POST /p HTTP/1.1\r\nhost: h:1\r\ncontent-length: 0\r\n\r\n"),
            ("POST", "abc", "POST /p HTTP/1.1\r\nhost: h:1\r\ncontent-length: 5\r\n\r\n<abc>"),
        ] {
            let mut request = Request::new(method, "/p", "h:1");
            if !body.is_empty() {
                request.body(["<".into(), Bytes::copy_from_slice(body.as_bytes()), ">".into()]);
            }
            assert_eq!(wire(&request), expected);
        }
        let mut end = HeadEnd::new();
        assert!(end.with_content_length(u64::MAX).ends_with(b"18446744073709551615\r\n\r\n"));
    }

    #[test]
    fn debug_shows_no_header() {
        let mut request = Request::new("GET", "/p", "h");
        request.header("authorization", b"Bearer hunter2");
        assert!(wire(&request).contains("authorization: Bearer hunter2\r\n\r\n"));
        assert_eq!(format!("{request:?}"), "Request(GET /p HTTP/1.1)");
    }

    #[test]
    fn what_could_split_a_request_is_refused() {
        for (name, value) in [
            ("x", "a\r\nb: c"),
            ("x", "a\nb"),
            ("x", "a\0"),
            ("x y", "a"),
            ("x:", "a"),
            ("", "a"),
            ("Content-Length", "1"),
            ("transfer-encoding", "chunked"),
            ("Host", "other"),
        ] {
            let mut request = Request::new("GET", "/p", "h");
            let before = wire(&request);
            let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
                request.header(name, value.as_bytes());
            }));
            assert_eq!(outcome.is_err(), cfg!(debug_assertions), "{name:?}: {value:?}");
            assert_eq!(wire(&request), before, "{name:?}: {value:?}");
        }
    }
}
