//! What is granted to requests and answers: time and space.

use crate::{
    queue::{asked, narrow},
    scene::{CHAT, ask, ask_stream, assert_error, limited, memory_bytes, until_at_rest},
    server,
};
use bytes::Bytes;
use callsheet_testkit::{Behaviour, End, Gate, RawStep, within};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpSocket, TcpStream},
};

#[tokio::test]
async fn the_callers_deadline_is_kept_in_the_queue_and_at_the_backend() {
    let (backend, server) = narrow(1, "").await;
    backend.script(Behaviour::Stall);
    let occupying = asked(&server, "occupying");
    backend.wait_for_requests(1).await;
    let body = ask("hello").to_string();
    for timeout in ["0.1", "100ms"] {
        let headers = [("x-callsheet-timeout", timeout)];
        let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
        assert_error(&reply, 504, "deadline_exceeded");
    }
    assert_eq!(backend.request_count(), 1, "it ran out in the queue");
    occupying.abort();
    backend.wait_until_idle().await;
    let headers = [("x-callsheet-timeout", "0.1")];
    let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
    assert_error(&reply, 504, "deadline_exceeded");
    assert_eq!(backend.request_count(), 2, "it ran out at the backend");
    backend.wait_until_idle().await;
    until_at_rest(&server).await;
    for timeout in ["", "0", "-1", "soon", "1 2", "NaN"] {
        let headers = [("x-callsheet-timeout", timeout)];
        let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
        assert_error(&reply, 400, "invalid_header");
    }
}

#[tokio::test]
async fn the_whole_request_has_its_time_retries_included() {
    let (backend, server) = limited("total_timeout = \"150ms\"").await;
    backend.script(Behaviour::Stall);
    assert_error(&server.post_json(CHAT, &ask("hello")).await, 504, "deadline_exceeded");
    // A caller may ask for less, not for more.
    let body = ask("hello").to_string();
    let headers = [("x-callsheet-timeout", "1h")];
    let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
    assert_error(&reply, 504, "deadline_exceeded");
}

#[tokio::test]
async fn an_answer_that_stalls_is_given_up() {
    let (backend, server) = limited("idle_timeout = \"150ms\"").await;
    let part = "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":";
    backend.script(Behaviour::Raw(vec![RawStep::text(part), RawStep::Stall]));
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&reply, 502, "backend_failed");
    assert!(reply.text().contains("stalled"), "{}", reply.text());
    backend.wait_for_disconnects(1).await;
}

