//! Two daemons on one PostgreSQL.

use crate::{
    observe::{ask, until},
    server,
};
use callsheet_testkit::{FakeBackend, Output, StreamReply, TestServer, client, postgres, within};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

/// Two daemons, and the address of the database that they share.
struct Replicas {
    a: TestServer,
    b: TestServer,
    address: String,
}

/// Starts both, or says why there is no database to start them on.
#[allow(clippy::print_stderr, reason = "a test that is skipped says so")]
async fn replicas(tables: &str) -> Option<Replicas> {
    let made = postgres::server().map_err(str::to_owned).and_then(postgres::Postgres::database);
    let address = match made {
        Ok(address) => address,
        Err(why) => {
            eprintln!("skipped: {why}");
            return None;
        }
    };
    let config = format!("[store]\nurl = \"{address}\"\n{tables}");
    let (a, b) = (server(&config).start().await, server(&config).start().await);
    Some(Replicas { a, b, address })
}

async fn done(server: &TestServer, args: &[&str]) -> Output {
    let output = server.cli(args).await;
    assert_eq!(output.code, 0, "{args:?}: {output:?}");
    output
}

/// Waits until a daemon sees what another one was told, and checks that this took no longer than a
/// second.
async fn soon<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    let started = Instant::now();
    let seen = until(what, look).await;
    let took = started.elapsed();
    assert!(took < Duration::from_secs(1), "{what} took {took:?}");
    seen
}

#[tokio::test]
async fn what_one_is_told_the_other_does() {
    let Some(Replicas { a, b, .. }) = replicas("").await else { return };
    let backend = FakeBackend::builder().models(["big"]).start().await;
    done(&a, &["backend", "add", &backend.url(), "--name", "gpu"]).await;
    let view = async |status: &str| {
        let reply = b.get("/api/v1/backends/gpu").await;
        (reply.status == 200 && reply.json()["status"] == status).then_some(())
    };
    soon("the backend, healthy", || view("healthy")).await;
    let chat = b.post_json("/v1/chat/completions", &ask("big")).await;
    assert_eq!(chat.status, 200, "{}", chat.text());

    done(&a, &["preset", "set", "budget", "chat", "big", "--temperature", "0.3"]).await;
    let through = async || {
        let reply = b.post_json("/v1/chat/completions", &ask("callsheet:budget/chat")).await;
        (reply.status == 200).then_some(())
    };
    soon("the preset", through).await;
    let sent = backend.requests();
    assert_eq!(sent.last().unwrap().json()["temperature"], json!(0.3));

    done(&b, &["backend", "drain", "gpu"]).await;
    let drains = async || {
        let view = a.get("/api/v1/backends/gpu").await.json();
        (view["status"] == "draining").then_some(())
    };
    soon("the drain", drains).await;
    done(&a, &["backend", "resume", "gpu"]).await;
    soon("the backend, back", || view("healthy")).await;
    done(&b, &["backend", "remove", "gpu"]).await;
    let gone = async || (a.get("/api/v1/backends/gpu").await.status == 404).then_some(());
    soon("the removal", gone).await;
    done(&b, &["preset", "remove", "budget", "chat"]).await;
    let gone = async || {
        let presets = a.get("/api/v1/presets").await.json();
        let reply = a.post_json("/v1/chat/completions", &ask("callsheet:budget/chat")).await;
        (presets["total"] == 0 && reply.status == 404).then_some(())
    };
    soon("the preset's removal", gone).await;
}

async fn follow(server: &TestServer) -> StreamReply {
    let headers = [("Accept", "text/event-stream")];
    let opened = client::open(server.address(), "GET", "/api/v1/changes?since=0", &headers, b"");
    within("the head of an answer", opened).await.unwrap()
}

/// Reads so many changes from a stream: their cursors and keys.
async fn read(stream: &mut StreamReply, count: usize) -> Vec<(u64, String)> {
    let mut seen = Vec::new();
    while seen.len() < count {
        let event = within("an event", stream.next_event()).await.expect("an event");
        if let Some(data) = event.lines().find_map(|line| line.strip_prefix("data: ")) {
            let change: Value = serde_json::from_str(data).unwrap();
            let key = change["key"].as_str().unwrap().to_owned();
            seen.push((change["cursor"].as_u64().unwrap(), key));
        }
    }
    seen
}

async fn set_preset(server: &TestServer, tier: &str, slot: usize) {
    let headers = [("Content-Type", "application/json")];
    let path = format!("/api/v1/presets/{tier}/s{slot}");
    let set = server.request("PUT", &path, &headers, br#"{"model": "big"}"#).await;
    assert_eq!(set.status, 200, "{}", set.text());
}

#[tokio::test]
async fn both_tell_the_same_in_one_order_while_both_write() {
    const EACH: usize = 40;
    let Some(Replicas { a, b, .. }) = replicas("").await else { return };
    let (mut from_a, mut from_b) = (follow(&a).await, follow(&b).await);
    let write = async |server: &TestServer, tier: &str| {
        for slot in 0..EACH {
            set_preset(server, tier, slot).await;
        }
    };
    let ((), (), seen_by_a, seen_by_b) = tokio::join!(
        write(&a, "a"),
        write(&b, "b"),
        read(&mut from_a, 2 * EACH),
        read(&mut from_b, 2 * EACH)
    );
    assert_eq!(seen_by_a, seen_by_b);
    let cursors: Vec<_> = seen_by_a.iter().map(|(cursor, _)| *cursor).collect();
    assert_eq!(cursors, (1..=2 * EACH as u64).collect::<Vec<_>>());
    for tier in ["a/", "b/"] {
        let keys = seen_by_a.iter().map(|(_, key)| key).filter(|key| key.starts_with(tier));
        let expected: Vec<_> = (0..EACH).map(|slot| format!("{tier}s{slot}")).collect();
        assert_eq!(keys.cloned().collect::<Vec<_>>(), expected);
    }
    let page = async |server: &TestServer| server.get("/api/v1/changes?limit=1000").await.text();
    assert_eq!(page(&a).await, page(&b).await);
    let list = async |server: &TestServer| server.get("/api/v1/presets").await.json();
    assert_eq!(list(&a).await, list(&b).await);
}

#[tokio::test]
async fn a_database_that_goes_away_is_followed_again() {
    let backend = FakeBackend::builder().models(["big"]).start().await;
    let Some(Replicas { a, b, address }) = replicas(&backend.config("gpu")).await else { return };
    let server = postgres::server().unwrap();
    for round in 0..5 {
        server.break_connections(&address).unwrap();
        // The gateway needs no database.
        for daemon in [&a, &b] {
            let chat = daemon.post_json("/v1/chat/completions", &ask("big")).await;
            assert_eq!(chat.status, 200, "{}", chat.text());
        }
        set_preset(&a, "after", round).await;
        let name = format!("callsheet:after/s{round}");
        let through = async || {
            let reply = b.post_json("/v1/chat/completions", &ask(&name)).await;
            (reply.status == 200).then_some(())
        };
        until("the preset that was set after the break", through).await;
    }
    let seen = read(&mut follow(&b).await, 5).await;
    let expected: Vec<_> = (0..5).map(|i| (i + 1, format!("after/s{i}"))).collect();
    assert_eq!(seen, expected);
}
