//! Each key of `[server]`, and which of flag, variable and file goes first.

use crate::{
    observe::{daemon, refusal, seen},
    server,
};
use insta::assert_snapshot;

#[tokio::test]
async fn listen_is_where_it_answers() {
    let server = daemon("[server]\nlisten = \"127.0.0.2:0\"\n").start().await;
    assert_eq!(server.address().ip().to_string(), "127.0.0.2");
    assert_eq!(server.get("/healthz").await.status, 200);
}

#[tokio::test]
async fn a_flag_goes_before_a_variable_before_the_file_before_the_default() {
    let config = "[server]\nlisten = \"127.0.0.2:0\"\n";
    let variable = ("CALLSHEET_SERVER_LISTEN", "127.0.0.3:0");
    let server = daemon(config).env(variable.0, variable.1).start().await;
    assert_eq!(server.address().ip().to_string(), "127.0.0.3");
    let flag = ["--listen", "127.0.0.4:0"];
    let server = daemon(config).env(variable.0, variable.1).args(flag).start().await;
    assert_eq!(server.address().ip().to_string(), "127.0.0.4");
    let shown = daemon("").run(["config", "show", "--json"]).await.json();
    assert_eq!(shown["server"]["listen"], "127.0.0.1:7117");
}

#[tokio::test]
async fn admin_token_env_names_the_variable_with_the_token() {
    let config = "admin_token_env = \"ADMIN\"\n";
    let server = server(config).env("ADMIN", "opensesame").start().await;
    assert_eq!(refusal(&server.get("/api/v1/backends").await), "401 unauthorized");
    let token = [("Authorization", "Bearer opensesame")];
    assert_eq!(server.request("GET", "/api/v1/backends", &token, b"").await.status, 200);
    assert_eq!(server.cli(["backend", "list"]).await.code, 0, "the command line has it too");
}

#[tokio::test]
async fn admin_token_file_names_the_file_with_the_token() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("token");
    std::fs::write(&file, "opensesame\n").unwrap();
    let server = server(&format!("admin_token_file = {file:?}\n")).start().await;
    assert_eq!(refusal(&server.get("/api/v1/backends").await), "401 unauthorized");
    let token = [("Authorization", "Bearer opensesame")];
    assert_eq!(server.request("GET", "/api/v1/backends", &token, b"").await.status, 200);
}

#[tokio::test]
async fn allow_unauthenticated_opens_an_address_that_others_can_reach() {
    let open = "[server]\nlisten = \"0.0.0.0:0\"\n";
    let refused = daemon(open).run_to_exit().await;
    assert_eq!(refused.code, 1, "{refused:?}");
    let server = daemon(&format!("{open}allow_unauthenticated = true\n")).start().await;
    assert_eq!(server.get("/api/v1/backends").await.status, 200);
    let guarded = format!("{open}admin_token_env = \"ADMIN\"\n");
    let server = daemon(&guarded).env("ADMIN", "opensesame").start().await;
    assert_eq!(server.get("/api/v1/backends").await.status, 401);
}

#[tokio::test]
async fn allowed_hosts_are_names_that_it_goes_by() {
    let server = server("allowed_hosts = [\"gpu-box.lan\"]\n").start().await;
    for (host, expected) in
        [("gpu-box.lan:7117", 200), ("GPU-BOX.LAN", 200), ("other.lan:7117", 403)]
    {
        let reply = server.request("GET", "/healthz", &[("Host", host)], b"").await;
        assert_eq!(reply.status, expected, "{host}");
    }
}

#[tokio::test]
async fn allowed_origins_are_pages_that_may_call() {
    let server = server("allowed_origins = [\"https://chat.example\"]\n").start().await;
    for (origin, expected) in [("https://chat.example", 200), ("https://evil.example", 403)] {
        let reply = server.request("GET", "/v1/models", &[("Origin", origin)], b"").await;
        assert_eq!(reply.status, expected, "{origin}");
    }
}

#[tokio::test]
async fn a_page_of_an_allowed_origin_may_read_its_answers() {
    let server = server("allowed_origins = [\"https://chat.example\"]\n").start().await;
    let page = ("Origin", "https://chat.example");
    let reply = server.request("GET", "/v1/models", &[page], b"").await;
    assert_eq!(reply.header("access-control-allow-origin"), Some(page.1));
    assert_eq!(reply.header("vary"), Some("origin"));
    // A browser asks first whether it may send JSON and a token.
    let asks = [
        page,
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "authorization,content-type"),
    ];
    let leave = server.request("OPTIONS", "/v1/chat/completions", &asks, b"").await;
    assert_eq!(leave.status, 204);
    assert_eq!(leave.header("access-control-allow-origin"), Some(page.1));
    assert_eq!(leave.header("access-control-allow-methods"), Some("GET, POST, DELETE"));
    assert_eq!(leave.header("access-control-allow-headers"), Some("authorization,content-type"));
    let own = server.get("/v1/models").await;
    assert_eq!(own.header("access-control-allow-origin"), None);
}

#[tokio::test]
async fn a_daemon_is_never_offline() {
    assert_snapshot!(seen(&server("").args(["--offline"]).run_to_exit().await), @"
        exit code 2
        --
        error: a daemon cannot be --offline: it is there to be called
        ");
}