/// Waits for an answer of one piece; the connection stays open.
async fn head_of(socket: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.windows(4).any(|four| four == b"\r\n\r\n") {
        let read = within("the head of an answer", socket.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_body_that_is_too_long_is_refused() {
    let (backend, server) = limited("body_bytes = \"1KiB\"").await;
    let long = ask(&"x".repeat(2000));
    assert_error(&server.post_json(CHAT, &long).await, 413, "body_too_large");
    // It is refused for what it announces, before it is sent.
    let announced =
        format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1025\r\n\r\n");
    let mut socket = server.connect().await;
    socket.write_all(announced.as_bytes()).await.unwrap();
    assert!(head_of(&mut socket).await.starts_with("HTTP/1.1 413 "));
    // Without a length it is refused as soon as it is too long.
    let mut socket = server.connect().await;
    let chunked =
        format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    let chunk = format!("200\r\n{}\r\n", "x".repeat(512));
    socket.write_all(format!("{chunked}{chunk}{chunk}1\r\nx\r\n").as_bytes()).await.unwrap();
    assert!(head_of(&mut socket).await.starts_with("HTTP/1.1 413 "));
    let most = ask(&"x".repeat(1024 - ask("").to_string().len()));
    assert_eq!(server.post_json(CHAT, &most).await.status, 200);
    assert_eq!(backend.request_count(), 1);
    until_at_rest(&server).await;
}

#[tokio::test]
async fn all_bodies_together_have_a_limit() {
    let (backend, server) = limited("body_bytes = 1000\ntotal_body_bytes = 1000").await;
    let gate = Gate::new();
    backend.script_next(1, Behaviour::Answer.held_by(&gate));
    let body = ask(&"x".repeat(600));
    let first = server.post_json(CHAT, &body);
    let second = async {
        backend.wait_for_requests(1).await;
        let refused = server.post_json(CHAT, &body).await;
        assert_error(&refused, 503, "overloaded");
        assert_eq!(refused.header("retry-after"), Some("1"));
        assert_eq!(server.post_json(CHAT, &ask("small")).await.status, 200);
        gate.open();
    };
    assert_eq!(tokio::join!(first, second).0.status, 200);
    until_at_rest(&server).await;
    assert_eq!(server.post_json(CHAT, &body).await.status, 200);
}

#[tokio::test]
async fn a_body_that_does_not_arrive_is_given_up() {
    let (backend, server) = limited("body_timeout = \"150ms\"").await;
    let mut socket = server.connect().await;
    let head = format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{{");
    socket.write_all(head.as_bytes()).await.unwrap();
    let answer = head_of(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 408 "), "{answer}");
    assert_eq!(backend.request_count(), 0);
    until_at_rest(&server).await;
}

#[tokio::test]
async fn a_head_that_is_too_long_is_refused() {
    let (backend, server) = limited("header_bytes = \"16KiB\"").await;
    let body = ask("hello").to_string();
    for length in [16 << 10, 20_000, 40_000] {
        let long = "x".repeat(length);
        let reply = server.request("POST", CHAT, &[("x-long", &long)], body.as_bytes()).await;
        assert_eq!(reply.status, 431, "{length}");
    }
    let fits = "x".repeat(10_000);
    let reply = server.request("POST", CHAT, &[("x-long", &fits)], body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(backend.request_count(), 1);
}

#[tokio::test]
async fn a_head_that_does_not_arrive_is_given_up_while_others_are_served() {
    let (_backend, server) = limited("header_timeout = \"300ms\"").await;
    let mut slow = Vec::new();
    for _ in 0..50 {
        let mut socket = server.connect().await;
        socket.write_all(b"POST /v1/chat/completions HTTP/1.1\r\nHost: local").await.unwrap();
        slow.push(socket);
    }
    let idle = server.connect().await;
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    slow.push(idle);
    for mut socket in slow {
        let mut answer = Vec::new();
        within("the end of a slow connection", socket.read_to_end(&mut answer)).await.unwrap();
        let answer = String::from_utf8(answer).unwrap();
        assert_eq!(answer, "", "nobody has asked for anything yet");
    }
}

#[tokio::test]
async fn a_client_that_stops_reading_is_dropped_and_costs_no_memory() {
    let (backend, server) = limited("send_timeout = \"300ms\"").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let events = Bytes::from(format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(1000)).repeat(60));
    backend.script(Behaviour::Raw(vec![RawStep::text(head), RawStep::Forever(events)]));
    assert_eq!(server.get("/healthz").await.status, 200);
    let before = memory_bytes(&server, "VmHWM:");
    let mut unread = Vec::new();
    for _ in 0..4 {
        unread.push(server.stream(CHAT, &ask_stream("hello")).await);
    }
    backend.wait_for_disconnects(4).await;
    until_at_rest(&server).await;
    let grown = memory_bytes(&server, "VmHWM:") - before;
    assert!(grown < 16 << 20, "{grown} bytes for four clients that do not read");
}

#[tokio::test]
async fn an_answer_that_is_too_long_is_given_up() {
    let (backend, server) = limited("answer_bytes = \"2KiB\"").await;
    let answer = |length: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(length - 8));
    backend.script(Behaviour::body(&answer(2048)));
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.text(), answer(2048));
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n";
    let open_end = format!("{head}{}", answer(2049));
    let half = format!("{head}{}", &answer(4000)[..3000]);
    for behaviour in [
        Behaviour::body(&answer(2049)),
        Behaviour::Raw(vec![RawStep::text(&open_end), RawStep::Close]),
        Behaviour::Raw(vec![RawStep::text(&half), RawStep::Stall]),
    ] {
        backend.script(behaviour);
        let reply = server.post_json(CHAT, &ask("hello")).await;
        assert_error(&reply, 502, "backend_failed");
        assert!(reply.text().contains("answer_bytes"), "{}", reply.text());
    }
    until_at_rest(&server).await;
}

#[tokio::test]
async fn an_endless_answer_is_cut_and_costs_no_memory() {
    let (backend, server) = limited("answer_bytes = \"64MiB\"").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n[1";
    let numbers = RawStep::Forever(",1".repeat(32 << 10).into());
    backend.script(Behaviour::Raw(vec![RawStep::text(head), numbers]));
    assert_eq!(server.get("/healthz").await.status, 200);
    let before = memory_bytes(&server, "VmHWM:");
    let mut stream = server.stream(CHAT, &ask("hello")).await;
    let mut received = 0;
    // A cut and nothing else tells the client that the answer is not whole.
    while let Ok(part) = within("the next part", stream.try_chunk()).await {
        received += part.expect("no clean end").len();
    }
    assert!((60 << 20..=64 << 20).contains(&received), "{received} bytes");
    let grown = memory_bytes(&server, "VmHWM:") - before;
    assert!(grown < 16 << 20, "{grown} bytes");
    backend.wait_for_disconnects(1).await;
    until_at_rest(&server).await;
}

#[tokio::test]
async fn an_event_that_is_too_long_is_given_up() {
    let (backend, server) = limited("event_bytes = \"2KiB\"").await;
    let event = |length: usize| format!("{{\"x\":\"{}\"}}", "y".repeat(length - 16));
    let stream = |length| Behaviour::stream([event(length)], End::Done);
    backend.script(stream(2048));
    let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
    assert_eq!(end.text(), format!("data: {}\n\ndata: [DONE]\n\n", event(2048)));
    backend.script(stream(2049));
    let reply = server.post_json(CHAT, &ask_stream("hello")).await;
    assert_error(&reply, 502, "backend_failed");
    assert!(reply.text().contains("longer than 2048 bytes"), "{}", reply.text());
}

#[tokio::test]
async fn an_answers_head_that_is_too_long_is_given_up() {
    let (backend, server) = limited("answer_header_bytes = \"4KiB\"").await;
    let with_header = |length: usize| {
        let headers = vec![("X-Long".to_owned(), "x".repeat(length))];
        Behaviour::Status { code: 200, headers, body: "{}".to_owned() }
    };
    backend.script(with_header(3000));
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    backend.script(with_header(5000));
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&reply, 502, "backend_failed");
    assert!(reply.text().contains("head without end"), "{}", reply.text());
}

/// Answers one probe and then accepts nothing any more, with a queue of connections that is full:
/// Linux leaves those who connect then without an answer.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_connection_that_does_not_come_about_is_given_up() {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let listener = socket.listen(1).unwrap();
    let address = listener.local_addr().unwrap();
    let config = format!(
        "[limits]\nconnect_timeout = \"200ms\"\n[[backends]]\nname = \"full\"\nurl = \"http://{address}\"\n"
    );
    let probed = async {
        let (mut connection, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        while !request.ends_with(b"\r\n\r\n") {
            connection.read_buf(&mut request).await.unwrap();
        }
        let list = r#"{"data":[{"id":"test-model"}]}"#;
        let length = list.len();
        let answer = format!(
            "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n{list}"
        );
        connection.write_all(answer.as_bytes()).await.unwrap();
    };
    let server = tokio::join!(server(&config).start(), probed).0;
    let mut waiting = Vec::new();
    while let Ok(connected) =
        tokio::time::timeout(Duration::from_millis(100), TcpStream::connect(address)).await
    {
        waiting.push(connected.unwrap());
    }
    let reply = server.post_json(CHAT, &ask("hello")).await;
    assert_error(&reply, 504, "backend_timeout");
    assert!(reply.text().contains("did not accept the connection in time"), "{}", reply.text());
}

async fn connections_of_sequential_requests(limits: &str) -> usize {
    let (backend, server) = limited(limits).await;
    let probes = backend.connection_count();
    for _ in 0..5 {
        assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    }
    backend.connection_count() - probes
}

#[tokio::test]
async fn connections_are_kept_as_long_and_as_many_as_the_pool_may() {
    assert_eq!(connections_of_sequential_requests("").await, 0, "that of the probe is used");
    assert_eq!(connections_of_sequential_requests("pool_size = 0").await, 5);
    assert_eq!(connections_of_sequential_requests("pool_timeout = \"1us\"").await, 5);
    for (size, more) in [(1, 2), (2, 1), (3, 0)] {
        let (backend, server) = limited(&format!("pool_size = {size}")).await;
        for _ in 0..2 {
            let gate = Gate::new();
            backend.script(Behaviour::Answer.held_by(&gate));
            let asked_before = backend.request_count();
            let requests: Vec<_> = (0..3).map(|n| asked(&server, &format!("r{n}"))).collect();
            backend.wait_for_requests(asked_before + 3).await;
            gate.open();
            for request in requests {
                assert_eq!(request.await.unwrap().status, 200);
            }
            // A client has its answer a moment before its connection is back in the pool.
            until_at_rest(&server).await;
        }
        assert_eq!(backend.connection_count(), 3 + more, "a pool of {size}");
    }
}
