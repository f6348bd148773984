//! Answers, sound and odd, for the tests that do not mind which.

use proptest::{prelude::*, sample::select};

/// Header lines that decide where a body ends, and others that should not.
const LINES: &[&str] = &[
    "Content-Length: 5\r\n",
    "Content-Length: 5\r\n",
    "content-length: 0\r\n",
    "Content-Length: 005\r\n",
    "Content-Length: 5, 5\r\n",
    "Content-Length: 6\r\n",
    "Content-Length: +5\r\n",
    "Content-Length: 5 5\r\n",
    "Content-Length:\r\n",
    "Content-Length: 99999999999999999999\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Transfer-Encoding: chunked\r\n",
    "transfer-encoding: Chunked \r\n",
    "Transfer-Encoding: gzip, chunked\r\n",
    "Transfer-Encoding: chunked, gzip\r\n",
    "Transfer-Encoding: identity\r\n",
    "Transfer-Encoding: xchunked\r\n",
    "Connection: close\r\n",
    "Connection: keep-alive\r\n",
    "Connection: x-named, keep-alive\r\n",
    "X-Named: 1\r\n",
    "Keep-Alive: timeout=5\r\n",
    "Upgrade: h2c\r\n",
    "Trailer: x-sum\r\n",
    "Content-Type: text/event-stream\r\n",
    "Set-Cookie: a=b\r\nSet-Cookie: c=d\r\n",
    "X-Bare: line feed\n",
    "X-Tab:\tvalue\t\r\n",
    "X-Empty:\r\n",
    "X-Latin: caf\u{e9}\r\n",
    "X-Fold: a\r\n b\r\n",
    "X-Space : a\r\n",
    " X-Indent: a\r\n",
    "no colon\r\n",
    "X-Nul: a\0b\r\n",
    "X-Cr: a\rb\r\n",
];

const STATUS_LINES: &[&str] = &[
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200 OK\r\n",
    "HTTP/1.1 200\r\n",
    "HTTP/1.1 200 \r\n",
    "HTTP/1.1 200 OK\n",
    "\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.0 200 OK\r\n",
    "HTTP/1.1 204 No Content\r\n",
    "HTTP/1.1 304 Not Modified\r\n",
    "HTTP/1.1 404 Not Found\r\n",
    "HTTP/1.1 999 Odd\r\n",
    "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n",
    "HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 201 Created\r\n",
    "HTTP/1.1 101 Switching Protocols\r\n",
    "HTTP/1.1 20 OK\r\n",
    "HTTP/1.1  200 OK\r\n",
    "HTTP/2.0 200 OK\r\n",
    "ICY 200 OK\r\n",
];

const BODIES: &[&str] = &[
    "hello",
    "hello",
    "",
    "hell",
    "hello, and more",
    "5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\n",
    "2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n",
    "A\r\n0123456789\r\na\r\n0123456789\r\n0\r\n\r\n",
    "005\r\nhello\r\n000\r\n\r\n",
    "5;name=value\r\nhello\r\n0;last\r\n\r\n",
    "5 \t;name\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nX-Sum: 1\r\nX-More: 2\r\n\r\n",
    "5\r\nhello\r\n0\r\nbroken trailer\r\n\r\n",
    "5\r\nhello\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n\r\n",
    "5\r\nhello\r\n0\r\n",
    "5\r\nhello\r\n",
    "5\r\nhel",
    "5\nhello\n0\n\n",
    "5\r\nhello0\r\n\r\n",
    "5\r\nhello\n0\r\n\r\n",
    "6\r\nhello\r\n0\r\n\r\n",
    "0x5\r\nhello\r\n0\r\n\r\n",
    "-5\r\nhello\r\n0\r\n\r\n",
    " 5\r\nhello\r\n0\r\n\r\n",
    "5 5\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n\r\n\r\n",
    "fffffffffffffffff\r\nhello",
    "ffffffffffffffff\r\nhello",
    "00000000000000000000005\r\nhello\r\n0\r\n\r\n",
    "5;a\rb\r\nhello\r\n0\r\n\r\n",
    "5;a\nb\r\nhello\r\n0\r\n\r\n",
    "5\r\nhello\r\n0\r\nx: y\n\r\n",
    "5\r\nhello\r\n0\r\n\n",
];

/// An answer put together from odd parts.
pub(crate) fn answer() -> impl Strategy<Value = Vec<u8>> {
    (
        select(STATUS_LINES),
        proptest::collection::vec(select(LINES), 0..4),
        prop_oneof![9 => Just("\r\n"), 1 => Just("\n")],
        select(BODIES),
    )
        .prop_map(|(status_line, lines, end, body)| {
            // Latin-1, so that a header value can hold a byte that is no UTF-8.
            [status_line, &lines.concat(), end, body]
                .concat()
                .chars()
                .map(|c| u8::try_from(u32::from(c)).unwrap())
                .collect()
        })
}

/// An answer with a long chunked body of chunks of all sizes, and that body.
pub(crate) fn chunked() -> impl Strategy<Value = (Vec<u8>, Vec<u8>)> {
    proptest::collection::vec((1_usize..3000, any::<u8>()), 0..20).prop_map(|chunks| {
        let mut wire = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
        let mut body = Vec::new();
        for (size, fill) in chunks {
            wire.extend_from_slice(format!("{size:x}\r\n").as_bytes());
            wire.extend(std::iter::repeat_n(fill, size));
            wire.extend_from_slice(b"\r\n");
            body.extend(std::iter::repeat_n(fill, size));
        }
        wire.extend_from_slice(b"0\r\n\r\n");
        (wire, body)
    })
}

/// Cuts bytes into reads at the given places, taken modulo the length.
pub(crate) fn cut<'a>(bytes: &'a [u8], cuts: &[usize]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = cuts.iter().map(|cut| cut % (bytes.len() + 1)).collect();
    places.extend([0, bytes.len()]);
    places.sort_unstable();
    places.windows(2).map(|pair| &bytes[pair[0]..pair[1]]).collect()
}

/// Places to cut at.
pub(crate) fn cuts() -> impl Strategy<Value = Vec<usize>> {
    proptest::collection::vec(any::<usize>(), 0..12)
}
