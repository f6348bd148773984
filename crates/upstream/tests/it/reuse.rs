//! Which connections carry another request.

use crate::backend::{Backend, PATIENCE, before_sent, fetch, get, patient, post, settle};
use callsheet_upstream::{Options, SendError};
use std::{sync::Arc, time::Duration};
use tokio::{task::JoinSet, time::timeout};

const OK: &str = "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let answers = [
        OK,
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n1\r\no\r\n1\r\nk\r\n0\r\n\r\n",
        "HTTP/1.1 204 No Content\r\n\r\n",
        "HTTP/1.1 304 Not Modified\r\ncontent-length: 10\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive\r\n\r\nok",
    ];
    let serve = async {
        let mut peer = backend.accept().await;
        for answer in answers.repeat(5) {
            peer.request().await.expect("a request on the same connection");
            peer.send(answer).await;
        }
    };
    let call = async {
        for index in 0..answers.len() * 5 {
            fetch(&upstream, &post(format!("{index}"))).await.unwrap();
            assert_eq!(upstream.idle_count(), 1);
        }
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn an_answer_to_head_leaves_the_connection_usable() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        for _ in 0..2 {
            let received = peer.request().await.unwrap();
            assert!(received.head.starts_with("HEAD /x HTTP/1.1\r\nhost: test\r\n\r\n"));
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n").await;
        }
    };
    let call = async {
        for _ in 0..2 {
            let request = callsheet_upstream::Request::new("HEAD", "/x", "test");
            let answer = upstream.send(&request, patient()).await.unwrap();
            assert!(answer.body.is_end());
            assert_eq!(answer.body.exact_length(), Some(0));
        }
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn what_may_not_be_reused_is_closed() {
    for answer in [
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok",
        "HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
        "HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok and more",
        "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\nmore",
    ] {
        let backend = Backend::start().await;
        let upstream = backend.upstream();
        let serve = async {
            for _ in 0..2 {
                let mut peer = backend.accept().await;
                peer.request().await.unwrap();
                peer.send(answer).await;
                peer.closed().await;
            }
        };
        let call = async {
            for _ in 0..2 {
                assert_eq!(fetch(&upstream, &get()).await.unwrap(), "ok");
                assert_eq!(upstream.idle_count(), 0, "{answer:?}");
            }
        };
        tokio::join!(serve, call);
    }
}

#[tokio::test]
async fn a_body_dropped_early_closes_its_connection() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n5\r\nevent\r\n").await;
        peer.closed().await;
    };
    let call = async {
        let mut answer = upstream.send(&get(), patient()).await.unwrap();
        assert_eq!(answer.body.data().await.unwrap().unwrap(), "event");
        drop(answer);
        assert_eq!(upstream.idle_count(), 0);
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn cancelling_a_request_closes_its_connection() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let request = post("body");
    let mut sending = Box::pin(upstream.send(&request, patient()));
    let mut peer = tokio::select! {
        outcome = &mut sending => panic!("{outcome:?}"),
        peer = async {
            let mut peer = backend.accept().await;
            peer.request().await.unwrap();
            peer
        } => peer,
    };
    drop(sending);
    peer.closed().await;
    assert_eq!(upstream.idle_count(), 0);
}

