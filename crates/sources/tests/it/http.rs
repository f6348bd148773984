//! What the client does with what servers do.

use callsheet_sources::{FetchError, Fetched, Http, HttpSettings, Request, bearer};
use callsheet_testkit::{Behaviour, FakeBackend, RawStep, within};
use callsheet_types::Secret;
use std::time::Duration;

fn quick() -> Http {
    Http::new(HttpSettings { first_pause: Duration::from_millis(1), ..HttpSettings::default() })
}

async fn get(http: &Http, request: &Request) -> Result<Fetched, FetchError> {
    within("an answer", http.get(request)).await
}

fn text(fetched: Fetched) -> String {
    match fetched {
        Fetched::Fresh { body, .. } => String::from_utf8(body.to_vec()).unwrap(),
        Fetched::NotModified => panic!("nothing came"),
    }
}

fn with_headers(code: u16, headers: &[(&str, &str)], body: &str) -> Behaviour {
    let headers = headers.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
    Behaviour::Status { code, headers, body: body.to_owned() }
}

#[tokio::test]
async fn what_fails_for_a_moment_is_tried_again() {
    let server = FakeBackend::start().await;
    for code in [408, 429, 500, 502, 503, 504] {
        server.script_next(2, Behaviour::status(code));
        server.script_next(1, Behaviour::body("here"));
        let before = server.request_count();
        let fetched = get(&quick(), &Request::new(format!("{}/x", server.url()))).await.unwrap();
        assert_eq!(
            (text(fetched).as_str(), server.request_count() - before),
            ("here", 3),
            "{code}"
        );
    }
    server.script_next(1, Behaviour::ResetAfterRequest);
    server.script_next(1, Behaviour::body("here"));
    let fetched = get(&quick(), &Request::new(server.url())).await.unwrap();
    assert_eq!(text(fetched), "here");
}

#[tokio::test]
async fn what_stays_is_not() {
    let server = FakeBackend::start().await;
    for (code, hint) in [(400, ""), (401, "API key"), (404, "address")] {
        server.script_next(1, with_headers(code, &[], "{\"error\":\n\t\"no\u{1}\"}"));
        let before = server.request_count();
        let url = format!("{}/x?key=hunter2", server.url());
        let error = get(&quick(), &Request::new(&url)).await.unwrap_err();
        let FetchError::Status { status, said, .. } = &error else { panic!("{error:?}") };
        assert_eq!((*status, said.as_str()), (code, "{\"error\": \"no \"}"));
        assert_eq!(server.request_count() - before, 1);
        let explained = error.explain();
        assert!(explained.contains("/x?…") && !explained.contains("hunter2"), "{explained}");
        assert!(explained.contains(hint), "{explained}");
    }
}

#[tokio::test]
async fn attempts_end() {
    let server = FakeBackend::start().await;
    server.script(Behaviour::status(503));
    let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 503, .. }), "{error:?}");
    assert_eq!(server.request_count(), 4);
}

#[tokio::test]
async fn retry_after_is_honoured_or_ends_it_at_once() {
    let server = FakeBackend::start().await;
    server.script_next(1, Behaviour::status_with_header(429, "Retry-After", "1"));
    server.script_next(1, Behaviour::body("here"));
    get(&quick(), &Request::new(server.url())).await.unwrap();
    let requests = server.requests();
    assert!(requests[1].at - requests[0].at >= Duration::from_secs(1));

    server.script(Behaviour::status_with_header(429, "Retry-After", "3600"));
    let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
    assert_eq!(server.request_count(), 3);
    assert!(error.explain().contains("it asks to wait 3600s"), "{}", error.explain());

    server.script_next(
        1,
        Behaviour::status_with_header(503, "Retry-After", "Sun, 06 Nov 1994 08:49:37 GMT"),
    );
    server.script_next(1, Behaviour::body("here"));
    get(&quick(), &Request::new(server.url())).await.unwrap();
}

