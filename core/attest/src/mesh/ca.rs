//! The mesh CA, from the PEM that the attestation bound.

use thiserror::Error;
use x509_cert::der::pem;

use super::certificate::{self, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE};
use super::leaf::{self, LeafError, VerifiedMeshCertificate};
use crate::UnixTime;
use crate::signature::{PublicKey, SignatureError};
use crate::x509::{Certificate, CertificateError, MAX_CERTIFICATE};

/// Base64 is a third longer, and PEM has lines and a frame.
const MAX_PEM: usize = 2 * MAX_CERTIFICATE;

/// A self-signed CA certificate whose bytes were attested.
///
/// Parsing checks that it is a CA; that it is *the* CA follows only from where the bytes came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MeshCa {
    pem: String,
    pub(super) certificate: Certificate,
}

/// Why bytes are no mesh CA.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum MeshCaError {
    /// More bytes than the PEM of a certificate ever has.
    #[error("the CA's PEM has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not PEM.
    #[error("the CA is not PEM")]
    Pem {
        /// Where and why.
        source: pem::Error,
    },
    /// PEM, but not of one certificate alone.
    #[error("the CA's PEM must hold one certificate and nothing else")]
    NotOneCertificate,
    /// No certificate that the mesh uses.
    #[error("the CA's certificate cannot be used")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// Basic constraints do not say that it is a CA.
    #[error("the certificate is not a CA's: its basic constraints do not say so")]
    NotACa,
    /// Key usage forbids to sign certificates.
    #[error("the CA's key usage does not allow it to sign certificates")]
    KeyUsage,
    /// Issuer and subject differ.
    #[error("the CA is not self-signed: another one issued it")]
    NotSelfIssued,
    /// Its own key did not sign it.
    #[error("the CA's signature on itself is wrong")]
    Signature {
        /// Why.
        source: SignatureError,
    },
}

impl MeshCa {
    /// Reads the one certificate in `pem` and checks that it is a self-signed CA.
    pub fn parse_pem(pem: impl AsRef<[u8]>) -> Result<Self, MeshCaError> {
        let (text, der) = decode_pem(pem.as_ref())?;
        let certificate = certificate::parse(&der, &[KEY_USAGE, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE])
            .map_err(|source| MeshCaError::Certificate { source })?;
        if !certificate.is_ca() {
            return Err(MeshCaError::NotACa);
        }
        // RFC 5280 §4.2.1.9: "If the cA boolean is asserted and the key usage extension is present, the keyCertSign bit MUST be asserted"
        if certificate.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
            return Err(MeshCaError::KeyUsage);
        }
        if !certificate.is_self_issued() {
            return Err(MeshCaError::NotSelfIssued);
        }
        certificate
            .verify_signature(certificate.public_key())
            .map_err(|source| MeshCaError::Signature { source })?;
        Ok(Self { pem: text, certificate })
    }

    /// Verifies a workload's certificate: signed by this CA, valid `now`, for client and server use.
    pub fn verify_leaf(&self, leaf_der: &[u8], now: UnixTime) -> Result<VerifiedMeshCertificate, LeafError> {
        leaf::verify(self, leaf_der, now)
    }

    /// Checks that the CA is valid `now`.
    pub fn check_validity(&self, now: UnixTime) -> Result<(), LeafError> {
        let (not_before, not_after) = self.validity();
        if now < not_before {
            return Err(LeafError::CaNotYetValid { not_before, now });
        }
        if now > not_after {
            return Err(LeafError::CaExpired { not_after, now });
        }
        Ok(())
    }

    /// The PEM, byte for byte as it was parsed.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    /// The certificate in DER.
    pub fn der(&self) -> &[u8] {
        self.certificate.der()
    }

    /// The CA's key.
    pub fn public_key(&self) -> &PublicKey {
        self.certificate.public_key()
    }

    /// First and last second of its validity.
    pub fn validity(&self) -> (UnixTime, UnixTime) {
        (self.certificate.not_before(), self.certificate.not_after())
    }
}

fn decode_pem(bytes: &[u8]) -> Result<(String, Vec<u8>), MeshCaError> {
    if bytes.len() > MAX_PEM {
        return Err(MeshCaError::TooLong { len: bytes.len(), max: MAX_PEM });
    }
    let text = std::str::from_utf8(bytes).map_err(|_| MeshCaError::NotOneCertificate)?;
    // One frame: what a second block or words around it would mean differs from parser to parser.
    if text.matches("-----BEGIN").count() > 1 {
        return Err(MeshCaError::NotOneCertificate);
    }
    let (label, der) = pem::decode_vec(bytes).map_err(|source| MeshCaError::Pem { source })?;
    let trimmed = text.trim_ascii();
    let framed =
        trimmed.starts_with("-----BEGIN CERTIFICATE-----") && trimmed.ends_with("-----END CERTIFICATE-----");
    if label != "CERTIFICATE" || !framed {
        return Err(MeshCaError::NotOneCertificate);
    }
    Ok((text.to_owned(), der))
}