#[tokio::test]
async fn a_stale_connection_is_tried_once_more() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut first = backend.accept().await;
        first.request().await.unwrap();
        first.send(OK).await;
        // The backend closes while the second request is on its way.
        first.request().await.unwrap();
        drop(first);
        let mut second = backend.accept().await;
        assert_eq!(second.request().await.unwrap().body, b"two");
        second.send(OK).await;
    };
    let call = async {
        fetch(&upstream, &post("one")).await.unwrap();
        assert_eq!(fetch(&upstream, &post("two")).await.unwrap(), "ok");
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn a_stale_connection_that_took_the_whole_request_may_have_served_it() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
        peer.send(OK).await;
        peer.request().await.unwrap();
        peer.reset();
    };
    let call = async {
        fetch(&upstream, &post("one")).await.unwrap();
        let error = upstream.send(&post("two"), before_sent()).await.unwrap_err();
        assert!(matches!(error, SendError::Closed { sent: true, .. }), "{error:?}");
        assert!(error.may_have_been_served());
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn a_stale_connection_is_tried_once_more_where_the_request_was_cut() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let body = vec![b'x'; 10 << 20];
    let serve = async {
        let mut first = backend.accept().await;
        first.request().await.unwrap();
        first.send(OK).await;
        first.request_head().await.unwrap();
        first.reset();
        let mut second = backend.accept().await;
        assert_eq!(second.request().await.unwrap().body.len(), body.len());
        second.send(OK).await;
    };
    let call = async {
        fetch(&upstream, &post("one")).await.unwrap();
        let answer = upstream.send(&post(body.clone()), before_sent()).await.unwrap();
        assert_eq!(answer.status, 200);
    };
    tokio::join!(serve, call);
}

#[tokio::test]
async fn a_fresh_connection_is_not_tried_again() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request().await.unwrap();
    };
    let (error, ()) =
        tokio::join!(async { upstream.send(&get(), patient()).await.unwrap_err() }, serve);
    assert!(matches!(error, SendError::Closed { sent: true, .. }), "{error:?}");
}

#[tokio::test]
async fn a_connection_that_is_known_to_be_closed_or_dirty_is_not_used() {
    for parting in ["close", "half-close", "reset", "bytes"] {
        let backend = Backend::start().await;
        let upstream = backend.upstream();
        let request = get();
        let (_, peer) = tokio::join!(fetch(&upstream, &request), async {
            let mut peer = backend.accept().await;
            peer.request().await.unwrap();
            peer.send(OK).await;
            peer
        });
        assert_eq!(upstream.idle_count(), 1);
        let mut kept = None;
        match parting {
            "close" => drop(peer),
            "reset" => peer.reset(),
            "half-close" => kept.insert(peer).half_close().await,
            _ => kept.insert(peer).send("HTTP/1.1 408 Request Timeout\r\n\r\n").await,
        }
        settle().await;
        let serve = async {
            let mut peer = backend.accept().await;
            peer.request().await.unwrap();
            peer.send(OK).await;
        };
        // A request that had gone out on the old connection could not be repeated.
        let (answer, ()) = tokio::join!(upstream.send(&request, before_sent()), serve);
        assert_eq!(answer.unwrap().status, 200, "{parting}");
    }
}

#[tokio::test]
async fn idle_connections_are_bounded_and_age() {
    async fn idle_after_three_at_once(options: Options) -> usize {
        let backend = Backend::start().await;
        let upstream = backend.upstream_with(options);
        let serve = async {
            let mut peers =
                [backend.accept().await, backend.accept().await, backend.accept().await];
            for peer in &mut peers {
                peer.request().await.unwrap();
                peer.send(OK).await;
            }
            peers
        };
        let request = get();
        let (.., mut peers) = tokio::join!(
            fetch(&upstream, &request),
            fetch(&upstream, &request),
            fetch(&upstream, &request),
            serve
        );
        let idle = upstream.idle_count();
        upstream.close_idle();
        assert_eq!(upstream.idle_count(), 0);
        for peer in &mut peers {
            peer.closed().await;
        }
        idle
    }
    let options = Options::default();
    assert_eq!(idle_after_three_at_once(options).await, 3);
    assert_eq!(idle_after_three_at_once(Options { max_idle: 2, ..options }).await, 2);
    assert_eq!(idle_after_three_at_once(Options { max_idle: 0, ..options }).await, 0);
    // Each that is laid aside makes the older ones go.
    let no_rest = Options { idle_timeout: Duration::ZERO, ..options };
    assert_eq!(idle_after_three_at_once(no_rest).await, 1);
}

