//! A small HTTP/1.1 client: one connection per request, strict about framing.

use std::io;
use std::net::SocketAddr;

use bytes::{Buf, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::within;

/// A complete answer.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    /// The body without its framing.
    pub body: Vec<u8>,
}

impl Reply {
    /// Returns the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// Returns the body as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }

    /// Returns the body as JSON.
    ///
    /// # Panics
    /// When it is none.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_slice(&self.body)
            .unwrap_or_else(|error| panic!("not JSON ({error}): {} {}", self.status, self.text()))
    }
}

/// Sends one request and reads the whole answer.
///
/// # Errors
/// When the connection fails or the answer is cut or malformed.
pub async fn request(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<Reply> {
    let mut answer = open(address, method, path, headers, body).await?;
    let mut body = Vec::new();
    while let Some(chunk) = answer.try_chunk().await? {
        body.extend_from_slice(&chunk);
    }
    Ok(Reply { status: answer.status, headers: std::mem::take(&mut answer.headers), body })
}

/// Sends one request and reads the head of its answer; the body is read piece by piece.
///
/// # Errors
/// When the connection fails or the head is malformed.
pub async fn open(
    address: SocketAddr,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> io::Result<StreamReply> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let mut head = format!("{method} {path} HTTP/1.1\r\nConnection: close\r\n");
    let mut line = |name: &str, value: &str| {
        head.push_str(name);
        head.push_str(": ");
        head.push_str(value);
        head.push_str("\r\n");
    };
    if find(headers, "host").is_none() {
        line("Host", &address.to_string());
    }
    if find(headers, "content-length").is_none() && (!body.is_empty() || method != "GET") {
        line("Content-Length", &body.len().to_string());
    }
    for (name, value) in headers {
        line(name, value);
    }
    head.push_str("\r\n");
    let mut bytes = head.into_bytes();
    bytes.extend_from_slice(body);
    // A server may refuse early and close; what it answered is worth more than the write error.
    let written = stream.write_all(&bytes).await;
    StreamReply::read(stream, method).await.map_err(|error| written.err().unwrap_or(error))
}

/// Sends these bytes, then reads until the server closes.
///
/// # Errors
/// When connecting fails; what was read before a reset is returned.
pub async fn raw(address: SocketAddr, bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer).await;
    Ok(answer)
}

/// An answer whose body is still coming; dropping it disconnects.
#[derive(Debug)]
pub struct StreamReply {
    /// The status code.
    pub status: u16,
    /// The headers in order, names as sent.
    pub headers: Vec<(String, String)>,
    stream: TcpStream,
    buffer: BytesMut,
    framing: Framing,
    events: Vec<u8>,
}

/// How much of the body is still to come.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
enum Framing {
    Length(usize),
    Chunked,
    UntilClose,
    Ended,
}

/// The rest of a stream.
#[derive(Clone, Debug)]
pub struct StreamEnd {
    /// The decoded bytes.
    pub body: Vec<u8>,
    /// Whether the framing ended as announced; false for a cut.
    pub is_clean: bool,
}

impl StreamEnd {
    /// Returns the bytes as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.body).into_owned()
    }
}

impl StreamReply {
    async fn read(mut stream: TcpStream, method: &str) -> io::Result<Self> {
        let mut buffer = BytesMut::new();
        let head_end = loop {
            if let Some(end) = position(&buffer, b"\r\n\r\n") {
                break end;
            }
            if stream.read_buf(&mut buffer).await? == 0 {
                return Err(cut("in the head of an answer"));
            }
        };
        let head = buffer.split_to(head_end + 4);
        let head = String::from_utf8_lossy(&head[..head_end]).into_owned();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .and_then(|line| line.strip_prefix("HTTP/1.1 "))
            .and_then(|rest| rest.get(..3))
            .and_then(|code| code.parse().ok())
            .ok_or_else(|| invalid(format!("not a status line: {head}")))?;
        let headers: Vec<(String, String)> = lines
            .filter_map(|line| line.split_once(':'))
            .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
            .collect();
        let framing = if method == "HEAD" || status == 204 || status == 304 {
            Framing::Ended
        } else if let Some(coding) = find_header(&headers, "transfer-encoding") {
            if coding != "chunked" {
                return Err(invalid(format!("transfer coding {coding}")));
            }
            Framing::Chunked
        } else if let Some(length) = find_header(&headers, "content-length") {
            Framing::Length(length.parse().map_err(|_| invalid(format!("length {length}")))?)
        } else {
            Framing::UntilClose
        };
        Ok(Self { status, headers, stream, buffer, framing, events: Vec::new() })
    }

