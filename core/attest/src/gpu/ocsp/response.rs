//! Reads OCSP responses: exactly one certificate's status, with a next update, signed with ECDSA and SHA-384.
//!
//! Believes nothing: see [`super::verify()`].

use x509_cert::der::Decode as _;
use x509_cert::der::asn1::GeneralizedTime;

use super::cert_id::CertId;
use crate::UnixTime;
use crate::gpu::der::{
    BIT_STRING, ENUMERATED, Fields, GENERALIZED_TIME, OCTET_STRING, OID, SEQUENCE, context, context_primitive,
};

/// Largest response that is read; real ones have 1 KiB.
pub const MAX_RESPONSE: usize = 16 * 1024;

/// id-pkix-ocsp-basic, 1.3.6.1.5.5.7.48.1.1.
const BASIC: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x01];
/// id-pkix-ocsp-nonce, 1.3.6.1.5.5.7.48.1.2.
pub(super) const NONCE_OID: &[u8] = &[0x2B, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];
/// ecdsa-with-SHA384, 1.2.840.10045.4.3.3.
const ECDSA_SHA384: &[u8] = &[0x2A, 0x86, 0x48, 0xCE, 0x3D, 0x04, 0x03, 0x03];
const BOOLEAN: u8 = 0x01;
const MAX_NONCE: usize = 128;

/// What the responder says of a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CertStatus {
    /// Not revoked.
    Good,
    /// The responder does not know it.
    Unknown,
    /// Revoked.
    Revoked {
        /// Since when.
        at: UnixTime,
    },
}

/// Why bytes are not a response that we read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ResponseError {
    /// More than 16 KiB.
    #[error("the OCSP response has {len} bytes, more than {MAX_RESPONSE}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// The responder answered with an error: 1 malformed request, 2 internal error, 3 try later, 5 sign the request, 6 unauthorised.
    #[error("the OCSP responder refused with status {status}")]
    Refused {
        /// RFC 6960 §4.2.1.
        status: u8,
    },
    /// Not the DER of a basic response for one certificate.
    #[error("the OCSP response is malformed in its {part}")]
    Malformed {
        /// Which part.
        part: &'static str,
    },
    /// Another signature algorithm than NVIDIA's responder uses.
    #[error("the OCSP response is not signed with ECDSA and SHA-384")]
    Algorithm,
    /// An extension that must be understood, and is not.
    #[error("the OCSP response has a critical extension that is not understood")]
    CriticalExtension,
}

/// A parsed response.
#[derive(Debug)]
pub(super) struct Response<'a> {
    pub(super) cert_id: CertId,
    pub(super) status: CertStatus,
    pub(super) this_update: UnixTime,
    pub(super) next_update: UnixTime,
    pub(super) nonce: Option<&'a [u8]>,
    /// What is signed.
    pub(super) signed: &'a [u8],
    /// ASN.1.
    pub(super) signature: &'a [u8],
    /// DER of the responder's certificate, if it is not the issuer itself.
    pub(super) responder: Option<&'a [u8]>,
}

fn malformed(part: &'static str) -> ResponseError {
    ResponseError::Malformed { part }
}

impl<'a> Response<'a> {
    pub(super) fn parse(der: &'a [u8]) -> Result<Self, ResponseError> {
        if der.len() > MAX_RESPONSE {
            return Err(ResponseError::TooLong { len: der.len() });
        }
        let mut basic = Fields::of_sequence(basic_der(der)?).ok_or(malformed("body"))?;
        let signed = basic.take_whole(SEQUENCE).ok_or(malformed("body"))?;
        let mut algorithm = basic.sequence().ok_or(malformed("signature"))?;
        if algorithm.take(OID) != Some(ECDSA_SHA384) || !algorithm.is_empty() {
            return Err(ResponseError::Algorithm);
        }
        let bits = basic.take(BIT_STRING).ok_or(malformed("signature"))?;
        let signature = bits.strip_prefix(&[0]).ok_or(malformed("signature"))?;
        let certificates = basic.optional(context(0)).ok_or(malformed("certificates"))?;
        let responder = certificates.map(only_certificate).transpose()?;
        if !basic.is_empty() {
            return Err(malformed("body"));
        }
        let data = read_data(signed)?;
        Ok(Self { signed, signature, responder, ..data })
    }
}

/// The basic response inside of the envelope.
fn basic_der(der: &[u8]) -> Result<&[u8], ResponseError> {
    let envelope = || malformed("envelope");
    let mut outer = Fields::of_sequence(der).ok_or_else(envelope)?;
    match outer.take(ENUMERATED) {
        Some([0]) => {}
        Some([status]) => return Err(ResponseError::Refused { status: *status }),
        _ => return Err(envelope()),
    }
    let body = outer.take(context(0)).ok_or_else(envelope)?;
    let mut body = Fields::of_sequence(body).ok_or_else(envelope)?;
    let basic = body.take(OID).filter(|oid| *oid == BASIC).and_then(|_| body.take(OCTET_STRING));
    basic.filter(|_| body.is_empty() && outer.is_empty()).ok_or_else(envelope)
}

