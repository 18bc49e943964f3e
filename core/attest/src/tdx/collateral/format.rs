//! Collateral as files: one JSON object for all of it, or the answers of Intel's service one by one.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use super::super::document::MAX_DOCUMENT;
use super::Collateral;
use crate::x509::MAX_CRL;

/// Longest collateral file that is read, in bytes: both documents, and the lists in hexadecimal.
const MAX_FILE: usize = 4 * MAX_CRL + 4 * MAX_DOCUMENT;
/// Longest issuer chain that is read, in bytes; genuine ones have 2 KB.
pub(super) const MAX_CHAIN: usize = 64 * 1024;

/// Why files are no collateral. Nothing of it is verified yet.
#[derive(Debug, Error)]
pub enum CollateralFormatError {
    /// More bytes than it ever has.
    #[error("the {what} has {len} bytes, at most {max} are read")]
    TooLong {
        /// Which file.
        what: &'static str,
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not the JSON object that it should be.
    #[error("the {what} is not the JSON object that it should be")]
    Json {
        /// Which file.
        what: &'static str,
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not hexadecimal digits in lower case, or too few of them.
    #[error("the member `{member}` is not lower-case hexadecimal digits of its length")]
    Hex {
        /// Which member.
        member: &'static str,
    },
    /// Not UTF-8.
    #[error("the {what} is not text")]
    Text {
        /// Which file.
        what: &'static str,
    },
    /// Not percent-encoded text.
    #[error("the issuer chain is not percent-encoded as it should be")]
    PercentEncoding,
}

/// The answers of Intel's provisioning certification service, or files of them.
#[derive(Debug, Clone, Copy)]
pub struct PcsDocuments<'a> {
    /// Body of the answer about TCB info: `{"tcbInfo":{…},"signature":"…"}`.
    pub tcb_info: &'a [u8],
    /// TCB signing certificate and root in PEM.
    pub tcb_info_issuer_chain: &'a [u8],
    /// Body of the answer about the quoting enclave: `{"enclaveIdentity":{…},"signature":"…"}`.
    pub qe_identity: &'a [u8],
    /// TCB signing certificate and root in PEM.
    pub qe_identity_issuer_chain: &'a [u8],
    /// PCK revocation list in DER.
    pub pck_crl: &'a [u8],
    /// PCK authority and root in PEM.
    pub pck_crl_issuer_chain: &'a [u8],
    /// Root revocation list in DER.
    pub root_ca_crl: &'a [u8],
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Json {
    pck_crl_issuer_chain: String,
    root_ca_crl: String,
    pck_crl: String,
    tcb_info_issuer_chain: String,
    tcb_info: String,
    tcb_info_signature: String,
    qe_identity_issuer_chain: String,
    qe_identity: String,
    qe_identity_signature: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct TcbInfoAnswer<'a> {
    #[serde(borrow)]
    tcb_info: &'a RawValue,
    signature: &'a str,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct QeIdentityAnswer<'a> {
    #[serde(borrow)]
    enclave_identity: &'a RawValue,
    signature: &'a str,
}

impl Collateral {
    /// Reads one JSON object with all of it: documents and chains as text, signatures and lists in hexadecimal.
    ///
    /// # Errors
    /// [`CollateralFormatError`].
    pub fn from_json(json: &[u8]) -> Result<Self, CollateralFormatError> {
        let what = "collateral file";
        capped(what, json, MAX_FILE)?;
        let json: Json =
            serde_json::from_slice(json).map_err(|source| CollateralFormatError::Json { what, source })?;
        Ok(Self {
            tcb_info_signature: signature("tcb_info_signature", &json.tcb_info_signature)?,
            tcb_info: json.tcb_info,
            tcb_info_issuer_chain: json.tcb_info_issuer_chain,
            qe_identity_signature: signature("qe_identity_signature", &json.qe_identity_signature)?,
            qe_identity: json.qe_identity,
            qe_identity_issuer_chain: json.qe_identity_issuer_chain,
            pck_crl: lower_hex("pck_crl", &json.pck_crl)?,
            pck_crl_issuer_chain: json.pck_crl_issuer_chain,
            root_ca_crl: lower_hex("root_ca_crl", &json.root_ca_crl)?,
        })
    }

    /// Writes what [`Collateral::from_json`] reads.
    ///
    /// # Errors
    /// None that is known: the object holds text only.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(&Json {
            pck_crl_issuer_chain: self.pck_crl_issuer_chain.clone(),
            root_ca_crl: hex::encode(&self.root_ca_crl),
            pck_crl: hex::encode(&self.pck_crl),
            tcb_info_issuer_chain: self.tcb_info_issuer_chain.clone(),
            tcb_info: self.tcb_info.clone(),
            tcb_info_signature: hex::encode(self.tcb_info_signature),
            qe_identity_issuer_chain: self.qe_identity_issuer_chain.clone(),
            qe_identity: self.qe_identity.clone(),
            qe_identity_signature: hex::encode(self.qe_identity_signature),
        })
    }