#[tokio::test]
async fn time_and_size_have_their_limits() {
    let server = FakeBackend::start().await;
    server.script_next(1, Behaviour::Stall);
    let deadline = Duration::from_millis(100);
    let request = Request { deadline, ..Request::new(server.url()) };
    let error = get(&quick(), &request).await.unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{error:?}");

    // A body that trickles keeps the connection busy and the deadline holds all the same.
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nx";
    server.script_next(1, Behaviour::Raw(vec![RawStep::text(head), RawStep::Stall]));
    let error = get(&quick(), &request).await.unwrap_err();
    assert!(matches!(error, FetchError::Deadline { .. }), "{error:?}");

    server.script(Behaviour::body("0123456789"));
    let request = |max_bytes| Request { max_bytes, ..Request::new(server.url()) };
    assert_eq!(text(get(&quick(), &request(10)).await.unwrap()), "0123456789");
    let error = get(&quick(), &request(9)).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { max_bytes: 9, .. }), "{error:?}");
}

#[tokio::test]
async fn a_body_that_breaks_off_is_no_body() {
    let server = FakeBackend::start().await;
    let half = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf";
    server.script_next(4, Behaviour::Raw(vec![RawStep::text(half), RawStep::Close]));
    let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    assert_eq!(server.request_count(), 4);

    // Neither is one whose chunks or whose packing have no end.
    let chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n";
    let packed =
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n\x1f\x8b\x08\0\0\0\0\0\0\xff\x4b";
    for bytes in [chunked.as_bytes(), packed] {
        let before = server.request_count();
        let bytes = RawStep::Write(bytes.to_vec().into());
        server.script_next(1, Behaviour::Raw(vec![bytes, RawStep::Close]));
        server.script_next(1, Behaviour::body("whole"));
        let fetched = get(&quick(), &Request::new(server.url())).await.unwrap();
        assert_eq!((text(fetched).as_str(), server.request_count() - before), ("whole", 2));
    }
}

#[tokio::test]
async fn gzip_is_unpacked_under_the_same_limit() {
    use std::io::Write as _;
    let server = FakeBackend::start().await;
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    encoder.write_all(&vec![b'x'; 10_000_000]).unwrap();
    let packed = encoder.finish().unwrap();
    let mut answer = format!(
        "HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: {}\r\n\r\n",
        packed.len()
    )
    .into_bytes();
    answer.extend_from_slice(&packed);
    server.script(Behaviour::Raw(vec![RawStep::Write(answer.into())]));
    let request = |max_bytes| Request { max_bytes, ..Request::new(server.url()) };
    assert_eq!(text(get(&quick(), &request(10_000_000)).await.unwrap()).len(), 10_000_000);
    assert_eq!(server.requests()[0].header("accept-encoding"), Some("gzip"));
    let error = get(&quick(), &request(100_000)).await.unwrap_err();
    assert!(matches!(error, FetchError::TooLong { .. }), "{error:?}");
}

#[tokio::test]
async fn only_what_is_newer_is_fetched() {
    let server = FakeBackend::start().await;
    server.script_next(1, with_headers(200, &[("ETag", "\"one\"")], "x"));
    let mut request = Request::new(server.url());
    let Fetched::Fresh { etag, .. } = get(&quick(), &request).await.unwrap() else { panic!() };
    assert_eq!(etag.as_deref(), Some("\"one\""));

    for (tag, header) in
        [("\"one\"", "if-none-match"), ("Sun, 06 Nov 1994 08:49:37 GMT", "if-modified-since")]
    {
        server.script_next(1, with_headers(304, &[], ""));
        request.etag = Some(tag.to_owned());
        let fetched = get(&quick(), &request).await.unwrap();
        assert!(matches!(fetched, Fetched::NotModified));
        assert_eq!(server.requests().last().unwrap().header(header), Some(tag));
    }

    // Whoever did not ask for it has no use for "not modified".
    server.script_next(1, with_headers(304, &[], ""));
    let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Status { status: 304, .. }), "{error:?}");
}

