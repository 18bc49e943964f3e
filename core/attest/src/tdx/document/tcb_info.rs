//! TCB info version 3 for TDX.

use serde::Deserialize;

use super::{
    DocumentError, IsvLevel, IsvLevelJson, MAX_LEVELS, PartJson, Period, capped, digits, isv_levels, kind,
    part_status, period, version,
};
use crate::tdx::evidence::PartStatus;

/// Which levels a platform of one FMSPC can be at.
#[derive(Debug, Clone)]
pub(in super::super) struct TcbInfo {
    pub(in super::super) period: Period,
    pub(in super::super) evaluation_number: u32,
    pub(in super::super) fmspc: [u8; 6],
    pub(in super::super) pce_id: [u8; 2],
    /// Modules of major version 0.
    pub(in super::super) module: TdxModule,
    /// Newer modules by their major version.
    pub(in super::super) modules: Vec<(u8, TdxModule, Vec<IsvLevel>)>,
    pub(in super::super) levels: Vec<TcbLevel>,
}

/// Who signed a TDX module, and with which attributes it runs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super) struct TdxModule {
    pub(in super::super) mr_signer: [u8; 48],
    pub(in super::super) attributes: u64,
    pub(in super::super) attributes_mask: u64,
}

/// What a platform needs for a status.
#[derive(Debug, Clone)]
pub(in super::super) struct TcbLevel {
    pub(in super::super) sgx: [u8; 16],
    pub(in super::super) pce_svn: u16,
    pub(in super::super) tdx: [u8; 16],
    pub(in super::super) part: PartStatus,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    id: String,
    version: u32,
    tcb_type: u32,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Json {
    issue_date: String,
    next_update: String,
    fmspc: String,
    pce_id: String,
    tcb_evaluation_data_number: u32,
    tdx_module: ModuleJson,
    #[serde(default)]
    tdx_module_identities: Vec<ModuleIdentityJson>,
    tcb_levels: Vec<LevelJson>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModuleJson {
    mrsigner: String,
    attributes: String,
    attributes_mask: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ModuleIdentityJson {
    id: String,
    #[serde(flatten)]
    module: ModuleJson,
    tcb_levels: Vec<IsvLevelJson>,
}

#[derive(Deserialize)]
struct LevelJson {
    tcb: TcbJson,
    #[serde(flatten)]
    part: PartJson,
}

#[derive(Deserialize)]
struct TcbJson {
    sgxtcbcomponents: [ComponentJson; 16],
    pcesvn: u16,
    tdxtcbcomponents: [ComponentJson; 16],
}

#[derive(Deserialize)]
struct ComponentJson {
    svn: u8,
}

impl TcbInfo {
    pub(in super::super) fn parse(signed: &[u8]) -> Result<Self, DocumentError> {
        let head: Head = serde_json::from_slice(signed).map_err(|source| DocumentError::Json { source })?;
        kind(head.id, "TDX")?;
        version(head.version, 3)?;
        if head.tcb_type != 0 {
            return Err(DocumentError::TcbType { found: head.tcb_type });
        }
        let json: Json = serde_json::from_slice(signed).map_err(|source| DocumentError::Json { source })?;
        capped("tcbLevels", json.tcb_levels.len(), MAX_LEVELS)?;
        capped("tdxModuleIdentities", json.tdx_module_identities.len(), MAX_LEVELS)?;
        Ok(Self {
            period: period(&json.issue_date, &json.next_update)?,
            evaluation_number: json.tcb_evaluation_data_number,
            fmspc: digits("fmspc", &json.fmspc)?,
            pce_id: digits("pceId", &json.pce_id)?,
            module: module(&json.tdx_module)?,
            modules: json
                .tdx_module_identities
                .into_iter()
                .map(module_identity)
                .collect::<Result<_, DocumentError>>()?,
            levels: json.tcb_levels.into_iter().map(level).collect::<Result<_, DocumentError>>()?,
        })
    }

    /// The identity of modules with this major version.
    pub(in super::super) fn module_of_version(&self, version: u8) -> Option<(&TdxModule, &[IsvLevel])> {
        self.modules
            .iter()
            .find(|(known, ..)| *known == version)
            .map(|(_, module, levels)| (module, levels.as_slice()))
    }
}

fn module(json: &ModuleJson) -> Result<TdxModule, DocumentError> {
    Ok(TdxModule {
        mr_signer: digits("mrsigner", &json.mrsigner)?,
        attributes: digits("attributes", &json.attributes).map(u64::from_le_bytes)?,
        attributes_mask: digits("attributesMask", &json.attributes_mask).map(u64::from_le_bytes)?,
    })
}

/// `TDX_01` is for modules of major version 1; the digits are hexadecimal.
fn module_identity(json: ModuleIdentityJson) -> Result<(u8, TdxModule, Vec<IsvLevel>), DocumentError> {
    let [version] = json
        .id
        .strip_prefix("TDX_")
        .and_then(|text| digits("id", text).ok())
        .ok_or(DocumentError::Value { member: "id", expected: "`TDX_` with two hexadecimal digits" })?;
    Ok((version, module(&json.module)?, isv_levels("tcbLevels", json.tcb_levels)?))
}

fn level(json: LevelJson) -> Result<TcbLevel, DocumentError> {
    let LevelJson { tcb: TcbJson { sgxtcbcomponents, pcesvn, tdxtcbcomponents }, part } = json;
    let versions = |components: [ComponentJson; 16]| components.map(|component| component.svn);
    Ok(TcbLevel {
        sgx: versions(sgxtcbcomponents),
        pce_svn: pcesvn,
        tdx: versions(tdxtcbcomponents),
        part: part_status(part)?,
    })
}
