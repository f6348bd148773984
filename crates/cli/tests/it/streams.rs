//! Streams: the same bytes however they come, event by event, and an honest end.

use crate::{
    scene::{CHAT, ask_stream, limited, until_at_rest},
    server,
};
use bytes::Bytes;
use callsheet_testkit::{
    Behaviour, Chunking, End, FakeBackend, Gate, RawStep, StreamEnd, StreamReply, TestServer,
    within,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpSocket,
};

const HEAD: &str = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n";
const FIRST: &str = "data: {\"n\":1}\n\n";
const SECOND: &str = "data: {\"n\":2}\n\n";

fn chunk(text: &str) -> RawStep {
    RawStep::text(&format!("{:x}\r\n{text}\r\n", text.len()))
}

/// Begins a chunked stream with its first event.
fn begun(mut rest: Vec<RawStep>) -> Behaviour {
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n");
    let mut steps = vec![RawStep::text(&head), chunk(FIRST), RawStep::Flush];
    steps.append(&mut rest);
    Behaviour::Raw(steps)
}

/// Checks that nothing came but one last event, which says that the stream was cut.
fn assert_cut(case: &str, request_id: &str, end: &StreamEnd) -> Value {
    let text = end.text();
    assert!(end.is_clean, "{case}: the framing must end as announced: {text}");
    let event = text.strip_prefix("data: ").and_then(|text| text.strip_suffix("\n\n"));
    let event: Value = serde_json::from_str(event.unwrap_or_else(|| panic!("{case}: {text}")))
        .unwrap_or_else(|error| panic!("{case}: not one event of JSON ({error}): {text}"));
    assert_eq!(event["error"]["code"], "stream_cut", "{case}: {event}");
    assert_eq!(event["error"]["type"], "upstream_error", "{case}: {event}");
    assert_eq!(event["error"]["request_id"], request_id, "{case}: {event}");
    assert!(event["error"]["message"].as_str().unwrap().contains("only"), "{case}: {event}");
    event
}

async fn first_event(server: &TestServer) -> (StreamReply, String) {
    let mut stream = server.stream(CHAT, &ask_stream("hello")).await;
    assert_eq!(stream.status, 200);
    assert_eq!(stream.next_event().await.as_deref(), Some("data: {\"n\":1}"));
    let id = stream.header("x-request-id").unwrap().to_owned();
    (stream, id)
}

#[tokio::test]
async fn the_decoded_bytes_are_the_same_under_every_chunking() {
    let (backend, server) = limited("").await;
    let events = [
        "{\"choices\":[{\"delta\":{\"content\":\"na\u{ef}ve \u{1f600}\u{1f468}\u{200d}\u{1f469}\"}}]}",
        ": a comment\n\n",
        "event: ping\r\nid: 7\r\ndata: {\"crlf\": \"\u{65e5}\u{672c}\"}\r\n\r\n",
        "data: {\"two\":\ndata: \"lines\"}\n\n",
        "{\"unknown\":{\"field\":[1.0,1e400,null]},\"x\" : \"[DONE]\"}",
        "data:{\"tight\":true}\n\n",
        "retry: 10\n\n",
    ];
    let expected: String = events
        .iter()
        .map(|e| if e.ends_with('\n') { (*e).to_owned() } else { format!("data: {e}\n\n") })
        .chain(["data: [DONE]\n\n".to_owned()])
        .collect();
    let chunkings = [1, 2, 3, 7, 64]
        .map(Chunking::Bytes)
        .into_iter()
        .chain([Chunking::EachEvent, Chunking::Merged]);
    for chunking in chunkings {
        backend.script(Behaviour::Stream {
            events: events.map(str::to_owned).to_vec(),
            end: End::Done,
            chunking,
            gap: Duration::ZERO,
        });
        let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
        assert!(end.is_clean, "{chunking:?}");
        assert_eq!(end.text(), expected, "{chunking:?}");
    }
    let length = format!("{HEAD}Content-Length: {}\r\n\r\n{expected}", expected.len());
    let until_close = format!("{HEAD}\r\n{expected}");
    for (case, whole, end) in [
        ("Content-Length", length, RawStep::Flush),
        ("until the end of the connection", until_close, RawStep::Close),
    ] {
        for size in [1, 5, whole.len()] {
            let pieces = whole.as_bytes().chunks(size).map(Bytes::copy_from_slice);
            let steps = pieces.map(RawStep::Write).chain([end.clone()]).collect();
            backend.script(Behaviour::Raw(steps));
            let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
            assert!(end.is_clean, "{case} by {size}");
            assert_eq!(end.text(), expected, "{case} by {size}");
        }
    }
}

