//! The quote: bytes to fields, lengths capped. Verifies nothing.
//!
//! Versions 4 and 5 (Intel TDX DCAP quoting library API, appendix A):
//!
//! ```text
//! header 48 ‖ [v5: body type 2 ‖ body size 4] ‖ TD report 584 or 648                      ← signed by the attestation key
//! ‖ length 4 ‖ signature 64 ‖ attestation key 64 ‖ type 6 ‖ length 4
//!     ‖ QE report 384 ‖ QE signature 64 ‖ length 2 ‖ auth data ‖ type 5 ‖ length 4 ‖ PCK chain in PEM
//! ‖ padding
//! ```

use thiserror::Error;

use super::report::{QeReport, TdReport};
use crate::cursor::Cursor;

/// Longest quote that is looked at. Genuine ones have 5 KB, padded ones 8,000 bytes.
pub const MAX_QUOTE: usize = 32 * 1024;

const ECDSA_P256: u16 = 2;
const TEE_SGX: u32 = 0;
const TEE_TDX: u32 = 0x81;
/// Intel's quoting enclaves. Another vendor's have another identity, which no collateral here describes.
const INTEL_QE: [u8; 16] =
    [0x93, 0x9a, 0x72, 0x33, 0xf7, 0x9c, 0x4c, 0xa9, 0x94, 0x0a, 0x0d, 0xb3, 0x95, 0x7f, 0x06, 0x07];
const BODY_TDX_1_0: u16 = 2;
const BODY_TDX_1_5: u16 = 3;
const CERTIFIED_BY_PEM_CHAIN: u16 = 5;
const CERTIFIED_BY_QE_REPORT: u16 = 6;

/// A quote as it was read: nothing in it is verified.
#[derive(Debug, Clone)]
pub struct Quote<'a> {
    pub(super) version: u16,
    pub(super) body: TdReport,
    /// Header, body descriptor and body: what the attestation key signs.
    pub(super) signed: &'a [u8],
    pub(super) signature: &'a [u8; 64],
    pub(super) attestation_key: &'a [u8; 64],
    pub(super) qe_report: QeReport,
    pub(super) qe_report_bytes: &'a [u8; QeReport::LEN],
    pub(super) qe_signature: &'a [u8; 64],
    pub(super) auth_data: &'a [u8],
    pub(super) pck_chain_pem: &'a [u8],
    pub(super) padding: &'a [u8],
}

/// Why bytes are no TDX quote that this verifier reads.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuoteError {
    /// More bytes than any quote has.
    #[error("the quote has {len} bytes, at most {max} are read")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// The bytes end within a part.
    #[error("the quote ends within its {part}: it was cut, or a length in it is wrong")]
    Truncated {
        /// The part.
        part: &'static str,
    },
    /// An SGX enclave's quote.
    #[error(
        "this is an SGX quote (version {version}), but a TDX quote is needed: it proves an enclave, not a virtual machine"
    )]
    Sgx {
        /// Version of its header.
        version: u16,
    },
    /// A version whose layout is unknown.
    #[error("the quote has version {version}, only 4 and 5 are known")]
    Version {
        /// Version of its header.
        version: u16,
    },
    /// Neither SGX nor TDX.
    #[error("the quote is of TEE type {tee_type:#x}, TDX has 0x81")]
    TeeType {
        /// The type.
        tee_type: u32,
    },
    /// Another kind of attestation key.
    #[error("the quote's attestation key is of type {key_type}, only 2 (ECDSA P-256) is known")]
    AttestationKeyType {
        /// The type.
        key_type: u16,
    },
    /// Another vendor's quoting enclave.
    #[error("the quote was made by a quoting enclave that is not Intel's")]
    QeVendor {
        /// The vendor's identifier.
        vendor: [u8; 16],
    },
    /// The body of a version 5 quote is no TD report.
    #[error("the quote's body is of type {body_type}, TD reports have 2 (TDX 1.0) or 3 (TDX 1.5)")]
    BodyType {
        /// The type.
        body_type: u16,
    },
    /// The size of the body is not the one that its type has.
    #[error("the quote's body is said to have {size} bytes, but its type has {expected}")]
    BodySize {
        /// The size that it states.
        size: u32,
        /// The size that its type has.
        expected: usize,
    },
    /// Certification data of another type than the one needed at this place.
    #[error("the quote's certification data is of type {found}, type {expected} is needed")]
    CertificationType {
        /// The type that came.
        found: u16,
        /// The type needed: 6 (QE report), in it 5 (PCK chain in PEM).
        expected: u16,
    },
    /// A part is longer than what it holds.
    #[error("{extra} bytes in the quote's {part} belong to nothing")]
    Slack {
        /// The part.
        part: &'static str,
        /// How many bytes are left over.
        extra: usize,
    },
}

impl<'a> Quote<'a> {
    /// Reads a quote of version 4 or 5.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, QuoteError> {
        if bytes.len() > MAX_QUOTE {
            return Err(QuoteError::TooLong { len: bytes.len(), max: MAX_QUOTE });
        }
        let mut cursor = Cursor::new(bytes);
        let version = parse_header(&mut cursor)?;
        let body = parse_body(version, &mut cursor)?;
        let signed_len = bytes.len().saturating_sub(cursor.rest().len());
        let signed = bytes.get(..signed_len).ok_or(QuoteError::Truncated { part: "body" })?;
        let mut data = length_prefixed(&mut cursor, "signature data")?;
        let part = "signature data";
        let signature = data.array().ok_or(QuoteError::Truncated { part })?;
        let attestation_key = data.array().ok_or(QuoteError::Truncated { part })?;
        let mut certified = certification(&mut data, CERTIFIED_BY_QE_REPORT, "certification data")?;
        nothing_left(&data, part)?;

