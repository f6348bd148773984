//! It does not matter how the network splits an answer.

use crate::{
    answers,
    backend::{Backend, get, patient, settle},
};
use callsheet_upstream::replay::{End, replay};
use proptest::prelude::*;

const MAX_HEAD_BYTES: usize = 64 * 1024;

proptest! {
    #![proptest_config(ProptestConfig { cases: 4000, ..ProptestConfig::default() })]

    #[test]
    fn any_split_of_an_odd_answer_reads_the_same(
        wire in answers::answer(),
        cuts in answers::cuts(),
        to_head_request in proptest::bool::weighted(0.1),
    ) {
        let whole = replay(to_head_request, MAX_HEAD_BYTES, [&wire[..]]);
        let split = replay(to_head_request, MAX_HEAD_BYTES, answers::cut(&wire, &cuts));
        prop_assert_eq!(&whole, &split);
        let bytewise = replay(to_head_request, MAX_HEAD_BYTES, wire.chunks(1));
        prop_assert_eq!(&whole, &bytewise);
    }

    #[test]
    fn any_split_of_a_chunked_body_decodes_to_the_body(
        (wire, body) in answers::chunked(),
        cuts in answers::cuts(),
    ) {
        let split = replay(false, MAX_HEAD_BYTES, answers::cut(&wire, &cuts));
        prop_assert_eq!(split.end, End::Clean { reusable: true });
        prop_assert!(split.body == body);
    }

    #[test]
    fn noise_is_survived(noise in proptest::collection::vec(any::<u8>(), 0..300)) {
        callsheet_upstream::replay::fuzz_answer(&noise);
    }
}

/// What is decided from bytes alone is what happens on a socket.
#[tokio::test]
async fn sockets_read_what_bytes_say() {
    let large =
        [b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n".to_vec(), vec![b'x'; 300_000]]
            .concat();
    let large_chunks = [
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n".to_vec(),
        [b"ea60\r\n".to_vec(), vec![b'y'; 60_000], b"\r\n".to_vec()].concat().repeat(5),
        b"0\r\nx: y\r\n\r\n".to_vec(),
    ]
    .concat();
    for (wire, steps) in [
        (&b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"[..], [1, 7, 1000]),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\n\r\nhello", [1, 7, 1000]),
        (
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\na: b\r\n\r\n",
            [1, 7, 1000],
        ),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nhello", [1, 7, 1000]),
        (&large, [1111, 100_000, 1_000_000]),
        (&large_chunks, [1111, 100_000, 1_000_000]),
    ] {
        for step in steps {
            let backend = Backend::start().await;
            let upstream = backend.upstream();
            let serve = async {
                let mut peer = backend.accept().await;
                peer.request().await.unwrap();
                for piece in wire.chunks(step) {
                    peer.send(piece).await;
                    // The client reads this piece before the next one is there.
                    if step < 10 {
                        settle().await;
                    }
                }
                peer.half_close().await;
                peer
            };
            let call = async {
                let mut answer = upstream.send(&get(), patient()).await.unwrap();
                let mut body = Vec::new();
                let clean = loop {
                    match answer.body.data().await {
                        Some(Ok(data)) => body.extend_from_slice(&data),
                        Some(Err(_)) => break false,
                        None => break true,
                    }
                };
                (answer.status, answer.headers, body, clean, upstream.idle_count() == 1)
            };
            let ((status, headers, body, clean, reusable), _peer) = tokio::join!(call, serve);
            let expected = replay(false, MAX_HEAD_BYTES, [wire]);
            assert_eq!(expected.head.unwrap(), (status, headers));
            assert!(expected.body == body, "{} bytes in steps of {step}", wire.len());
            match expected.end {
                End::Clean { reusable: expected } => assert_eq!((clean, reusable), (true, expected)),
                end => {
                    assert_eq!(end, End::Cut);
                    assert!(!clean && !reusable);
                }
            }
        }
    }
}
