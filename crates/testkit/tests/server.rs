//! The daemon's keeper, tried on a shell script that behaves like a daemon.

#![allow(clippy::unwrap_used, reason = "a test may fail this way")]

use std::path::Path;

use callsheet_testkit::{Behaviour, FakeBackend, Signal, TestServer, TestServerBuilder};

/// A committed file: one written just now might still be open in a process being forked.
fn daemon(address: &str) -> TestServerBuilder {
    let exe = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/daemon.sh");
    TestServer::builder(&exe).env("ADDRESS", address)
}

#[tokio::test]
async fn it_starts_speaks_and_ends() {
    let backend = FakeBackend::start().await;
    backend.script_next(2, Behaviour::status(503));
    backend.script(Behaviour::body("ready"));
    let mut server = daemon(&backend.url())
        .config("port = 0")
        .env("SECRET", "hush")
        .args(["--demo"])
        .start()
        .await;
    assert_eq!(server.url(), backend.url());
    assert_eq!(backend.request_count(), 3, "it asks until it is told to go on");
    server.wait_for_stderr("config: port = 0 rest: --demo").await;
    assert_eq!(server.get("/any").await.text(), "ready");

    let output = server.cli(["backend", "list"]).await;
    assert_eq!(output.code, 3);
    let data = server.data_dir();
    assert_eq!(
        output.stdout,
        format!(
            "backend list --config {} in {} with hush\n",
            server.config_path().display(),
            data.parent().unwrap().display()
        )
    );
    let first = server.pid();
    server.restart().await;
    assert_ne!(server.pid(), first);
    server.signal(Signal::KILL);
    assert_eq!(server.wait_exit().await.code(), None);
}

#[tokio::test]
async fn a_daemon_that_refuses_its_config_is_heard() {
    let output = daemon("unused").config("broken = 1").run_to_exit().await;
    assert_eq!((output.code, output.stderr.as_str()), (1, "unknown key: broken\n"));
}

#[tokio::test]
#[should_panic(expected = "unknown key: broken")]
async fn a_daemon_that_should_start_and_does_not_fails_the_test() {
    daemon("unused").config("broken = 1").start().await;
}