#[tokio::test]
async fn a_whole_event_is_forwarded_before_the_next_one_comes() {
    let (backend, server) = limited("").await;
    let gates = [Gate::new(), Gate::new(), Gate::new()];
    backend.script(begun(vec![
        RawStep::WaitFor(gates[0].clone()),
        chunk("data: {\"n\":"),
        RawStep::WaitFor(gates[1].clone()),
        chunk("2}\n\nda"),
        RawStep::WaitFor(gates[2].clone()),
        chunk("ta: [DONE]\n\n"),
        RawStep::text("0\r\n\r\n"),
    ]));
    let (mut stream, _) = first_event(&server).await;
    gates[0].open();
    gates[1].open();
    assert_eq!(stream.next_event().await.as_deref(), Some("data: {\"n\":2}"));
    gates[2].open();
    assert_eq!(stream.next_event().await.as_deref(), Some("data: [DONE]"));
    assert_eq!(stream.next_event().await, None);
}

#[tokio::test]
async fn a_stream_that_is_cut_says_so_in_its_last_event() {
    let (backend, server) = limited("idle_timeout = \"200ms\"\nevent_bytes = \"2KiB\"").await;
    let long = format!("data: \"{}", "x".repeat(4096));
    for (case, rest) in [
        ("a reset", vec![RawStep::Reset]),
        ("a close", vec![RawStep::Close]),
        ("an end without its mark", vec![RawStep::text("0\r\n\r\n")]),
        ("silence", vec![RawStep::Stall]),
        ("a broken chunk", vec![RawStep::text("zz\r\n"), RawStep::Stall]),
        ("half an event and a reset", vec![chunk("data: {\"half"), RawStep::Flush, RawStep::Reset]),
        ("half an event and a close", vec![chunk("data: {\"half"), RawStep::Close]),
        ("half an event and silence", vec![chunk("data: {\"half"), RawStep::Stall]),
        ("half an event and an end", vec![chunk("data: {\"half"), RawStep::text("0\r\n\r\n")]),
        ("an event without end", vec![chunk(&long), RawStep::Stall]),
        ("an event too long", vec![chunk(&format!("{long}\"\n\n")), RawStep::Stall]),
    ] {
        let gate = Gate::new();
        let mut steps = vec![RawStep::WaitFor(gate.clone())];
        steps.extend(rest);
        backend.script(begun(steps));
        let (stream, id) = first_event(&server).await;
        gate.open();
        assert_cut(case, &id, &stream.rest().await);
        until_at_rest(&server).await;
    }
    let metrics = server.get("/metrics").await.text();
    let cut = "callsheet_requests_total{backend=\"only\",model=\"test-model\",outcome=\"cut\"} 11";
    assert!(metrics.lines().any(|line| line == cut), "{metrics}");
}

#[tokio::test]
async fn whole_events_before_a_cut_are_forwarded_and_the_half_one_is_not() {
    let (backend, server) = limited("").await;
    backend.script(begun(vec![
        chunk(SECOND),
        chunk("data: {\"half"),
        RawStep::Flush,
        RawStep::Close,
    ]));
    let (mut stream, id) = first_event(&server).await;
    assert_eq!(stream.next_event().await.as_deref(), Some("data: {\"n\":2}"));
    assert_cut("a close", &id, &stream.rest().await);
}

#[tokio::test]
async fn an_error_that_the_backend_sends_itself_is_the_end_and_passed_as_it_is() {
    let (backend, server) = limited("idle_timeout = \"5s\"").await;
    let error = "data: {\"error\":{\"message\":\"CUDA out of memory\",\"code\":null}}\n\n";
    for end in [RawStep::text("0\r\n\r\n"), RawStep::Close, RawStep::Reset] {
        backend.script(begun(vec![chunk(error), RawStep::Flush, end]));
        let (stream, _) = first_event(&server).await;
        let end = stream.rest().await;
        assert_eq!((end.text().as_str(), end.is_clean), (error, true));
    }
    // As the very first event it is an answer like any other.
    backend.script(Behaviour::stream([error], End::CleanEndWithoutDone));
    let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
    assert_eq!((end.text().as_str(), end.is_clean), (error, true));
}

