//! Taking backends out of service: draining, resuming, removing.

use crate::{
    observe::{backend, chat, config_of, metric, refusal, served_by, until, until_status},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, Signal, TestServer};
use serde_json::json;

const PATH: &str = "/v1/chat/completions";

async fn post(server: &TestServer, path: &str) -> u16 {
    server.request("POST", path, &[], b"").await.status
}

/// A request for a stream.
fn ask_stream() -> serde_json::Value {
    let mut body = crate::observe::ask("test-model");
    body["stream"] = true.into();
    body
}

/// A stream whose second event comes when the gate is open.
fn held_stream(gate: &Gate) -> Behaviour {
    let event = |text: &str| {
        format!("data: {{\"choices\":[{{\"delta\":{{\"content\":\"{text}\"}}}}]}}\n\n")
    };
    let chunk =
        |text: String| callsheet_testkit::RawStep::text(&format!("{:x}\r\n{text}\r\n", text.len()));
    Behaviour::Raw(vec![
        callsheet_testkit::RawStep::text(
            "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n",
        ),
        chunk(event("one")),
        callsheet_testkit::RawStep::WaitFor(gate.clone()),
        chunk(event("two")),
        chunk("data: [DONE]\n\n".to_owned()),
        callsheet_testkit::RawStep::text("0\r\n\r\n"),
    ])
}

#[tokio::test]
async fn a_draining_backend_finishes_what_it_has_and_is_given_nothing_new() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!("{}priority = -1\n{}", a.config("a"), b.config("b"));
    let server = server(&format!("[routing]\nstrategy = \"priority\"\n{config}")).start().await;
    let gate = Gate::new();
    a.script(held_stream(&gate));
    let mut stream = server.stream(PATH, &ask_stream()).await;
    assert!(stream.next_event().await.unwrap().contains("one"));
    assert_eq!(post(&server, "/api/v1/backends/a/drain").await, 200);
    let view = backend(&server, "a").await;
    assert_eq!((&view["status"], &view["pending_requests"]), (&"draining".into(), &1.into()));
    for _ in 0..5 {
        assert_eq!(served_by(&server, "test-model").await, "b");
    }
    gate.open();
    let end = stream.rest().await;
    assert!(end.is_clean && end.text().ends_with("data: [DONE]\n\n"), "{}", end.text());
    assert_eq!(a.request_count(), 1);
    assert_eq!(post(&server, "/api/v1/backends/a/resume").await, 200);
    a.script(Behaviour::Answer);
    assert_eq!(backend(&server, "a").await["status"], "healthy", "its probe was made at once");
    assert_eq!(served_by(&server, "test-model").await, "a");
}

#[tokio::test]
async fn draining_survives_a_restart_and_the_probes() {
    let fake = FakeBackend::start().await;
    let config = format!("[health]\ninterval = \"10ms\"\n{}", fake.config("a"));
    let mut server = server(&config).start().await;
    assert_eq!(server.cli(["backend", "drain", "a"]).await.code, 0);
    server.restart().await;
    let count = fake.probe_count();
    fake.wait_for_probes(count + 3).await;
    assert_eq!(backend(&server, "a").await["status"], "draining");
    let reply = chat(&server, "test-model").await;
    assert_eq!(refusal(&reply), "503 no_backend_available");
    assert!(reply.text().contains("a is draining"), "{}", reply.text());
    assert_eq!(server.cli(["backend", "resume", "a"]).await.code, 0);
    assert_eq!(served_by(&server, "test-model").await, "a");
    server.restart().await;
    assert_eq!(backend(&server, "a").await["status"], "healthy");
}

#[tokio::test]
async fn resuming_what_does_not_drain_changes_nothing() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    assert_eq!(post(&server, "/api/v1/backends/a/resume").await, 200);
    assert_eq!(backend(&server, "a").await["status"], "healthy");
    assert_eq!(fake.probe_count(), 1);
}