    /// Puts the answers of Intel's service together. What is signed are the bytes of a member as they stand, never a
    /// re-serialised value.
    ///
    /// # Errors
    /// [`CollateralFormatError`].
    pub fn assemble(documents: &PcsDocuments<'_>) -> Result<Self, CollateralFormatError> {
        let what = "TCB info";
        capped(what, documents.tcb_info, MAX_DOCUMENT)?;
        let tcb_info: TcbInfoAnswer<'_> = serde_json::from_slice(documents.tcb_info)
            .map_err(|source| CollateralFormatError::Json { what, source })?;
        let what = "QE identity";
        capped(what, documents.qe_identity, MAX_DOCUMENT)?;
        let qe_identity: QeIdentityAnswer<'_> = serde_json::from_slice(documents.qe_identity)
            .map_err(|source| CollateralFormatError::Json { what, source })?;
        capped("PCK revocation list", documents.pck_crl, MAX_CRL)?;
        capped("root revocation list", documents.root_ca_crl, MAX_CRL)?;
        Ok(Self {
            tcb_info: tcb_info.tcb_info.get().to_owned(),
            tcb_info_signature: signature("signature", tcb_info.signature)?,
            tcb_info_issuer_chain: text("TCB info issuer chain", documents.tcb_info_issuer_chain)?,
            qe_identity: qe_identity.enclave_identity.get().to_owned(),
            qe_identity_signature: signature("signature", qe_identity.signature)?,
            qe_identity_issuer_chain: text("QE identity issuer chain", documents.qe_identity_issuer_chain)?,
            pck_crl: documents.pck_crl.to_vec(),
            pck_crl_issuer_chain: text("PCK revocation list issuer chain", documents.pck_crl_issuer_chain)?,
            root_ca_crl: documents.root_ca_crl.to_vec(),
        })
    }
}

/// Decodes an issuer chain from an answer's header, where it stands percent-encoded.
///
/// # Errors
/// [`CollateralFormatError::TooLong`], [`CollateralFormatError::PercentEncoding`].
pub fn decode_issuer_chain(header: &str) -> Result<String, CollateralFormatError> {
    capped("issuer chain", header.as_bytes(), MAX_CHAIN)?;
    let mut bytes = Vec::with_capacity(header.len());
    let mut rest = header.as_bytes();
    while let Some((&first, tail)) = rest.split_first() {
        rest = tail;
        if first != b'%' {
            bytes.push(first);
            continue;
        }
        let (digits, tail) = tail.split_first_chunk::<2>().ok_or(CollateralFormatError::PercentEncoding)?;
        let mut byte = [0];
        hex::decode_to_slice(digits, &mut byte).map_err(|_| CollateralFormatError::PercentEncoding)?;
        bytes.extend(byte);
        rest = tail;
    }
    String::from_utf8(bytes).map_err(|_| CollateralFormatError::PercentEncoding)
}

fn capped(what: &'static str, bytes: &[u8], max: usize) -> Result<(), CollateralFormatError> {
    match bytes.len() {
        len if len > max => Err(CollateralFormatError::TooLong { what, len, max }),
        _ => Ok(()),
    }
}

fn text(what: &'static str, bytes: &[u8]) -> Result<String, CollateralFormatError> {
    capped(what, bytes, MAX_CHAIN)?;
    String::from_utf8(bytes.to_vec()).map_err(|_| CollateralFormatError::Text { what })
}

fn signature(member: &'static str, text: &str) -> Result<[u8; 64], CollateralFormatError> {
    lower_hex(member, text)?.try_into().map_err(|_| CollateralFormatError::Hex { member })
}

/// Upper-case digits would be a second spelling of the same file.
fn lower_hex(member: &'static str, text: &str) -> Result<Vec<u8>, CollateralFormatError> {
    if text.bytes().any(|digit| digit.is_ascii_uppercase()) {
        return Err(CollateralFormatError::Hex { member });
    }
    hex::decode(text).map_err(|_| CollateralFormatError::Hex { member })
}

#[cfg(test)]
mod tests;