        let part = "certification data";
        let qe_report_bytes = certified.array().ok_or(QuoteError::Truncated { part })?;
        let qe_report = QeReport::read(qe_report_bytes).ok_or(QuoteError::Truncated { part })?;
        let qe_signature = certified.array().ok_or(QuoteError::Truncated { part })?;
        let auth_len = certified.u16_le().ok_or(QuoteError::Truncated { part })?;
        let auth_data = certified.take(auth_len.into()).ok_or(QuoteError::Truncated { part: "auth data" })?;
        let chain = certification(&mut certified, CERTIFIED_BY_PEM_CHAIN, "PCK chain")?.rest();
        nothing_left(&certified, part)?;
        Ok(Self {
            version,
            body,
            signed,
            signature,
            attestation_key,
            qe_report,
            qe_report_bytes,
            qe_signature,
            auth_data,
            // Intel's library counts the terminating zero of its string where the platform's own does not
            pck_chain_pem: chain.strip_suffix(&[0]).unwrap_or(chain),
            padding: cursor.rest(),
        })
    }

    /// 4 or 5.
    pub fn version(&self) -> u16 {
        self.version
    }

    /// The trust domain's report: unverified claims.
    pub fn body(&self) -> &TdReport {
        &self.body
    }

    /// The quoting enclave's report: unverified claims.
    pub fn qe_report(&self) -> &QeReport {
        &self.qe_report
    }

    /// The PCK certificate and its issuers in PEM, unverified.
    pub fn pck_chain_pem(&self) -> &'a [u8] {
        self.pck_chain_pem
    }

    /// What follows the quote, which no signature covers. Genuine quotes are padded with zeros.
    pub fn padding(&self) -> &'a [u8] {
        self.padding
    }
}

/// Header, 48 bytes: version 2, attestation key type 2, TEE type 4, reserved 4, QE vendor 16, user data 20.
fn parse_header(cursor: &mut Cursor<'_>) -> Result<u16, QuoteError> {
    let cut = QuoteError::Truncated { part: "header" };
    let version = cursor.u16_le().ok_or_else(|| cut.clone())?;
    let key_type = cursor.u16_le().ok_or_else(|| cut.clone())?;
    let tee_type = cursor.u32_le().ok_or_else(|| cut.clone())?;
    let _reserved = cursor.u32_le().ok_or_else(|| cut.clone())?;
    let vendor = *cursor.array().ok_or_else(|| cut.clone())?;
    let _user_data: &[u8; 20] = cursor.array().ok_or(cut)?;
    if tee_type == TEE_SGX {
        return Err(QuoteError::Sgx { version });
    }
    if !matches!(version, 4 | 5) {
        return Err(QuoteError::Version { version });
    }
    if tee_type != TEE_TDX {
        return Err(QuoteError::TeeType { tee_type });
    }
    if key_type != ECDSA_P256 {
        return Err(QuoteError::AttestationKeyType { key_type });
    }
    if vendor != INTEL_QE {
        return Err(QuoteError::QeVendor { vendor });
    }
    Ok(version)
}

fn parse_body(version: u16, cursor: &mut Cursor<'_>) -> Result<TdReport, QuoteError> {
    let cut = QuoteError::Truncated { part: "body" };
    let len = if version == 4 {
        TdReport::LEN_1_0
    } else {
        let body_type = cursor.u16_le().ok_or_else(|| cut.clone())?;
        let size = cursor.u32_le().ok_or_else(|| cut.clone())?;
        let expected = match body_type {
            BODY_TDX_1_0 => TdReport::LEN_1_0,
            BODY_TDX_1_5 => TdReport::LEN_1_5,
            _ => return Err(QuoteError::BodyType { body_type }),
        };
        if usize::try_from(size) != Ok(expected) {
            return Err(QuoteError::BodySize { size, expected });
        }
        expected
    };
    cursor.take(len).and_then(TdReport::read).ok_or(cut)
}

fn length_prefixed<'a>(cursor: &mut Cursor<'a>, part: &'static str) -> Result<Cursor<'a>, QuoteError> {
    let cut = QuoteError::Truncated { part };
    let len = cursor.u32_le().and_then(|len| usize::try_from(len).ok()).ok_or_else(|| cut.clone())?;
    cursor.take(len).map(Cursor::new).ok_or(cut)
}

fn certification<'a>(
    cursor: &mut Cursor<'a>,
    expected: u16,
    part: &'static str,
) -> Result<Cursor<'a>, QuoteError> {
    let found = cursor.u16_le().ok_or(QuoteError::Truncated { part })?;
    if found != expected {
        return Err(QuoteError::CertificationType { found, expected });
    }
    length_prefixed(cursor, part)
}

fn nothing_left(cursor: &Cursor<'_>, part: &'static str) -> Result<(), QuoteError> {
    match cursor.rest().len() {
        0 => Ok(()),
        extra => Err(QuoteError::Slack { part, extra }),
    }
}

#[cfg(test)]
mod tests;
