//! The JSON of receipts.

use std::collections::{BTreeMap, BTreeSet};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Receipt, ReceiptError, SealedDigest};
use crate::stream::outer::ExchangeId;
use crate::stream::{ManifestDigest, Outcome, RequestId, UnixMillis, WireUsage, to_canonical};
use crate::usage::Usage;

const TYPE: &str = "privatemode receipt";
const MAX_CERTIFICATES: usize = 8;
const MAX_TEXT: usize = 256;
const MAX_ENTRIES: usize = 64;
/// ECDSA P-256 in ASN.1 has at most 72 bytes.
const MAX_SIGNATURE: usize = 80;

// Members in the order of their names: that is the canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireReceipt {
    certificates: Vec<String>,
    downgrades: BTreeSet<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    engine_image: Option<String>,
    exchange: String,
    finished_ms: u64,
    manifest: String,
    model: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model_root: Option<String>,
    outcome: Outcome,
    received_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    request_digest: Option<String>,
    request_id: String,
    response_digest: String,
    sampling: BTreeMap<String, String>,
    started_ms: u64,
    status: u16,
    r#type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    usage: Option<WireUsage>,
    v: u64,
}

/// A receipt with its signature.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireSigned {
    pub(super) receipt: WireReceipt,
    signature: String,
}

impl WireSigned {
    pub(super) fn new(receipt: &Receipt, signature: &[u8]) -> WireSigned {
        WireSigned { receipt: WireReceipt::from(receipt), signature: STANDARD.encode(signature) }
    }

    pub(super) fn signature(&self) -> Result<Vec<u8>, ReceiptError> {
        let malformed = ReceiptError::Member { member: "signature" };
        let bytes = STANDARD.decode(&self.signature).map_err(|_| malformed.clone())?;
        if (1..=MAX_SIGNATURE).contains(&bytes.len()) { Ok(bytes) } else { Err(malformed) }
    }
}

pub(super) fn to_json(receipt: &Receipt) -> String {
    to_canonical(&WireReceipt::from(receipt))
}

impl From<&Receipt> for WireReceipt {
    fn from(receipt: &Receipt) -> WireReceipt {
        WireReceipt {
            certificates: receipt.certificates.iter().map(|der| STANDARD.encode(der)).collect(),
            downgrades: receipt.downgrades.clone(),
            engine_image: receipt.engine_image.map(hex::encode),
            exchange: receipt.exchange.to_string(),
            finished_ms: receipt.finished.0,
            manifest: hex::encode(receipt.manifest.0),
            model: receipt.model.clone(),
            model_root: receipt.model_root.map(hex::encode),
            outcome: receipt.outcome,
            received_ms: receipt.received.0,
            request_digest: receipt.request_digest.map(|digest| hex::encode(digest.0)),
            request_id: receipt.request_id.to_string(),
            response_digest: hex::encode(receipt.response_digest.0),
            sampling: receipt.sampling.clone(),
            started_ms: receipt.started.0,
            status: receipt.status,
            r#type: TYPE.to_owned(),
            usage: receipt.usage.map(WireUsage::from),
            v: 1,
        }
    }
}

impl TryFrom<WireReceipt> for Receipt {
    type Error = ReceiptError;

    fn try_from(wire: WireReceipt) -> Result<Receipt, ReceiptError> {
        if wire.r#type != TYPE {
            return Err(ReceiptError::Type);
        }
        if wire.v != 1 {
            return Err(ReceiptError::Version { version: wire.v });
        }
        text(&wire.model, "model")?;
        if wire.sampling.len() > MAX_ENTRIES {
            return Err(ReceiptError::Member { member: "sampling" });
        }
        wire.sampling.iter().flat_map(|(k, v)| [k, v]).try_for_each(|entry| text(entry, "sampling"))?;
        if wire.downgrades.len() > MAX_ENTRIES {
            return Err(ReceiptError::Member { member: "downgrades" });
        }
        wire.downgrades.iter().try_for_each(|entry| text(entry, "downgrades"))?;
        let request_digest =
            wire.request_digest.map(|hex| unhex(&hex, "request_digest").map(SealedDigest)).transpose()?;
        // Only a refusal needs no whole request: an answer to a part of one is an answer to another question.
        if request_digest.is_none() && wire.status < 400 {
            return Err(ReceiptError::Member { member: "request_digest" });
        }
        Ok(Receipt {
            request_id: RequestId::from_bytes(unhex(&wire.request_id, "request_id")?),
            exchange: ExchangeId::parse(&wire.exchange)
                .map_err(|_| ReceiptError::Member { member: "exchange" })?,
            request_digest,
            response_digest: SealedDigest(unhex(&wire.response_digest, "response_digest")?),
            status: wire.status,
            outcome: wire.outcome,
            model_root: wire.model_root.map(|hex| unhex(&hex, "model_root")).transpose()?,
            engine_image: wire.engine_image.map(|hex| unhex(&hex, "engine_image")).transpose()?,
            manifest: ManifestDigest(unhex(&wire.manifest, "manifest")?),
            certificates: certificates(&wire.certificates)?,
            model: wire.model,
            sampling: wire.sampling,
            usage: wire.usage.map(Usage::from),
            received: UnixMillis(wire.received_ms),
            started: UnixMillis(wire.started_ms),
            finished: UnixMillis(wire.finished_ms),
            downgrades: wire.downgrades,
        })
    }
}

fn certificates(list: &[String]) -> Result<Vec<Vec<u8>>, ReceiptError> {
    let malformed = || ReceiptError::Member { member: "certificates" };
    if !(1..=MAX_CERTIFICATES).contains(&list.len()) {
        return Err(malformed());
    }
    list.iter().map(|text| STANDARD.decode(text).map_err(|_| malformed())).collect()
}

fn text(value: &str, member: &'static str) -> Result<(), ReceiptError> {
    // Receipts are shown in terminals.
    let fits = value.len() <= MAX_TEXT && !value.chars().any(char::is_control);
    if fits { Ok(()) } else { Err(ReceiptError::Member { member }) }
}

fn unhex<const N: usize>(text: &str, member: &'static str) -> Result<[u8; N], ReceiptError> {
    let mut bytes = [0; N];
    let lower = !text.bytes().any(|b| b.is_ascii_uppercase());
    let decoded = hex::decode_to_slice(text, &mut bytes).is_ok();
    if lower && decoded { Ok(bytes) } else { Err(ReceiptError::Member { member }) }
}
