//! Which headers cross the gateway, and which stay on their own side.

use crate::{
    scene::{CHAT, ask, limited},
    server,
};
use callsheet_testkit::{Behaviour, FakeBackend};

#[tokio::test]
async fn a_clients_credentials_never_reach_a_backend_whose_own_key_does() {
    let backends =
        [FakeBackend::start().await, FakeBackend::start().await, FakeBackend::start().await];
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "key-from-file\n").unwrap();
    let config = format!(
        "{}api_key_env = \"ONE_KEY\"\n{}api_key_file = {file:?}\n{}[routing]\nstrategy = \"round_robin\"\n",
        backends[0].config("env"),
        backends[1].config("file"),
        backends[2].config("none"),
    );
    let server = server(&config).env("ONE_KEY", "key-from-env").start().await;
    let headers = [
        ("Authorization", "Bearer client-secret"),
        ("Proxy-Authorization", "Basic client-secret"),
        ("Cookie", "session=client-secret"),
        ("x-api-key", "client-secret"),
        ("api-key", "client-secret"),
        ("X-CALLSHEET-SECRET", "client-secret"),
    ];
    let body = ask("hello").to_string();
    for _ in 0..6 {
        let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{}", reply.text());
        assert!(!format!("{reply:?}").contains("key-from"), "{reply:?}");
    }
    let keys = [Some("Bearer key-from-env"), Some("Bearer key-from-file"), None];
    for (backend, key) in backends.iter().zip(keys) {
        assert_eq!(backend.request_count(), 2);
        for request in backend.requests().iter().chain(&backend.probes()) {
            assert_eq!(request.header("authorization"), key);
            assert_eq!(
                request.headers.iter().filter(|h| h.0 == "authorization").count(),
                usize::from(key.is_some())
            );
            assert!(!format!("{:?}", request.headers).contains("client-secret"), "{request:?}");
        }
    }
    assert!(!server.stderr().contains("key-from") && !server.stderr().contains("client-secret"));
}

#[tokio::test]
async fn what_concerns_one_connection_stays_there() {
    let (backend, server) = limited("").await;
    let headers = [
        ("Connection", "keep-alive, x-hop-1"),
        ("Connection", "x-hop-2"),
        ("x-hop-1", "1"),
        ("X-Hop-2", "2"),
        ("Keep-Alive", "timeout=5"),
        ("Proxy-Connection", "keep-alive"),
        ("TE", "trailers"),
        ("Trailer", "x"),
        ("Upgrade", "h2c"),
        ("Accept-Encoding", "gzip, br"),
        ("x-client-said", "this"),
        ("X-Twice", "one"),
        ("X-Twice", "two"),
    ];
    backend.script(Behaviour::Status {
        code: 200,
        headers: [
            ("Connection", "x-back-1"),
            ("Connection", "keep-alive, X-Back-2"),
            ("x-back-1", "1"),
            ("x-back-2", "2"),
            ("Keep-Alive", "timeout=5"),
            ("Upgrade", "h2c"),
            ("Trailer", "x"),
            ("Proxy-Connection", "close"),
            ("Set-Cookie", "backend=1"),
            ("x-backend-said", "that"),
            ("x-many", "one"),
            ("x-many", "two"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .to_vec(),
        body: "{}".to_owned(),
    });
    let body = ask("hello").to_string();
    let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    let request = &backend.requests()[0];
    for name in [
        "x-hop-1",
        "x-hop-2",
        "connection",
        "keep-alive",
        "proxy-connection",
        "te",
        "trailer",
        "upgrade",
    ] {
        assert_eq!(request.header(name), None, "{name} went to the backend");
    }
    assert_eq!(request.header("accept-encoding"), Some("identity"));
    assert_eq!(request.header("x-client-said"), Some("this"));
    assert_eq!(request.headers.iter().filter(|(name, _)| name == "x-twice").count(), 2);
    assert_eq!(request.header("host"), Some(&*backend.address().to_string()));
    for name in [
        "x-back-1",
        "x-back-2",
        "keep-alive",
        "upgrade",
        "trailer",
        "proxy-connection",
        "set-cookie",
    ] {
        assert_eq!(reply.header(name), None, "{name} came to the client");
    }
    assert_eq!(reply.header("x-backend-said"), Some("that"));
    assert_eq!(reply.headers.iter().filter(|(name, _)| name == "x-many").count(), 2);
}

#[tokio::test]
async fn a_request_has_one_id_everywhere() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    let given = [("X-Request-Id", "abc-123")];
    let reply = server.request("POST", CHAT, &given, body.as_bytes()).await;
    assert_eq!(reply.header("x-request-id"), Some("abc-123"));
    let made = server.request("POST", CHAT, &[], body.as_bytes()).await;
    let made = made.header("x-request-id").unwrap();
    let refused = server.request("POST", CHAT, &[("x-request-id", "bad id")], b"{").await;
    let replaced = refused.header("x-request-id").unwrap();
    assert!(replaced.bytes().all(|byte| byte.is_ascii_graphic()), "{replaced:?}");
    assert_eq!(refused.json()["error"]["request_id"], replaced);
    let ids: Vec<_> =
        backend.requests().iter().map(|r| r.header("x-request-id").unwrap().to_owned()).collect();
    assert_eq!(ids, ["abc-123", made]);
    for id in ["abc-123", made, replaced] {
        server.wait_for_stderr(id).await;
    }
}

#[tokio::test]
async fn a_client_that_waits_to_be_asked_for_its_body_is_asked() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    let reply = {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let mut socket = server.connect().await;
        let head = format!(
            "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n",
            body.len()
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut asked = [0; 25];
        callsheet_testkit::within("100 Continue", socket.read_exact(&mut asked)).await.unwrap();
        assert_eq!(&asked, b"HTTP/1.1 100 Continue\r\n\r\n");
        socket.write_all(body.as_bytes()).await.unwrap();
        let mut reply = String::new();
        callsheet_testkit::within("an answer", socket.read_to_string(&mut reply)).await.unwrap();
        reply
    };
    assert!(reply.starts_with("HTTP/1.1 200 "), "{reply}");
    assert_eq!(backend.requests()[0].header("expect"), None);
}
