//! Whatever a backend sends, the client gets a clear error, and the daemon and all others go on.

use crate::scene::{CHAT, ask, ask_stream, assert_error, limited, memory_bytes, until_at_rest};
use bytes::Bytes;
use callsheet_testkit::{Behaviour, RawStep, client, within};

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";

fn text(text: &str) -> Behaviour {
    Behaviour::Raw(vec![RawStep::text(text), RawStep::Flush, RawStep::Stall])
}

fn forever(begin: &str, then: &str) -> Behaviour {
    let rest = Bytes::from(then.repeat(16 * 1024 / then.len()));
    Behaviour::Raw(vec![RawStep::text(begin), RawStep::Forever(rest)])
}

#[tokio::test]
async fn an_answer_that_breaks_the_protocol_is_an_error_and_nothing_more() {
    let (backend, server) =
        limited("first_byte_timeout = \"5s\"\nidle_timeout = \"5s\"\nanswer_bytes = \"4MiB\"")
            .await;
    let body = ask("hello").to_string();
    let continues = "HTTP/1.1 100 Continue\r\n\r\n";
    let many = "x: y\r\n".repeat(1000);
    for (case, behaviour) in [
        ("an endless header", forever("HTTP/1.1 200 OK\r\nx: ", "y")),
        ("endless headers", forever("HTTP/1.1 200 OK\r\n", "x: y\r\n")),
        ("an endless status line", forever("HTTP/1.1 200 ", "O")),
        ("a thousand headers", text(&format!("{OK}{many}\r\n{{}}"))),
        ("a thousand interim answers", text(&continues.repeat(1000))),
        ("interim answers for ever", forever("", continues)),
        (
            "both lengths",
            text(&format!(
                "{OK}Transfer-Encoding: chunked\r\nContent-Length: 2\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n"
            )),
        ),
        ("two lengths", text(&format!("{OK}Content-Length: 2\r\nContent-Length: 3\r\n\r\n{{}}"))),
        ("a negative length", text(&format!("{OK}Content-Length: -2\r\n\r\n{{}}"))),
        (
            "a length beyond counting",
            text(&format!("{OK}Content-Length: 99999999999999999999\r\n\r\n{{}}")),
        ),
        (
            "another coding",
            text(&format!("{OK}Transfer-Encoding: gzip, chunked\r\n\r\n2\r\n{{}}\r\n0\r\n\r\n")),
        ),
        (
            "a chunk beyond counting",
            text(&format!("{OK}Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n{{}}")),
        ),
        (
            "a chunk without a size",
            text(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n\r\n{{}}")),
        ),
        (
            "an endless chunk extension",
            forever(&format!("{OK}Transfer-Encoding: chunked\r\n\r\n2;"), "x"),
        ),
        (
            "an endless trailer",
            forever(
                &format!("{OK}Transfer-Encoding: chunked\r\n\r\n2\r\n{{}}\r\n0\r\n"),
                "x: y\r\n",
            ),
        ),
        ("a body too long by its length", text(&format!("{OK}Content-Length: 4194305\r\n\r\n{{"))),
        (
            "another protocol",
            text("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"),
        ),
        ("another version", text("HTTP/2 200\r\n\r\n{}")),
        ("no status", text("HTTP/1.1 abc OK\r\n\r\n")),
        (
            "an endless event",
            forever("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", "data: x"),
        ),
        (
            "endless comments",
            forever("HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n", ": ping\n\n"),
        ),
    ] {
        backend.script(behaviour);
        let request = client::request(server.address(), "POST", CHAT, &[], body.as_bytes());
        let reply = within(case, request).await.unwrap();
        assert_eq!(reply.status, 502, "{case}: {}", reply.text());
        assert_error(&reply, 502, "backend_failed");
        backend.wait_until_idle().await;
        until_at_rest(&server).await;
    }
    backend.script(Behaviour::Answer);
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let peak = memory_bytes(&server, "VmHWM:");
    assert!(peak < 128 << 20, "{peak} bytes at the peak");
}

#[tokio::test]
async fn an_endless_explanation_of_a_failure_is_not_read() {
    let (backend, server) = limited("").await;
    for begin in
        ["HTTP/1.1 500 Oh\r\n\r\n{", "HTTP/1.1 500 Oh\r\nTransfer-Encoding: chunked\r\n\r\n"]
    {
        backend.script(forever(begin, "1\r\nx\r\n"));
        assert_error(&server.post_json(CHAT, &ask("hello")).await, 502, "backend_failed");
        backend.wait_until_idle().await;
    }
    until_at_rest(&server).await;
}

#[tokio::test]
async fn bytes_after_an_answer_are_nobodys_answer() {
    let (backend, server) = limited("").await;
    let answer = |n: u32| format!("{OK}Content-Length: 9\r\n\r\n{{\"n\": {n} }}");
    // Two answers to one request, then one: whoever asks second must not get the first one's rest.
    backend.script_next(1, text(&format!("{}{}", answer(1), answer(2))));
    backend.script_next(1, text(&answer(3)));
    assert_eq!(server.post_json(CHAT, &ask("one")).await.text(), "{\"n\": 1 }");
    assert_eq!(server.post_json(CHAT, &ask("two")).await.text(), "{\"n\": 3 }");
}

#[tokio::test]
async fn a_head_that_comes_in_drips_is_an_answer() {
    let (backend, server) = limited("").await;
    let answer =
        format!("HTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n{OK}Content-Length: 2\r\n\r\n{{}}");
    let mut steps: Vec<_> =
        answer.as_bytes().chunks(1).map(Bytes::copy_from_slice).map(RawStep::Write).collect();
    steps.push(RawStep::Stall);
    backend.script(Behaviour::Raw(steps));
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "{}"));
}

#[tokio::test]
async fn a_plain_answer_to_a_request_for_a_stream_is_passed_on() {
    let (backend, server) = limited("").await;
    backend.script(Behaviour::body("{\"choices\":[]}"));
    let reply = server.post_json(CHAT, &ask_stream("hello")).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, "{\"choices\":[]}"));
    assert_eq!(reply.header("content-type"), Some("application/json"));
}
