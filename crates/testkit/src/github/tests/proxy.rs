//! GitHub under its real names, met by clients that know nothing of a stand-in.

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::*;

/// Asks the proxy for a tunnel and returns the beginning of what it says.
async fn connect(proxy: &GitHubProxy, target: &str) -> (TcpStream, String) {
    let mut stream = TcpStream::connect(&proxy.url()["http://".len()..]).await.unwrap();
    let head = format!("CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        assert_ne!(within("an answer", stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    (stream, String::from_utf8(answer).unwrap()[..12].to_owned())
}

async fn secure(proxy: &GitHubProxy, host: &'static str) -> TlsStream<TcpStream> {
    let (stream, answer) = connect(proxy, &format!("{host}:443")).await;
    assert_eq!(answer, "HTTP/1.1 200");
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(proxy.ca_file()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let name = ServerName::try_from(host).unwrap();
    let connected = TlsConnector::from(Arc::new(config)).connect(name, stream);
    within("TLS", connected).await.unwrap()
}

/// Asks for something and reads until the answer ends so.
async fn ask(stream: &mut TlsStream<TcpStream>, path: &str, end: &str) -> String {
    let head = format!("GET {path} HTTP/1.1\r\nHost: x\r\n\r\n");
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(end.as_bytes()) {
        assert_ne!(within("an answer", stream.read_buf(&mut answer)).await.unwrap(), 0);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn github_is_met_under_its_real_names() {
    let (hub, repo, _) = hub_with_files().await;
    repo.release("v1", [("x", "asset")]);
    let proxy = hub.proxy().await;

    let mut raw = secure(&proxy, "raw.githubusercontent.com").await;
    for _ in 0..2 {
        let answer = ask(&mut raw, "/Owner/repo/develop/mf6/a/mfsim.nam", "\r\n\r\nbegin").await;
        assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
    }
    let mut web = secure(&proxy, "github.com").await;
    let answer = ask(&mut web, "/Owner/repo/releases/download/v1/x", "\r\n\r\n").await;
    let (_, to) =
        answer.split_once("Location: https://release-assets.githubusercontent.com").unwrap();
    let to = to.lines().next().unwrap();
    for name in ["release-assets.githubusercontent.com", "objects.githubusercontent.com"] {
        ask(&mut secure(&proxy, name).await, to, "\r\n\r\nasset").await;
    }
    let mut api = secure(&proxy, "api.github.com").await;
    let answer = ask(&mut api, "/repos/Owner/repo/zipball/develop", "\r\n\r\n").await;
    let to = "Location: https://codeload.github.com/Owner/repo/legacy.zip/refs/heads/develop\r\n";
    assert!(answer.contains(to), "{answer}");
    let answer = ask(&mut api, "/repos/Owner/repo/releases/tags/v1", "}").await;
    assert!(answer.contains("https://github.com/Owner/repo/releases/download/v1/x"), "{answer}");
    assert_eq!(hub.connections(), 5);
    assert_eq!((hub.connections_to(GitHubHost::Raw), hub.request_count()), (1, 7));
}

#[tokio::test]
async fn other_hosts_are_refused() {
    let (hub, _, _) = hub_with_files().await;
    let proxy = hub.proxy().await;
    let targets = ["example.org:443", "github.com:80", "elsewhere.example:443"];
    for target in targets {
        assert_eq!(connect(&proxy, target).await.1, "HTTP/1.1 403", "{target}");
    }
    assert_eq!(hub.refused_by_proxy(), targets);
    assert_eq!((hub.connections(), hub.request_count()), (0, 0));
    let plain = client::raw(
        proxy.url()["http://".len()..].parse().unwrap(),
        b"GET http://github.com/ HTTP/1.1\r\n\r\n",
    );
    assert!(within("an answer", plain).await.unwrap().starts_with(b"HTTP/1.1 403"));
    assert_eq!(hub.refused_by_proxy().pop().unwrap(), "http://github.com/");
}