#[tokio::test]
async fn a_connection_that_was_idle_for_too_long_is_not_used() {
    let backend = Backend::start().await;
    let upstream =
        backend.upstream_with(Options { idle_timeout: Duration::ZERO, ..Options::default() });
    let serve = async {
        for _ in 0..2 {
            let mut peer = backend.accept().await;
            peer.request().await.unwrap();
            peer.send(OK).await;
        }
    };
    let call = async {
        fetch(&upstream, &get()).await.unwrap();
        fetch(&upstream, &get()).await.unwrap();
    };
    tokio::join!(serve, call);
}

/// Answers with the request's own body, in several writes, until the client closes.
async fn echo(backend: Arc<Backend>) {
    let mut peers = JoinSet::new();
    loop {
        let mut peer = backend.accept().await;
        peers.spawn(async move {
            while let Some(received) = peer.request().await {
                peer.send("HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n").await;
                for byte in received.body {
                    peer.send([b"1\r\n", &[byte][..], b"\r\n"].concat()).await;
                }
                peer.send("0\r\n\r\n").await;
            }
        });
    }
}

/// Whatever others give up half-way, nobody reads an answer to somebody else's request.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_are_never_mixed_up() {
    let backend = Arc::new(Backend::start().await);
    let upstream = Arc::new(backend.upstream());
    let serving = tokio::spawn(echo(backend));
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let upstream = Arc::clone(&upstream);
        callers.spawn(async move {
            for index in 0..100 {
                let sent = format!("{caller}/{index}");
                let request = post(sent.clone());
                match (caller + index) % 5 {
                    // Given up while the answer is awaited.
                    0 => drop(timeout(Duration::ZERO, upstream.send(&request, patient())).await),
                    // Given up within the answer.
                    1 => {
                        let mut answer = upstream.send(&request, patient()).await.unwrap();
                        answer.body.data().await.unwrap().unwrap();
                    }
                    _ => assert_eq!(fetch(&upstream, &request).await.unwrap(), sent),
                }
            }
        });
    }
    timeout(PATIENCE, callers.join_all()).await.expect("callers hang");
    assert!((1..=16).contains(&upstream.idle_count()), "{}", upstream.idle_count());
    serving.abort();
}

/// A connection that was made on a thread which has ended since, timer included.
#[test]
fn a_connection_survives_the_thread_that_made_it() {
    use callsheet_types::BackendUrl;
    use callsheet_upstream::{Deadlines, Replay, Upstream};
    use std::io::{Read, Write};

    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = BackendUrl::new(&format!("http://{}", listener.local_addr().unwrap())).unwrap();
    let upstream = Upstream::new(&url, Options::default()).unwrap();
    let (may_answer, asked) = std::sync::mpsc::channel();
    let call = async || {
        let deadlines =
            Deadlines { head: tokio::time::Instant::now() + PATIENCE, replay: Replay::Always };
        let request = get();
        // Waiting for the answer polls the timer before the backend may give it.
        let (answer, ()) = tokio::join!(upstream.send(&request, deadlines), async {
            tokio::task::yield_now().await;
            may_answer.send(()).unwrap();
        });
        answer.unwrap().body.collect(10).await.unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(move || {
            let (mut peer, _) = listener.accept().unwrap();
            for _ in 0..2 {
                let mut head = Vec::new();
                while !head.ends_with(b"\r\n\r\n") {
                    let mut byte = [0];
                    peer.read_exact(&mut byte).unwrap();
                    head.push(byte[0]);
                }
                asked.recv().unwrap();
                peer.write_all(OK.as_bytes()).unwrap();
            }
        });
        for _ in 0..2 {
            let on_its_own = scope.spawn(|| {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.unwrap().block_on(call())
            });
            assert_eq!(on_its_own.join().unwrap(), "ok");
        }
    });
}
