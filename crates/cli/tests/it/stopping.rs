//! Stopping: what is under way is finished, nothing new is taken, and nobody waits for ever.

use crate::{
    scene::{CHAT, ask, ask_stream},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, RawStep, Signal, within};
use tokio::io::AsyncReadExt;

const STREAM: &str =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\ndata: {\"n\":1}\n\n";

fn held(gate: &Gate) -> Behaviour {
    let rest = "data: {\"n\":2}\n\ndata: [DONE]\n\n";
    let steps = vec![
        RawStep::text(STREAM),
        RawStep::WaitFor(gate.clone()),
        RawStep::text(rest),
        RawStep::Close,
    ];
    Behaviour::Raw(steps)
}

#[tokio::test]
async fn a_stream_that_runs_is_completed_while_nothing_new_is_taken() {
    for signal in [Signal::TERM, Signal::INT] {
        let backend = FakeBackend::start().await;
        let mut server = server(&backend.config("only")).start().await;
        let gate = Gate::new();
        backend.script(held(&gate));
        let mut stream = server.stream(CHAT, &ask_stream("hello")).await;
        assert_eq!(stream.next_event().await.as_deref(), Some("data: {\"n\":1}"));
        let mut idle = server.connect().await;
        server.signal(signal);
        server.wait_for_stderr("stopping").await;
        let refused = tokio::net::TcpStream::connect(server.address()).await;
        assert_eq!(refused.unwrap_err().kind(), std::io::ErrorKind::ConnectionRefused);
        // A connection that carries nothing is closed at once.
        let read = within("the end of an idle connection", idle.read(&mut [0; 1])).await;
        assert_eq!(read.unwrap(), 0);
        gate.open();
        let end = stream.rest().await;
        assert!(end.is_clean);
        assert_eq!(end.text(), "data: {\"n\":2}\n\ndata: [DONE]\n\n");
        let status = server.wait_exit().await;
        assert_eq!(status.code(), Some(0), "{}", server.stderr());
        // The access log is complete, although it is written in batches.
        server.wait_for_stderr("\"outcome\":\"ok\"").await;
    }
}

#[tokio::test]
async fn an_answer_that_is_waited_for_is_still_given() {
    let backend = FakeBackend::start().await;
    let mut server = server(&backend.config("only")).start().await;
    let gate = Gate::new();
    backend.script(Behaviour::Answer.held_by(&gate));
    let (reply, ()) = {
        let body = ask("hello");
        let stop = async {
            backend.wait_for_requests(1).await;
            server.signal(Signal::TERM);
            server.wait_for_stderr("stopping").await;
            gate.open();
        };
        tokio::join!(server.post_json(CHAT, &body), stop)
    };
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(server.wait_exit().await.code(), Some(0));
}

#[tokio::test]
async fn what_takes_too_long_is_cut_off_and_the_exit_says_so() {
    let backend = FakeBackend::start().await;
    let config = format!("drain_timeout = \"150ms\"\n{}", backend.config("only"));
    let mut server = server(&config).start().await;
    backend.script(held(&Gate::new()));
    let mut stream = server.stream(CHAT, &ask_stream("hello")).await;
    assert_eq!(stream.next_event().await.as_deref(), Some("data: {\"n\":1}"));
    server.signal(Signal::TERM);
    assert_eq!(server.wait_exit().await.code(), Some(1), "{}", server.stderr());
    assert!(!stream.rest().await.is_clean, "a cut must not look like an end");
    backend.wait_for_disconnects(1).await;
    server.wait_for_stderr("drain_timeout").await;
}

#[tokio::test]
async fn a_data_directory_has_one_daemon() {
    let backend = FakeBackend::start().await;
    let mut server = server(&backend.config("only")).start().await;
    let second = server.cli(["serve"]).await;
    assert_eq!(second.code, 1, "{second:?}");
    assert!(second.stderr.contains("another callsheet runs on the data directory"), "{second:?}");
    assert!(second.stderr.contains("hint:"), "{second:?}");
    assert_eq!(server.post_json(CHAT, &ask("hello")).await.status, 200, "the first goes on");
    // However the first one ends, the next can start.
    server.signal(Signal::KILL);
    server.wait_exit().await;
    let taken = backend.address().to_string();
    let third = server.cli(["serve", "--listen", &taken]).await;
    assert_eq!(third.code, 1, "{third:?}");
    assert!(third.stderr.contains("cannot listen"), "it got as far as listening: {third:?}");
}
