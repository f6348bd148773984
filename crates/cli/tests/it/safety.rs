//! Who may call, from where, and that no secret is ever shown.

use crate::{
    observe::{ask, refusal, until},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend, TestServer};
use serde_json::json;

const ALL: [&str; 6] =
    ["/healthz", "/readyz", "/metrics", "/v1/models", "/api/v1/backends", "/nothing"];

async fn get(server: &TestServer, path: &str, headers: &[(&str, &str)]) -> u16 {
    server.request("GET", path, headers, b"").await.status
}

#[tokio::test]
async fn a_name_that_it_does_not_go_by_is_not_answered_anywhere() {
    let server = server("").start().await;
    let port = server.address().port();
    for path in ALL {
        for host in ["evil.example", "127.0.0.1.evil.example", "localhost.evil.example:7117"] {
            let reply = server.request("GET", path, &[("Host", host)], b"").await;
            assert_eq!(refusal(&reply), "403 unknown_host", "{path} {host}");
        }
        for host in [format!("localhost:{port}"), format!("127.0.0.1:{port}"), "[::1]".to_owned()] {
            assert_ne!(get(&server, path, &[("Host", &host)]).await, 403, "{path} {host}");
        }
    }
}

#[tokio::test]
async fn a_request_without_one_clear_host_is_refused() {
    let server = server("").start().await;
    let head =
        |hosts: &str| format!("GET /api/v1/backends HTTP/1.1\r\n{hosts}Connection: close\r\n\r\n");
    for hosts in
        ["", "Host: localhost\r\nHost: evil.example\r\n", "Host: a@127.0.0.1\r\n", "Host: \r\n"]
    {
        let answer = String::from_utf8(server.raw(head(hosts).as_bytes()).await).unwrap();
        assert!(answer.starts_with("HTTP/1.1 403 ") && answer.contains("bad_host"), "{answer}");
    }
    // A proxy's form of a request names a host too, and that is not the one that counts.
    let absolute = "GET http://localhost/api/v1/backends HTTP/1.1\r\nHost: evil.example\r\n\
                    Connection: close\r\n\r\n";
    let answer = String::from_utf8(server.raw(absolute.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 403 "), "{answer}");
}

#[tokio::test]
async fn a_page_of_another_origin_is_not_answered_anywhere() {
    let server = server("").start().await;
    let own = server.url();
    for path in ALL {
        for origin in ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost"] {
            let reply = server.request("GET", path, &[("Origin", origin)], b"").await;
            assert_eq!(refusal(&reply), "403 foreign_origin", "{path} {origin}");
            assert_eq!(reply.header("access-control-allow-origin"), None);
        }
        assert_ne!(get(&server, path, &[("Origin", &own)]).await, 403, "{path}");
    }
    let asks = [("Origin", "https://evil.example"), ("Access-Control-Request-Method", "POST")];
    assert_eq!(server.request("OPTIONS", "/api/v1/backends", &asks, b"").await.status, 403);
}

#[tokio::test]
async fn the_admin_token_guards_the_api_and_nothing_else() {
    let fake = FakeBackend::start().await;
    let config = format!("admin_token_env = \"ADMIN\"\n{}", fake.config("a"));
    let server = server(&config).env("ADMIN", "opensesame").start().await;
    for (method, path) in [
        ("GET", "/api/v1/backends"),
        ("POST", "/api/v1/backends"),
        ("GET", "/api/v1/backends/a"),
        ("DELETE", "/api/v1/backends/a"),
        ("POST", "/api/v1/backends/a/drain"),
        ("POST", "/api/v1/backends/a/resume"),
        ("GET", "/api/v1/route?model=test-model"),
        ("GET", "/api/v1/openapi.json"),
        ("POST", "/api/v1/config/reload"),
        ("GET", "/api/v1/no-such-thing"),
        ("GET", "/api/"),
    ] {
        for authorization in
            [None, Some("Bearer wrong"), Some("Bearer opensesame2"), Some("Basic opensesame")]
        {
            let headers: Vec<_> =
                authorization.map(|value| ("Authorization", value)).into_iter().collect();
            let reply = server.request(method, path, &headers, b"").await;
            assert_eq!(refusal(&reply), "401 unauthorized", "{method} {path} {authorization:?}");
        }
    }
    // What is written otherwise is another path, not a way around.
    for path in
        ["/%61pi/v1/backends", "//api/v1/backends", "/v1/../api/v1/backends", "/API/v1/backends"]
    {
        assert_eq!(get(&server, path, &[]).await, 404, "{path}");
    }
    let token = ("Authorization", "Bearer opensesame");
    assert_eq!(get(&server, "/api/v1/backends", &[token]).await, 200);
    for path in ["/healthz", "/readyz", "/metrics", "/v1/models"] {
        assert_eq!(get(&server, path, &[]).await, 200, "{path}");
    }
    let reply = server.post_json("/v1/chat/completions", &ask("test-model")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
}

#[tokio::test]
async fn no_secret_is_shown_by_anything() {
    const KEYS: [&str; 4] = ["sk-one-7f3a", "sk-two-9b2c", "admin-4e8d", "sk-client-5d1e"];
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("key");
    std::fs::write(&file, KEYS[1]).unwrap();
    let (a, b) = (FakeBackend::start().await, FakeBackend::start().await);
    let config = format!(
        "admin_token_env = \"ADMIN\"\n[log]\nlevel = \"trace\"\n[health]\ninterval = \"20ms\"\n\
         {}api_key_env = \"ONE\"\n{}api_key_file = {file:?}\n",
        a.config("a"),
        b.config("b")
    );
    let mut server = server(&config).env("ONE", KEYS[0]).env("ADMIN", KEYS[2]).start().await;
    // Good answers, refused keys, broken connections, wrong tokens: everything that is reported.
    let mut shown = String::new();
    a.script_next(3, Behaviour::status(401));
    b.script_next(2, Behaviour::ResetAfterRequest);
    let own = format!("Bearer {}", KEYS[3]);
    for _ in 0..8 {
        let headers = [("Authorization", own.as_str()), ("Content-Type", "application/json")];
        let body = ask("test-model").to_string();
        let path = "/v1/chat/completions";
        let reply = server.request("POST", path, &headers, body.as_bytes()).await;
        shown += &format!("{:?} {}", reply.headers, reply.text());
    }
    a.models_answer(Behaviour::status(401));
    until("a refused key", async || {
        let output = server.cli(["backend", "show", "a"]).await;
        let is_there = output.stdout.contains("it refuses the key");
        is_there.then(|| shown += &output.stdout)
    })
    .await;
    for args in [
        &["config", "show"][..],
        &["config", "show", "--json"],
        &["config", "check", "--json"],
        &["backend", "list"],
        &["backend", "list", "--json"],
        &["backend", "show", "b", "--json"],
        &["backend", "drain", "b", "--json"],
        &["route", "test-model", "--json"],
    ] {
        let output = server.cli(args).await;
        shown += &format!("{}{}", output.stdout, output.stderr);
    }
    let admin = format!("Bearer {}", KEYS[2]);
    for path in ["/metrics", "/readyz", "/api/v1/backends", "/api/v1/route?model=test-model"] {
        let reply = server.request("GET", path, &[("Authorization", &admin)], b"").await;
        assert_eq!(reply.status, 200, "{path}");
        shown += &reply.text();
    }
    let wrong = server.request("GET", "/api/v1/backends", &[("Authorization", &own)], b"").await;
    shown += &wrong.text();
    let add = json!({"name": "c", "url": a.url(), "api_key_env": "ONE"}).to_string();
    let headers = [("Authorization", admin.as_str()), ("Content-Type", "application/json")];
    let added = server.request("POST", "/api/v1/backends", &headers, add.as_bytes()).await;
    assert_eq!(added.status, 201, "{}", added.text());
    shown += &added.text();
    shown += &server.cli(["store", "export"]).await.stdout;
    shown += &std::fs::read_to_string(server.data_dir().join("daemon.json")).unwrap();
    // What a client says in its own words must not reach the log either.
    server.raw(format!("GET / HTTP/1.1\r\nAuthorization {}\r\n\r\n", KEYS[3]).as_bytes()).await;
    let log = server.stop().await;
    assert!(log.contains("\"DEBUG\""), "the log says all it can: {log}");
    shown += &log;
    assert!(a.requests()[0].header("authorization").unwrap().contains(KEYS[0]));
    for key in KEYS {
        let at = shown.find(key).map(|at| &shown[at.saturating_sub(200)..at]);
        assert_eq!(at, None, "{key} is shown after this");
    }
}
