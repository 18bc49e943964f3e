//! The two reports inside a quote: the trust domain's own, and the quoting enclave's.
//!
//! Reads fields, judges nothing. Layouts: Intel TDX DCAP quoting library API, appendix A.3 (TD report), Intel SDM volume
//! 3D §40.16 (SGX report). Integers are little endian.

use crate::ReportData;

use crate::cursor::Cursor;

/// What a trust domain's report says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport {
    /// Security versions of the TDX components (`TEE_TCB_SVN`): 0 is the TDX module's, 1 its major version.
    pub tee_tcb_svn: [u8; 16],
    /// Measurement of the TDX module (`MRSEAM`).
    pub mr_seam: [u8; 48],
    /// Signer of the TDX module (`MRSIGNERSEAM`): zeros for Intel's own.
    pub mr_signer_seam: [u8; 48],
    /// Attributes of the TDX module.
    pub seam_attributes: SeamAttributes,
    /// Attributes of the trust domain: debug and others.
    pub td_attributes: TdAttributes,
    /// CPU features that the trust domain may use.
    pub xfam: Xfam,
    /// Measurement of the initial contents of the trust domain (`MRTD`).
    pub mr_td: [u8; 48],
    /// Software-defined configuration (`MRCONFIGID`).
    pub mr_config_id: [u8; 48],
    /// Software-defined owner (`MROWNER`).
    pub mr_owner: [u8; 48],
    /// Software-defined configuration of the owner (`MROWNERCONFIG`).
    pub mr_owner_config: [u8; 48],
    /// The four run-time measurement registers.
    pub rtmrs: [[u8; 48]; 4],
    /// What the trust domain asked to have signed.
    pub report_data: ReportData,
    /// What only TDX 1.5 reports have (body type 3).
    pub v1_5: Option<TdReport15>,
}

/// The fields that TDX 1.5 added.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdReport15 {
    /// Security versions now, where `tee_tcb_svn` has those at the trust domain's launch (`TEE_TCB_SVN_2`).
    pub tee_tcb_svn_2: [u8; 16],
    /// Measurement of the bound service trust domain, as for migration; zeros without one (`MRSERVICETD`).
    pub mr_service_td: [u8; 48],
}

/// Attributes of the TDX module. Intel's production modules have none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SeamAttributes(pub u64);

/// Attributes of a trust domain (`TDATTRIBUTES`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdAttributes(pub u64);

/// Extended features of a trust domain (`XFAM`), with the bits of XCR0 and IA32_XSS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Xfam(pub u64);

impl SeamAttributes {
    /// The eight bytes as they stand in the report.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

impl TdAttributes {
    /// Bit 28: the guest gets no exception for a page that the host took away, so that the host cannot single-step it so.
    pub const SEPT_VE_DISABLE: Self = Self(1 << 28);

    /// Bit 0: the host can read and change the trust domain's memory and registers. Nothing is protected.
    pub fn debug(self) -> bool {
        self.0 & 1 != 0
    }

    /// Bits 0 to 7: any of the attributes that take the trust domain's protection away (the TUD group).
    pub fn under_debug(self) -> bool {
        self.0 & 0xff != 0
    }

    /// Bit 28, see [`TdAttributes::SEPT_VE_DISABLE`].
    pub fn sept_ve_disable(self) -> bool {
        self.0 & Self::SEPT_VE_DISABLE.0 != 0
    }

    /// Bit 29: the trust domain may be moved to another machine.
    pub fn migratable(self) -> bool {
        self.0 & (1 << 29) != 0
    }

    /// Bit 30: supervisor protection keys are enabled.
    pub fn protection_keys(self) -> bool {
        self.0 & (1 << 30) != 0
    }

    /// Bit 31: key locker is enabled.
    pub fn key_locker(self) -> bool {
        self.0 & (1 << 31) != 0
    }

