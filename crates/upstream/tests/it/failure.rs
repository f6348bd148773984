//! What a caller learns when a backend fails.

use crate::backend::{Backend, PATIENCE, fetch, get, patient, post};
use callsheet_types::BackendUrl;
use callsheet_upstream::{BodyError, Deadlines, Malformed, Options, SendError, Upstream};
use std::time::Duration;
use tokio::time::Instant;

#[tokio::test]
async fn a_refused_connection_was_not_served() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    drop(backend);
    let error = upstream.send(&get(), patient()).await.unwrap_err();
    assert!(matches!(error, SendError::Connect(_)), "{error:?}");
    assert!(!error.may_have_been_served());
}

#[tokio::test]
async fn ipv6_addresses_work() {
    // A machine without IPv6 has nothing to show here.
    let Some(backend) = Backend::on_ipv6().await else { return };
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    };
    let request = get();
    let (body, ()) = tokio::join!(fetch(&upstream, &request), serve);
    assert_eq!(body.unwrap(), "ok");
}

#[tokio::test]
async fn names_are_resolved() {
    let backend = Backend::start().await;
    let url = backend.url("http").to_string().replace("127.0.0.1", "localhost");
    let upstream = Upstream::new(&BackendUrl::new(&url).unwrap(), Options::default()).unwrap();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    };
    let request = get();
    let (body, ()) = tokio::join!(fetch(&upstream, &request), serve);
    assert_eq!(body.unwrap(), "ok");
}

#[tokio::test]
async fn a_head_that_does_not_come_in_time_is_given_up() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\ncontent-le").await;
        peer.closed().await;
    };
    let soon = Deadlines { head: Instant::now() + Duration::from_millis(50), ..patient() };
    let request = get();
    let (outcome, ()) = tokio::join!(upstream.send(&request, soon), serve);
    let error = outcome.unwrap_err();
    assert!(matches!(error, SendError::HeadTimeout), "{error:?}");
    assert!(error.may_have_been_served());
}

#[tokio::test]
async fn an_endless_head_is_refused() {
    for line in
        ["x: yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", "HTTP/1.1 100 Continue\r\n\r\n", "\r\n"]
    {
        let backend = Backend::start().await;
        let upstream = backend.upstream();
        let serve = async {
            let mut peer = backend.accept().await;
            peer.request().await.unwrap();
            if line.starts_with('x') {
                peer.send("HTTP/1.1 200 OK\r\n").await;
            }
            for _ in 0..100_000 / line.len() {
                peer.send(line).await;
            }
        };
        let request = get();
        let (outcome, ()) = tokio::join!(upstream.send(&request, patient()), serve);
        match outcome.unwrap_err() {
            SendError::HeadTooLarge => assert!(!line.starts_with("HTTP")),
            SendError::Malformed(Malformed::TooManyInterim) => assert!(line.starts_with("HTTP")),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn what_is_no_http_is_refused() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("SSH-2.0-OpenSSH_9.6\r\n").await;
        peer.closed().await;
    };
    let request = get();
    let (outcome, ()) = tokio::join!(upstream.send(&request, patient()), serve);
    let error = outcome.unwrap_err();
    assert!(matches!(error, SendError::Malformed(Malformed::Head(_))), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_ends_within_the_head_is_closed_not_stale() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n").await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 2").await;
    };
    let call = async {
        fetch(&upstream, &get()).await.unwrap();
        // The backend had begun to answer, so that trying again is not this crate's to decide.
        upstream.send(&get(), patient()).await.unwrap_err()
    };
    let ((), error) = tokio::join!(serve, call);
    assert!(matches!(error, SendError::Closed { sent: true, .. }), "{error:?}");
}

/// Reads an answer whose backend then closes or resets; returns what came of it and the end.
async fn body_of(answer: &str, reset: bool) -> (Vec<u8>, Option<BodyError>) {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let (answered, has_read) = (tokio::sync::Notify::new(), tokio::sync::Notify::new());
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send(answer).await;
        answered.notify_one();
        has_read.notified().await;
        if reset {
            peer.reset();
        }
    };
    let call = async {
        let mut answer = upstream.send(&get(), patient()).await.unwrap();
        answered.notified().await;
        let mut body = Vec::new();
        if let Some(Ok(data)) = answer.body.data().await {
            body.extend_from_slice(&data);
        }
        has_read.notify_one();
        let error = loop {
            match answer.body.data().await {
                Some(Ok(data)) => body.extend_from_slice(&data),
                Some(Err(error)) => break Some(error),
                None => break None,
            }
        };
        assert!(answer.body.data().await.is_none());
        assert!(answer.body.is_end());
        assert_eq!(upstream.idle_count(), 0);
        (body, error)
    };
    let ((), outcome) = tokio::time::timeout(PATIENCE, async { tokio::join!(serve, call) })
        .await
        .expect("the body has no end");
    outcome
}

#[tokio::test]
async fn a_cut_body_is_not_a_clean_end() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nabc",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nabc",
    ] {
        for reset in [false, true] {
            let (body, error) = body_of(answer, reset).await;
            assert_eq!(body, b"abc");
            assert!(matches!(error, Some(BodyError::Cut(_))), "{answer:?} {reset}: {error:?}");
        }
    }
}

#[tokio::test]
async fn a_close_is_the_end_only_where_no_length_was_given() {
    let answer = "HTTP/1.1 200 OK\r\n\r\nabc";
    let (body, error) = body_of(answer, false).await;
    assert_eq!(body, b"abc");
    assert!(error.is_none(), "{error:?}");
    let (_, error) = body_of(answer, true).await;
    assert!(matches!(error, Some(BodyError::Cut(_))), "{error:?}");
}

#[tokio::test]
async fn a_broken_chunk_ends_the_body_with_its_reason() {
    let answer = "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n";
    let (body, error) = body_of(answer, false).await;
    assert_eq!(body, b"abc");
    assert!(matches!(error, Some(BodyError::Malformed(Malformed::ChunkSize))), "{error:?}");
}

#[tokio::test]
async fn a_body_over_the_limit_is_not_collected() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 11\r\n\r\nhello world",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nb\r\nhello world\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\n\r\nhello world",
    ] {
        for (limit, fits) in [(11, true), (10, false)] {
            let backend = Backend::start().await;
            let upstream = backend.upstream();
            let serve = async {
                let mut peer = backend.accept().await;
                peer.request().await.unwrap();
                peer.send(answer).await;
            };
            let call = async {
                upstream.send(&post("x"), patient()).await.unwrap().body.collect(limit).await
            };
            let ((), outcome) = tokio::join!(serve, call);
            match outcome {
                Ok(body) => assert!(fits && body == "hello world"),
                Err(error) => {
                    assert!(!fits && matches!(error, BodyError::TooLarge), "{error:?}");
                }
            }
        }
    }
}
