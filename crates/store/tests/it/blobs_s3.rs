//! What goes wrong with a bucket.

use crate::blobs_places::{access, server};
use callsheet_store::{Blobs, S3Access, S3Keys, StoreError};
use callsheet_testkit::{FakeS3, Signal};
use callsheet_types::{Digest, Secret};
use std::{
    env,
    error::Error as _,
    io::{Read, Write as _},
    net::{TcpListener, TcpStream},
    process::Command,
    sync::Arc,
    time::Duration,
};

/// What answers at all here does so at once; what does not is soon found out.
const SHORT: Duration = Duration::from_secs(2);

fn open(url: &str, access: &S3Access) -> Blobs {
    Blobs::open_with(&url.parse().unwrap(), access).unwrap()
}

/// Returns what an error says, with all that caused it.
fn chain(error: &StoreError) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        text.push_str(": ");
        text.push_str(&error.to_string());
        cause = error.source();
    }
    text
}

/// Has everything tried, and hands each error to `check` with what it says.
fn each_error(blobs: &Blobs, check: impl Fn(&StoreError, &str)) {
    let digest = Digest::of(b"abc");
    for error in [
        blobs.put(b"abc").map(drop),
        blobs.get(&digest).map(drop),
        blobs.has(&digest).map(drop),
        blobs.list().map(drop),
        blobs.remove(&digest).map(drop),
    ] {
        let error = error.unwrap_err();
        check(&error, &chain(&error));
    }
}

fn somebody() -> S3Keys {
    let secret = |text| Secret::new(text, "TEST").unwrap();
    let session_token = Some(secret("hush-token"));
    S3Keys { id: secret("AKIAHUSHHUSHHUSHHUSH"), secret: secret("hush-secret"), session_token }
}

fn elsewhere(address: &str, silence: Duration) -> S3Access {
    let endpoint = Some(address.parse().unwrap());
    S3Access { endpoint, region: None, keys: Some(somebody()), silence }
}

/// Answers every connection with the same bytes, and returns where.
fn answering(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(stream) = stream else { return };
            std::thread::spawn(move || answer_one(stream, answer));
        }
    });
    address
}

/// Reads the head of what is asked, and returns it.
fn asked(stream: &mut impl Read) -> String {
    let mut asked = String::new();
    while !asked.contains("\r\n\r\n") {
        let mut buffer = [0; 4096];
        match stream.read(&mut buffer) {
            Ok(count) if count > 0 => asked.push_str(&String::from_utf8_lossy(&buffer[..count])),
            _ => break,
        }
    }
    asked
}

/// What was asked has to be read, or closing would be a reset.
fn answer_one(mut stream: TcpStream, answer: &str) {
    asked(&mut stream);
    let _ = stream.write_all(answer.as_bytes());
    let _ = stream.shutdown(std::net::Shutdown::Write);
    let _ = std::io::copy(&mut stream, &mut std::io::sink());
}

#[test]
fn the_same_again_writes_nothing() {
    let Some(server) = server() else { return };
    let blobs = open("s3://bucket", &access(&server, Duration::from_secs(30)));
    let digest = blobs.put(b"abc").unwrap();
    let hex = digest.hex();
    let written = server.keys("bucket").unwrap();
    let key = format!("sha256/{}/{}", &hex[..2], &hex[2..]);
    assert_eq!(written.keys().collect::<Vec<_>>(), [&key]);
    blobs.put(b"abc").unwrap();
    assert_eq!(server.keys("bucket").unwrap(), written);
}

#[test]
fn it_works_on_a_thread_that_a_runtime_drives() {
    let Some(server) = server() else { return };
    let blobs = open("s3://bucket", &access(&server, Duration::from_secs(30)));
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let digest = runtime.block_on(async { blobs.put(b"abc").unwrap() });
    let other = blobs.clone();
    let task = runtime.spawn_blocking(move || other.get(&digest).unwrap());
    assert_eq!(runtime.block_on(task).unwrap().unwrap(), b"abc");
}

#[test]
fn a_bucket_that_is_not_there_is_named_and_never_taken_for_an_empty_one() {
    let Some(server) = server() else { return };
    each_error(&open("s3://other/p", &access(&server, Duration::from_secs(30))), |error, said| {
        assert!(matches!(error, StoreError::NoBucket { .. }), "{error:?}");
        assert!(said.contains("s3://other/p") && said.contains(&server.url), "{said}");
    });
}

