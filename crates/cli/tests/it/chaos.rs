//! Everything at once: backends that fail in every way, clients that leave at any moment. What must
//! hold then holds always: no request is lost, sent twice or counted for ever.

use crate::{
    scene::{CHAT, ask, ask_stream, metric, until_at_rest},
    server,
};
use callsheet_testkit::{Behaviour, End, FakeBackend, RawStep, client};
use std::{collections::HashSet, io, net::SocketAddr};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
};

const PLACES: usize = 4;

/// Numbers without a pattern, the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

fn mishap(dice: &mut Dice) -> Behaviour {
    let head = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n";
    match dice.below(12) {
        0 => Behaviour::status(500),
        1 => Behaviour::status(503),
        2 => Behaviour::ResetAfterRequest,
        3 => Behaviour::body("<html>"),
        4 => Behaviour::Raw(vec![RawStep::text("garbage\r\n\r\n"), RawStep::Close]),
        5 => Behaviour::stream(["{\"n\":1}"], End::Reset),
        6 => Behaviour::Raw(vec![RawStep::text(head), RawStep::text("data: {\"n"), RawStep::Reset]),
        _ => Behaviour::Answer,
    }
}

/// Asks, reads at most so many bytes, and leaves.
async fn glance(address: SocketAddr, id: String, body: String, bytes: u64) -> io::Result<()> {
    let mut socket = TcpStream::connect(address).await?;
    let length = body.len();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nx-request-id: {id}\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    );
    socket.write_all(request.as_bytes()).await?;
    socket.take(bytes).read_to_end(&mut Vec::new()).await?;
    Ok(())
}

async fn converse(address: SocketAddr, id: String, body: String) -> io::Result<()> {
    let headers = [("x-request-id", id.as_str())];
    let reply = client::request(address, "POST", CHAT, &headers, body.as_bytes()).await?;
    let text = reply.text();
    let is_whole = match reply.header("content-type") {
        Some("text/event-stream") => {
            text.ends_with("data: [DONE]\n\n") || text.contains("\"code\":\"stream_cut\"")
        }
        _ => serde_json::from_str::<serde_json::Value>(&text).is_ok(),
    };
    assert!(is_whole && [200, 502, 503].contains(&reply.status), "{}: {text}", reply.status);
    assert_eq!(reply.header("x-request-id"), Some(id.as_str()));
    Ok(())
}

#[tokio::test]
async fn whatever_happens_at_once_nothing_is_lost_sent_twice_or_counted_for_ever() {
    let mut dice = Dice(1);
    let mut backends = Vec::new();
    let mut config = String::from(
        "[routing]\neject_after = 3\neject_for = \"5ms\"\neject_for_at_most = \"20ms\"\n\
         retries_per_second = 1000.0\n[limits]\npool_size = 0\n",
    );
    for index in 0..4 {
        let backend = FakeBackend::start().await;
        config.push_str(&backend.config(&format!("b{index}")));
        config.push_str(&format!("max_concurrent = {PLACES}\n"));
        for _ in 0..400 {
            backend.script_next(1, mishap(&mut dice));
        }
        backends.push(backend);
    }
    let server = server(&config).start().await;
    let mut clients = JoinSet::new();
    for number in 0..600 {
        let id = format!("r{number}");
        let body = if dice.below(2) == 0 { ask("a b c") } else { ask_stream("a b c") }.to_string();
        if dice.below(3) == 0 {
            clients.spawn(glance(server.address(), id, body, dice.below(900)));
        } else {
            clients.spawn(converse(server.address(), id, body));
        }
        if clients.len() == 40 {
            clients.join_next().await.unwrap().unwrap().unwrap();
        }
    }
    for client in clients.join_all().await {
        client.unwrap();
    }
    until_at_rest(&server).await;
    for backend in &backends {
        backend.wait_until_idle().await;
        assert!(backend.max_open() <= PLACES, "{} at once", backend.max_open());
        let requests = backend.requests();
        let ids: HashSet<_> = requests.iter().map(|r| r.header("x-request-id").unwrap()).collect();
        assert_eq!(ids.len(), requests.len(), "{} was sent a request twice", backend.url());
        assert!(requests.len() > 50, "{} had its part", requests.len());
    }
    assert!(metric(&server, "callsheet_log_lines_dropped").await < f64::EPSILON);
    let metrics = server.get("/metrics").await.text();
    let ended: f64 = metrics
        .lines()
        .filter(|line| line.starts_with("callsheet_requests_total{"))
        .filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
        .sum();
    assert!((ended - 600.0).abs() < f64::EPSILON, "each request ends once: {ended}\n{metrics}");
}
