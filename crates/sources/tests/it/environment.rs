//! What the environment says is honoured: proxies, and whom to trust.
//!
//! A process reads its environment once, and tests share one; so each test here starts itself
//! again as a child with variables of its own.

use callsheet_sources::{FetchError, Fetched, Http, HttpSettings, Request};
use callsheet_testkit::{Behaviour, FakeBackend, within};
use std::{
    net::SocketAddr,
    process::Command,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

const ASK: &str = "CALLSHEET_TEST_ASK";

/// In the child: asks, and prints what came of it.
fn is_child() -> bool {
    let Ok(url) = std::env::var(ASK) else { return false };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let settings = HttpSettings { attempts: 1, ..HttpSettings::default() };
    let request = Request { deadline: Duration::from_secs(5), ..Request::new(url) };
    let said = match runtime.block_on(Http::new(settings).get(&request)) {
        Ok(Fetched::Fresh { body, .. }) => format!("body {}", String::from_utf8_lossy(&body)),
        Ok(Fetched::NotModified) => "nothing new".to_owned(),
        Err(error @ FetchError::Tls { .. }) => format!("untrusted {}", error.explain()),
        Err(error) => format!("error {}", error.explain()),
    };
    eprintln!("RESULT {said}");
    true
}

/// Runs a test of this file as a child that asks for `url`, and returns what came of it.
async fn ask_as_child(test: &str, url: String, variables: &[(&str, String)]) -> String {
    let mut child = Command::new(std::env::current_exe().unwrap());
    child.args(["--exact", &format!("environment::{test}"), "--nocapture"]).env(ASK, url);
    for name in ["http_proxy", "https_proxy", "all_proxy", "no_proxy", "ssl_cert_file"] {
        child.env_remove(name).env_remove(name.to_uppercase());
    }
    child.env_remove("SSL_CERT_DIR").envs(variables.iter().map(|(name, value)| (name, value)));
    let output = tokio::task::spawn_blocking(move || child.output().unwrap());
    let output = within("the child", output).await.unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    let line = stderr.lines().find_map(|line| line.strip_prefix("RESULT "));
    line.unwrap_or_else(|| panic!("no result in {stderr:?}")).to_owned()
}

/// A proxy that forwards plain requests and opens tunnels; notes the first line of each request.
async fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let lines = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&lines);
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(forward(stream, Arc::clone(&seen)));
        }
    });
    (address, lines)
}

async fn forward(mut client: TcpStream, seen: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(client.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let line = head.lines().next().unwrap().to_owned();
    let target = line.split(' ').nth(1).unwrap().to_owned();
    seen.lock().unwrap().push(line.clone());
    let mut server = if line.starts_with("CONNECT ") {
        let server = TcpStream::connect(target).await.unwrap();
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await.unwrap();
        server
    } else {
        let authority = target.strip_prefix("http://").unwrap().split('/').next().unwrap();
        let mut server = TcpStream::connect(authority).await.unwrap();
        server.write_all(head.as_bytes()).await.unwrap();
        server
    };
    let _ = copy_bidirectional(&mut client, &mut server).await;
}

/// A server for `localhost` with a certificate of its own; returns it as PEM.
async fn tls_server() -> (SocketAddr, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = rustls::pki_types::PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![made.cert.der().clone()], key)
        .unwrap();
    let acceptor = tokio_rustls::TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                // A client that does not trust us goes away here, as it should.
                let Ok(mut stream) = acceptor.accept(stream).await else { return };
                let mut head = [0; 4096];
                let length = stream.read(&mut head).await.unwrap_or_default();
                let answer = if head[..length].starts_with(b"GET /down ") {
                    "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:9/\r\nContent-Length: 0\r\n\
                     Connection: close\r\n\r\n"
                } else {
                    "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nsecret"
                };
                let _ = stream.write_all(answer.as_bytes()).await;
                let _ = stream.shutdown().await;
            });
        }
    });
    (address, made.cert.pem())
}

#[test]
fn a_certificate_is_trusted_where_ssl_cert_file_says_so() {
    if is_child() {
        return;
    }
    run(async {
        let (address, pem) = tls_server().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.pem");
        std::fs::write(&file, pem).unwrap();
        let test = "a_certificate_is_trusted_where_ssl_cert_file_says_so";
        let url = format!("https://localhost:{}/", address.port());
        let variables = [("SSL_CERT_FILE", file.display().to_string())];
        assert_eq!(ask_as_child(test, url.clone(), &variables).await, "body secret");
        let said = ask_as_child(test, format!("{url}down"), &variables).await;
        assert!(said.contains("redirects") && said.contains("from https to http:"), "{said}");

        let (_, other_pem) = tls_server().await;
        std::fs::write(&file, other_pem).unwrap();
        let said = ask_as_child(test, url.clone(), &variables).await;
        assert!(said.starts_with("untrusted") && said.contains("SSL_CERT_FILE"), "{said}");

        // The name must be right too.
        let by_address = format!("https://127.0.0.1:{}/", address.port());
        let said = ask_as_child(test, by_address, &variables).await;
        assert!(said.starts_with("untrusted"), "{said}");
    });
}

#[test]
fn proxies_are_used_and_spared() {
    if is_child() {
        return;
    }
    run(async {
        let test = "proxies_are_used_and_spared";
        let server = FakeBackend::start().await;
        server.script(Behaviour::body("plain"));
        let (proxy, seen) = proxy().await;
        let url = format!("{}/models", server.url());
        let through = ("HTTP_PROXY", format!("http://{proxy}"));
        assert_eq!(
            ask_as_child(test, url.clone(), std::slice::from_ref(&through)).await,
            "body plain"
        );
        assert_eq!(seen.lock().unwrap().as_slice(), [format!("GET {url} HTTP/1.1")]);

        let variables = [through, ("NO_PROXY", "127.0.0.1".to_owned())];
        assert_eq!(ask_as_child(test, url, &variables).await, "body plain");
        assert_eq!(seen.lock().unwrap().len(), 1);

        let (address, pem) = tls_server().await;
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("root.pem");
        std::fs::write(&file, pem).unwrap();
        let variables = [
            ("HTTPS_PROXY", format!("http://{proxy}")),
            ("SSL_CERT_FILE", file.display().to_string()),
        ];
        let url = format!("https://localhost:{}/", address.port());
        assert_eq!(ask_as_child(test, url, &variables).await, "body secret");
        let line = seen.lock().unwrap().pop().unwrap();
        assert_eq!(line, format!("CONNECT localhost:{} HTTP/1.1", address.port()));
    });
}

fn run(test: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(test);
}
