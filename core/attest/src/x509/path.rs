//! Who issued what: validity, issuance, paths (RFC 5280 §6, narrowed to chains whose every certificate is given).

use thiserror::Error;

use super::certificate::{BASIC_CONSTRAINTS, Certificate, KEY_USAGE};
use crate::UnixTime;
use crate::signature::SignatureError;
use x509_cert::der::asn1::ObjectIdentifier;

/// Why a certificate does not count at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum ValidityError {
    /// Its validity begins later.
    #[error("not valid before {from}; is the clock right?")]
    NotYetValid {
        /// First second of the validity.
        from: UnixTime,
    },
    /// Its validity has ended.
    #[error("expired: it was valid until {until}")]
    Expired {
        /// Last second of the validity.
        until: UnixTime,
    },
}

/// Why one certificate is not the issuer of another one, or of a revocation list.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum IssueError {
    /// The issuer's name is another one.
    #[error("the certificate names another issuer than the one that is given")]
    OtherIssuer,
    /// The issuer is no certificate authority.
    #[error("the issuer's certificate is not that of a certificate authority")]
    NotAuthority,
    /// The issuer's key may not sign certificates, or lists.
    #[error("the issuer's key may not be used for that (key usage)")]
    KeyUsage,
    /// An extension that must be understood, and is not.
    #[error("the critical extension {oid} is not understood here")]
    UnknownCriticalExtension {
        /// The extension.
        oid: String,
    },
    /// The signature does not hold.
    #[error("the issuer did not sign it")]
    Signature {
        /// Why.
        source: SignatureError,
    },
}

/// Why a path of certificates does not hold. Counted from 0, the leaf.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PathError {
    /// One of them is not valid now.
    #[error("certificate {index} of the chain is not valid now")]
    Validity {
        /// Which.
        index: usize,
        /// Why.
        source: ValidityError,
    },
    /// One of them was not issued by the next.
    #[error("certificate {index} of the chain was not issued by the next one")]
    Issue {
        /// Which.
        index: usize,
        /// Why.
        source: IssueError,
    },
    /// More certificates below an authority than it allows.
    #[error("certificate {index} of the chain does not allow as many authorities below it")]
    PathLength {
        /// Which.
        index: usize,
    },
}

pub(super) fn check_valid_at(certificate: &Certificate, now: UnixTime) -> Result<(), ValidityError> {
    if now < certificate.not_before() {
        return Err(ValidityError::NotYetValid { from: certificate.not_before() });
    }
    if now > certificate.not_after() {
        return Err(ValidityError::Expired { until: certificate.not_after() });
    }
    Ok(())
}

pub(super) fn check_issued_by(
    certificate: &Certificate,
    issuer: &Certificate,
    understood: &[ObjectIdentifier],
) -> Result<(), IssueError> {
    // RFC 5280 §7.1 allows names that differ in case or string type; no vendor's do, and bytes cannot be argued about
    if certificate.issuer_der() != issuer.subject_der() {
        return Err(IssueError::OtherIssuer);
    }
    if issuer.authority().is_none() {
        return Err(IssueError::NotAuthority);
    }
    if issuer.key_usage().is_some_and(|usage| !usage.key_cert_sign()) {
        return Err(IssueError::KeyUsage);
    }
    // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension it does not recognize"
    let known = [&[BASIC_CONSTRAINTS, KEY_USAGE], understood].concat();
    for each in [certificate, issuer] {
        if let Some(oid) = each.unknown_critical(&known) {
            return Err(IssueError::UnknownCriticalExtension { oid: oid.to_string() });
        }
    }
    certificate.verify_signature(issuer.public_key()).map_err(|source| IssueError::Signature { source })
}

/// Checks a path, leaf first and root last: each valid at `now`, each issued by the next, no path length exceeded. Whether the
/// last one is trusted is the caller's question; its own signature is not looked at.
///
/// # Errors
/// [`PathError`].
pub fn check_path(
    path: &[&Certificate],
    now: UnixTime,
    understood: &[ObjectIdentifier],
) -> Result<(), PathError> {
    for (index, certificate) in path.iter().enumerate() {
        certificate.check_valid_at(now).map_err(|source| PathError::Validity { index, source })?;
    }
    for (index, pair) in path.windows(2).enumerate() {
        let [certificate, issuer] = pair else { continue };
        certificate
            .check_issued_by(issuer, understood)
            .map_err(|source| PathError::Issue { index, source })?;
    }
    // RFC 5280 §4.2.1.9: how many authorities may follow below; the leaf does not count, nor do self-issued ones
    let mut below = 0_u8;
    for (index, certificate) in path.iter().enumerate().skip(1) {
        let allowed = certificate.authority().and_then(|authority| authority.path_length);
        if allowed.is_some_and(|allowed| below > allowed) {
            return Err(PathError::PathLength { index });
        }
        if !certificate.is_self_issued() {
            below = below.saturating_add(1);
        }
    }
    Ok(())
}
