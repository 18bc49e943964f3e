//! The attestation report, read from untrusted bytes.
//!
//! Reading proves nothing: the signature is checked by [`verify`](super::verify()). Layout: firmware ABI, table
//! "ATTESTATION_REPORT", versions 2 to 5. Comments give the offset of each field.

use thiserror::Error;

use super::policy::{GuestPolicy, PlatformInfo};
use super::product::{Cpuid, Product};
use super::tcb::{Tcb, TcbLayout};
use crate::ReportData;

/// A report's fields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// Version of the layout, 2 to 5.
    pub version: u32,
    /// Security version of the guest, from its ID block.
    pub guest_svn: u32,
    /// What the guest's owner allows and demands.
    pub policy: GuestPolicy,
    /// From the ID block.
    pub family_id: [u8; 16],
    /// From the ID block.
    pub image_id: [u8; 16],
    /// Privilege level that asked for the report, 0 the highest; `u32::MAX` if the host asked.
    pub vmpl: u32,
    /// What runs now.
    pub current_tcb: Tcb,
    /// What the firmware says about the machine.
    pub platform_info: PlatformInfo,
    /// Which key signed.
    pub signer: Signer,
    /// The host forbade the VCEK to sign. Not the same as a masked chip ID, for which there is no flag:
    /// [`Report::chip_id_is_masked`].
    pub mask_chip_key: bool,
    /// The ID key was certified by an author key.
    pub author_key_enabled: bool,
    /// What the guest wanted signed.
    pub report_data: ReportData,
    /// The launch measurement, SHA-384.
    pub measurement: [u8; 48],
    /// What the host gave at launch.
    pub host_data: [u8; 32],
    /// SHA-384 of the key that signed the ID block; zero without one.
    pub id_key_digest: [u8; 48],
    /// SHA-384 of the author key; zero without one.
    pub author_key_digest: [u8; 48],
    /// Identifies this guest, for its life.
    pub report_id: [u8; 32],
    /// Identifies the guest's migration agent.
    pub report_id_ma: [u8; 32],
    /// What the signing key was derived from.
    pub reported_tcb: Tcb,
    /// The processor; version 3 and later.
    pub cpuid: Option<Cpuid>,
    /// The chip; all zero where it is masked and in reports signed by a VLEK. On Turin the last 56 bytes are zero.
    pub chip_id: [u8; 64],
    /// What the machine can no longer go below.
    pub committed_tcb: Tcb,
    /// Firmware that runs now.
    pub current_version: FirmwareVersion,
    /// Firmware that the machine can no longer go below.
    pub committed_version: FirmwareVersion,
    /// What ran when the guest was launched or imported.
    pub launch_tcb: Tcb,
    /// Mitigations that were verified at launch; version 5.
    pub launch_mitigation_vector: Option<u64>,
    /// Mitigations that are verified now; version 5.
    pub current_mitigation_vector: Option<u64>,
    signature: Signature,
}

/// Version of the SNP firmware.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FirmwareVersion {
    /// Major ABI version.
    pub major: u8,
    /// Minor ABI version.
    pub minor: u8,
    /// Build.
    pub build: u8,
}

/// Which key signed a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Signer {
    /// The chip's own key, derived from its secret and its TCB.
    Vcek,
    /// A key that AMD gave to a cloud and the cloud loaded: proves the cloud, not the chip.
    Vlek,
}

/// Why bytes are no report that this version can read (step 1).
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ReportError {
    /// Not the length of a report.
    #[error("an SEV-SNP report has 1184 bytes, this has {len}; it was cut, or is something else")]
    Length {
        /// The length that came.
        len: usize,
    },
    /// A version that this program does not know.
    #[error("the report has version {version}, but only 2 to 5 are known; a newer client may know it")]
    Version {
        /// The version that came.
        version: u32,
    },
    /// Signed with something else.
    #[error("the report's signature algorithm is {algorithm}, not 1 (ECDSA P-384 with SHA-384)")]
    SignatureAlgorithm {
        /// The number that came.
        algorithm: u32,
    },
    /// Signed by neither VCEK nor VLEK, or not at all.
    #[error(
        "the report names signing key {key}, which is neither 0 (VCEK) nor 1 (VLEK); 7 means that nothing signed it"
    )]
    SigningKey {
        /// The number that came.
        key: u32,
    },
    /// The processor decides how the TCB is to be read.
    #[error("the report is from a processor of no known line ({cpuid}); a newer client may know it")]
    UnknownCpu {
        /// What the report says.
        cpuid: Cpuid,
    },
    /// Bytes that have no meaning yet.
    #[error(
        "the report's reserved bytes at {offset:#x} are not zero; a newer client may know what they mean"
    )]
    Reserved {
        /// Offset of the field in the report.
        offset: usize,
    },
}