#[tokio::test]
async fn a_stream_ends_when_the_requests_time_is_over() {
    let (backend, server) = limited("total_timeout = \"300ms\"").await;
    backend.script(begun(vec![RawStep::Stall]));
    let (stream, id) = first_event(&server).await;
    let event = assert_cut("total_timeout", &id, &stream.rest().await);
    assert!(event["error"]["message"].as_str().unwrap().contains("time was over"), "{event}");
    backend.wait_for_disconnects(1).await;
}

#[tokio::test]
async fn a_stream_ends_when_the_time_that_its_client_gave_is_over() {
    let (backend, server) = limited("").await;
    // Events keep coming, so that only the whole time can run out.
    backend.script(begun(vec![RawStep::Forever(Bytes::from("f\r\ndata: {\"n\":2}\n\n\r\n"))]));
    let headers = [("x-callsheet-timeout", "0.3")];
    let stream = server.stream_with(CHAT, &headers, &ask_stream("hello")).await;
    let id = stream.header("x-request-id").unwrap().to_owned();
    let end = stream.rest().await;
    assert!(end.is_clean);
    let text = end.text();
    let (events, last) = text.trim_end().rsplit_once("\n\n").unwrap();
    assert!(events.starts_with(FIRST.trim_end()) && events.ends_with(SECOND.trim_end()));
    let last = StreamEnd { body: format!("{last}\n\n").into_bytes(), is_clean: true };
    assert_cut("x-callsheet-timeout", &id, &last);
    backend.wait_for_disconnects(1).await;
}

#[tokio::test]
async fn a_slow_reader_has_no_more_time_than_others() {
    let (backend, server) = limited("total_timeout = \"300ms\"").await;
    // There is always something to read from the backend, and mostly no room to write it.
    let events = Bytes::from(format!("data: {{\"x\":\"{}\"}}\n\n", "y".repeat(1000)).repeat(60));
    let head = format!("{HEAD}\r\n");
    backend.script(Behaviour::Raw(vec![RawStep::text(&head), RawStep::Forever(events)]));
    let socket = TcpSocket::new_v4().unwrap();
    socket.set_recv_buffer_size(4096).unwrap();
    let mut socket = socket.connect(server.address()).await.unwrap();
    let body = ask_stream("hello").to_string();
    let length = body.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await.unwrap();
    let reading = async {
        while socket.read(&mut [0; 16]).await.is_ok_and(|read| read > 0) {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        () = reading => {}
        () = backend.wait_for_disconnects(1) => {}
    }
    until_at_rest(&server).await;
}

#[tokio::test]
async fn a_stream_that_is_complete_ends_though_the_backend_does_not_hang_up() {
    let (backend, server) = limited("").await;
    let done = "data: [DONE]\n\n";
    let gate = Gate::new();
    backend.script(begun(vec![RawStep::WaitFor(gate.clone()), chunk(done), RawStep::Stall]));
    let (stream, _) = first_event(&server).await;
    gate.open();
    let end = stream.rest().await;
    assert_eq!((end.text().as_str(), end.is_clean), (done, true));
    backend.wait_for_disconnects(1).await;
    // It hangs up rudely, which is nothing to the client either.
    for rude in [RawStep::Close, RawStep::Reset] {
        let gate = Gate::new();
        backend.script(begun(vec![
            RawStep::WaitFor(gate.clone()),
            chunk(done),
            RawStep::Flush,
            rude,
        ]));
        let (stream, _) = first_event(&server).await;
        gate.open();
        let end = stream.rest().await;
        assert_eq!((end.text().as_str(), end.is_clean), (done, true));
    }
    // The first event and the last come together.
    let both = format!("{FIRST}{done}");
    let head = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\n{:x}\r\n{both}", both.len());
    backend.script(Behaviour::Raw(vec![RawStep::text(&head), RawStep::Stall]));
    let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
    assert_eq!((end.text(), end.is_clean), (both, true));
    backend.wait_for_disconnects(2).await;
    until_at_rest(&server).await;
    // Everything in one piece: it is known at once, and the connection is not lost by it.
    let whole = format!("{HEAD}Transfer-Encoding: chunked\r\n\r\ne\r\n{done}\r\n0\r\n\r\n");
    backend.script(Behaviour::Raw(vec![RawStep::text(&whole)]));
    let connections = backend.connection_count();
    for _ in 0..3 {
        let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
        assert_eq!((end.text().as_str(), end.is_clean), (done, true));
    }
    assert!(backend.connection_count() <= connections + 1);
}

#[tokio::test]
async fn unknown_fields_and_tool_calls_survive_both_ways() {
    let (backend, server) = limited("").await;
    let request = "{\"model\":\"test-model\",  \"stream\":%,\"x-vendor\":{\"deep\":[[[]]]},\
        \"tools\":[{\"type\":\"function\",\"function\":{\"name\":\"f\",\"parameters\":{}}}],\
        \"messages\":[{\"role\":\"tool\",\"tool_call_id\":\"c1\",\"content\":\"1\u{a0}\"}]}";
    let answer = " {\"id\":1, \"choices\":[{\"message\":{\"tool_calls\":[{\"id\":\"c2\",\"function\":\
        {\"name\":\"f\",\"arguments\":\"{\\\"a\\\": 1}\"}}],\"reasoning\":\"\u{1f914}\"}}],\
        \"timings\":{\"ms\":0.10}}\n";
    backend.script_next(1, Behaviour::body(answer));
    let plain = request.replace('%', "false");
    let reply = server.request("POST", CHAT, &[], plain.as_bytes()).await;
    assert_eq!((reply.status, reply.text().as_str()), (200, answer));
    assert_eq!(reply.header("content-type"), Some("application/json"));
    backend.script_next(1, Behaviour::stream([answer.trim()], End::Done));
    let streamed = request.replace('%', "true");
    let reply = server.request("POST", CHAT, &[], streamed.as_bytes()).await;
    assert_eq!(reply.text(), format!("data: {}\n\ndata: [DONE]\n\n", answer.trim()));
    assert_eq!(reply.header("content-type"), Some("text/event-stream"));
    let bodies: Vec<_> = backend.requests().into_iter().map(|r| r.body).collect();
    assert_eq!(bodies, [plain.into_bytes(), streamed.into_bytes()]);
}

#[tokio::test]
async fn a_long_plain_answer_is_passed_on_whole_or_visibly_cut() {
    let (backend, server) = limited("").await;
    let answer = json!({"data": "\u{e9}x".repeat(1 << 20)}).to_string();
    backend.script(Behaviour::body(&answer));
    let reply = server.post_json(CHAT, &ask_stream("hello")).await;
    assert_eq!(reply.header("content-length"), Some(&*answer.len().to_string()));
    assert!(reply.text() == answer, "{} bytes of {}", reply.body.len(), answer.len());
    // What is held back has been passed on by then, so that nothing but a cut is left.
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        answer.len()
    );
    let most = &answer.as_bytes()[..answer.len() - 10];
    let steps =
        vec![RawStep::text(&head), RawStep::Write(Bytes::copy_from_slice(most)), RawStep::Close];
    backend.script(Behaviour::Raw(steps));
    let end = server.stream(CHAT, &ask_stream("hello")).await.rest().await;
    assert!(!end.is_clean && end.body.len() < answer.len());
    until_at_rest(&server).await;
}

