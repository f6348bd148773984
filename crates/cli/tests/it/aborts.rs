//! A client that goes away, at whatever point, takes its request with it: the backend is told at
//! once, and nothing stays counted.

use crate::{
    scene::{CHAT, Pair, ask, ask_stream, limited, until, until_at_rest, until_metric},
    server,
};
use callsheet_testkit::{Behaviour, End, FakeBackend, Gate, RawStep, TestServer, client, within};
use serde_json::Value;
use std::{io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

/// Starts a request and leaves it as soon as `moment` has come.
async fn leave_when(server: &TestServer, body: &Value, moment: impl Future<Output = ()>) {
    let body = body.to_string();
    let request = client::request(server.address(), "POST", CHAT, &[], body.as_bytes());
    tokio::select! {
        reply = request => panic!("answered before the client left: {reply:?}"),
        () = moment => {}
    }
}

fn wire(body: &Value) -> Vec<u8> {
    let body = body.to_string();
    let length = body.len();
    format!("POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}")
        .into_bytes()
}

#[tokio::test]
async fn while_sending_the_body() {
    let (backend, server) = limited("").await;
    let bytes = wire(&ask(&"long ".repeat(2000)));
    let mut sockets = Vec::new();
    for length in [bytes.len() / 2, bytes.len() - 1] {
        let mut socket = server.connect().await;
        socket.write_all(&bytes[..length]).await.unwrap();
        sockets.push(socket);
    }
    until("two half bodies to be held", async || {
        let held = crate::scene::metric(&server, "callsheet_held_body_bytes").await;
        let least = bytes.len() as f64;
        if held > least { Ok(()) } else { Err(format!("{held} of {least}")) }
    })
    .await;
    drop(sockets);
    until_at_rest(&server).await;
    assert_eq!(backend.request_count(), 0);
}

#[tokio::test]
async fn while_sending_the_head() {
    let (backend, server) = limited("").await;
    let bytes = wire(&ask("hello"));
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n").unwrap();
    for length in 0..head + 4 {
        server.connect().await.write_all(&bytes[..length]).await.unwrap();
    }
    until_at_rest(&server).await;
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
    assert_eq!(backend.request_count(), 1);
}

#[tokio::test]
async fn while_waiting_in_the_queue() {
    let backend = FakeBackend::start().await;
    let server = server(&format!("{}max_concurrent = 1\n", backend.config("only"))).start().await;
    let gate = Gate::new();
    backend.script_next(1, Behaviour::Answer.held_by(&gate));
    let body = ask("hello");
    let running = server.post_json(CHAT, &body);
    let leaving = async {
        backend.wait_for_requests(1).await;
        for _ in 0..3 {
            let queued = until_metric(&server, "callsheet_queue_length", 1.0);
            leave_when(&server, &body, queued).await;
            until_metric(&server, "callsheet_queue_length", 0.0).await;
        }
        gate.open();
    };
    assert_eq!(tokio::join!(running, leaving).0.status, 200);
    until_at_rest(&server).await;
    assert_eq!(backend.request_count(), 1, "who has left is not served");
    assert_eq!(server.post_json(CHAT, &body).await.status, 200);
}

#[tokio::test]
async fn while_waiting_for_the_first_byte() {
    let (backend, server) = limited("").await;
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let said =
        |text: &str| Behaviour::Raw(vec![RawStep::text(text), RawStep::Flush, RawStep::Stall]);
    let behaviours = [
        Behaviour::Stall,
        said("HTTP/1.1 200 OK\r\n"),
        said(head),
        said(&format!("{head}data: {{\"ha")),
        said("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n{\"half\":"),
        said("HTTP/1.1 500 Oh\r\nContent-Length: 100\r\n\r\n{\"half\":"),
        said("HTTP/1.1 100 Continue\r\n\r\n"),
    ];
    for (left, behaviour) in (1..).zip(behaviours) {
        backend.script(behaviour);
        leave_when(&server, &ask_stream("hello"), backend.wait_for_requests(left)).await;
        backend.wait_for_disconnects(left).await;
        until_at_rest(&server).await;
    }
}

#[tokio::test]
async fn after_each_of_the_first_events() {
    let (backend, server) = limited("").await;
    let events = (0..6).map(|n| format!("{{\"n\":{n}}}"));
    backend.script(Behaviour::stream(events, End::Stall));
    for events in 0..=6 {
        let mut stream = server.stream(CHAT, &ask_stream("hello")).await;
        for n in 0..events {
            assert_eq!(stream.next_event().await, Some(format!("data: {{\"n\":{n}}}")));
        }
        drop(stream);
        backend.wait_for_disconnects(events + 1).await;
        until_at_rest(&server).await;
    }
}

#[tokio::test]
async fn during_a_retry() {
    let Pair { first, second, server } = Pair::start("eject_after = 0", "").await;
    first.script(Behaviour::status(500));
    second.script(Behaviour::Stall);
    for left in 1..=5 {
        leave_when(&server, &ask("hello"), second.wait_for_requests(left)).await;
        second.wait_for_disconnects(left).await;
        until_at_rest(&server).await;
    }
}

#[tokio::test]
async fn while_a_long_answer_is_being_sent() {
    let (backend, server) = limited("").await;
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n[";
    let numbers = RawStep::Forever("1,".repeat(4096).into());
    backend.script(Behaviour::Raw(vec![RawStep::text(head), numbers]));
    for left in 1..=3 {
        let mut stream = server.stream(CHAT, &ask("hello")).await;
        let some = within("the first part", stream.try_chunk()).await.unwrap();
        assert!(some.is_some_and(|some| !some.is_empty()));
        drop(stream);
        backend.wait_for_disconnects(left).await;
        until_at_rest(&server).await;
    }
}

/// Sends a request, reads so many bytes of the answer, or all if it has fewer, and leaves.
async fn read_and_leave(address: SocketAddr, request: Vec<u8>, count: usize) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    socket.write_all(&request).await?;
    socket.take(count as u64).read_to_end(&mut Vec::new()).await?;
    Ok(())
}

#[tokio::test]
async fn at_every_byte_of_the_answer() {
    let (backend, server) = limited("").await;
    let request = wire(&ask_stream("hello"));
    let events = ["{\"n\":1}", "{\"\u{e9}\":2}", "{\"n\":3}"];
    for (end, last) in [(End::Stall, "{\"n\":3}\n\n"), (End::Done, "data: [DONE]\n\n")] {
        backend.script(Behaviour::stream(events, end));
        let mut socket = server.connect().await;
        socket.write_all(&request).await.unwrap();
        let mut answer = Vec::new();
        while !String::from_utf8_lossy(&answer).contains(last) {
            let read = within("the whole answer", socket.read_buf(&mut answer)).await.unwrap();
            assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
        }
        drop(socket);
        // The framing takes some bytes more or less, as events come together or one by one; of a
        // stream that stays open no more may be asked than comes in any case.
        let most = answer.len() - 32;
        let mut leaving = JoinSet::new();
        for count in 0..most {
            leaving.spawn(read_and_leave(server.address(), request.clone(), count));
            if leaving.len() == 16 {
                leaving.join_next().await.unwrap().unwrap().unwrap();
            }
        }
        for left in within("everybody to leave", leaving.join_all()).await {
            left.unwrap();
        }
        backend.wait_until_idle().await;
        until_at_rest(&server).await;
    }
    backend.script(Behaviour::Answer);
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200);
}

#[tokio::test]
async fn by_the_next_event_though_more_had_been_sent_than_one_request() {
    let (backend, server) = limited("").await;
    let gate = Gate::new();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    let event = "data: {\"n\":1}\n\n";
    backend.script(Behaviour::Raw(vec![
        RawStep::text(head),
        RawStep::text(event),
        RawStep::WaitFor(gate.clone()),
        RawStep::Forever(event.into()),
    ]));
    let mut socket = server.connect().await;
    let request = wire(&ask_stream("hello"));
    socket.write_all(&[request.as_slice(), &request].concat()).await.unwrap();
    let read = within("the beginning", socket.read(&mut [0; 100])).await.unwrap();
    assert!(read > 0);
    drop(socket);
    gate.open();
    backend.wait_for_disconnects(1).await;
    until_at_rest(&server).await;
    assert_eq!(backend.request_count(), 1);
}
