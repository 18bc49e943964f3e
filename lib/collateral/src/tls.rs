//! TLS towards the vendors: the system's roots. What is fetched is signed by the vendors; TLS hides which machines are
//! being verified.

use std::sync::Arc;

use rustls::{ClientConfig, RootCertStore};

/// A configuration with the roots that the system trusts (or those in `SSL_CERT_FILE`).
///
/// # Errors
/// When the provider supports no protocol version, which does not happen with the one linked here.
pub fn system_tls() -> Result<ClientConfig, rustls::Error> {
    let mut roots = RootCertStore::empty();
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "system roots");
    }
    roots.add_parsable_certificates(found.certs);
    if roots.is_empty() {
        tracing::warn!("no TLS roots found; install ca-certificates, or set SSL_CERT_FILE");
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(rustls::ALL_VERSIONS)?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}