#[test]
fn who_may_not_hears_so_and_nothing_of_the_keys_is_shown() {
    let Some(server) = server() else { return };
    let denied = |keys: S3Keys| {
        let access = S3Access { keys: Some(keys), ..access(&server, Duration::from_secs(30)) };
        let blobs = open("s3://bucket", &access);
        each_error(&blobs, |error, said| {
            assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
            assert!(said.contains(&server.url) && said.contains("403"), "{said}");
            let shown = format!("{said} {error:?} {blobs:?} {access:?}");
            for secret in ["hush", "HUSH", &server.secret, &server.key_id] {
                assert!(!shown.contains(secret), "{shown}");
            }
        });
    };
    denied(somebody());
    let id = Secret::new(&server.key_id, "TEST").unwrap();
    denied(S3Keys { id, session_token: None, ..somebody() });
}

#[test]
fn nobody_answers_at_an_endpoint() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    drop(listener);
    each_error(&open("s3://bucket", &elsewhere(&address, SHORT)), |error, said| {
        assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
        assert!(said.contains(&address) && said.contains("refused"), "{said}");
        assert!(!said.contains("hush"), "{said}");
    });
}

/// Stops a server, and lets it go on whatever happens.
struct Stopped<'a>(&'a FakeS3);

impl<'a> Stopped<'a> {
    fn new(server: &'a FakeS3) -> Self {
        server.signal(Signal::STOP);
        Self(server)
    }
}

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.signal(Signal::CONT);
    }
}

#[test]
fn a_server_that_stands_still_is_given_up_and_used_again() {
    let Some(server) = server() else { return };
    let blobs = open("s3://bucket", &access(&server, Duration::from_secs(30)));
    let digest = blobs.put(b"abc").unwrap();
    {
        let _stopped = Stopped::new(&server);
        let impatient = open("s3://bucket", &access(&server, Duration::from_millis(300)));
        each_error(&impatient, |error, said| {
            assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
            assert!(said.contains(&server.url) && said.contains("said nothing"), "{said}");
        });
    }
    assert_eq!(blobs.get(&digest).unwrap().unwrap(), b"abc");
}

#[test]
fn a_server_that_stops_in_the_middle_is_given_up() {
    let head = "HTTP/1.1 200 OK\r\nContent-Length: 1000\r\nLast-Modified: Fri, 20 Nov 2026 10:00:00 GMT\r\nETag: \"a\"\r\n\r\n<beginning";
    let address = answering_and_waiting(head);
    let blobs = open("s3://bucket", &elsewhere(&address, SHORT));
    let error = blobs.get(&Digest::of(b"abc")).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(chain(&error).contains("said nothing"), "{}", chain(&error));
    // What answers with an error may stop in the middle of that.
    let head = "HTTP/1.1 403 Forbidden\r\nContent-Length: 1000\r\n\r\n<beginning";
    let address = answering_and_waiting(head);
    let error = open("s3://bucket", &elsewhere(&address, SHORT)).list().unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
}

/// Answers every connection with the same bytes, and then holds it open.
fn answering_and_waiting(answer: &'static str) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let mut held = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            asked(&mut stream);
            let _ = stream.write_all(answer.as_bytes());
            held.push(stream);
        }
    });
    address
}

#[test]
fn a_server_that_takes_nothing_is_given_up_in_the_middle_of_a_large_blob() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let not_found = "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    std::thread::spawn(move || {
        let (first, _) = listener.accept().unwrap();
        answer_one(first, not_found);
        let mut held = Vec::new();
        while let Ok((stream, _)) = listener.accept() {
            held.push(stream);
        }
    });
    let blobs = open("s3://bucket", &elsewhere(&address, SHORT));
    let error = blobs.put(&vec![1; 20 << 20]).unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(chain(&error).contains("said nothing"), "{}", chain(&error));
}

#[test]
fn what_is_no_s3_is_not_taken_for_an_empty_one() {
    for (answer, part) in [
        ("HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno", "404"),
        (
            "HTTP/1.1 301 Moved\r\nLocation: http://hush.test/\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
            "301",
        ),
        ("HTTP/1.1 418 Teapot\r\nContent-Length: 0\r\nConnection: close\r\n\r\n", "418"),
    ] {
        let address = answering(answer);
        each_error(&open("s3://bucket", &elsewhere(&address, SHORT)), |error, said| {
            assert!(matches!(error, StoreError::Unexpected { .. }), "{error:?}");
            assert!(said.contains(&address) && said.contains(part), "{said}");
            assert!(!said.contains("hush"), "{said}");
        });
    }
    let page = "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\nLast-Modified: Fri, 20 Nov 2026 10:00:00 GMT\r\nETag: \"a\"\r\nConnection: close\r\n\r\n<html>";
    let blobs = open("s3://bucket", &elsewhere(&answering(page), SHORT));
    let error = blobs.get(&Digest::of(b"abc")).unwrap_err();
    assert!(matches!(error, StoreError::DamagedBlob { .. }), "{error:?}");
    blobs.list().unwrap_err();
}