#[tokio::test]
async fn credentials_stay_with_their_host() {
    let (first, other) = (FakeBackend::start().await, FakeBackend::start().await);
    let mut request = Request::new(format!("{}/a", first.url()));
    let secret = Secret::new("sk-123", "TEST").unwrap();
    request.headers.insert("authorization", bearer(&secret));
    let mut key = http_value("sk-456");
    key.set_sensitive(true);
    request.headers.insert("x-api-key", key);
    request.headers.insert("x-plain", http_value("kept"));

    first.script_next(1, with_headers(302, &[("Location", "/b")], ""));
    first.script_next(1, with_headers(302, &[("Location", &format!("{}/c", other.url()))], ""));
    other.script(Behaviour::body("here"));
    assert_eq!(text(get(&quick(), &request).await.unwrap()), "here");
    let second = first.requests()[1].clone();
    assert_eq!(second.path, "/b");
    assert_eq!(second.header("authorization"), Some("Bearer sk-123"));
    assert_eq!(second.header("x-api-key"), Some("sk-456"));
    let third = other.requests()[0].clone();
    assert_eq!(third.header("x-plain"), Some("kept"));
    for name in ["authorization", "x-api-key", "referer"] {
        assert_eq!(third.header(name), None, "{name}");
    }
    assert!(!format!("{:?}", request.headers).contains("sk-"));
}

fn http_value(text: &str) -> http::HeaderValue {
    http::HeaderValue::from_str(text).unwrap()
}

#[tokio::test]
async fn redirects_end() {
    let server = FakeBackend::start().await;
    server.script(with_headers(302, &[("Location", "/again")], ""));
    let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error:?}");
    assert_eq!(server.request_count(), 6);
    for target in ["file:///etc/passwd", ""] {
        let headers: &[_] = if target.is_empty() { &[] } else { &[("Location", target)] };
        server.script(with_headers(301, headers, ""));
        let error = get(&quick(), &Request::new(server.url())).await.unwrap_err();
        assert!(matches!(error, FetchError::Redirect { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn json_is_posted_and_a_redirect_keeps_it_only_if_it_says_so() {
    let server = FakeBackend::start().await;
    server.script_next(1, with_headers(307, &[("Location", "/there")], ""));
    server.script_next(1, Behaviour::body("here"));
    let request = Request::new(server.url());
    text(within("an answer", quick().post_json(&request, "{\"a\":1}")).await.unwrap());
    let last = server.requests().pop().unwrap();
    assert_eq!((last.method.as_str(), last.path.as_str()), ("POST", "/there"));
    assert_eq!(last.header("content-type"), Some("application/json"));
    assert_eq!(last.body, b"{\"a\":1}");

    server.script_next(1, with_headers(302, &[("Location", "/there")], ""));
    let error = within("an answer", quick().post_json(&request, "{}")).await.unwrap_err();
    assert!(matches!(error, FetchError::Redirect { .. }), "{error:?}");
}

#[tokio::test]
async fn offline_opens_no_connection() {
    let server = FakeBackend::start().await;
    let http = Http::new(HttpSettings { is_offline: true, ..HttpSettings::default() });
    let error = get(&http, &Request::new(server.url())).await.unwrap_err();
    assert!(matches!(error, FetchError::Offline { .. }), "{error:?}");
    assert_eq!(server.connection_count(), 0);
}

#[tokio::test]
async fn who_is_not_there_is_named() {
    let server = FakeBackend::start().await;
    let url = server.url().replace("http://", "http://user:hunter2@");
    server.stop().await;
    let error = get(&quick(), &Request::new(format!("{url}/v1?key=hunter2"))).await.unwrap_err();
    assert!(matches!(error, FetchError::Unreachable { .. }), "{error:?}");
    let explained = error.explain();
    assert!(explained.contains("refused") && explained.contains("running"), "{explained}");
    assert!(!explained.contains("hunter2"), "{explained}");
}