/// R and S, little-endian, 72 bytes each.
#[derive(Clone, PartialEq, Eq)]
struct Signature {
    r: [u8; 72],
    s: [u8; 72],
}

impl Report {
    /// Length in bytes.
    pub const LEN: usize = 0x4a0;
    /// Length of the signed part, which comes first.
    pub(crate) const SIGNED_LEN: usize = 0x2a0;

    /// Reads a report. Nothing in it is proven yet. As long as the table that it follows, line by line.
    ///
    /// # Errors
    /// [`ReportError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ReportError> {
        // step 1: length, version, signature algorithm
        let mut fields = Fields::new(bytes)?;
        let version = fields.u32()?; // 0x000
        if !(2..=5).contains(&version) {
            return Err(ReportError::Version { version });
        }
        let guest_svn = fields.u32()?; // 0x004
        let policy = GuestPolicy(fields.u64()?); // 0x008
        let family_id = fields.take()?; // 0x010
        let image_id = fields.take()?; // 0x020
        let vmpl = fields.u32()?; // 0x030
        let algorithm = fields.u32()?; // 0x034
        if algorithm != 1 {
            return Err(ReportError::SignatureAlgorithm { algorithm });
        }
        let current_tcb = fields.tcb()?; // 0x038
        let platform_info = PlatformInfo(fields.u64()?); // 0x040
        let flags = fields.flags()?; // 0x048
        fields.reserved(4)?; // 0x04c
        let report_data = ReportData::from(fields.take::<64>()?); // 0x050
        let measurement = fields.take()?; // 0x090
        let host_data = fields.take()?; // 0x0c0
        let id_key_digest = fields.take()?; // 0x0e0
        let author_key_digest = fields.take()?; // 0x110
        let report_id = fields.take()?; // 0x140
        let report_id_ma = fields.take()?; // 0x160
        let reported_tcb = fields.tcb()?; // 0x180
        let cpuid = fields.cpuid(version)?; // 0x188
        fields.reserved(21)?; // 0x18b
        let chip_id = fields.take()?; // 0x1a0
        let committed_tcb = fields.tcb()?; // 0x1e0
        let current_version = fields.firmware()?; // 0x1e8
        let committed_version = fields.firmware()?; // 0x1ec
        let launch_tcb = fields.tcb()?; // 0x1f0
        let (launch_mitigation_vector, current_mitigation_vector) = fields.mitigations(version)?; // 0x1f8
        fields.reserved(152)?; // 0x208
        let signature = Signature { r: fields.take()?, s: fields.take()? }; // 0x2a0
        fields.reserved(368)?; // 0x330

        let layout = layout_of(cpuid)?;
        Ok(Self {
            version,
            guest_svn,
            policy,
            family_id,
            image_id,
            vmpl,
            current_tcb: current_tcb.read(layout)?,
            platform_info,
            signer: flags.signer,
            mask_chip_key: flags.mask_chip_key,
            author_key_enabled: flags.author_key_enabled,
            report_data,
            measurement,
            host_data,
            id_key_digest,
            author_key_digest,
            report_id,
            report_id_ma,
            reported_tcb: reported_tcb.read(layout)?,
            cpuid,
            chip_id,
            committed_tcb: committed_tcb.read(layout)?,
            current_version,
            committed_version,
            launch_tcb: launch_tcb.read(layout)?,
            launch_mitigation_vector,
            current_mitigation_vector,
            signature,
        })
    }

    /// The line of the processor that the report names; `None` in version 2, which names none.
    pub fn product(&self) -> Option<Product> {
        self.cpuid.and_then(Product::from_cpuid)
    }

    /// Whether the report hides which chip made it: the chip ID is all zero.
    pub fn chip_id_is_masked(&self) -> bool {
        self.chip_id == [0; 64]
    }

    /// R and S, big-endian, 48 bytes each; `None` if one of them is longer than the curve.
    pub(crate) fn signature_big_endian(&self) -> Option<[u8; 96]> {
        let mut out = [0; 96];
        for (to, from) in out.chunks_exact_mut(48).zip([&self.signature.r, &self.signature.s]) {
            let (value, above) = from.split_first_chunk::<48>()?;
            // a verifier that ignored these would accept many encodings of one signature
            if above.iter().any(|byte| *byte != 0) {
                return None;
            }
            to.copy_from_slice(value);
            to.reverse();
        }
        Some(out)
    }
}

