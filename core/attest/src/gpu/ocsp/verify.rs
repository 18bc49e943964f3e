//! Decides whether a response counts for a certificate, now.

use super::cert_id::CertId;
use super::response::{CertStatus, Response, ResponseError};
use crate::UnixTime;
use crate::gpu::der::{Fields, OID};
use crate::signature::Scheme;
use crate::x509::{Certificate, CertificateError, IssueError, ObjectIdentifier, ValidityError};

const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const NO_CHECK: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.5");
/// id-kp-OCSPSigning, 1.3.6.1.5.5.7.3.9.
const OCSP_SIGNING: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x09];
/// The same identifier as [`NO_CHECK`]: NVIDIA's older responders have it among their key usages.
const NO_CHECK_USAGE: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x05];

/// What was asked with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SentNonce<'a> {
    /// The response may be one that was cached; its dates must do.
    None,
    /// The response must carry the same.
    Sent(&'a [u8; 32]),
}

/// How old a response is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Freshness {
    /// Before its next update.
    Fresh,
    /// After it, within the grace that the caller allows.
    Grace {
        /// Seconds since the next update.
        seconds: u64,
    },
    /// Long after it; counts only because a revocation is for good.
    Old,
}

/// A response that counts. Only [`verify`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedStatus {
    status: CertStatus,
    this_update: UnixTime,
    next_update: UnixTime,
    freshness: Freshness,
}

impl VerifiedStatus {
    /// What it says.
    pub fn status(&self) -> CertStatus {
        self.status
    }

    /// When the responder knew it to be so.
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// When it will know more.
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// How old it is.
    pub fn freshness(&self) -> Freshness {
        self.freshness
    }
}

