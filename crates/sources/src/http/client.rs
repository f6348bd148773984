//! The connections, made when they are first needed.

use super::error::{Failure, FetchError, Place};
use reqwest::{Client, Url, redirect::Policy};
use rustls::{ClientConfig, RootCertStore, crypto::ring};
use std::{sync::Arc, time::Duration};
use tokio::sync::OnceCell;

/// Two clients, because reading some hundred root certificates is dear for whoever only asks a
/// server in the next room.
#[derive(Debug, Default)]
pub(super) struct Clients {
    plain: OnceCell<Client>,
    secure: OnceCell<Client>,
}

impl Clients {
    /// Returns the client for an address.
    pub(super) async fn for_url(&self, url: &Url) -> Result<&Client, Failure> {
        let is_secure = url.scheme() == "https" || is_proxied_over_tls();
        let cell = if is_secure { &self.secure } else { &self.plain };
        let made = cell.get_or_try_init(|| async {
            tokio::task::spawn_blocking(move || build(is_secure))
                .await
                .map_err(|_| "it was cut off")?
        });
        made.await.map_err(|reason: &'static str| {
            Failure::last(FetchError::Tls { url: Place::of(url), source: reason.into() })
        })
    }
}

/// A plain address may still be asked for through a proxy that speaks TLS.
fn is_proxied_over_tls() -> bool {
    ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"]
        .iter()
        .filter_map(|name| std::env::var(name).ok())
        .any(|proxy| proxy.starts_with("https:"))
}

fn build(is_secure: bool) -> Result<Client, &'static str> {
    let mut roots = RootCertStore::empty();
    if is_secure {
        let found = rustls_native_certs::load_native_certs();
        for error in &found.errors {
            tracing::warn!(%error, "root certificates that could not be read");
        }
        let (added, _) = roots.add_parsable_certificates(found.certs);
        if added == 0 {
            return Err("no root certificate was found; SSL_CERT_FILE names a file of them");
        }
    }
    let tls = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|_| "the TLS library offers no version")?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Client::builder()
        .tls_backend_preconfigured(tls)
        // Redirects are followed by hand: credentials are left behind there.
        .redirect(Policy::none())
        .user_agent(concat!("callsheet/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(10))
        .build()
        .map_err(|_| "the client could not be set up; is a proxy variable malformed?")
}
