//! Intel's signed JSON documents: TCB info version 3 for TDX, and the TDX quoting enclave's identity version 2.
//!
//! Called with bytes whose signature is verified already: what is read here is Intel's word. Unknown members are left
//! alone, since Intel adds some within a version; known ones may come once, and are needed.

mod qe_identity;
mod tcb_info;

use serde::Deserialize;
use thiserror::Error;

use super::evidence::PartStatus;
use super::status::TcbStatus;
use crate::UnixTime;

pub(super) use qe_identity::QeIdentity;
pub(super) use tcb_info::{TcbInfo, TdxModule};

/// Longest document that is read, in bytes; genuine ones have 7 KB at most.
pub const MAX_DOCUMENT: usize = 256 * 1024;
/// Most levels of one list; genuine ones have up to 20.
const MAX_LEVELS: usize = 256;
/// Most advisories of one level.
const MAX_ADVISORIES: usize = 1024;

/// Why a signed document cannot be used.
#[derive(Debug, Error)]
pub enum DocumentError {
    /// Not the JSON that the version has.
    #[error("it is not JSON with the members that its version has")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// A document of another kind, as the one for SGX.
    #[error("it is a document `{found}`, but `{expected}` is needed")]
    Kind {
        /// Its `id`.
        found: String,
        /// The `id` needed.
        expected: &'static str,
    },
    /// A version whose meaning is unknown.
    #[error("it has version {found}, only {expected} is known")]
    Version {
        /// Its version.
        found: u32,
        /// The version needed.
        expected: u32,
    },
    /// Another way to compare TCBs.
    #[error("its TCB type is {found}, only 0 is known")]
    TcbType {
        /// The type.
        found: u32,
    },
    /// A member's value is not in its form.
    #[error("its member `{member}` is not {expected}")]
    Value {
        /// Name of the member.
        member: &'static str,
        /// The form it should have.
        expected: &'static str,
    },
    /// A status that is unknown, so that nobody can say what it permits.
    #[error("it has the TCB status `{name}`, which is unknown")]
    Status {
        /// The name.
        name: String,
    },
    /// More entries than a list ever has.
    #[error("its list `{member}` has {len} entries, at most {max} are read")]
    TooMany {
        /// Name of the list.
        member: &'static str,
        /// Its entries.
        len: usize,
        /// Most entries.
        max: usize,
    },
}

/// When a document counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Period {
    pub(super) issued: UnixTime,
    pub(super) next_update: UnixTime,
}

/// A level that asks for one security version.
#[derive(Debug, Clone)]
pub(super) struct IsvLevel {
    isv_svn: u16,
    part: PartStatus,
}

/// The first level whose version is reached: Intel lists the newest first.
pub(super) fn level_of(levels: &[IsvLevel], isv_svn: u16) -> Option<&PartStatus> {
    levels.iter().find(|level| level.isv_svn <= isv_svn).map(|level| &level.part)
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct IsvLevelJson {
    tcb: IsvTcbJson,
    #[serde(flatten)]
    part: PartJson,
}

#[derive(Deserialize)]
struct IsvTcbJson {
    isvsvn: u16,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct PartJson {
    tcb_date: String,
    tcb_status: String,
    #[serde(default, rename = "advisoryIDs")]
    advisories: Vec<String>,
}

fn isv_levels(member: &'static str, levels: Vec<IsvLevelJson>) -> Result<Vec<IsvLevel>, DocumentError> {
    capped(member, levels.len(), MAX_LEVELS)?;
    levels
        .into_iter()
        .map(|IsvLevelJson { tcb, part }| Ok(IsvLevel { isv_svn: tcb.isvsvn, part: part_status(part)? }))
        .collect()
}

fn part_status(part: PartJson) -> Result<PartStatus, DocumentError> {
    let PartJson { tcb_date, tcb_status, advisories } = part;
    capped("advisoryIDs", advisories.len(), MAX_ADVISORIES)?;
    Ok(PartStatus {
        tcb_date: date("tcbDate", &tcb_date)?,
        status: TcbStatus::from_name(&tcb_status).ok_or(DocumentError::Status { name: tcb_status })?,
        advisories,
    })
}

fn capped(member: &'static str, len: usize, max: usize) -> Result<(), DocumentError> {
    if len > max { Err(DocumentError::TooMany { member, len, max }) } else { Ok(()) }
}

fn period(issue_date: &str, next_update: &str) -> Result<Period, DocumentError> {
    Ok(Period { issued: date("issueDate", issue_date)?, next_update: date("nextUpdate", next_update)? })
}

fn date(member: &'static str, text: &str) -> Result<UnixTime, DocumentError> {
    UnixTime::parse_rfc3339(text)
        .ok_or(DocumentError::Value { member, expected: "a date as 2025-06-19T10:16:03Z" })
}

/// Hexadecimal digits of either case: Intel uses both, and its signature covers which.
fn digits<const N: usize>(member: &'static str, text: &str) -> Result<[u8; N], DocumentError> {
    let mut bytes = [0; N];
    hex::decode_to_slice(text, &mut bytes)
        .map_err(|_| DocumentError::Value { member, expected: "hexadecimal digits of its length" })?;
    Ok(bytes)
}

fn kind(found: String, expected: &'static str) -> Result<(), DocumentError> {
    if found == expected { Ok(()) } else { Err(DocumentError::Kind { found, expected }) }
}

fn version(found: u32, expected: u32) -> Result<(), DocumentError> {
    if found == expected { Ok(()) } else { Err(DocumentError::Version { found, expected }) }
}
