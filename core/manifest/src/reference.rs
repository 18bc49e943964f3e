//! Reference values: what evidence must measure (`attestation.md` §1). Typed data only; appraisal is elsewhere.
//!
//! A value that a manifest must have and has not is `None` here and listed by `Manifest::expected_missing`.

use privatemode_attest::tdx::TcbStatus;

/// All reference values of a manifest. Each list is a set of alternatives.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReferenceValues {
    /// For AMD SEV-SNP.
    pub snp: Vec<SnpReference>,
    /// For Intel TDX.
    pub tdx: Vec<TdxReference>,
    /// For the simulated platform; never beside the others.
    pub simulated: Vec<SimulatedReference>,
}

/// One allowed SEV-SNP platform.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnpReference {
    /// Product line, whose root signs the chain.
    pub product_name: Option<SnpProduct>,
    /// Launch measurement.
    pub trusted_measurement: Option<[u8; 48]>,
    /// Lowest firmware versions.
    pub minimum_tcb: SnpTcb,
    /// What the guest policy allows and demands.
    pub guest_policy: SnpGuestPolicy,
    /// What the platform info allows and demands.
    pub platform_info: SnpPlatformInfo,
    /// Mitigations that must be in place; bits.
    pub minimum_mitigation_vector: u64,
    /// Chips that may be used; empty means any.
    pub allowed_chip_ids: Vec<[u8; 64]>,
    /// `AllowVLEK`, a member of ours: reports may be signed by a key that AMD gave to a cloud, which proves the cloud, not
    /// the chip.
    pub allow_vlek: bool,
    /// `AllowedClouds`, a member of ours, required with `AllowVLEK`: the clouds whose VLEK may sign, as the VLEK's certificate
    /// names them (cspID), byte for byte: `CN=cc-us-east-2.amazonaws.com`.
    pub allowed_clouds: Vec<String>,
    /// `AllowMaskedChipID`, a member of ours: reports may keep their chip to themselves.
    pub allow_masked_chip_id: bool,
    /// `RequireIDBlock`, a member of ours: the guest must have been launched with the ID block that the measurement and the
    /// guest policy imply, and no other.
    pub require_id_block: bool,
    /// Number of virtual CPUs that the measurement was made for; informative.
    pub cpus: Option<u64>,
    /// Name of the runtime; informative.
    pub platform: Option<String>,
}

/// Product lines of EPYC processors with SEV-SNP.
pub use privatemode_attest::snp::Product as SnpProduct;

/// Firmware versions, of which a manifest must give all but the FMC's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnpTcb {
    /// `FMCVersion`, a member of ours: the fuse controller's firmware, which only Turin has. Absent means any.
    pub fmc: Option<u8>,
    /// Boot loader of the security processor.
    pub bootloader: Option<u8>,
    /// Operating system of the security processor.
    pub tee: Option<u8>,
    /// SNP firmware.
    pub snp: Option<u8>,
    /// Microcode of the cores.
    pub microcode: Option<u8>,
}

/// Guest policy bits. All absent: nothing allowed, nothing demanded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnpGuestPolicy {
    /// Lowest minor ABI version.
    pub abi_minor: u8,
    /// Lowest major ABI version.
    pub abi_major: u8,
    /// Hyperthreads allowed.
    pub smt: bool,
    /// Migration agent allowed.
    pub migrate_ma: bool,
    /// Debugging allowed: the host can read everything.
    pub debug: bool,
    /// One socket demanded.
    pub single_socket: bool,
    /// CXL devices allowed.
    pub cxl_allowed: bool,
    /// AES-256-XTS memory encryption demanded.
    pub mem_aes256_xts: bool,
    /// RAPL off demanded.
    pub rapl_dis: bool,
    /// Ciphertext hiding demanded.
    pub cipher_text_hiding_dram: bool,
    /// Page swapping off demanded.
    pub page_swap_disable: bool,
}

/// Platform info bits.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SnpPlatformInfo {
    /// Hyperthreads allowed.
    pub smt_enabled: bool,
    /// Transparent memory encryption allowed.
    pub tsme_enabled: bool,
    /// ECC memory demanded.
    pub ecc_enabled: bool,
    /// RAPL off demanded.
    pub rapl_disabled: bool,
    /// Ciphertext hiding demanded.
    pub ciphertext_hiding_dram_enabled: bool,
    /// Check against aliased memory demanded.
    pub alias_check_complete: bool,
    /// Trusted IO allowed: devices outside the package may be let into a guest's memory.
    pub tio_enabled: bool,
}

/// One allowed TDX platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TdxReference {
    /// Measurement of the initial contents.
    pub mr_td: Option<[u8; 48]>,
    /// Measurement of the TDX module.
    pub mr_seam: Option<[u8; 48]>,
    /// Run-time measurements 0 to 3.
    pub rtmrs: Option<[[u8; 48]; 4]>,
    /// Extended features, little-endian.
    pub xfam: Option<[u8; 8]>,
    /// Lowest evaluation number of the collateral.
    pub min_tcb_evaluation_data_number: Option<u32>,
    /// Platform instances that may be used; empty means any.
    pub allowed_piids: Vec<[u8; 16]>,
    /// Memory integrity demanded.
    pub memory_integrity: bool,
    /// Hyperthreads off demanded.
    pub smt_disabled: bool,
    /// A platform to which no package can be added demanded.
    pub static_platform: bool,
    /// `ToleratedTCBStatus`, a member of ours: what is accepted beside up to date. Each entry is
    /// `{"Status": "SWHardeningNeeded", "Advisories": ["INTEL-SA-00837"]}`: exactly that status, with no other advisories.
    pub tolerated_tcb_status: Vec<ToleratedStatus>,
    /// `MrOwner`, a member of ours: who configured the trust domain. Zeros unless the manifest says otherwise.
    pub mr_owner: [u8; 48],
    /// `MrOwnerConfig`, a member of ours: how the owner configured it. Zeros unless the manifest says otherwise.
    pub mr_owner_config: [u8; 48],
    /// Number of virtual CPUs; informative.
    pub cpus: Option<u64>,
    /// Name of the runtime; informative.
    pub platform: Option<String>,
}

/// A TCB status other than up to date that a manifest accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToleratedStatus {
    /// The status; never revoked.
    pub status: TcbStatus,
    /// The advisories that it may come with; one more is refused.
    pub advisories: Vec<String>,
}

/// One allowed simulated workload.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SimulatedReference {
    /// The policy hash that it may claim.
    pub host_data: Option<[u8; 32]>,
}
