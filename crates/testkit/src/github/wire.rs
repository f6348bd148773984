//! Requests and answers as bytes on a connection.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};

use crate::Gate;

const MAX_HEAD_BYTES: usize = 256 * 1024;
/// Answers up to this length are one write with their head.
const SMALL_BYTES: usize = 16 * 1024;
/// No chunk is longer.
const CHUNK_BYTES: usize = 64 * 1024;

/// A request without its body, which nothing here looks at.
pub(super) struct Head {
    pub(super) method: String,
    pub(super) target: String,
    pub(super) headers: Vec<(String, String)>,
    pub(super) is_last: bool,
}

/// Reads the next request; `None` when the peer closed between two requests.
pub(super) async fn read<S: AsyncRead + Unpin>(
    stream: &mut S,
    buffer: &mut BytesMut,
) -> io::Result<Option<Head>> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        if buffer.len() > MAX_HEAD_BYTES {
            return Err(invalid("a request head without end"));
        }
        if stream.read_buf(buffer).await? == 0 {
            return if buffer.is_empty() { Ok(None) } else { Err(invalid("a cut request head")) };
        }
    };
    let head = buffer.split_to(end + 4);
    let head = std::str::from_utf8(&head[..end]).map_err(|_| invalid("a head not in UTF-8"))?;
    let mut lines = head.split("\r\n");
    let mut first = lines.next().unwrap_or_default().split(' ');
    let (Some(method), Some(target), Some(version @ ("HTTP/1.1" | "HTTP/1.0"))) =
        (first.next(), first.next(), first.next())
    else {
        return Err(invalid("a request line that is none"));
    };
    let headers: Vec<_> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_owned(), value.trim().to_owned()))
        .collect();
    let find = |wanted: &str| {
        headers.iter().find(|(name, _)| name.eq_ignore_ascii_case(wanted)).map(|(_, value)| value)
    };
    let closes = find("connection").is_some_and(|value| value.eq_ignore_ascii_case("close"));
    let has_body = find("transfer-encoding").is_some()
        || find("content-length").is_some_and(|length| length != "0");
    // What follows a request with a body would be taken for the next one.
    let is_last = closes || has_body || version == "HTTP/1.0";
    Ok(Some(Head { method: method.to_owned(), target: target.to_owned(), headers, is_last }))
}

/// An answer that only needs to be written.
pub(super) struct Wire {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Bytes,
    /// Whether the length is left unsaid.
    pub(super) is_chunked: bool,
    /// Whether only the head is sent.
    pub(super) is_head_only: bool,
    pub(super) is_last: bool,
    pub(super) pace: Pace,
}

/// How a body is written.
pub(super) enum Pace {
    Whole,
    Truncated(usize),
    Stalled(usize, Gate),
    Endless,
}

/// What becomes of the connection after an answer.
#[derive(Clone, Copy)]
pub(super) enum After {
    Keep,
    Close,
    /// It ends in the middle.
    Cut,
}

/// Writes an answer. `on_stall` is called when a pause begins.
pub(super) async fn write<S: AsyncRead + AsyncWrite + Unpin>(
    stream: &mut S,
    wire: Wire,
    on_stall: impl Fn(),
) -> io::Result<After> {
    let after = if wire.is_last { After::Close } else { After::Keep };
    let is_bodiless = matches!(wire.status, 204 | 304);
    let is_chunked = !is_bodiless && (wire.is_chunked || matches!(wire.pace, Pace::Endless));
    let mut head = format!("HTTP/1.1 {} {}\r\n", wire.status, reason(wire.status));
    for (name, value) in &wire.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if is_chunked {
        head.push_str("Transfer-Encoding: chunked\r\n");
    } else if !is_bodiless {
        head.push_str(&format!("Content-Length: {}\r\n", wire.body.len()));
    }
    if wire.is_last {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    let mut out = Out { stream, pending: head.into_bytes(), is_chunked };
    if is_bodiless || wire.is_head_only {
        out.flush().await?;
        return Ok(after);
    }
    match wire.pace {
        Pace::Whole => out.send(&wire.body).await?,
        Pace::Truncated(length) => {
            out.send(&wire.body[..length.min(wire.body.len())]).await?;
            out.flush().await?;
            return Ok(After::Cut);
        }
        Pace::Stalled(length, until) => {
            let length = length.min(wire.body.len());
            out.send(&wire.body[..length]).await?;
            out.flush().await?;
            on_stall();
            let mut rest = BytesMut::new();
            tokio::select! {
                () = until.passed() => {}
                // Nothing is asked before the answer is complete, so that this is the peer's end.
                _ = out.stream.read_buf(&mut rest) => return Ok(After::Cut),
            }
            out.send(&wire.body[length..]).await?;
        }
        Pace::Endless => loop {
            out.send(&[b'x'; SMALL_BYTES]).await?;
            out.flush().await?;
        },
    }
    if is_chunked {
        out.pending.extend_from_slice(b"0\r\n\r\n");
    }
    out.flush().await?;
    Ok(after)
}

/// Gathers what is short, and frames it.
struct Out<'a, S> {
    stream: &'a mut S,
    pending: Vec<u8>,
    is_chunked: bool,
}

impl<S: AsyncWrite + Unpin> Out<'_, S> {
    async fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        if !self.is_chunked {
            return self.add(bytes).await;
        }
        for chunk in bytes.chunks(CHUNK_BYTES) {
            self.pending.extend_from_slice(format!("{:x}\r\n", chunk.len()).as_bytes());
            self.add(chunk).await?;
            self.pending.extend_from_slice(b"\r\n");
        }
        Ok(())
    }

    async fn add(&mut self, bytes: &[u8]) -> io::Result<()> {
        if bytes.len() <= SMALL_BYTES {
            self.pending.extend_from_slice(bytes);
            return Ok(());
        }
        self.flush().await?;
        self.stream.write_all(bytes).await
    }

    async fn flush(&mut self) -> io::Result<()> {
        self.stream.write_all(&self.pending).await?;
        self.pending.clear();
        self.stream.flush().await
    }
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        206 => "Partial Content",
        302 => "Found",
        304 => "Not Modified",
        403 => "Forbidden",
        404 => "Not Found",
        409 => "Conflict",
        405 => "Method Not Allowed",
        416 => "Range Not Satisfiable",
        422 => "Unprocessable Entity",
        429 => "Too Many Requests",
        _ => "Status",
    }
}

fn invalid(what: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}
