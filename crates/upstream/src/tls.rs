//! TLS towards backends: the system's roots, HTTP/1.1 and nothing else.

use crate::TlsError;
use rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName};
use std::sync::{Arc, Mutex, PoisonError};
use tokio_rustls::TlsConnector;

/// What a connection to one host needs.
pub(crate) struct Tls {
    pub(crate) connector: TlsConnector,
    pub(crate) name: ServerName<'static>,
}

impl Tls {
    pub(crate) fn new(host: &str) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|source| TlsError::ServerName { host: host.to_owned(), source })?;
        Ok(Self { connector: shared_config()?.into(), name })
    }
}

/// Returns the configuration that all backends share: roots take milliseconds to read and a
/// megabyte to hold. A failure is not kept, so that a store that is mended is seen.
fn shared_config() -> Result<Arc<ClientConfig>, TlsError> {
    static SHARED: Mutex<Option<Arc<ClientConfig>>> = Mutex::new(None);
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(config) = &*shared {
        return Ok(Arc::clone(config));
    }
    let config = Arc::new(config(system_roots()?)?);
    *shared = Some(Arc::clone(&config));
    Ok(config)
}

fn system_roots() -> Result<RootCertStore, TlsError> {
    let mut found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    // One certificate that cannot be read must not hide the others; some stores hold such.
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        let source = (!found.errors.is_empty()).then(|| found.errors.swap_remove(0));
        return Err(TlsError::NoRoots { source });
    }
    Ok(roots)
}

fn config(roots: RootCertStore) -> Result<ClientConfig, TlsError> {
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Config)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(config)
}