/// Version 2 names no processor; it was written before there was a Turin.
fn layout_of(cpuid: Option<Cpuid>) -> Result<TcbLayout, ReportError> {
    let Some(cpuid) = cpuid else { return Ok(TcbLayout::Classic) };
    match Product::from_cpuid(cpuid) {
        Some(Product::Milan | Product::Genoa) => Ok(TcbLayout::Classic),
        Some(Product::Turin) => Ok(TcbLayout::Turin),
        None => Err(ReportError::UnknownCpu { cpuid }),
    }
}

/// The word at 0x48.
struct Flags {
    author_key_enabled: bool,
    mask_chip_key: bool,
    signer: Signer,
}

/// Eight bytes that can be read once the processor is known.
struct RawTcb {
    bytes: [u8; 8],
    offset: usize,
}

impl RawTcb {
    fn read(self, layout: TcbLayout) -> Result<Tcb, ReportError> {
        Tcb::parse(self.bytes, layout).ok_or(ReportError::Reserved { offset: self.offset })
    }
}

/// Takes fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self, ReportError> {
        if bytes.len() == Report::LEN {
            Ok(Self(bytes))
        } else {
            Err(ReportError::Length { len: bytes.len() })
        }
    }

    fn offset(&self) -> usize {
        Report::LEN.saturating_sub(self.0.len())
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], ReportError> {
        let (field, rest) = self.0.split_first_chunk().ok_or(ReportError::Length { len: self.0.len() })?;
        self.0 = rest;
        Ok(*field)
    }

    fn u32(&mut self) -> Result<u32, ReportError> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, ReportError> {
        self.take().map(u64::from_le_bytes)
    }

    fn reserved(&mut self, len: usize) -> Result<(), ReportError> {
        let offset = self.offset();
        let (field, rest) = self.0.split_at_checked(len).ok_or(ReportError::Length { len: self.0.len() })?;
        self.0 = rest;
        if field.iter().all(|byte| *byte == 0) { Ok(()) } else { Err(ReportError::Reserved { offset }) }
    }

    fn tcb(&mut self) -> Result<RawTcb, ReportError> {
        let offset = self.offset();
        Ok(RawTcb { bytes: self.take()?, offset })
    }

    fn flags(&mut self) -> Result<Flags, ReportError> {
        let offset = self.offset();
        let word = self.u32()?;
        if word >> 5 != 0 {
            return Err(ReportError::Reserved { offset });
        }
        let signer = match word >> 2 {
            0 => Signer::Vcek,
            1 => Signer::Vlek,
            key => return Err(ReportError::SigningKey { key }),
        };
        Ok(Flags { author_key_enabled: word & 1 != 0, mask_chip_key: word & 2 != 0, signer })
    }

    /// Three bytes that are reserved in version 2.
    fn cpuid(&mut self, version: u32) -> Result<Option<Cpuid>, ReportError> {
        if version == 2 {
            return self.reserved(3).map(|()| None);
        }
        let [family, model, stepping] = self.take()?;
        Ok(Some(Cpuid { family, model, stepping }))
    }

    fn firmware(&mut self) -> Result<FirmwareVersion, ReportError> {
        let [build, minor, major] = self.take()?;
        self.reserved(1)?;
        Ok(FirmwareVersion { major, minor, build })
    }

    /// Reserved before version 4. Firmware of Turin is known to fill them in version 4 already, before they were defined:
    /// not refused there, and not believed.
    fn mitigations(&mut self, version: u32) -> Result<(Option<u64>, Option<u64>), ReportError> {
        match version {
            5 => Ok((Some(self.u64()?), Some(self.u64()?))),
            4 => self.take::<16>().map(|_| (None, None)),
            _ => self.reserved(16).map(|()| (None, None)),
        }
    }
}

impl std::fmt::Debug for Signature {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Signature(..)")
    }
}

impl std::fmt::Display for Signer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Vcek => "VCEK",
            Self::Vlek => "VLEK",
        })
    }
}

impl std::fmt::Display for FirmwareVersion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}.{}.{}", self.major, self.minor, self.build)
    }
}

#[cfg(test)]
mod tests;