    /// Returns the first header of this name, whatever its case.
    pub fn header(&self, name: &str) -> Option<&str> {
        find_header(&self.headers, name)
    }

    /// Returns the next piece of the body as it came: an HTTP chunk, or what one read gave.
    ///
    /// # Errors
    /// When the connection is cut before the announced end.
    pub async fn try_chunk(&mut self) -> io::Result<Option<Vec<u8>>> {
        match self.framing {
            Framing::Ended | Framing::Length(0) => Ok(None),
            Framing::Length(left) => {
                if self.buffer.is_empty() && self.stream.read_buf(&mut self.buffer).await? == 0 {
                    return Err(cut("in a body of known length"));
                }
                let piece = self.buffer.split_to(left.min(self.buffer.len()));
                self.framing = Framing::Length(left - piece.len());
                Ok(Some(piece.to_vec()))
            }
            Framing::UntilClose => {
                if self.buffer.is_empty() && self.stream.read_buf(&mut self.buffer).await? == 0 {
                    self.framing = Framing::Ended;
                    return Ok(None);
                }
                Ok(Some(self.buffer.split().to_vec()))
            }
            Framing::Chunked => {
                let line = self.line().await?;
                let size = usize::from_str_radix(line.split(';').next().unwrap_or("").trim(), 16)
                    .map_err(|_| invalid(format!("chunk size {line:?}")))?;
                if size == 0 {
                    while !self.line().await?.is_empty() {}
                    self.framing = Framing::Ended;
                    return Ok(None);
                }
                while self.buffer.len() < size + 2 {
                    self.more().await?;
                }
                let chunk = self.buffer.split_to(size).to_vec();
                if &self.buffer[..2] != b"\r\n" {
                    return Err(invalid("a chunk longer than it said".to_owned()));
                }
                self.buffer.advance(2);
                Ok(Some(chunk))
            }
        }
    }

    /// Returns the next server-sent event without its blank line; `None` after the clean end.
    ///
    /// # Errors
    /// When the stream is cut, or ends within an event.
    pub async fn try_event(&mut self) -> io::Result<Option<String>> {
        loop {
            if let Some(end) = position(&self.events, b"\n\n") {
                let rest = self.events.split_off(end + 2);
                let event = std::mem::replace(&mut self.events, rest);
                return Ok(Some(String::from_utf8_lossy(&event[..end]).into_owned()));
            }
            match self.try_chunk().await? {
                Some(chunk) => self.events.extend_from_slice(&chunk),
                None if self.events.is_empty() => return Ok(None),
                None => return Err(cut("within an event")),
            }
        }
    }

    /// Returns [`StreamReply::try_event`] of a stream that must not be cut.
    ///
    /// # Panics
    /// When it is cut, or nothing comes within [`crate::PATIENCE`].
    pub async fn next_event(&mut self) -> Option<String> {
        within("the next event", self.try_event()).await.expect("an event or the clean end")
    }

    /// Reads the rest, cut or not.
    ///
    /// # Panics
    /// When nothing comes for [`crate::PATIENCE`].
    pub async fn rest(mut self) -> StreamEnd {
        let mut body = std::mem::take(&mut self.events);
        loop {
            match within("the rest of a stream", self.try_chunk()).await {
                Ok(Some(chunk)) => body.extend_from_slice(&chunk),
                Ok(None) => return StreamEnd { body, is_clean: true },
                Err(_) => return StreamEnd { body, is_clean: false },
            }
        }
    }

    async fn line(&mut self) -> io::Result<String> {
        loop {
            if let Some(end) = position(&self.buffer, b"\r\n") {
                let line = self.buffer.split_to(end + 2);
                return Ok(String::from_utf8_lossy(&line[..end]).into_owned());
            }
            self.more().await?;
        }
    }

    async fn more(&mut self) -> io::Result<()> {
        match self.stream.read_buf(&mut self.buffer).await? {
            0 => Err(cut("in a chunked body")),
            _ => Ok(()),
        }
    }
}

fn find<'a>(headers: &[(&str, &'a str)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| *value)
}

fn find_header<'a>(headers: &'a [(String, String)], name: &str) -> Option<&'a str> {
    headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, value)| value.as_str())
}

fn position(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).position(|window| window == needle)
}

fn cut(place: &str) -> io::Error {
    io::Error::new(io::ErrorKind::UnexpectedEof, format!("cut {place}"))
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
