//! The HCL report, as it lies in the vTPM's NV index 0x01400001: header, hardware report, runtime data.

use sha2::{Digest, Sha256};
use thiserror::Error;

use crate::ReportData;
use crate::cursor::Cursor;

/// Longest report that is read; the NV index has 2600 bytes.
const MAX_REPORT: usize = 16 * 1024;
/// Bytes that the hardware report has in any case: those of an SNP report. A TD report is shorter, zeros follow.
const HARDWARE_LEN: usize = 1184;
/// Header before the hardware report, and before the runtime data.
const HEADER_LEN: u32 = 32;
const DATA_HEADER_LEN: u32 = 20;

/// What the hardware under an Azure machine is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Platform {
    /// AMD SEV-SNP: the report inside is the hardware's own, signed.
    Snp,
    /// Intel TDX: the report inside is a TD report, which only the machine itself can check; the quote comes apart.
    Tdx,
}

/// An HCL report, taken apart; nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HclReport<'a> {
    platform: Platform,
    hardware_report: &'a [u8; HARDWARE_LEN],
    runtime_data: &'a [u8],
}

/// Why bytes are no HCL report.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum HclError {
    /// Refused before anything is looked at.
    #[error("the HCL report has {len} bytes, more than {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The most that is read.
        max: usize,
    },
    /// Ends too early.
    #[error("the HCL report is cut off; read the whole NV index 0x01400001")]
    Truncated,
    /// Does not begin with `HCLA`.
    #[error("this is no HCL report: it does not begin with `HCLA`; it lies in NV index 0x01400001")]
    Magic,
    /// A header member that it does not have in the versions known here.
    #[error("the HCL report has `{member}` {value}, which this version does not know; a newer one may")]
    Header {
        /// The member.
        member: &'static str,
        /// Its value.
        value: u32,
    },
    /// Lengths that contradict each other.
    #[error("the HCL report's `{member}` says {declared} bytes, but the other lengths make {computed}")]
    Size {
        /// The member.
        member: &'static str,
        /// What it says.
        declared: u32,
        /// What the others make.
        computed: u64,
    },
}

impl<'a> HclReport<'a> {
    /// Reads a report. Bytes after its end belong to the NV index and are not looked at.
    ///
    /// # Errors
    /// [`HclError`].
    pub fn parse(bytes: &'a [u8]) -> Result<Self, HclError> {
        if bytes.len() > MAX_REPORT {
            return Err(HclError::TooLong { len: bytes.len(), max: MAX_REPORT });
        }
        let mut cursor = Cursor::new(bytes);
        let report_size = read_header(&mut cursor)?;
        let hardware_report = cursor.array::<HARDWARE_LEN>().ok_or(HclError::Truncated)?;

        let data_size = cursor.u32_le().ok_or(HclError::Truncated)?;
        one_of(&mut cursor, "runtime data version", &[1])?;
        let platform = match one_of(&mut cursor, "report type", &[2, 4])? {
            2 => Platform::Snp,
            _ => Platform::Tdx,
        };
        // 1 is SHA-256; the others that are defined were never seen
        one_of(&mut cursor, "hash type", &[1])?;
        let len = cursor.u32_le().ok_or(HclError::Truncated)?;
        must_be("data size", data_size, u64::from(DATA_HEADER_LEN).saturating_add(len.into()))?;
        let before_data = u64::from(HEADER_LEN).saturating_add(HARDWARE_LEN as u64);
        must_be("report size", report_size, before_data.saturating_add(data_size.into()))?;
        let len = usize::try_from(len).map_err(|_| HclError::Truncated)?;
        let runtime_data = cursor.take(len).ok_or(HclError::Truncated)?;
        Ok(Self { platform, hardware_report, runtime_data })
    }

    /// What the hardware is.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The hardware's signed report, for [`Platform::Snp`].
    pub fn snp_report(&self) -> Option<&'a [u8; HARDWARE_LEN]> {
        (self.platform == Platform::Snp).then_some(self.hardware_report)
    }

    /// The document that names the attestation key: JSON.
    pub fn runtime_data(&self) -> &'a [u8] {
        self.runtime_data
    }

    /// The report data that a hardware report must carry to vouch for this runtime data: its SHA-256, then zeros.
    pub fn expected_report_data(&self) -> ReportData {
        ReportData::of_digest(&Sha256::digest(self.runtime_data).into())
    }

    /// The report data of the hardware report inside, as unverified as all of it.
    pub fn embedded_report_data(&self) -> ReportData {
        let offset = match self.platform {
            Platform::Snp => 0x50,
            // REPORTMACSTRUCT of a TD report
            Platform::Tdx => 128,
        };
        let mut bytes = [0; ReportData::LEN];
        bytes.iter_mut().zip(self.hardware_report.iter().skip(offset)).for_each(|(to, from)| *to = *from);
        ReportData::from(bytes)
    }
}

/// The header, of which the report's size is left.
fn read_header(cursor: &mut Cursor<'_>) -> Result<u32, HclError> {
    if cursor.array().ok_or(HclError::Truncated)? != b"HCLA" {
        return Err(HclError::Magic);
    }
    one_of(cursor, "version", &[1, 2])?;
    let report_size = cursor.u32_le().ok_or(HclError::Truncated)?;
    one_of(cursor, "request type", &[2])?;
    one_of(cursor, "status", &[0])?;
    cursor.take(12).ok_or(HclError::Truncated)?;
    Ok(report_size)
}

fn one_of(cursor: &mut Cursor<'_>, member: &'static str, known: &[u32]) -> Result<u32, HclError> {
    let value = cursor.u32_le().ok_or(HclError::Truncated)?;
    if known.contains(&value) { Ok(value) } else { Err(HclError::Header { member, value }) }
}

fn must_be(member: &'static str, declared: u32, computed: u64) -> Result<(), HclError> {
    if u64::from(declared) == computed { Ok(()) } else { Err(HclError::Size { member, declared, computed }) }
}

#[cfg(test)]
mod tests;