#[test]
fn what_a_server_says_of_itself_is_passed_on_without_what_it_repeats() {
    let answer = "HTTP/1.1 503 Slow Down\r\nContent-Length: 69\r\nConnection: close\r\n\r\n<Error><Code>SlowDown</Code><Message>hush-token hush</Message></Error>";
    let address = answering(answer);
    let error = open("s3://bucket", &elsewhere(&address, SHORT)).list().unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    let said = format!("{} {error:?}", chain(&error));
    assert!(said.contains("503") && said.contains("SlowDown"), "{said}");
    assert!(!said.contains("hush"), "{said}");
}

#[test]
fn a_server_of_ones_own_is_never_asked_without_keys() {
    let access = S3Access { keys: None, ..elsewhere("http://127.0.0.1:1", SHORT) };
    let error = Blobs::open_with(&"s3://bucket".parse().unwrap(), &access).unwrap_err();
    assert!(matches!(error, StoreError::Denied { .. }), "{error:?}");
    assert!(chain(&error).contains("AWS_ACCESS_KEY_ID"), "{}", chain(&error));
}

#[test]
fn older_servers_that_cannot_put_what_is_absent_only_are_put_to_all_the_same() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let server = std::thread::spawn(move || {
        let mut answered = Vec::new();
        while let Ok((mut stream, _)) = listener.accept() {
            let text = asked(&mut stream);
            let is_conditional = text.to_lowercase().contains("if-none-match");
            let status = match (text.starts_with("HEAD"), is_conditional) {
                (true, _) => "404 Not Found",
                (_, true) => "501 Not Implemented",
                _ => "200 OK\r\nETag: \"a\"",
            };
            answered.push(status);
            let answer =
                format!("HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            stream.write_all(answer.as_bytes()).unwrap();
            if status.starts_with("200") {
                break;
            }
        }
        answered
    });
    let blobs = open("s3://bucket", &elsewhere(&address, Duration::from_secs(30)));
    blobs.put(b"").unwrap();
    let answered = server.join().unwrap();
    assert!(answered.contains(&"501 Not Implemented"), "{answered:?}");
}

/// Where the process that the test starts, with other trusted certificates, finds the server.
const ADDRESS: &str = "CALLSHEET_STORE_TEST_S3_ADDRESS";

const NAME: &str = "blobs_s3::a_server_is_believed_by_its_certificate";

#[test]
fn a_server_is_believed_by_its_certificate() {
    let patient = Duration::from_secs(30);
    if let Ok(address) = env::var(ADDRESS) {
        let blobs = open("s3://bucket", &elsewhere(&address, patient));
        assert_eq!(blobs.get(&Digest::of(b"abc")).unwrap(), None);
        return;
    }
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = folder.path().join("trusted.pem");
    std::fs::write(&trusted, made.cert.pem()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![made.cert.der().clone()],
            made.signing_key.serialize_der().try_into().unwrap(),
        );
    let config = Arc::new(config.unwrap());
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    std::thread::spawn(move || {
        while let Ok((stream, _)) = listener.accept() {
            let server = rustls::ServerConnection::new(config.clone()).unwrap();
            let mut stream = rustls::StreamOwned::new(server, stream);
            if asked(&mut stream).is_empty() {
                continue;
            }
            let body = "<Error><Code>NoSuchKey</Code></Error>";
            let head = "HTTP/1.1 404 Not Found\r\nConnection: close\r\nContent-Length";
            let _ = write!(stream, "{head}: {}\r\n\r\n{body}", body.len());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    let outcome = Command::new(env::current_exe().unwrap())
        .args(["--exact", NAME, "--nocapture"])
        .env(ADDRESS, &address)
        .env("SSL_CERT_FILE", &trusted)
        .status();
    assert!(outcome.unwrap().success());
    // Here it is not trusted.
    let error = open("s3://bucket", &elsewhere(&address, patient)).list().unwrap_err();
    assert!(matches!(error, StoreError::Unreachable { .. }), "{error:?}");
    assert!(chain(&error).contains("certificate"), "{}", chain(&error));
}
