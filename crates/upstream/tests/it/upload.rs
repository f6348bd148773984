//! Request bodies, and backends that answer before they have read them.

use crate::backend::{Backend, fetch, patient, post};
use bytes::Bytes;
use callsheet_upstream::Request;

fn large(fill: u8) -> Bytes {
    vec![fill; 10 << 20].into()
}

#[tokio::test]
async fn segments_arrive_in_order_and_whole() {
    for sizes in [[0, 0, 0], [1, 0, 2], [100, 5, 7000], [3 << 20, 20, 5 << 20]] {
        let backend = Backend::start().await;
        let upstream = backend.upstream();
        let segments: Vec<Bytes> =
            sizes.iter().zip(b"abc").map(|(size, fill)| vec![*fill; *size].into()).collect();
        let expected = segments.concat();
        let mut request = Request::new("POST", "/v1/x?y=z", "host:1");
        request.header("x-test", b"value");
        request.body(segments.try_into().unwrap());
        let serve = async {
            let mut peer = backend.accept().await;
            let received = peer.request().await.unwrap();
            let head = format!(
                "POST /v1/x?y=z HTTP/1.1\r\nhost: host:1\r\nx-test: value\r\ncontent-length: {}\r\n\r\n",
                expected.len()
            );
            assert_eq!(received.head, head);
            assert!(received.body == expected);
            peer.send("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
        };
        let (body, ()) = tokio::join!(fetch(&upstream, &request), serve);
        assert_eq!(body.unwrap(), "ok");
        assert_eq!(upstream.idle_count(), 1);
    }
}

#[tokio::test]
async fn a_refusal_during_an_upload_is_read_rather_than_lost() {
    for _ in 0..20 {
        let backend = Backend::start().await;
        let upstream = backend.upstream();
        let serve = async {
            let mut peer = backend.accept().await;
            peer.request_head().await.unwrap();
            peer.send("HTTP/1.1 413 Content Too Large\r\ncontent-length: 5\r\n\r\nlarge").await;
            // Closing with unread data resets the connection.
        };
        let call = async {
            let answer = upstream.send(&post(large(b'x')), patient()).await.unwrap();
            assert_eq!(answer.status, 413);
            assert_eq!(answer.body.collect(100).await.unwrap(), "large");
            // The rest of the upload never went out.
            assert_eq!(upstream.idle_count(), 0);
        };
        tokio::join!(serve, call);
    }
}

#[tokio::test]
async fn an_early_answer_that_is_no_refusal_does_not_stop_the_upload() {
    let backend = Backend::start().await;
    let upstream = backend.upstream();
    let serve = async {
        let mut peer = backend.accept().await;
        peer.request_head().await.unwrap();
        peer.send("HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n")
            .await;
        peer.skip(10 << 20).await;
        peer.send("ok").await;
        peer
    };
    let request = post(large(b'x'));
    let (body, _peer) = tokio::join!(fetch(&upstream, &request), serve);
    assert_eq!(body.unwrap(), "ok");
    assert_eq!(upstream.idle_count(), 1);
}
