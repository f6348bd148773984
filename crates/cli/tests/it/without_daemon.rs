//! The command line where no daemon runs, and where it is another one than expected.

use crate::{
    observe::{daemon, refusal, seen, served_by},
    server,
};
use callsheet_testkit::{FakeBackend, Output, TestServer};
use insta::assert_snapshot;
use serde_json::json;
use std::path::Path;

/// Runs a command with this config and data directory, without any daemon.
async fn run(config: &str, data: &Path, args: &[&str]) -> Output {
    let data = data.to_str().expect("a path that is text");
    daemon(config).run([args, &["--data-dir", data]].concat()).await
}

async fn start(config: &str, data: &Path) -> TestServer {
    server(config).args(["--data-dir".as_ref(), data.as_os_str()]).start().await
}

#[tokio::test]
async fn a_backend_that_is_added_without_a_daemon_is_there_when_one_starts() {
    let fake = FakeBackend::start().await;
    let data = tempfile::tempdir().unwrap();
    let added = run("", data.path(), &["backend", "add", &fake.url(), "--name", "a"]).await;
    assert_eq!(added.stdout, "a added: healthy, 1 model\n", "{added:?}");
    let again = run("", data.path(), &["backend", "add", &fake.url(), "--name", "a"]).await;
    assert_eq!((again.code, again.stdout.as_str()), (1, ""), "{again:?}");
    let mut server = start("", data.path()).await;
    assert_eq!(served_by(&server, "test-model").await, "a");
    server.stop().await;
    assert_eq!(run("", data.path(), &["backend", "remove", "a"]).await.code, 0);
    assert_eq!(run("", data.path(), &["backend", "list", "--json"]).await.stdout, "[]\n");
}

#[tokio::test]
async fn list_probes_and_shows_how_the_backends_are() {
    let (up, down) = (FakeBackend::start().await, FakeBackend::start().await);
    down.stop().await;
    let data = tempfile::tempdir().unwrap();
    let config = format!("{}{}", up.config("up"), down.config("down"));
    let listed = run(&config, data.path(), &["backend", "list", "--json"]).await.json();
    let status = |i: usize| (listed[i]["name"].clone(), listed[i]["status"].clone());
    assert_eq!(status(0), ("down".into(), "unhealthy".into()), "{listed}");
    assert_eq!(status(1), ("up".into(), "healthy".into()), "{listed}");
    assert_eq!(run(&config, data.path(), &["route", "test-model"]).await.code, 0);
    down.restart().await;
}

#[tokio::test]
async fn offline_opens_no_connection() {
    let fake = FakeBackend::start().await;
    let data = tempfile::tempdir().unwrap();
    let config = fake.config("a");
    let listed = run(&config, data.path(), &["backend", "list", "--json", "--offline"]).await;
    assert_eq!(listed.json()[0]["status"], "unknown");
    let add = ["backend", "add", &fake.url(), "--name", "b", "--offline"];
    let added = run(&config, data.path(), &add).await;
    assert_eq!(added.code, 0, "{added:?}");
    let routed = run(&config, data.path(), &["route", "test-model", "--offline"]).await;
    assert_eq!(routed.code, 1, "{routed:?}");
    assert_eq!(fake.connection_count(), 0);
    let server = start(&config, data.path()).await;
    let reached = run(&config, data.path(), &["backend", "list", "--offline"]).await;
    assert_eq!(reached.code, 1, "{reached:?}");
    assert!(reached.stderr.contains("--offline opens no connection to it"), "{reached:?}");
    assert_eq!(served_by(&server, "b:test-model").await, "b");
}

