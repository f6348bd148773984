//! A reload takes all of a new file or none of it.

use crate::{
    observe::{backend, chat, metric, refusal, served_by, until},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, Gate, Signal, TestServer, client};

const LISTEN: &str = "[server]\nlisten = \"127.0.0.1:0\"\n";

/// Replaces the file, and waits until the daemon has said what became of it.
async fn reload(server: &TestServer, config: &str, said: &str) {
    let before = server.stderr().matches(said).count();
    server.write_config(&format!("{LISTEN}{config}"));
    server.signal(Signal::HUP);
    until(said, async || (server.stderr().matches(said).count() > before).then_some(())).await;
}

const TAKEN: &str = "\"configuration reloaded\"";

#[tokio::test]
async fn backends_come_go_and_change() {
    let (a, b, c) =
        (FakeBackend::start().await, FakeBackend::start().await, FakeBackend::start().await);
    b.set_models(["of-b"]);
    let server = server(&format!("{}{}", a.config("a"), b.config("b"))).start().await;
    assert_eq!(served_by(&server, "of-b").await, "b");
    let config = format!("{}weight = 9\n{}", a.config("a"), c.config("c"));
    reload(&server, &config, TAKEN).await;
    assert_eq!(backend(&server, "a").await["weight"], 9);
    assert_eq!(refusal(&server.get("/api/v1/backends/b").await), "404 backend_not_found");
    until("c to be probed", async || {
        (backend(&server, "c").await["status"] == "healthy").then_some(())
    })
    .await;
    assert_eq!(served_by(&server, "c:test-model").await, "c");
    assert_eq!(refusal(&chat(&server, "of-b").await), "404 model_not_found");
    assert!(!server.get("/metrics").await.text().contains("\"b\""));
}

#[tokio::test]
async fn a_backend_that_did_not_change_keeps_what_is_known_of_it() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    served_by(&server, "test-model").await;
    let config = format!("[routing]\nstrategy = \"priority\"\n{}", fake.config("a"));
    reload(&server, &config, TAKEN).await;
    assert_eq!(backend(&server, "a").await["total_requests"], 1);
}

#[tokio::test]
async fn aliases_limits_strategy_and_token_are_in_force_at_once() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let backends = format!("{}priority = 1\n{}priority = 2\n", a.config("a"), b.config("b"));
    let server = server(&backends).env("ADMIN", "opensesame").start().await;
    assert_eq!(refusal(&chat(&server, "fast").await), "404 model_not_found");
    let config = format!(
        "admin_token_env = \"ADMIN\"\n[routing]\nstrategy = \"priority\"\n\
         [routing.aliases]\nfast = \"test-model\"\n[limits]\nbody_bytes = 200\n{backends}"
    );
    reload(&server, &config, TAKEN).await;
    for _ in 0..6 {
        assert_eq!(served_by(&server, "fast").await, "a");
    }
    let mut long = crate::observe::ask("fast");
    long["messages"][0]["content"] = "x".repeat(200).into();
    let reply = server.post_json("/v1/chat/completions", &long).await;
    assert_eq!(refusal(&reply), "413 body_too_large");
    assert_eq!(server.get("/api/v1/backends").await.status, 401);
}

#[tokio::test]
async fn limits_of_connections_reach_added_backends_too() {
    let fake = FakeBackend::start().await;
    let server = server("").start().await;
    let add = serde_json::json!({"name": "added", "url": fake.url()});
    assert_eq!(server.post_json("/api/v1/backends", &add).await.status, 201);
    served_by(&server, "test-model").await;
    reload(&server, "[limits]\npool_size = 0\n", TAKEN).await;
    until("the new connection options", async || {
        (backend(&server, "added").await["status"] == "healthy").then_some(())
    })
    .await;
    let before = fake.connection_count();
    for _ in 0..3 {
        served_by(&server, "test-model").await;
    }
    assert!(fake.connection_count() >= before + 3, "nothing is kept in a pool of none");
}

#[tokio::test]
async fn a_key_that_was_replaced_in_its_file_is_taken() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, "sk-old").unwrap();
    let fake = FakeBackend::start().await;
    let config = format!("{}api_key_file = {file:?}\n", fake.config("a"));
    let server = server(&config).start().await;
    served_by(&server, "test-model").await;
    std::fs::write(&file, "sk-new").unwrap();
    reload(&server, &config, TAKEN).await;
    until("its probe", async || (backend(&server, "a").await["status"] == "healthy").then_some(()))
        .await;
    served_by(&server, "test-model").await;
    let sent: Vec<_> =
        fake.requests().iter().map(|r| r.header("authorization").unwrap().to_owned()).collect();
    assert_eq!(sent, ["Bearer sk-old", "Bearer sk-new"]);
}

#[tokio::test]
async fn a_broken_file_changes_nothing_and_is_said() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let good = format!("[routing.aliases]\nfast = \"test-model\"\n{}", a.config("a"));
    let server = server(&good).start().await;
    let refused = "configuration not reloaded, the old one stays";
    let with_b = format!("{}{}", a.config("a"), b.config("b"));
    for (broken, part) in [
        (format!("{with_b}prio = 1\n"), "backends[1].prio"),
        (format!("[routing]\nstrategy = \"best\"\n{with_b}"), "routing.strategy"),
        (format!("{with_b}{}", b.config("b")), "backends[2].name"),
        (format!("{with_b}api_key_env = \"NO_KEY\"\n"), "NO_KEY"),
        ("[[backends".to_owned(), "callsheet.toml:3"),
    ] {
        reload(&server, &broken, refused).await;
        let log = server.stderr();
        let line = log.lines().rfind(|line| line.contains(refused)).unwrap();
        assert!(line.contains(part), "{line}");
        assert_eq!(served_by(&server, "fast").await, "a");
        assert_eq!(server.get("/api/v1/backends").await.json().as_array().unwrap().len(), 1);
    }
    reload(&server, &with_b, TAKEN).await;
    assert_eq!(refusal(&chat(&server, "fast").await), "404 model_not_found");
}

