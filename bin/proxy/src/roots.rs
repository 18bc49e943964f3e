//! TLS towards the API endpoint and the manifest's host: which roots count. Does no TLS itself.
//!
//! TLS protects the API key and what the gateway may see anyway; prompts are sealed before they get here.
//! Specification: product.md P8, P9.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject as _},
};

/// Why there are no roots.
#[derive(Debug, thiserror::Error)]
pub(crate) enum RootsError {
    /// The further roots cannot be read.
    #[error("cannot read the TLS roots in `{path}` (SSL_CERT_FILE)")]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It holds none.
    #[error("`{path}` (SSL_CERT_FILE) holds no certificate; it needs one or more as PEM")]
    Empty {
        /// The file.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS cannot be set up")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
}

/// A TLS configuration with the system's roots and those in `extra`; `insecure` checks no certificate at all.
pub(crate) fn client_config(extra: Option<&Path>, insecure: bool) -> Result<ClientConfig, RootsError> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_protocol_versions(rustls::ALL_VERSIONS)
        .map_err(|source| RootsError::Tls { source })?;
    let mut config = if insecure {
        builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider)))
    } else {
        builder.with_root_certificates(roots(extra)?)
    }
    .with_no_client_auth();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(extra: Option<&Path>) -> Result<RootCertStore, RootsError> {
    let mut roots = RootCertStore::empty();
    let system = system_roots();
    let (_, ignored) = roots.add_parsable_certificates(system);
    if ignored > 0 {
        tracing::debug!(ignored, "system roots that cannot be parsed");
    }
    if let Some(path) = extra {
        let pem = std::fs::read(path).map_err(|source| RootsError::Read { path: path.to_owned(), source })?;
        let certificates = CertificateDer::pem_slice_iter(&pem).filter_map(Result::ok);
        let (added, _) = roots.add_parsable_certificates(certificates);
        if added == 0 {
            return Err(RootsError::Empty { path: path.to_owned() });
        }
    }
    if roots.is_empty() {
        tracing::warn!("no TLS roots found; install ca-certificates, or set SSL_CERT_FILE");
    }
    Ok(roots)
}

/// `rustls-native-certs` reads SSL_CERT_FILE *instead of* the system's roots. Behind a TLS-inspecting appliance both are
/// needed, as not every host is inspected.
fn system_roots() -> Vec<CertificateDer<'static>> {
    let found = rustls_native_certs::load_native_certs();
    for error in &found.errors {
        tracing::debug!(%error, "system roots");
    }
    let mut certificates = found.certs;
    if openssl_probe::has_ssl_cert_env_vars() {
        let bundles = ["ca-certificates.crt", "ca-bundle.crt", "cert.pem", "../cert.pem"];
        let mut candidates =
            openssl_probe::candidate_cert_dirs().flat_map(|folder| bundles.map(|name| folder.join(name)));
        let bundle = candidates.find(|path| path.is_file());
        certificates.extend(rustls_native_certs::load_certs_from_paths(bundle.as_deref(), None).certs);
    }
    certificates
}

/// Accepts any certificate (`--insecureAPIConnection`), but still demands that the peer holds its key.
#[derive(Debug)]
struct AnyCertificate {
    algorithms: WebPkiSupportedAlgorithms,
}

impl AnyCertificate {
    fn new(provider: &CryptoProvider) -> Self {
        Self { algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn further_roots_are_added_and_faults_named() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("missing.pem");
        assert!(matches!(roots(Some(&missing)), Err(RootsError::Read { path, .. }) if path == missing));

        let path = folder.path().join("roots.pem");
        std::fs::write(&path, "no certificate").unwrap();
        assert!(matches!(roots(Some(&path)), Err(RootsError::Empty { .. })));

        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        std::fs::write(&path, certified.cert.pem()).unwrap();
        assert_eq!(roots(Some(&path)).unwrap().len(), roots(None).unwrap().len() + 1);
    }
}