#[tokio::test]
async fn a_second_daemon_on_the_same_data_is_refused() {
    let data = tempfile::tempdir().unwrap();
    let first = start("", data.path()).await;
    let second = server("").args(["--data-dir".as_ref(), data.path().as_os_str()]);
    let output = second.run_to_exit().await;
    let said = seen(&output).replace(&*data.path().to_string_lossy(), "DATA");
    assert_snapshot!(said, @"
        exit code 1
        --
        error: another callsheet runs on the data directory DATA
        hint: stop that one, or give this one another --data-dir and --listen
        ");
    assert_eq!(first.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn server_speaks_to_another_daemon() {
    let fake = FakeBackend::start().await;
    let other = server(&fake.config("theirs")).start().await;
    let mine = server("").start().await;
    let listed = mine.cli(["backend", "list", "--json", "--server", &other.url()]).await.json();
    assert_eq!(listed[0]["name"], "theirs");
    let env = daemon("").env("CALLSHEET_SERVER", &other.url());
    assert_eq!(env.run(["backend", "list", "--json"]).await.json()[0]["name"], "theirs");
    let broken = daemon("[nonsense]\n");
    let output = broken.run(["backend", "list", "--json", "--server", &other.url()]).await;
    assert_eq!(output.json()[0]["name"], "theirs", "this machine's config is not asked");
}

#[tokio::test]
async fn a_wrong_token_or_address_is_said_with_what_to_do() {
    let guarded = server("admin_token_env = \"ADMIN\"\n").env("ADMIN", "opensesame").start().await;
    let url = guarded.url();
    let ask = ["backend", "list", "--server", &url];
    assert_snapshot!(seen(&daemon("").run(ask).await), @"
        exit code 1
        --
        error: the admin token is missing or wrong
        hint: send it as `Authorization: Bearer TOKEN`; the command line reads it from the config or from CALLSHEET_ADMIN_TOKEN
        ");
    let wrong = daemon("").env("CALLSHEET_ADMIN_TOKEN", "wrong").run(ask).await;
    assert_eq!(wrong.code, 1, "{wrong:?}");
    let right = daemon("").env("CALLSHEET_ADMIN_TOKEN", "opensesame").run(ask).await;
    assert_eq!(right.code, 0, "{right:?}");

    let stranger = FakeBackend::start().await;
    let url = stranger.url();
    let ask = ["route", "m", "--server", &url];
    assert_snapshot!(seen(&daemon("").run(ask).await), @"
        exit code 1
        --
        error: the server answered 400, not as Callsheet does
        hint: is --server the address of a Callsheet daemon?
        ");
    stranger.stop().await;
    assert_snapshot!(seen(&daemon("").run(ask).await), @"
        exit code 1
        --
        error: the daemon at http://127.0.0.1:PORT cannot be asked: the backend cannot be reached: Connection refused (os error 111)
        hint: is it running? `callsheet serve` starts one
        ");
    stranger.restart().await;
}

#[tokio::test]
async fn a_daemon_that_was_killed_is_not_taken_for_one_that_runs() {
    let fake = FakeBackend::start().await;
    let mut server = server(&fake.config("a")).start().await;
    server.signal(callsheet_testkit::Signal::KILL);
    server.wait_exit().await;
    assert!(server.data_dir().join("daemon.json").exists(), "it could not tidy up");
    let listed = server.cli(["backend", "list", "--json"]).await.json();
    assert_eq!(listed[0]["status"], "healthy", "asked in this process");
}

#[tokio::test]
async fn the_daemon_that_runs_on_the_data_is_found_by_itself() {
    let server = server("").start().await;
    let fake = FakeBackend::start().await;
    let url = fake.url();
    assert_eq!(server.cli(["backend", "add", &url, "--name", "a"]).await.code, 0);
    let twice = server.post_json("/api/v1/backends", &json!({"name": "a", "url": url})).await;
    assert_eq!(refusal(&twice), "409 backend_exists", "it was the daemon that added it");
}

#[tokio::test]
async fn commands_at_the_same_time_take_turns_and_none_is_lost() {
    let fake = FakeBackend::start().await;
    let data = tempfile::tempdir().unwrap();
    let adds: Vec<_> = (0..8)
        .map(|i| {
            let (url, data) = (fake.url(), data.path().to_owned());
            tokio::spawn(async move {
                let name = format!("b-{i}");
                run("", &data, &["backend", "add", &url, "--name", &name, "--quiet"]).await
            })
        })
        .collect();
    for add in adds {
        let output = add.await.unwrap();
        assert_eq!((output.code, output.stderr.as_str()), (0, ""));
    }
    let listed = run("", data.path(), &["backend", "list", "--json"]).await.json();
    assert_eq!(listed.as_array().unwrap().len(), 8, "{listed}");
}

#[tokio::test]
async fn what_a_killed_daemon_announced_misleads_nobody() {
    let data = tempfile::tempdir().unwrap();
    let mut server = start("", data.path()).await;
    server.signal(callsheet_testkit::Signal::KILL);
    server.wait_exit().await;
    assert_eq!(run("", data.path(), &["backend", "list"]).await.code, 0);
    assert!(!data.path().join("daemon.json").exists(), "whoever owns the data tidies up");
}
