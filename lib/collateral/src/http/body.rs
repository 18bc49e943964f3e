//! Takes a document out of what it travels in. The signed bytes themselves are never re-written.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::header::HeaderMap;
use serde::Deserialize;

use crate::{
    document::{Document, MAX_CERTIFICATE, Unusable, excerpt},
    key::{Key, Kind, RimId},
};

/// The headers with the issuers' certificates; the second is what older services call the first.
const TCB_INFO_CHAIN: &[&str] = &["tcb-info-issuer-chain", "sgx-tcb-info-issuer-chain"];
const IDENTITY_CHAIN: &[&str] = &["sgx-enclave-identity-issuer-chain"];
const PCK_CRL_CHAIN: &[&str] = &["sgx-pck-crl-issuer-chain"];

pub(super) fn unwrap(key: &Key, bytes: Vec<u8>, headers: &HeaderMap) -> Result<Document, Unusable> {
    let bytes = match key {
        Key::NvidiaRim { id } => manifest(id, &bytes)?,
        Key::IntelRootCrl | Key::IntelPckCrl { .. } => plain_der(bytes),
        _ => bytes,
    };
    let names = match key.kind() {
        Kind::IntelTcbInfo => TCB_INFO_CHAIN,
        Kind::IntelQeIdentity => IDENTITY_CHAIN,
        Kind::IntelPckCrl => PCK_CRL_CHAIN,
        _ => return Ok(Document { bytes, issuer_chain: None }),
    };
    let header = names.iter().find_map(|name| headers.get(*name)).ok_or(Unusable::NoIssuerChain)?;
    let chain = percent_decode(header.as_bytes()).ok_or(Unusable::NotPem)?;
    Ok(Document { bytes, issuer_chain: Some(chain) })
}

#[derive(Deserialize)]
struct Envelope {
    id: Option<String>,
    rim: String,
}

fn manifest(asked: &RimId, json: &[u8]) -> Result<Vec<u8>, Unusable> {
    let Envelope { id, rim } = serde_json::from_slice(json).map_err(|_| Unusable::NotJson)?;
    if let Some(found) = id.filter(|id| id != asked.as_str()) {
        return Err(Unusable::Other { found: excerpt(&found) });
    }
    let text: String = rim.chars().filter(|c| !c.is_ascii_whitespace()).collect();
    STANDARD.decode(text).map_err(|_| Unusable::NotJson)
}

/// A PCCS answers with hexadecimal text where Intel answers with DER.
fn plain_der(bytes: Vec<u8>) -> Vec<u8> {
    let text = bytes.trim_ascii();
    hex::decode(text).unwrap_or(bytes)
}

fn percent_decode(bytes: &[u8]) -> Option<String> {
    if bytes.len() > MAX_CERTIFICATE * 3 {
        return None;
    }
    let mut decoded = Vec::with_capacity(bytes.len());
    let mut rest = bytes;
    while let Some((&byte, tail)) = rest.split_first() {
        rest = tail;
        if byte == b'%' {
            let (digits, tail) = rest.split_at_checked(2)?;
            let mut value = [0];
            hex::decode_to_slice(digits, &mut value).ok()?;
            decoded.extend_from_slice(&value);
            rest = tail;
        } else {
            decoded.push(byte); // `+` too: it is a digit of base64 here, no space
        }
    }
    String::from_utf8(decoded).ok()
}