#[tokio::test]
async fn requests_on_a_backend_that_is_removed_or_changed_finish() {
    let (gone, changed) = (FakeBackend::start().await, FakeBackend::start().await);
    gone.set_models(["of-gone"]);
    changed.set_models(["of-changed"]);
    let config = format!("{}{}", gone.config("gone"), changed.config("changed"));
    let server = server(&config).start().await;
    let gate = Gate::new();
    let mut calls = Vec::new();
    for (fake, model) in [(&gone, "of-gone"), (&changed, "of-changed")] {
        fake.script_next(1, Behaviour::Answer.held_by(&gate));
        let (address, body) = (server.address(), crate::observe::ask(model).to_string());
        calls.push(tokio::spawn(async move {
            let path = "/v1/chat/completions";
            client::request(address, "POST", path, &[], body.as_bytes()).await.unwrap().status
        }));
        fake.wait_for_requests(1).await;
    }
    reload(&server, &format!("{}weight = 2\n", changed.config("changed")), TAKEN).await;
    assert_eq!(backend(&server, "changed").await["weight"], 2);
    gate.open();
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    until("nothing in flight", async || {
        let series = "callsheet_in_flight{backend=\"changed\"}";
        metric(&server, series).await.filter(|n| *n == 0.0)
    })
    .await;
}

#[tokio::test]
async fn draining_outlives_a_reload() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    assert_eq!(server.cli(["backend", "drain", "a"]).await.code, 0);
    reload(&server, &format!("{}weight = 2\n", fake.config("a")), TAKEN).await;
    let view = backend(&server, "a").await;
    assert_eq!((&view["status"], &view["weight"]), (&"draining".into(), &2.into()));
}

#[tokio::test]
async fn keys_that_need_a_restart_are_named_and_the_rest_is_taken() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    let config = format!(
        "[log]\nlevel = \"debug\"\n[limits]\nheader_bytes = \"16KiB\"\nsend_timeout = \"5s\"\n\
         [routing.aliases]\nfast = \"test-model\"\n{}",
        fake.config("a")
    );
    let said = "\"needs_restart\":\"log.level, limits.header_bytes, limits.send_timeout\"";
    reload(&server, &config, said).await;
    assert_eq!(served_by(&server, "fast").await, "a");
}

#[tokio::test]
async fn a_shorter_time_to_drain_counts_without_a_restart() {
    let fake = FakeBackend::start().await;
    fake.script(Behaviour::Stall);
    let mut server = server(&fake.config("a")).start().await;
    let address = server.address();
    let stuck = tokio::spawn(async move {
        let body = crate::observe::ask("test-model").to_string();
        client::request(address, "POST", "/v1/chat/completions", &[], body.as_bytes()).await
    });
    fake.wait_for_requests(1).await;
    let config = format!("drain_timeout = \"50ms\"\n{}", fake.config("a"));
    reload(&server, &config, TAKEN).await;
    server.signal(Signal::TERM);
    // The default of 30 seconds is longer than any wait of a test.
    assert_eq!(server.wait_exit().await.code(), Some(1));
    assert!(stuck.await.unwrap().is_err());
}

#[tokio::test]
async fn the_command_reloads_and_says_what_changed() {
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let server = server(&a.config("a")).start().await;
    let unchanged = server.cli(["config", "reload"]).await;
    assert_eq!((unchanged.code, unchanged.stdout.as_str()), (0, "reloaded\n"), "{unchanged:?}");
    let config =
        format!("[log]\nlevel = \"debug\"\n{}weight = 2\n{}", a.config("a"), b.config("b"));
    server.write_config(&format!("{LISTEN}{config}"));
    let dry = server.cli(["config", "reload", "--dry-run"]).await;
    let changes = "added: b\nchanged: a\nneeds a restart: log.level\n";
    assert_eq!(dry.stdout, format!("would be reloaded\n{changes}"), "{dry:?}");
    assert_eq!(backend(&server, "a").await["weight"], 1);
    let json = server.cli(["config", "reload", "--json"]).await.json();
    let expected = serde_json::json!({
        "added": ["b"], "changed": ["a"], "removed": [], "needs_restart": ["log.level"],
    });
    assert_eq!(json, expected);
    assert_eq!(backend(&server, "a").await["weight"], 2);
    server.write_config(&format!("{LISTEN}{}", a.config("a")));
    let quiet = server.cli(["config", "reload", "--quiet"]).await;
    assert_eq!((quiet.code, quiet.stdout.as_str()), (0, ""), "{quiet:?}");
    assert_eq!(refusal(&server.get("/api/v1/backends/b").await), "404 backend_not_found");
}

#[tokio::test]
async fn the_command_says_why_a_file_is_not_taken() {
    let fake = FakeBackend::start().await;
    let server = server(&fake.config("a")).start().await;
    server.write_config(&format!("{LISTEN}[routing]\nstrategy = \"best\"\n"));
    let reply = server.request("POST", "/api/v1/config/reload", &[], b"").await;
    assert_eq!(refusal(&reply), "400 config_refused");
    let text = reply.text();
    assert!(text.contains("callsheet.toml:4: `routing.strategy`: unknown variant"), "{text}");
    assert_eq!(served_by(&server, "test-model").await, "a");
    let other = crate::observe::daemon("").run(["config", "reload"]).await;
    assert_eq!(other.code, 1, "{other:?}");
    assert!(other.stderr.contains("no daemon runs here"), "{other:?}");
}