#[tokio::test]
async fn a_removed_backend_leaves_nothing_behind() {
    let (fake, other) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!("[health]\ninterval = \"10ms\"\n{}", other.config("other"));
    let server = server(&config).start().await;
    let add = json!({"name": "gone", "url": fake.url()});
    assert_eq!(server.post_json("/api/v1/backends", &add).await.status, 201);
    assert_eq!(served_by(&server, "gone:test-model").await, "gone");
    let series = "callsheet_requests_total{backend=\"gone\",model=\"test-model\",outcome=\"ok\"}";
    until("its request in the metrics", async || metric(&server, series).await).await;

    let reply = server.request("DELETE", "/api/v1/backends/gone", &[], b"").await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let probes = fake.probe_count();
    let count = other.probe_count();
    other.wait_for_probes(count + 5).await;
    // One may have been on its way.
    assert!(fake.probe_count() <= probes + 1, "{} after {probes}", fake.probe_count());
    let text = server.get("/metrics").await.text();
    assert!(!text.contains("\"gone\""), "{text}");
    assert_eq!(refusal(&server.get("/api/v1/backends/gone").await), "404 backend_not_found");
    assert_eq!(refusal(&chat(&server, "gone:test-model").await), "404 model_not_found");
    assert_eq!(connections_to(&server, fake.address().port()), 0);
    let feed = server.get("/api/v1/changes").await.json();
    let last = feed["changes"].as_array().unwrap().iter().rfind(|change| change["key"] == "gone");
    assert_eq!(last.unwrap()["action"], "removed", "{feed}");
}

/// Returns how many established connections the daemon has to this port.
fn connections_to(server: &TestServer, port: u16) -> usize {
    let pid = server.pid();
    let table = std::fs::read_to_string(format!("/proc/{pid}/net/tcp")).expect("Linux");
    let links = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors");
    let sockets: Vec<String> = links
        .filter_map(|entry| std::fs::read_link(entry.ok()?.path()).ok())
        .filter_map(|link| {
            let name = link.to_string_lossy().into_owned();
            Some(name.strip_prefix("socket:[")?.trim_end_matches(']').to_owned())
        })
        .collect();
    let peer = format!(":{port:04X}");
    let rows = table.lines().skip(1).map(|row| row.split_whitespace().collect::<Vec<_>>());
    rows.filter(|row| row[2].ends_with(&peer) && sockets.iter().any(|inode| inode == row[9]))
        .count()
}

#[tokio::test]
async fn a_backend_that_is_removed_while_it_serves_ends_well_and_leaves_no_series() {
    let fake = FakeBackend::start().await;
    let server = server("").start().await;
    let add = json!({"name": "gone", "url": fake.url()});
    assert_eq!(server.post_json("/api/v1/backends", &add).await.status, 201);
    let (gate, cut) = (Gate::new(), Gate::new());
    fake.script_next(1, held_stream(&gate));
    let mut whole = server.stream(PATH, &ask_stream()).await;
    assert!(whole.next_event().await.is_some());
    fake.script_next(1, Behaviour::status(500).held_by(&cut));
    let address = server.address();
    let failing = tokio::spawn(async move {
        let body = crate::observe::ask("test-model").to_string();
        callsheet_testkit::client::request(address, "POST", PATH, &[], body.as_bytes()).await
    });
    fake.wait_for_requests(2).await;

    let reply = server.request("DELETE", "/api/v1/backends/gone", &[], b"").await;
    assert_eq!(reply.json()["pending_requests"], 2);
    gate.open();
    let end = whole.rest().await;
    assert!(end.is_clean && end.text().ends_with("data: [DONE]\n\n"), "{}", end.text());
    cut.open();
    assert_eq!(failing.await.unwrap().unwrap().status, 502);
    let text = server.get("/metrics").await.text();
    assert!(!text.contains("\"gone\""), "{text}");
    until("no connection", async || {
        (connections_to(&server, fake.address().port()) == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_backend_of_the_config_file_cannot_be_removed_but_drained() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let server = server(&config_of(&[&a, &b])).start().await;
    let reply = server.request("DELETE", "/api/v1/backends/a", &[], b"").await;
    assert_eq!(refusal(&reply), "409 backend_in_config_file");
    assert_eq!(backend(&server, "a").await["status"], "healthy");
}

#[tokio::test]
async fn an_acknowledged_drain_survives_a_kill() {
    let fake = FakeBackend::start().await;
    let mut server = server(&fake.config("a")).start().await;
    assert_eq!(post(&server, "/api/v1/backends/a/drain").await, 200);
    server.signal(Signal::KILL);
    server.restart().await;
    until_status(&server, "a", "draining").await;
}