fn only_certificate(content: &[u8]) -> Result<&[u8], ResponseError> {
    let mut list = Fields::of_sequence(content).ok_or(malformed("certificates"))?;
    let certificate = list.take_whole(SEQUENCE).ok_or(malformed("certificates"))?;
    // a chain of responders is nothing that NVIDIA uses, and nothing that we would follow
    if list.is_empty() { Ok(certificate) } else { Err(malformed("certificates")) }
}

/// ResponseData; what is around it is filled in by the caller.
fn read_data(signed: &[u8]) -> Result<Response<'_>, ResponseError> {
    let part = || malformed("response data");
    let mut data = Fields::of_sequence(signed).ok_or_else(part)?;
    // responder's name [1] or key [2]: only a hint where to look for its certificate; version [0] is absent in DER
    let (responder, _) = data.any().ok_or_else(part)?;
    if responder != context(1) && responder != context(2) {
        return Err(part());
    }
    time(&mut data).ok_or(malformed("time of production"))?;
    let mut responses = data.sequence().ok_or_else(part)?;
    let single = responses.sequence().filter(|_| responses.is_empty()).ok_or(malformed("list of answers"))?;
    let (cert_id, status, this_update, next_update) = read_single(single)?;
    let extensions = data.optional(context(1)).ok_or(malformed("extensions"))?;
    if !data.is_empty() {
        return Err(part());
    }
    let nonce = extensions.map(read_nonce).transpose()?.flatten();
    let nothing: &[u8] = &[];
    Ok(Response {
        cert_id,
        status,
        this_update,
        next_update,
        nonce,
        signed: nothing,
        signature: nothing,
        responder: None,
    })
}

fn read_single(mut single: Fields<'_>) -> Result<(CertId, CertStatus, UnixTime, UnixTime), ResponseError> {
    let cert_id = single.sequence().and_then(CertId::read).ok_or(malformed("certificate identifier"))?;
    let status = read_status(&mut single).ok_or(malformed("status"))?;
    let this_update = time(&mut single).ok_or(malformed("time of this update"))?;
    let next = single.take(context(0)).map(Fields::new);
    let next_update = next
        .and_then(|mut next| time(&mut next).filter(|_| next.is_empty()))
        .ok_or(malformed("time of the next update"))?;
    // single extensions [1]: none that NVIDIA sends
    if !single.is_empty() {
        return Err(malformed("answer"));
    }
    Ok((cert_id, status, this_update, next_update))
}

fn read_status(single: &mut Fields<'_>) -> Option<CertStatus> {
    const GOOD: u8 = context_primitive(0);
    const REVOKED: u8 = context(1);
    const UNKNOWN: u8 = context_primitive(2);
    match single.any()? {
        (GOOD, []) => Some(CertStatus::Good),
        (UNKNOWN, []) => Some(CertStatus::Unknown),
        (REVOKED, content) => {
            let mut info = Fields::new(content);
            let at = time(&mut info)?;
            info.optional(context(0))?;
            info.is_empty().then_some(CertStatus::Revoked { at })
        }
        _ => None,
    }
}

fn read_nonce(content: &[u8]) -> Result<Option<&[u8]>, ResponseError> {
    let part = || malformed("extensions");
    let mut list = Fields::of_sequence(content).ok_or_else(part)?;
    let mut nonce = None;
    while !list.is_empty() {
        let mut extension = list.sequence().ok_or_else(part)?;
        let oid = extension.take(OID).ok_or_else(part)?;
        let critical = extension.optional(BOOLEAN).ok_or_else(part)?.is_some();
        let value = extension.take(OCTET_STRING).filter(|_| extension.is_empty()).ok_or_else(part)?;
        if oid == NONCE_OID {
            let mut inner = Fields::new(value);
            let found = inner.take(OCTET_STRING).filter(|found| inner.is_empty() && found.len() <= MAX_NONCE);
            if nonce.replace(found.ok_or_else(part)?).is_some() {
                return Err(part());
            }
        } else if critical {
            return Err(ResponseError::CriticalExtension);
        }
    }
    Ok(nonce)
}

fn time(fields: &mut Fields<'_>) -> Option<UnixTime> {
    let whole = fields.take_whole(GENERALIZED_TIME)?;
    let time = GeneralizedTime::from_der(whole).ok()?;
    Some(UnixTime(time.to_unix_duration().as_secs()))
}
