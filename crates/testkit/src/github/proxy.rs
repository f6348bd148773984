//! GitHub under its real names: a proxy that takes the place of every host behind it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::BytesMut;
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose};
use rustls::ServerConfig;
use rustls::pki_types::PrivateKeyDer;
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::host::{Door, GitHubHost};
use super::{FakeGitHub, Shared, serve, wire};

/// A proxy for `CONNECT` that speaks TLS for GitHub's hosts, under a certificate authority that was
/// made for it, and has what its [`FakeGitHub`] has.
///
/// A client that heeds [`GitHubProxy::env`] meets it at GitHub's own addresses. Every other host is
/// refused. It ends when it is dropped.
#[derive(Debug)]
pub struct GitHubProxy {
    url: String,
    folder: TempDir,
    task: JoinHandle<()>,
}

impl FakeGitHub {
    /// Starts a proxy behind which this is GitHub.
    ///
    /// # Panics
    /// When no port is free, or no certificate can be written.
    pub async fn proxy(&self) -> GitHubProxy {
        let folder = TempDir::with_prefix("callsheet-github-").expect("a temporary folder");
        let acceptor = acceptor(&ca_path(&folder)).expect("a certificate");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("a bound listener has an address");
        let task = tokio::spawn(run(listener, Arc::clone(&self.shared), acceptor));
        GitHubProxy { url: format!("http://{address}"), folder, task }
    }

    /// Returns what proxies were asked for and refused: `HOST:PORT`, or the address of a plain
    /// request.
    pub fn refused_by_proxy(&self) -> Vec<String> {
        self.shared.0.borrow().refused.clone()
    }
}

impl GitHubProxy {
    /// Returns the address as `http://127.0.0.1:PORT`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Returns the file with the certificate of the authority, in PEM.
    pub fn ca_file(&self) -> PathBuf {
        ca_path(&self.folder)
    }

    /// Returns the environment in which common clients use the proxy and trust it.
    pub fn env(&self) -> Vec<(&'static str, String)> {
        let ca = self.ca_file().display().to_string();
        vec![
            ("HTTPS_PROXY", self.url.clone()),
            ("https_proxy", self.url.clone()),
            ("NO_PROXY", String::new()),
            ("no_proxy", String::new()),
            ("SSL_CERT_FILE", ca.clone()),
            ("REQUESTS_CA_BUNDLE", ca.clone()),
            ("CURL_CA_BUNDLE", ca),
        ]
    }
}

impl Drop for GitHubProxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn ca_path(folder: &TempDir) -> PathBuf {
    folder.path().join("ca.pem")
}

/// Makes an authority, writes its certificate to a file, and has it vouch for GitHub's hosts.
fn acceptor(ca_file: &Path) -> Result<TlsAcceptor, Box<dyn std::error::Error>> {
    let ca_key = KeyPair::generate()?;
    let mut ca = CertificateParams::new(Vec::new())?;
    ca.distinguished_name.push(DnType::CommonName, "stand-in for tests");
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    std::fs::write(ca_file, ca.self_signed(&ca_key)?.pem())?;
    let issuer = Issuer::new(ca, ca_key);

    let key = KeyPair::generate()?;
    let mut leaf = CertificateParams::new(GitHubHost::names())?;
    leaf.distinguished_name.push(DnType::CommonName, GitHubHost::Web.name());
    leaf.use_authority_key_identifier_extension = true;
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    let chain = vec![leaf.signed_by(&key, &issuer)?.der().clone()];
    let key = PrivateKeyDer::try_from(key.serialize_der())?;
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn run(listener: TcpListener, shared: Arc<Shared>, acceptor: TlsAcceptor) {
    let mut tunnels = JoinSet::new();
    while let Ok((stream, _)) = listener.accept().await {
        while tunnels.try_join_next().is_some() {}
        let _ = stream.set_nodelay(true);
        tunnels.spawn(tunnel(stream, Arc::clone(&shared), acceptor.clone()));
    }
}

/// Refuses a tunnel, or is what is at its other end.
async fn tunnel(mut stream: TcpStream, shared: Arc<Shared>, acceptor: TlsAcceptor) {
    let mut buffer = BytesMut::new();
    let Ok(Some(head)) = wire::read(&mut stream, &mut buffer).await else { return };
    let host = Some(&*head.target)
        .filter(|_| head.method == "CONNECT")
        .and_then(|target| target.strip_suffix(":443"))
        .and_then(GitHubHost::of_name);
    let Some(host) = host else {
        shared.change(|state| state.refused.push(head.target));
        let refused = b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
        let _ = stream.write_all(refused).await;
        return;
    };
    // Whatever came with the request would be lost: no client begins TLS before it is answered.
    if !buffer.is_empty()
        || stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await.is_err()
    {
        return;
    }
    // A client that does not trust the certificate is gone here, and has said why itself.
    if let Ok(stream) = acceptor.accept(stream).await {
        serve::connection(stream, shared, Door::Tls, host).await;
    }
}
