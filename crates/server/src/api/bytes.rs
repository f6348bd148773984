//! Files as answers: a part at a time, and from the middle on where a reader lost the rest.

use axum::{
    body::Body,
    http::{HeaderMap, HeaderValue, StatusCode, header},
    response::Response,
};
use bytes::Bytes;
use callsheet_types::Digest;
use http_body::Frame;
use std::{
    fs::File,
    io::{self, Read, Seek, SeekFrom},
    pin::Pin,
    task::{Context, Poll},
};
use tokio::sync::mpsc;

/// How much is read at once.
const PART_BYTES: u64 = 256 << 10;

/// Parts that wait for a slow reader.
const MOST_WAITING: usize = 4;

/// Answers with a text, unless the reader has it already.
pub(super) fn of_text(headers: &HeaderMap, text: String) -> Response {
    let digest = Digest::of(text.as_bytes());
    let known = headers.get(header::IF_NONE_MATCH).and_then(|tag| tag.to_str().ok());
    if known.is_some_and(|known| known.contains(&digest.to_string())) {
        let mut response = answer(&digest, Body::empty());
        *response.status_mut() = StatusCode::NOT_MODIFIED;
        return response;
    }
    answer(&digest, Body::from(text))
}

/// Answers with a file, or with its end where that is asked for.
pub(super) fn of_file(headers: &HeaderMap, digest: &Digest, file: File, length: u64) -> Response {
    let start = start(headers, digest).filter(|start| *start > 0 && *start < length).unwrap_or(0);
    let (sender, receiver) = mpsc::channel(MOST_WAITING);
    // It ends when the reader goes away.
    tokio::task::spawn_blocking(move || {
        if let Err(error) = read(file, start, length, &sender) {
            let _ = sender.blocking_send(Err(error));
        }
    });
    let mut response = answer(digest, Body::new(Parts(receiver)));
    let headers = response.headers_mut();
    headers.insert(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length - start));
    if start > 0 {
        let range = format!("bytes {start}-{}/{length}", length - 1);
        if let Ok(range) = HeaderValue::from_str(&range) {
            headers.insert(header::CONTENT_RANGE, range);
        }
        *response.status_mut() = StatusCode::PARTIAL_CONTENT;
    }
    response
}

/// Returns where a reader wants to go on; who has the beginning of another file gets all of it.
fn start(headers: &HeaderMap, digest: &Digest) -> Option<u64> {
    let text = |name| headers.get(name)?.to_str().ok();
    if text(header::IF_RANGE).is_some_and(|tag| tag != format!("\"{digest}\"")) {
        return None;
    }
    text(header::RANGE)?.strip_prefix("bytes=")?.strip_suffix('-')?.parse().ok()
}

fn answer(digest: &Digest, body: Body) -> Response {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    if let Ok(etag) = HeaderValue::from_str(&format!("\"{digest}\"")) {
        headers.insert(header::ETAG, etag);
    }
    response
}

fn read(
    mut file: File,
    start: u64,
    length: u64,
    sender: &mpsc::Sender<io::Result<Bytes>>,
) -> io::Result<()> {
    file.seek(SeekFrom::Start(start))?;
    let mut left = length - start;
    while left > 0 {
        let mut part = Vec::new();
        (&mut file).take(left.min(PART_BYTES)).read_to_end(&mut part)?;
        if part.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        left -= part.len() as u64;
        if sender.blocking_send(Ok(part.into())).is_err() {
            break;
        }
    }
    Ok(())
}

struct Parts(mpsc::Receiver<io::Result<Bytes>>);

impl http_body::Body for Parts {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        self.0.poll_recv(cx).map(|part| part.map(|part| part.map(Frame::data)))
    }
}