/// Why a response does not count.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OcspError {
    /// Not a response that we read.
    #[error("the OCSP response cannot be used")]
    Response(#[source] ResponseError),
    /// About another certificate.
    #[error("the OCSP response is about another certificate")]
    OtherCertificate,
    /// Somebody else's answer, or an old one.
    #[error("the OCSP response does not carry the nonce that was sent")]
    Nonce,
    /// The responder's certificate cannot be read.
    #[error("the OCSP responder's certificate cannot be read")]
    ResponderCertificate(#[source] CertificateError),
    /// The certificate's issuer did not name this responder.
    #[error("the OCSP responder was not named by the certificate's issuer")]
    ResponderIssue(#[source] IssueError),
    /// The responder's certificate is out of date.
    #[error("the OCSP responder's certificate is out of date")]
    ResponderValidity(#[source] ValidityError),
    /// A certificate for something else.
    #[error("the OCSP responder's certificate does not allow signing of OCSP responses")]
    ResponderUsage,
    /// Nobody says whether the responder's own certificate is revoked, and nobody says that one need not ask.
    #[error("the OCSP responder's certificate would need a revocation check of its own")]
    ResponderUnchecked,
    /// Changed, or not the responder's.
    #[error("the OCSP response's signature does not verify")]
    Signature,
    /// From the future, by our clock.
    #[error("the OCSP response is valid only from {from}; is the clock right?")]
    NotYetValid {
        /// Its time of update.
        from: UnixTime,
    },
    /// Older than it may be.
    #[error("the OCSP response is stale since {since}; fetch a new one")]
    Stale {
        /// When a newer one was due.
        since: UnixTime,
    },
}

impl OcspError {
    /// Whether the response is genuine and only its time is wrong: then the state is unknown, not forged.
    pub fn is_of_time(&self) -> bool {
        matches!(self, Self::NotYetValid { .. } | Self::Stale { .. })
    }
}

/// A response that the issuer of its certificate, or a responder that it named, signed. Its time and nonce are not looked at yet:
/// it may be kept, and asked again at another time. Only [`verify_signature`] makes one.
#[derive(Debug, Clone)]
pub struct GenuineResponse {
    cert_id: CertId,
    status: CertStatus,
    this_update: UnixTime,
    next_update: UnixTime,
    nonce: Option<Vec<u8>>,
    delegate: Option<Certificate>,
}

impl GenuineResponse {
    /// Whether it is about this certificate.
    pub fn answers(&self, subject: &Certificate, issuer: &Certificate) -> bool {
        CertId::of(subject, issuer).as_ref() == Some(&self.cert_id)
    }

    /// What it says at `now`; `grace` is how many seconds after its next update it counts.
    ///
    /// # Errors
    /// [`OcspError`] of nonce and time; the status itself is no error.
    pub fn at(&self, nonce: SentNonce<'_>, grace: u64, now: UnixTime) -> Result<VerifiedStatus, OcspError> {
        let Self { status, this_update, next_update, .. } = *self;
        if let SentNonce::Sent(nonce) = nonce
            && self.nonce.as_deref() != Some(nonce.as_slice())
        {
            return Err(OcspError::Nonce);
        }
        let freshness = self.freshness(grace, now)?;
        if let Some(delegate) = &self.delegate {
            // within the grace its certificate need not have outlived the answer
            let spoke_until = now.min(next_update);
            delegate.check_valid_at(spoke_until).map_err(OcspError::ResponderValidity)?;
        }
        Ok(VerifiedStatus { status, this_update, next_update, freshness })
    }

    fn freshness(&self, grace: u64, now: UnixTime) -> Result<Freshness, OcspError> {
        if now < self.this_update {
            return Err(OcspError::NotYetValid { from: self.this_update });
        }
        if now <= self.next_update {
            return Ok(Freshness::Fresh);
        }
        if now <= self.next_update.saturating_add(grace) {
            let seconds = now.as_secs().saturating_sub(self.next_update.as_secs());
            return Ok(Freshness::Grace { seconds });
        }
        match self.status {
            // a revocation is for good: its age is no reason to forget it
            CertStatus::Revoked { .. } => Ok(Freshness::Old),
            CertStatus::Good | CertStatus::Unknown => Err(OcspError::Stale { since: self.next_update }),
        }
    }
}

/// Whether `response` is about this certificate, to pick one out of many. Verifies nothing.
pub fn answers(response: &[u8], subject: &Certificate, issuer: &Certificate) -> bool {
    Response::parse(response).is_ok_and(|response| Some(response.cert_id) == CertId::of(subject, issuer))
}

/// Verifies a response about `subject`, which `issuer` issued, at `now`; `grace` is how many seconds after its next update it counts.
///
/// # Errors
/// [`OcspError`]; the status itself is no error.
pub fn verify(
    response: &[u8],
    subject: &Certificate,
    issuer: &Certificate,
    nonce: SentNonce<'_>,
    grace: u64,
    now: UnixTime,
) -> Result<VerifiedStatus, OcspError> {
    verify_signature(response, subject, issuer)?.at(nonce, grace, now)
}

/// The part of [`verify`] that depends on no clock. RFC 6960 §4.2.2.2: signed by the issuer, or by a responder whose certificate the
/// issuer signed for this purpose.
///
/// # Errors
/// [`OcspError`].
pub fn verify_signature(
    response: &[u8],
    subject: &Certificate,
    issuer: &Certificate,
) -> Result<GenuineResponse, OcspError> {
    let response = Response::parse(response).map_err(OcspError::Response)?;
    if CertId::of(subject, issuer).as_ref() != Some(&response.cert_id) {
        return Err(OcspError::OtherCertificate);
    }
    let delegate = match response.responder {
        Some(der) if der != issuer.der() => Some(delegate(der, issuer)?),
        _ => None,
    };
    let key = delegate.as_ref().unwrap_or(issuer).public_key();
    key.verify(Scheme::EcdsaSha384, response.signed, response.signature).map_err(|_| OcspError::Signature)?;
    let Response { cert_id, status, this_update, next_update, nonce, .. } = response;
    let nonce = nonce.map(<[u8]>::to_vec);
    Ok(GenuineResponse { cert_id, status, this_update, next_update, nonce, delegate })
}

fn delegate(der: &[u8], issuer: &Certificate) -> Result<Certificate, OcspError> {
    let delegate = Certificate::parse_der(der).map_err(OcspError::ResponderCertificate)?;
    delegate.check_issued_by(issuer, &[EXTENDED_KEY_USAGE, NO_CHECK]).map_err(OcspError::ResponderIssue)?;
    let usages = usages(&delegate).ok_or(OcspError::ResponderUsage)?;
    let signs = delegate.key_usage().is_none_or(|usage| usage.digital_signature());
    if delegate.is_ca() || !signs || !usages.contains(&OCSP_SIGNING) {
        return Err(OcspError::ResponderUsage);
    }
    if delegate.extension(NO_CHECK).is_none() && !usages.contains(&NO_CHECK_USAGE) {
        return Err(OcspError::ResponderUnchecked);
    }
    Ok(delegate)
}

fn usages(certificate: &Certificate) -> Option<Vec<&[u8]>> {
    let mut list = Fields::of_sequence(certificate.extension(EXTENDED_KEY_USAGE)?)?;
    let mut usages = Vec::new();
    while !list.is_empty() {
        usages.push(list.take(OID)?);
    }
    Some(usages)
}
