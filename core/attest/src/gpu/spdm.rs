//! The measurement report as the driver returns it: SPDM `GET_MEASUREMENTS` request, then `MEASUREMENTS` response.
//!
//! Parses only; nothing here is trusted before [`verify_device`](super::verify_device). Specification: `attestation.md` §5 step 1
//! (DMTF DSP0274 1.1, sections 10.11.1 and 10.11.2).

use super::bytes::{Bytes, Short};
use super::opaque::{Opaque, OpaqueError};

/// Bytes of the request in front of the response.
pub const REQUEST_LEN: usize = 37;
/// Bytes of the signature at the end: r and s of ECDSA P-384, big-endian.
pub const SIGNATURE_LEN: usize = 96;
/// Bytes of one measurement: a SHA-384 digest.
pub const DIGEST_LEN: usize = 48;
/// No report of any architecture comes near it.
pub const MAX_REPORT: usize = 64 * 1024;

const GET_MEASUREMENTS: u8 = 0xE0;
const MEASUREMENTS: u8 = 0x60;
const ASK_SIGNATURE: u8 = 0x01;
const ALL_MEASUREMENTS: u8 = 0xFF;
const DMTF_SPECIFICATION: u8 = 0x01;
/// DMTF value type and value size in front of the value.
const DMTF_HEADER: usize = 3;
/// Bit 7 of the value type: the value is not a digest but raw.
const RAW_VALUE: u8 = 0x80;

/// A 32-byte challenge. Fresh for every request, or derived: see [`super::nonce`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Nonce(pub [u8; 32]);

/// One measurement of the device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measurement {
    /// SPDM index, from 1.
    pub index: u8,
    /// SHA-384.
    pub digest: [u8; DIGEST_LEN],
}

/// A parsed report. Says what the device claims, not that it is true.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    nonce: Nonce,
    response_nonce: [u8; 32],
    measurements: Vec<Measurement>,
    opaque: Opaque,
    signed: Vec<u8>,
    signature: [u8; SIGNATURE_LEN],
}

/// Why bytes are not a measurement report.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ReportError {
    /// Larger than any report is.
    #[error("the report has {len} bytes, more than {MAX_REPORT}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// It ends early, or a length in it is too large.
    #[error("the report ends within {part}: {need} bytes needed, {have} left")]
    Truncated {
        /// Which part.
        part: &'static str,
        /// Bytes that the part needs.
        need: usize,
        /// Bytes that are left.
        have: usize,
    },
    /// Only SPDM 1.1 and 1.2 are known.
    #[error("SPDM version {version:#04x} is not supported")]
    Version {
        /// Major and minor version, four bits each.
        version: u8,
    },
    /// The response is of another version than the request.
    #[error("the request has SPDM version {request:#04x}, the response {response:#04x}")]
    VersionsDiffer {
        /// In the request.
        request: u8,
        /// In the response.
        response: u8,
    },
    /// The message is not the expected one.
    #[error("expected SPDM message {expected:#04x}, found {found:#04x}")]
    Message {
        /// Request response code that belongs here.
        expected: u8,
        /// The one that is there.
        found: u8,
    },
    /// A request for no signature, for a part of the measurements, or to a slot that cannot exist.
    #[error("the request does not ask for all measurements with a signature")]
    Request,
    /// The declared number of blocks does not fill the declared record.
    #[error("{blocks} measurement blocks leave {left} bytes of the measurement record")]
    Record {
        /// Declared number of blocks.
        blocks: u8,
        /// Bytes left over.
        left: usize,
    },
    /// Not a SHA-384 digest under the DMTF specification.
    #[error("measurement block {index} is not a SHA-384 digest of the DMTF form")]
    Block {
        /// Its index.
        index: u8,
    },
    /// Indices repeat or run backwards: it would be open which value counts.
    #[error("measurement block {index} follows block {previous}")]
    Order {
        /// The later one.
        index: u8,
        /// The one before, 0 for none.
        previous: u8,
    },
    /// NVIDIA's own part.
    #[error("the report's opaque data are malformed")]
    Opaque(#[source] OpaqueError),
    /// More than one NUL after the signature.
    #[error("{len} unexpected bytes follow the report's signature")]
    Trailing {
        /// How many.
        len: usize,
    },
}

impl From<Short> for ReportError {
    fn from(Short { part, need, have }: Short) -> Self {
        Self::Truncated { part, need, have }
    }
}

