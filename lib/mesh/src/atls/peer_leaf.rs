//! What the handshake itself checks of the peer's certificate, for both ends: one certificate, a [`Leaf`] now, whose key the
//! peer holds. What its evidence is worth is for later.
//!
//! The key that signs the handshake is read by the same parser as the key that the evidence is bound to: two parsers could
//! be shown two keys. `webpki` gives the second opinion on the signature.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
};

use privatemode_attest::{atls::Leaf, signature::Scheme};
use rustls::{
    CertificateError, DigitallySignedStruct, DistinguishedName, Error, PeerMisbehaved, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{WebPkiSupportedAlgorithms, verify_tls13_signature},
    pki_types::{CertificateDer, ServerName, UnixTime as TlsTime},
    server::danger::{ClientCertVerified, ClientCertVerifier},
};

use super::{AtlsError, Clock, nonce::Nonce};

/// Looks at the certificate of one peer.
pub(super) struct PeerLeaf {
    clock: Clock,
    algorithms: WebPkiSupportedAlgorithms,
    /// What a server asks a client for: the nonce.
    authorities: Vec<DistinguishedName>,
    found: Mutex<Found>,
}

/// What came of it. TLS has no way to hand it on.
#[derive(Default)]
struct Found {
    leaf: Option<Leaf>,
    fault: Option<AtlsError>,
}

impl fmt::Debug for PeerLeaf {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("PeerLeaf(..)")
    }
}

impl PeerLeaf {
    /// For a client.
    pub(super) fn of_server(clock: Clock, algorithms: WebPkiSupportedAlgorithms) -> Self {
        Self { clock, algorithms, authorities: Vec::new(), found: Mutex::default() }
    }

    /// For a server that wants evidence over its nonce.
    pub(super) fn of_client(clock: Clock, algorithms: WebPkiSupportedAlgorithms, nonce: Nonce) -> Self {
        Self { authorities: vec![nonce.to_authority()], ..Self::of_server(clock, algorithms) }
    }

    /// The certificate, or why the handshake was ended, if it was because of it.
    pub(super) fn take(&self) -> Result<Option<Leaf>, AtlsError> {
        let Found { leaf, fault } = std::mem::take(&mut *self.found());
        fault.map_or(Ok(leaf), Err)
    }

    fn found(&self) -> std::sync::MutexGuard<'_, Found> {
        self.found.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn look(&self, leaf: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Result<(), Error> {
        let looked = match others {
            [] => Leaf::parse(leaf, (self.clock)()).map_err(|source| AtlsError::Leaf { source }),
            _ => Err(AtlsError::NotOneCertificate { count: others.len().saturating_add(1) }),
        };
        match looked {
            Ok(leaf) => {
                self.found().leaf = Some(leaf);
                Ok(())
            }
            Err(fault) => {
                self.found().fault = Some(fault);
                Err(CertificateError::ApplicationVerificationFailure.into())
            }
        }
    }

    fn check_key(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        if signature.scheme != SignatureScheme::ECDSA_NISTP256_SHA256 {
            return Err(PeerMisbehaved::SignedHandshakeWithUnadvertisedSigScheme.into());
        }
        let mut found = self.found();
        let Found { leaf: Some(leaf), fault } = &mut *found else {
            return Err(CertificateError::ApplicationVerificationFailure.into());
        };
        let key = leaf.public_key();
        if let Err(source) = key.verify(Scheme::EcdsaSha256, message, signature.signature()) {
            *fault = Some(AtlsError::NotItsKey { source });
            return Err(CertificateError::BadSignature.into());
        }
        verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }
}

fn old_version() -> Error {
    Error::General("TLS 1.3 only".to_owned())
}

impl ServerCertVerifier for PeerLeaf {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: TlsTime,
    ) -> Result<ServerCertVerified, Error> {
        self.look(end_entity, intermediates).map(|()| ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(old_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_key(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}

impl ClientCertVerifier for PeerLeaf {
    fn client_auth_mandatory(&self) -> bool {
        true
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &self.authorities
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _now: TlsTime,
    ) -> Result<ClientCertVerified, Error> {
        self.look(end_entity, intermediates).map(|()| ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Err(old_version())
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check_key(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        vec![SignatureScheme::ECDSA_NISTP256_SHA256]
    }
}