#[tokio::test]
async fn streams_of_other_endpoints_are_streams_too() {
    let backend = FakeBackend::start().await;
    let server = server(&backend.config("only")).start().await;
    let body = json!({"model": "test-model", "stream": true, "prompt": "one two"});
    let end = server.stream("/v1/completions", &body).await.rest().await;
    assert!(end.is_clean && end.text().ends_with("data: [DONE]\n\n"), "{}", end.text());
    assert_eq!(backend.requests()[0].path, "/v1/completions");
}

#[tokio::test]
async fn an_old_client_gets_its_stream_until_the_connection_ends() {
    let (backend, server) = limited("").await;
    let gate = Gate::new();
    let rest =
        vec![RawStep::WaitFor(gate.clone()), chunk("data: [DONE]\n\n"), RawStep::text("0\r\n\r\n")];
    backend.script(begun(rest));
    let body = ask_stream("hello").to_string();
    let length = body.len();
    let request = format!(
        "POST {CHAT} HTTP/1.0\r\nHost: localhost\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    let mut socket = server.connect().await;
    socket.write_all(request.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(FIRST.as_bytes()) {
        let read = within("the first event", socket.read_buf(&mut answer)).await.unwrap();
        assert!(read > 0, "{}", String::from_utf8_lossy(&answer));
    }
    gate.open();
    within("the end", socket.read_to_end(&mut answer)).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(!head.contains("chunked"), "{head}");
    assert_eq!(body, format!("{FIRST}data: [DONE]\n\n"));
}