impl Report {
    /// Parses request and response. One NUL at the end is tolerated, as drivers are known to append it.
    ///
    /// # Errors
    /// [`ReportError`] names the part that is malformed.
    pub fn parse(evidence: &[u8]) -> Result<Self, ReportError> {
        // step 1: every length is checked before it is used
        if evidence.len() > MAX_REPORT {
            return Err(ReportError::TooLong { len: evidence.len() });
        }
        let mut bytes = Bytes::new(evidence);
        let (version, nonce) = parse_request(&mut bytes)?;
        let measurements = parse_measurements(&mut bytes, version)?;
        let response_nonce = bytes.array("response nonce")?;
        let opaque_len = usize::from(bytes.u16_le("opaque data length")?);
        let opaque = bytes.take(opaque_len, "opaque data")?;
        let signed_len = evidence.len().saturating_sub(bytes.rest().len());
        let signature = bytes.array("signature")?;
        match bytes.rest() {
            [] | [0] => {}
            rest => return Err(ReportError::Trailing { len: rest.len() }),
        }
        Ok(Self {
            nonce,
            response_nonce,
            measurements,
            opaque: Opaque::parse(opaque).map_err(ReportError::Opaque)?,
            signed: evidence.get(..signed_len).unwrap_or_default().to_vec(),
            signature,
        })
    }

    /// The challenge that the request carried.
    pub fn nonce(&self) -> &Nonce {
        &self.nonce
    }

    /// The device's own random number.
    pub fn response_nonce(&self) -> &[u8; 32] {
        &self.response_nonce
    }

    /// The measurements in the order of their indices.
    pub fn measurements(&self) -> &[Measurement] {
        &self.measurements
    }

    /// The measurement with this SPDM index.
    pub fn measurement(&self, index: u8) -> Option<&[u8; DIGEST_LEN]> {
        self.measurements.iter().find(|block| block.index == index).map(|block| &block.digest)
    }

    /// NVIDIA's own fields: versions, board, modes.
    pub fn opaque(&self) -> &Opaque {
        &self.opaque
    }

    /// What the signature covers: request and response without the signature.
    pub(super) fn signed(&self) -> &[u8] {
        &self.signed
    }

    /// r and s, big-endian.
    pub(super) fn signature(&self) -> &[u8; SIGNATURE_LEN] {
        &self.signature
    }
}

fn parse_request(bytes: &mut Bytes<'_>) -> Result<(u8, Nonce), ReportError> {
    let [version, code, ask, which] = bytes.array("request header")?;
    if !matches!(version, 0x11 | 0x12) {
        return Err(ReportError::Version { version });
    }
    if code != GET_MEASUREMENTS {
        return Err(ReportError::Message { expected: GET_MEASUREMENTS, found: code });
    }
    let nonce = Nonce(bytes.array("request nonce")?);
    let slot = bytes.u8("request slot")?;
    if ask != ASK_SIGNATURE || which != ALL_MEASUREMENTS || slot > 7 {
        return Err(ReportError::Request);
    }
    Ok((version, nonce))
}

fn parse_measurements(bytes: &mut Bytes<'_>, request: u8) -> Result<Vec<Measurement>, ReportError> {
    let [response, code, _, _] = bytes.array("response header")?;
    if response != request {
        return Err(ReportError::VersionsDiffer { request, response });
    }
    if code != MEASUREMENTS {
        return Err(ReportError::Message { expected: MEASUREMENTS, found: code });
    }
    let blocks = bytes.u8("number of blocks")?;
    let len = usize::try_from(bytes.u24_le("record length")?).unwrap_or(usize::MAX);
    let mut record = Bytes::new(bytes.take(len, "measurement record")?);
    let mut measurements: Vec<Measurement> = Vec::with_capacity(usize::from(blocks));
    for _ in 0..blocks {
        let block = parse_block(&mut record)?;
        let previous = measurements.last().map_or(0, |last| last.index);
        if block.index <= previous {
            return Err(ReportError::Order { index: block.index, previous });
        }
        measurements.push(block);
    }
    if !record.is_empty() {
        return Err(ReportError::Record { blocks, left: record.rest().len() });
    }
    Ok(measurements)
}

fn parse_block(record: &mut Bytes<'_>) -> Result<Measurement, ReportError> {
    let index = record.u8("measurement block")?;
    let specification = record.u8("measurement block")?;
    let len = usize::from(record.u16_le("measurement block")?);
    let mut block = Bytes::new(record.take(len, "measurement block")?);
    let kind = block.u8("measurement value")?;
    let value_len = usize::from(block.u16_le("measurement value")?);
    if specification != DMTF_SPECIFICATION
        || kind & RAW_VALUE != 0
        || value_len != DIGEST_LEN
        || len.checked_sub(DMTF_HEADER) != Some(value_len)
    {
        return Err(ReportError::Block { index });
    }
    Ok(Measurement { index, digest: block.array("measurement value")? })
}

#[cfg(test)]
mod tests;
