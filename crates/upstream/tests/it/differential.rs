//! The same bytes, read by hyper's client and by this one.
//!
//! Where both accept an answer they must agree on its status, headers and body. Where this client
//! is stricter or laxer on purpose, [`on_purpose`] says so and why; anything else fails.

use crate::answers;
use callsheet_upstream::{
    Malformed,
    replay::{End, Replayed, replay},
};
use http::{HeaderMap, HeaderName, StatusCode};
use http_body_util::{BodyExt, Empty};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

/// What hyper makes of an answer; `None` is an error, in the head or in the body.
type Read = Option<(StatusCode, HeaderMap, Vec<u8>)>;

async fn read_by_hyper(pieces: Vec<Vec<u8>>) -> Read {
    let (near, far) = tokio::io::duplex(1 << 20);
    let (mut sender, connection) =
        http1::handshake::<_, Empty<&[u8]>>(TokioIo::new(near)).await.unwrap();
    let serve = async move {
        // The request must have somewhere to go until the answer has been read.
        let (requests, mut answers) = tokio::io::split(far);
        for piece in pieces {
            // Hyper may have had enough.
            if answers.write_all(&piece).await.is_err() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(answers.shutdown().await);
        requests
    };
    let call = async move {
        let request = http::Request::get("/").header("host", "test").body(Empty::new()).unwrap();
        let answer = sender.send_request(request).await.ok()?;
        let (parts, body) = answer.into_parts();
        let body = body.collect().await.ok()?.to_bytes();
        Some((parts.status, parts.headers, body.to_vec()))
    };
    // In this order: an answer that came before the request was queued would be refused.
    let (read, _, _) = tokio::join!(call, connection, serve);
    read
}

fn read_by_us(wire: &[u8], cuts: &[usize]) -> (Read, Replayed) {
    let replayed = replay(false, 64 * 1024, answers::cut(wire, cuts));
    let read = match (&replayed.head, replayed.end) {
        (Some((status, headers)), End::Clean { .. }) => {
            Some((*status, headers.clone(), replayed.body.clone()))
        }
        _ => None,
    };
    (read, replayed)
}

/// Removes from hyper's headers what this client keeps to itself.
fn without_hop_by_hop(mut headers: HeaderMap) -> HeaderMap {
    let named: Vec<HeaderName> = headers
        .get_all("connection")
        .iter()
        .flat_map(|value| value.to_str().unwrap_or_default().split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let known = ["connection", "keep-alive", "proxy-connection", "te", "trailer"];
    for name in known.into_iter().chain(["transfer-encoding", "upgrade", "content-length"]) {
        headers.remove(name);
    }
    for name in named {
        headers.remove(name);
    }
    headers
}

/// Returns why the two differ on purpose, if they do.
fn on_purpose(ours: &Replayed, theirs: &Read, wire: &[u8]) -> Option<&'static str> {
    let lenient = String::from_utf8_lossy(wire).to_ascii_lowercase();
    match (ours.end, theirs) {
        // Two lengths are how one answer is made to look like two: hyper lets the coding win.
        (End::Malformed(Malformed::TwoLengths), Some(_)) => Some("both lengths"),
        // Hyper reads any coding whose last is not `chunked` until the close, and hands out what
        // it cannot decode; it also takes `gzip, chunked` for a body that is gzip.
        (End::Malformed(Malformed::TransferCoding), Some(_)) => Some("other codings"),
        // Hyper looks at a length only where it needs it; here a bad one is always refused, since
        // whoever else reads the answer may look.
        (End::Malformed(Malformed::ContentLength), Some((status, headers, _)))
            if matches!(status.as_u16(), 204 | 304)
                || headers.contains_key("transfer-encoding") =>
        {
            Some("a bad length that is not needed")
        }
        // Nobody here asks for an upgrade, so that one is an attack or a mistake.
        (End::Malformed(Malformed::Upgrade), Some(_)) => Some("upgrade"),
        // Trailers are dropped unread here, while hyper parses them for the caller.
        (End::Clean { .. }, None) if lenient.contains("broken trailer") => Some("trailers"),
        _ => None,
    }
}

fn check(wire: &[u8], cuts: &[usize]) -> Result<(), TestCaseError> {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let pieces = answers::cut(wire, cuts).into_iter().map(<[u8]>::to_vec).collect();
    let theirs = runtime.block_on(read_by_hyper(pieces));
    let (ours, replayed) = read_by_us(wire, cuts);
    let same = match (&ours, &theirs) {
        (None, None) => true,
        (Some((status, headers, body)), Some((their_status, their_headers, their_body))) => {
            status == their_status
                && *headers == without_hop_by_hop(their_headers.clone())
                && body == their_body
        }
        _ => false,
    };
    prop_assert!(
        same || on_purpose(&replayed, &theirs, wire).is_some(),
        "{}\nours: {:?}\ntheirs: {:?}",
        wire.escape_ascii(),
        replayed,
        theirs
    );
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn odd_answers_are_read_as_hyper_reads_them(
        wire in answers::answer(),
        cuts in answers::cuts(),
    ) {
        check(&wire, &cuts)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn chunked_answers_are_read_as_hyper_reads_them(
        (wire, _) in answers::chunked(),
        cuts in answers::cuts(),
    ) {
        check(&wire, &cuts)?;
    }
}

/// The comparison is worth something only if it sees both outcomes.
#[test]
fn hyper_reads_and_refuses_here() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let read = |wire: &[u8]| runtime.block_on(read_by_hyper(vec![wire.to_vec()]));
    let (status, _, body) = read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").unwrap();
    assert_eq!((status, &body[..]), (StatusCode::OK, &b"ok"[..]));
    assert!(read(b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\n\r\nok").is_none());
}
