//! The certificates of attested TLS: self-signed, made while a connection opens, with evidence as an extension.
//!
//! Checks form, dates and self-signature, and takes the evidence out. Says nothing about who the peer is: a [`Leaf`] proves
//! nothing until its evidence was appraised for the report data of this key and this connection's nonce
//! ([`Leaf::report_data`]), and anybody can make one. Specification: `attestation.md` §2.

use std::fmt;

use thiserror::Error;

use crate::signature::{PublicKey, Scheme, SignatureError};
use crate::x509::{Certificate, CertificateError, ObjectIdentifier, ValidityError};
use crate::{EvidenceKind, ReportData, UnixTime, UnknownEvidenceKind};

/// Longest certificate that is looked at: TLS allows no more than 64 KiB for the message that carries it.
pub const MAX_LEAF: usize = 60 * 1024;
/// Longest evidence that such a certificate has room for.
pub const MAX_EVIDENCE: usize = MAX_LEAF - 1024;

/// Parent of the identifiers of all kinds of evidence: 1.3.9901.2.
const EVIDENCE: [u64; 4] = [1, 3, 9901, 2];

/// A certificate of attested TLS, well formed and signed with its own key. **Not verified**: see the module's head.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf {
    key: PublicKey,
    kind: EvidenceKind,
    evidence: Vec<u8>,
}

/// Why a certificate is none of attested TLS: one variant for each step.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeafError {
    /// Step 1: no certificate, or an extension that must be understood and is not.
    #[error("the peer's certificate cannot be used")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// Step 2: another kind of key or signature than attested TLS has.
    #[error("the peer's certificate is not one of ECDSA over P-256 with SHA-256, which attested TLS uses")]
    OtherAlgorithm,
    /// Step 3: somebody else's name stands for the issuer.
    #[error("the peer's certificate was issued by somebody else: attested TLS has self-signed ones only")]
    NotSelfIssued,
    /// Step 3: its own key did not sign it.
    #[error(
        "the peer's certificate was not signed with its own key: it was changed on the way, or put together"
    )]
    SelfSignature {
        /// Why.
        source: SignatureError,
    },
    /// Step 4: not valid now.
    #[error("the peer's certificate is not valid now")]
    Validity {
        /// Why.
        source: ValidityError,
    },
    /// Step 5: it brings no evidence.
    #[error(
        "the peer's certificate has no evidence: the peer does not speak attested TLS, or something terminates TLS in between"
    )]
    NoEvidence,
    /// Step 5: it brings several pieces of evidence, of which a reader could take either.
    #[error("the peer's certificate has {count} pieces of evidence, and must have one")]
    SeveralEvidence {
        /// How many.
        count: usize,
    },
    /// Step 5: evidence of a kind that is not known.
    #[error("the peer's certificate has evidence of a kind that is not known here")]
    EvidenceKind {
        /// Which.
        source: UnknownEvidenceKind,
    },
}

impl Leaf {
    /// Reads the one certificate that the peer of an attested connection shows.
    ///
    /// # Errors
    /// [`LeafError`].
    pub fn parse(der: &[u8], now: UnixTime) -> Result<Self, LeafError> {
        let unusable = |source| LeafError::Certificate { source };
        // step 1: length, DER, version, no extension twice
        let certificate = Certificate::parse_der_within(der, MAX_LEAF).map_err(unusable)?;
        // step 2: one kind of key, so that whoever asks for the key's signature has no choice either
        if certificate.scheme() != Scheme::EcdsaSha256 || !certificate.public_key().is_p256() {
            return Err(LeafError::OtherAlgorithm);
        }
        // step 3: whole, as the holder of the key made it
        if !certificate.is_self_issued() {
            return Err(LeafError::NotSelfIssued);
        }
        certificate
            .verify_signature(certificate.public_key())
            .map_err(|source| LeafError::SelfSignature { source })?;
        // step 4: RFC 5280 §6.1.3(a)(2): "The certificate validity period includes the current time."
        certificate.check_valid_at(now).map_err(|source| LeafError::Validity { source })?;
        // step 5: exactly one piece of evidence, of a known kind
        let (oid, evidence) = only_evidence(&certificate)?;
        let kind = EvidenceKind::from_oid(&arcs(oid)).map_err(|source| LeafError::EvidenceKind { source })?;
        // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension it does not recognize"
        let known = [oid, crate::x509::KEY_USAGE, crate::x509::BASIC_CONSTRAINTS];
        if let Some(oid) = certificate.unknown_critical(&known) {
            return Err(unusable(CertificateError::UnknownCriticalExtension { oid: oid.to_string() }));
        }
        Ok(Self { kind, evidence: evidence.to_vec(), key: certificate.public_key().clone() })
    }

    /// The key, P-256. Who holds it has to show that in the handshake.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The kind of its evidence.
    pub fn kind(&self) -> EvidenceKind {
        self.kind
    }

    /// Its evidence, as it came.
    pub fn evidence(&self) -> &[u8] {
        &self.evidence
    }

    /// What the evidence must have been made for: this key, and the nonce that we chose for this connection.
    pub fn report_data(&self, nonce: &[u8; 32]) -> ReportData {
        ReportData::of_public_key(self.key.spki_der(), nonce)
    }
}

impl fmt::Debug for Leaf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { key, kind, evidence } = self;
        f.debug_struct("Leaf")
            .field("key", key)
            .field("kind", kind)
            .field("evidence", &format_args!("{} bytes", evidence.len()))
            .finish()
    }
}

fn only_evidence(certificate: &Certificate) -> Result<(ObjectIdentifier, &[u8]), LeafError> {
    let is_evidence = |oid: &ObjectIdentifier| {
        oid.arcs().count() > EVIDENCE.len() && oid.arcs().map(u64::from).zip(EVIDENCE).all(|(a, b)| a == b)
    };
    let mut all = certificate.extensions().filter(|(oid, ..)| is_evidence(oid));
    let (oid, _, evidence) = all.next().ok_or(LeafError::NoEvidence)?;
    match all.count() {
        0 => Ok((oid, evidence)),
        more => Err(LeafError::SeveralEvidence { count: more.saturating_add(1) }),
    }
}

fn arcs(oid: ObjectIdentifier) -> Vec<u64> {
    oid.arcs().map(u64::from).collect()
}

#[cfg(test)]
mod tests;
