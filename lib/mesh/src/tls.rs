//! Mutual TLS 1.3 between workloads. A peer is whom its certificate names: verified to the attested mesh CA, the only
//! root, and then by workload name. The URL's host name plays no part.
//!
//! Each certificate is verified twice, by `privatemode-attest` (which gives the reason its name) and by webpki: a fault in
//! one of them alone lets nobody in. Session resumption is off on both sides: a resumed session would skip all of this,
//! and would outlive a renewal.

use std::{fmt, sync::Arc};

use privatemode_attest::{UnixTime, mesh::VerifiedMeshCertificate};
use privatemode_service::TlsSource;
use rustls::{
    CertificateError, ClientConfig, ConfigBuilder, DigitallySignedStruct, DistinguishedName, Error,
    OtherError, ServerConfig, SignatureScheme, WantsVerifier,
    client::{
        ResolvesClientCert, Resumption,
        danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
        verify_server_cert_signed_by_trust_anchor,
    },
    crypto::{CryptoProvider, WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime as TlsTime},
    server::{
        ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert, WantsServerCert,
        danger::{ClientCertVerified, ClientCertVerifier},
    },
    sign::CertifiedKey,
};

use crate::{MeshIdentity, PeerError, identity::Shared, peer::has_one_of};

/// The one TLS implementation, whatever the process has installed.
pub(crate) fn provider() -> Arc<CryptoProvider> {
    Arc::new(rustls::crypto::aws_lc_rs::default_provider())
}

impl MeshIdentity {
    /// TLS for a listener that lets in the workloads `allowed`, each with a client certificate. Which of them calls:
    /// [`Self::peer_name`].
    #[must_use]
    pub fn server_tls(&self, allowed: &[&str]) -> Arc<dyn TlsSource> {
        Arc::new(self.server_config(allowed))
    }

    /// TLS for a listener whose clients have no certificates: they know us by ours, and we do not know them. Nothing that a
    /// workload may do belongs behind it.
    #[must_use]
    pub fn server_tls_for_strangers(&self) -> Arc<dyn TlsSource> {
        Arc::new(self.finish(server_builder().with_no_client_auth()))
    }

    fn server_config(&self, allowed: &[&str]) -> Arc<ServerConfig> {
        self.finish(server_builder().with_client_cert_verifier(Arc::new(self.verifier(allowed))))
    }

    fn finish(&self, builder: ConfigBuilder<ServerConfig, WantsServerCert>) -> Arc<ServerConfig> {
        let mut config = builder.with_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.shared))));
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        // No resumption: see the module's head.
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = 0;
        Arc::new(config)
    }

    /// TLS for connections to the workload `expected`, whatever the URL says. It offers no ALPN, which means HTTP/1.1;
    /// set `alpn_protocols` to what your client speaks.
    #[must_use]
    pub fn client_config(&self, expected: &str) -> ClientConfig {
        let mut config = ClientConfig::builder_with_provider(provider())
            .with_protocol_versions(&[&rustls::version::TLS13])
            .expect("the provider has TLS 1.3")
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(self.verifier(&[expected])))
            .with_client_cert_resolver(Arc::new(OurCertificate(Arc::clone(&self.shared))));
        config.resumption = Resumption::disabled();
        // The name in the URL means nothing here, so that the network need not see it.
        config.enable_sni = false;
        config
    }

    fn verifier(&self, allowed: &[&str]) -> PeerVerifier {
        let allowed = allowed.iter().map(|name| (*name).to_owned()).collect();
        let algorithms = provider().signature_verification_algorithms;
        PeerVerifier { shared: Arc::clone(&self.shared), allowed, algorithms }
    }
}

fn server_builder() -> ConfigBuilder<ServerConfig, WantsVerifier> {
    ServerConfig::builder_with_provider(provider())
        .with_protocol_versions(&[&rustls::version::TLS13])
        .expect("the provider has TLS 1.3")
}

/// Shows our certificate as of now.
struct OurCertificate(Arc<Shared>);

impl fmt::Debug for OurCertificate {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("OurCertificate(..)")
    }
}

impl ResolvesServerCert for OurCertificate {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.state.load().certified))
    }
}

impl ResolvesClientCert for OurCertificate {
    fn resolve(&self, _: &[&[u8]], _: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.state.load().certified))
    }

    fn has_certs(&self) -> bool {
        true
    }
}

/// Lets in who is named, of this mesh.
struct PeerVerifier {
    shared: Arc<Shared>,
    allowed: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl fmt::Debug for PeerVerifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("PeerVerifier").field("allowed", &self.allowed).finish_non_exhaustive()
    }
}

impl PeerVerifier {
    /// The first opinion, and the name.
    fn verify(&self, leaf: &CertificateDer<'_>, now: TlsTime) -> Result<(), Error> {
        let state = self.shared.state.load();
        let verified = state
            .deployment
            .mesh_ca()
            .verify_leaf(leaf, UnixTime(now.as_secs()))
            .map_err(|source| refused(PeerError::NotOfThisMesh { source }))?;
        self.check_name(&verified)
    }

    fn check_name(&self, leaf: &VerifiedMeshCertificate) -> Result<(), Error> {
        has_one_of(leaf, &self.allowed).map_err(refused)
    }
}

fn refused(error: PeerError) -> Error {
    tracing::debug!(%error, "mesh peer refused");
    Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(error))))
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, now)?;
        // The second opinion. No intermediates: the mesh CA signs leaves itself.
        let parsed = ParsedCertificate::try_from(end_entity)?;
        let roots = Arc::clone(&self.shared.state.load().roots);
        verify_server_cert_signed_by_trust_anchor(&parsed, &roots, &[], now, self.algorithms.all)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    /// None: a workload has one certificate, and the mesh CA may change while this listener lives.
    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        now: TlsTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, now)?;
        // The second opinion. No intermediates: the mesh CA signs leaves itself.
        let clients = Arc::clone(&self.shared.state.load().clients);
        clients.verify_client_cert(end_entity, &[], now)
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(Error::General("TLS 1.3 only".to_owned()))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
