//! TLS, with a certificate authority of the test's own.
//!
//! Roots are read once in the life of a process, from where `SSL_CERT_FILE` says, so that each
//! test calls itself again in a process of its own, which is the client.

use crate::backend::{Backend, PATIENCE, fetch, get, patient};
use callsheet_types::BackendUrl;
use callsheet_upstream::{BodyError, Options, SendError, TlsError, Upstream};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer};
use std::{path::Path, process::Stdio, sync::Arc, time::Duration};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};

const URL: &str = "CALLSHEET_TEST_TLS_URL";

struct Authority {
    folder: tempfile::TempDir,
    acceptor: TlsAcceptor,
}

impl Authority {
    /// Makes an authority and a server with a certificate of it for `localhost`.
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(
                vec![certificate.der().clone()],
                PrivateKeyDer::try_from(key.serialize_der()).unwrap(),
            )
            .unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { folder, acceptor: TlsAcceptor::from(Arc::new(config)) }
    }

    fn roots(&self) -> std::path::PathBuf {
        self.folder.path().join("ca.pem")
    }
}

/// Runs a test of this file again, as the client, and returns whether it succeeded.
async fn run_client(test: &str, roots: &Path, url: &str) -> bool {
    let mut client = std::process::Command::new(std::env::current_exe().unwrap())
        .args([&format!("tls::{test}"), "--exact"])
        .env("SSL_CERT_FILE", roots)
        .env_remove("SSL_CERT_DIR")
        .env(URL, url)
        .stdin(Stdio::null())
        .spawn()
        .unwrap();
    tokio::task::spawn_blocking(move || client.wait().unwrap().success()).await.unwrap()
}

/// The upstream to call, if this process is the client.
fn as_client() -> Option<Result<Upstream, TlsError>> {
    let url = BackendUrl::new(&std::env::var(URL).ok()?).unwrap();
    Some(Upstream::new(&url, Options::default()))
}

async fn read_request(stream: &mut TlsStream<TcpStream>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        request.push(stream.read_u8().await.unwrap());
    }
}

#[tokio::test]
async fn a_server_of_a_trusted_authority_is_called() {
    if let Some(upstream) = as_client() {
        let upstream = upstream.unwrap();
        // Two requests on one connection, then a body that the server cuts.
        for _ in 0..2 {
            assert_eq!(fetch(&upstream, &get()).await.unwrap(), "ok");
            assert_eq!(upstream.idle_count(), 1);
        }
        let answer = upstream.send(&get(), patient()).await.unwrap();
        assert!(answer.body.is_close_delimited());
        let error = answer.body.collect(1000).await.unwrap_err();
        assert!(matches!(error, BodyError::Cut(_)), "{error:?}");
        return;
    }
    let authority = Authority::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let roots = authority.roots();
    let client = run_client("a_server_of_a_trusted_authority_is_called", &roots, &url);
    let serve = async {
        let stream = listener.accept().await.unwrap().0;
        let mut stream = authority.acceptor.accept(stream).await.unwrap();
        for _ in 0..2 {
            read_request(&mut stream).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
            stream.write_all(answer).await.unwrap();
        }
        read_request(&mut stream).await;
        // Without `close_notify` an end that anybody could have made.
        stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nhalf").await.unwrap();
        stream.flush().await.unwrap();
    };
    let both = async { tokio::join!(client, serve) };
    let (succeeded, ()) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(succeeded);
}

#[tokio::test]
async fn a_server_of_an_unknown_authority_is_not_called() {
    if let Some(upstream) = as_client() {
        let error = upstream.unwrap().send(&get(), patient()).await.unwrap_err();
        assert!(matches!(error, SendError::Tls(_)), "{error:?}");
        assert!(!error.may_have_been_served());
        return;
    }
    let (authority, other) = (Authority::new(), Authority::new());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://localhost:{}", listener.local_addr().unwrap().port());
    let roots = other.roots();
    let client = run_client("a_server_of_an_unknown_authority_is_not_called", &roots, &url);
    let serve = async {
        let stream = listener.accept().await.unwrap().0;
        authority.acceptor.accept(stream).await.map(drop).unwrap_err()
    };
    let both = async { tokio::join!(client, serve) };
    let (succeeded, _) = tokio::time::timeout(PATIENCE, both).await.unwrap();
    assert!(succeeded);
}

#[tokio::test]
async fn a_store_without_certificates_is_said_at_once() {
    if let Some(upstream) = as_client() {
        let error = upstream.unwrap_err();
        assert!(matches!(error, TlsError::NoRoots { .. }), "{error:?}");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let roots = folder.path().join("none.pem");
    let test = "a_store_without_certificates_is_said_at_once";
    assert!(run_client(test, &roots, "https://localhost:1").await);
}

#[tokio::test]
async fn a_handshake_that_does_not_come_in_time_is_given_up() {
    if let Some(Ok(_)) = as_client() {
        let url = BackendUrl::new(&std::env::var(URL).unwrap()).unwrap();
        let options = Options { connect_timeout: Duration::from_millis(50), ..Options::default() };
        let upstream = Upstream::new(&url, options).unwrap();
        let error = upstream.send(&get(), patient()).await.unwrap_err();
        assert!(matches!(error, SendError::ConnectTimeout), "{error:?}");
        assert!(!error.may_have_been_served());
        return;
    }
    let backend = Backend::start().await;
    let url = backend.url("https").to_string();
    let roots = Authority::new();
    let test = "a_handshake_that_does_not_come_in_time_is_given_up";
    assert!(run_client(test, &roots.roots(), &url).await);
}
