//! The identity of the TDX quoting enclave, version 2.

use serde::Deserialize;

use super::{DocumentError, IsvLevel, IsvLevelJson, Period, digits, isv_levels, kind, period, version};

/// Which enclave Intel's quoting enclave is, and the status of its versions.
#[derive(Debug, Clone)]
pub(in super::super) struct QeIdentity {
    pub(in super::super) period: Period,
    pub(in super::super) evaluation_number: u32,
    pub(in super::super) misc_select: u32,
    pub(in super::super) misc_select_mask: u32,
    pub(in super::super) attributes: [u8; 16],
    pub(in super::super) attributes_mask: [u8; 16],
    pub(in super::super) mr_signer: [u8; 32],
    pub(in super::super) isv_prod_id: u16,
    pub(in super::super) levels: Vec<IsvLevel>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    id: String,
    version: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    issue_date: String,
    next_update: String,
    tcb_evaluation_data_number: u32,
    miscselect: String,
    miscselect_mask: String,
    attributes: String,
    attributes_mask: String,
    mrsigner: String,
    isvprodid: u16,
    tcb_levels: Vec<IsvLevelJson>,
}

impl QeIdentity {
    pub(in super::super) fn parse(signed: &[u8]) -> Result<Self, DocumentError> {
        let head: Head = serde_json::from_slice(signed).map_err(|source| DocumentError::Json { source })?;
        kind(head.id, "TD_QE")?;
        version(head.version, 2)?;
        let json: Json = serde_json::from_slice(signed).map_err(|source| DocumentError::Json { source })?;
        Ok(Self {
            period: period(&json.issue_date, &json.next_update)?,
            evaluation_number: json.tcb_evaluation_data_number,
            misc_select: bits("miscselect", &json.miscselect)?,
            misc_select_mask: bits("miscselectMask", &json.miscselect_mask)?,
            attributes: digits("attributes", &json.attributes)?,
            attributes_mask: digits("attributesMask", &json.attributes_mask)?,
            mr_signer: digits("mrsigner", &json.mrsigner)?,
            isv_prod_id: json.isvprodid,
            levels: isv_levels("tcbLevels", json.tcb_levels)?,
        })
    }
}

/// The bytes stand as in the report, which is little endian.
fn bits(member: &'static str, text: &str) -> Result<u32, DocumentError> {
    digits(member, text).map(u32::from_le_bytes)
}
