//! Whatever a client sends gets a clear answer, reaches no backend by mistake, and costs nobody
//! else anything.

use crate::scene::{CHAT, ask, assert_error, error_of, limited, until_at_rest};
use callsheet_testkit::{Behaviour, FakeBackend, TestServer};

/// Checks that the daemon still does its work, and that nothing is left of what came before.
async fn assert_well(backend: &FakeBackend, server: &TestServer) {
    until_at_rest(server).await;
    let asked = backend.request_count();
    let reply = server.post_json(CHAT, &ask("are you well?")).await;
    assert_eq!(reply.status, 200, "{}", reply.text());
    assert_eq!(backend.request_count(), asked + 1);
}

#[tokio::test]
async fn a_body_that_cannot_be_routed_is_refused_with_its_reason() {
    let (backend, server) = limited("").await;
    let nested = format!("{{\"model\":\"test-model\",\"x\":{}", "[".repeat(100_000));
    for (body, word) in [
        ("", "JSON"),
        ("{", "JSON"),
        ("{\"model\":\"test-model\"", "JSON"),
        ("{\"model\":\"test-model\",}", "JSON"),
        ("{\"model\":\"test-model\"} {}", "JSON"),
        ("{\"model\":\"test-model\",\"x\":NaN}", "JSON"),
        ("{\"model\":\"\\ud800\"}", "model"),
        ("not json", "JSON"),
        (&nested, "JSON"),
        ("[]", "object"),
        ("\"test-model\"", "object"),
        ("null", "object"),
        ("{}", "`model` is missing"),
        ("{\"Model\":\"test-model\"}", "`model` is missing"),
        ("{\"model\":null}", "`model` must be"),
        ("{\"model\":7}", "`model` must be"),
        ("{\"model\":[\"test-model\"]}", "`model` must be"),
        ("{\"model\":\"\"}", "`model` must be"),
        ("{\"model\":\"test-model\",\"model\":\"test-model\"}", "`model` stands"),
        ("{\"model\":\"test-model\",\"mod\\u0065l\":\"other\"}", "`model` stands"),
        ("{\"model\":\"test-model\",\"stream\":\"yes\"}", "`stream` must be"),
        ("{\"model\":\"test-model\",\"stream\":1}", "`stream` must be"),
        ("{\"model\":\"test-model\",\"stream\":true,\"stream\":false}", "`stream` stands"),
    ] {
        let reply = server.request("POST", CHAT, &[], body.as_bytes()).await;
        let shown = &body[..body.len().min(60)];
        let error = error_of(&reply);
        assert_eq!((reply.status, error["code"].as_str()), (400, Some("invalid_body")), "{shown}");
        let message = error["message"].as_str().unwrap();
        assert!(message.contains(word), "{shown}: {message}");
        assert!(message.len() < 300, "{shown}: {message}");
    }
    let utf8 = [&b"{\"model\":\"test-model\",\"x\":\""[..], b"\xff\xfe", b"\"}"].concat();
    let reply = server.request("POST", CHAT, &[], &utf8).await;
    assert_error(&reply, 400, "invalid_body");
    assert!(reply.text().contains("UTF-8"), "{}", reply.text());
    assert_eq!(backend.request_count(), 0);
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn deep_nesting_is_the_backends_to_judge() {
    let (backend, server) = limited("").await;
    let (open, close) = ("[".repeat(200_000), "]".repeat(200_000));
    backend.script(Behaviour::body("{}"));
    for field in ["x", "messages", "tools", "response_format"] {
        let body = format!("{{\"model\":\"test-model\",\"{field}\":{open}{close}}}");
        let reply = server.request("POST", CHAT, &[], body.as_bytes()).await;
        assert_eq!(reply.status, 200, "{field}: {}", reply.text());
        assert!(backend.requests().last().unwrap().body == body.as_bytes(), "{field}");
    }
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn an_unknown_model_is_refused_however_it_is_spelt() {
    let (backend, server) = limited("").await;
    let long = "m".repeat(100_000);
    for name in ["nope", "test-model ", "TEST-MODEL", "only:nope", ":", "only:", "a\nb", &long] {
        let reply = server.post_json(CHAT, &serde_json::json!({ "model": name })).await;
        assert_error(&reply, 404, "model_not_found");
    }
    let metrics = server.get("/metrics").await.text();
    assert!(!metrics.contains("nope"), "names that only a client knows make no series: {metrics}");
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn a_compressed_body_is_refused() {
    let (backend, server) = limited("").await;
    for encoding in ["gzip", "br", "zstd", "identity, gzip"] {
        let headers = [("Content-Encoding", encoding)];
        let reply = server.request("POST", CHAT, &headers, b"\x1f\x8b\x08\x00").await;
        assert_error(&reply, 415, "unsupported_content_encoding");
    }
    let twice = [("Content-Encoding", "gzip"), ("Content-Encoding", "identity")];
    let reply = server.request("POST", CHAT, &twice, b"\x1f\x8b\x08\x00").await;
    assert_error(&reply, 415, "unsupported_content_encoding");
    let body = ask("hello").to_string();
    let headers = [("Content-Encoding", "identity")];
    assert_eq!(server.request("POST", CHAT, &headers, body.as_bytes()).await.status, 200);
    assert_eq!(backend.request_count(), 1);
}

#[tokio::test]
async fn paths_and_methods_that_do_not_exist_are_refused() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    for path in [
        "/v1",
        "/v1/",
        "/v1/chat",
        "/v1/chat/completions/",
        "/v1/chat/completions2",
        "/v1/%6dodels",
    ] {
        let reply = server.request("POST", path, &[], body.as_bytes()).await;
        assert_error(&reply, 404, "unknown_endpoint");
    }
    for (method, path, allow) in [
        ("GET", CHAT, "POST"),
        ("PUT", CHAT, "POST"),
        ("DELETE", "/v1/embeddings", "POST"),
        ("POST", "/v1/models", "GET"),
        ("POST", "/v1/models/test-model", "GET"),
        ("BREW", "/v1/completions", "POST"),
    ] {
        let reply = server.request(method, path, &[], body.as_bytes()).await;
        assert_error(&reply, 405, "method_not_allowed");
        assert_eq!(reply.header("allow"), Some(allow), "{method} {path}");
    }
    assert_eq!(backend.request_count(), 0);
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn a_query_does_not_hide_an_endpoint() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    let path = format!("{CHAT}?api-version=1");
    assert_eq!(server.request("POST", &path, &[], body.as_bytes()).await.status, 200);
    assert_eq!(backend.request_count(), 1);
}

#[tokio::test]
async fn what_is_no_http_ends_its_own_connection_only() {
    let (backend, server) = limited("").await;
    for garbage in [
        &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"[..],
        b"SSH-2.0-OpenSSH_9.9\r\n\r\n",
        b"GET\r\n\r\n",
        b"GET / HTTP/9.9\r\nHost: localhost\r\n\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nBad Name: x\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nx: a\0b\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1e3\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffffff\r\n",
    ] {
        let answer = String::from_utf8(server.raw(garbage).await).unwrap();
        let shown = garbage.escape_ascii();
        assert!(answer.starts_with("HTTP/1.1 400 "), "{shown}: {answer}");
    }
    // Whoever speaks HTTP/2 unasked could not read an answer.
    let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    assert_eq!(server.raw(preface).await, b"");
    assert_eq!(backend.request_count(), 0);
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn too_many_headers_are_refused() {
    let (backend, server) = limited("").await;
    let names: Vec<_> = (0..1000).map(|n| format!("x-{n}")).collect();
    let headers: Vec<_> = names.iter().map(|name| (name.as_str(), "1")).collect();
    let body = ask("hello").to_string();
    let reply = server.request("POST", CHAT, &headers, body.as_bytes()).await;
    assert_eq!(reply.status, 431, "{}", reply.text());
    assert_eq!(backend.request_count(), 0);
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn two_lengths_cannot_make_two_requests_of_one() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    let hidden = "GET /v1/models HTTP/1.1\r\nHost: localhost\r\n\r\n";
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nContent-Length: {}\r\nTransfer-Encoding: chunked\r\n\r\n\
         {:x}\r\n{body}\r\n0\r\n\r\n{hidden}",
        body.len() + 12,
        body.len(),
    );
    let answer = String::from_utf8(server.raw(request.as_bytes()).await).unwrap();
    // The chunks are the body, and the connection ends with it, whatever follows.
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    assert_eq!(answer.matches("HTTP/1.1 ").count(), 1, "{answer}");
    let requests = backend.requests();
    assert_eq!(requests.len(), 1);
    assert_eq!(requests[0].body, body.as_bytes());
    assert!(requests[0].header("transfer-encoding").is_none());
    assert_well(&backend, &server).await;
}

#[tokio::test]
async fn a_chunked_body_is_taken_and_sent_on_with_its_length() {
    let (backend, server) = limited("").await;
    let body = ask("hello").to_string();
    let (first, second) = body.split_at(7);
    let chunk = |text: &str| format!("{:x}\r\n{text}\r\n", text.len());
    let chunks = [chunk(first), chunk(second)].concat();
    let request = format!(
        "POST {CHAT} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n{chunks}0\r\nx-trailer: 1\r\n\r\n"
    );
    let answer = String::from_utf8(server.raw(request.as_bytes()).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    let request = &backend.requests()[0];
    assert_eq!(request.body, body.as_bytes());
    assert_eq!(request.header("content-length"), Some(&*body.len().to_string()));
    assert!(request.header("transfer-encoding").is_none());
    assert_well(&backend, &server).await;
}