    /// Bit 63: performance monitoring counters belong to the trust domain.
    pub fn performance_monitoring(self) -> bool {
        self.0 & (1 << 63) != 0
    }

    /// The eight bytes as they stand in the report.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

impl Xfam {
    /// The eight bytes as they stand in the report.
    pub fn to_bytes(self) -> [u8; 8] {
        self.0.to_le_bytes()
    }
}

impl TdReport {
    /// Length of a TDX 1.0 report in bytes (body type 2).
    pub const LEN_1_0: usize = 584;
    /// Length of a TDX 1.5 report in bytes (body type 3).
    pub const LEN_1_5: usize = 648;

    /// Reads a report; `None` unless the bytes have one of the two lengths.
    pub(super) fn read(bytes: &[u8]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let report = Self {
            tee_tcb_svn: *cursor.array()?,                     // 0
            mr_seam: *cursor.array()?,                         // 16
            mr_signer_seam: *cursor.array()?,                  // 64
            seam_attributes: SeamAttributes(cursor.u64_le()?), // 112
            td_attributes: TdAttributes(cursor.u64_le()?),     // 120
            xfam: Xfam(cursor.u64_le()?),                      // 128
            mr_td: *cursor.array()?,                           // 136
            mr_config_id: *cursor.array()?,                    // 184
            mr_owner: *cursor.array()?,                        // 232
            mr_owner_config: *cursor.array()?,                 // 280
            rtmrs: [*cursor.array()?, *cursor.array()?, *cursor.array()?, *cursor.array()?], // 328
            report_data: ReportData::from(*cursor.array()?),   // 520
            v1_5: match bytes.len() {
                Self::LEN_1_0 => None,
                Self::LEN_1_5 => Some(TdReport15 {
                    tee_tcb_svn_2: *cursor.array()?, // 584
                    mr_service_td: *cursor.array()?, // 600
                }),
                _ => return None,
            },
        };
        cursor.rest().is_empty().then_some(report)
    }
}

/// What the quoting enclave's SGX report says, as far as its identity needs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QeReport {
    /// Security versions of the CPU, raw.
    pub cpu_svn: [u8; 16],
    /// Bits of the state save area.
    pub misc_select: u32,
    /// Enclave flags (8 bytes) and extended features (8 bytes).
    pub attributes: [u8; 16],
    /// Measurement of the enclave.
    pub mr_enclave: [u8; 32],
    /// Hash of the key that signed the enclave.
    pub mr_signer: [u8; 32],
    /// Product of the signer.
    pub isv_prod_id: u16,
    /// Security version of the product.
    pub isv_svn: u16,
    /// What the enclave asked to have signed: its attestation key.
    pub report_data: [u8; 64],
}

impl QeReport {
    /// Length in bytes.
    pub const LEN: usize = 384;

    /// Bit 1 of the flags: the host can read the enclave, and so the attestation key.
    pub fn debug(&self) -> bool {
        let [flags, ..] = self.attributes;
        flags & 2 != 0
    }

    pub(super) fn read(bytes: &[u8; Self::LEN]) -> Option<Self> {
        let mut cursor = Cursor::new(bytes);
        let cpu_svn = *cursor.array()?; // 0
        let misc_select = cursor.u32_le()?; // 16
        cursor.take(28)?;
        let attributes = *cursor.array()?; // 48
        let mr_enclave = *cursor.array()?; // 64
        cursor.take(32)?;
        let mr_signer = *cursor.array()?; // 128
        cursor.take(96)?;
        let isv_prod_id = cursor.u16_le()?; // 256
        let isv_svn = cursor.u16_le()?; // 258
        cursor.take(60)?;
        let report_data = *cursor.array()?; // 320
        cursor.rest().is_empty().then_some(Self {
            cpu_svn,
            misc_select,
            attributes,
            mr_enclave,
            mr_signer,
            isv_prod_id,
            isv_svn,
            report_data,
        })
    }
}
