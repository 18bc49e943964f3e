//! What gives the parts their evidence. `up` has no hardware: the simulated platform, or fake SEV-SNP reports for tests of
//! the real verification. Nothing is protected either way, and both say so.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use privatemode_attest::snp::{GuestPolicy, PlatformInfo, Report};
use privatemode_manifest::generate::{self, Entry};
use privatemode_manifest::reference::{SnpGuestPolicy, SnpPlatformInfo, SnpReference, SnpTcb};

use super::flags::Flags;
use crate::args::Up;

/// A platform of `up`.
#[derive(Debug)]
pub(crate) enum Platform {
    Simulated,
    FakeSnp(Box<FakeSnp>),
}

/// A folder from which SEV-SNP reports are made: `privatemode_mesh::FakeSnpQuoter`.
#[derive(Debug)]
pub(crate) struct FakeSnp {
    folder: PathBuf,
    /// Where the documents are that its reports do not bring along.
    kds: Option<String>,
    reference: SnpReference,
}

impl Platform {
    pub(crate) fn of(arguments: &Up) -> Result<Self> {
        let Some(folder) = &arguments.danger_fake_snp else { return Ok(Self::Simulated) };
        let folder = std::path::absolute(folder).context("--danger-fake-snp is no path")?;
        let path = folder.join("report.bin");
        let read = || format!("--danger-fake-snp: cannot read `{}`", path.display());
        // a report has one length; a file of any other is not read
        let len = std::fs::metadata(&path).with_context(read)?.len();
        ensure!(
            len == Report::LEN as u64,
            "--danger-fake-snp: `{}` has {len} bytes, which no report has",
            path.display()
        );
        let report = Report::parse(&std::fs::read(&path).with_context(read)?)
            .with_context(|| format!("--danger-fake-snp: `{}` is no report", path.display()))?;
        let reference = reference(&report);
        Ok(Self::FakeSnp(Box::new(FakeSnp { folder, kds: arguments.amd_kds_url.clone(), reference })))
    }

    pub(crate) fn is_simulated(&self) -> bool {
        matches!(self, Self::Simulated)
    }

    /// What the policies call it.
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::Simulated => "simulated",
            Self::FakeSnp(_) => "FAKE SEV-SNP",
        }
    }

    /// What a person must know of it.
    pub(crate) fn warning(&self) -> &'static str {
        match self {
            Self::Simulated => {
                "SIMULATED evidence: no hardware protects anything here; for trying and developing only."
            }
            Self::FakeSnp(_) => {
                "DANGER, FAKE SEV-SNP evidence under a TEST ROOT: no hardware protects anything here; for tests only."
            }
        }
    }

    /// What makes all verification prove nothing, for scripts.
    pub(crate) fn danger(&self) -> Vec<String> {
        match self {
            Self::Simulated => Vec::new(),
            Self::FakeSnp(_) => vec![
                "fake SEV-SNP reports, made from files (--danger-fake-snp), under a test's root: no hardware protects anything"
                    .to_owned(),
            ],
        }
    }

    /// The manifest that names `entries` and this platform.
    pub(crate) fn manifest(&self, entries: &[Entry<'_>]) -> Vec<u8> {
        match self {
            Self::Simulated => generate::simulated(entries),
            Self::FakeSnp(fake) => generate::snp(entries, &fake.reference),
        }
    }

    /// Flags of a part that proves itself and verifies others; it keeps documents in `cache`.
    pub(crate) fn member(&self, flags: &mut Flags, cache: &Path) {
        match self {
            Self::Simulated => {
                flags.text("--platform", "simulated").flag("--danger-simulated");
            }
            Self::FakeSnp(fake) => {
                flags.text("--platform", "snp").path("--danger-fake-snp", &fake.folder);
                flags.path("--collateral-dir", cache);
                fake.verifier(flags);
            }
        }
    }

    /// Flags of a part that only verifies.
    pub(crate) fn client(&self, flags: &mut Flags) {
        match self {
            Self::Simulated => {
                flags.flag("--danger-simulated");
            }
            Self::FakeSnp(fake) => fake.verifier(flags),
        }
    }
}

impl FakeSnp {
    /// AMD is never asked about chips that it did not make.
    fn verifier(&self, flags: &mut Flags) {
        flags.path("--danger-amd-root", &self.folder.join("ark.der"));
        match &self.kds {
            Some(url) => flags.text("--amd-kds-url", url),
            None => flags.flag("--offline-collateral"),
        };
    }
}

/// The entry of a manifest that fits `report` as closely as an entry can. Debugging and migration are never allowed, even if
/// the report has them: then everybody refuses it, as they should.
fn reference(report: &Report) -> SnpReference {
    let tcb = report.reported_tcb;
    SnpReference {
        product_name: report.product(),
        trusted_measurement: Some(report.measurement),
        minimum_tcb: SnpTcb {
            fmc: tcb.fmc,
            bootloader: Some(tcb.bootloader),
            tee: Some(tcb.tee),
            snp: Some(tcb.snp),
            microcode: Some(tcb.microcode),
        },
        guest_policy: guest_policy(report.policy),
        platform_info: platform_info(report.platform_info),
        ..SnpReference::default()
    }
}

fn guest_policy(policy: GuestPolicy) -> SnpGuestPolicy {
    SnpGuestPolicy {
        abi_minor: policy.abi_minor(),
        abi_major: policy.abi_major(),
        smt: policy.smt_allowed(),
        migrate_ma: false,
        debug: false,
        single_socket: policy.single_socket_required(),
        cxl_allowed: policy.cxl_allowed(),
        mem_aes256_xts: policy.aes_256_xts_required(),
        rapl_dis: policy.rapl_disabled_required(),
        cipher_text_hiding_dram: policy.ciphertext_hiding_required(),
        page_swap_disable: policy.page_swap_disabled(),
    }
}

fn platform_info(info: PlatformInfo) -> SnpPlatformInfo {
    SnpPlatformInfo {
        smt_enabled: info.smt_enabled(),
        tsme_enabled: info.tsme_enabled(),
        ecc_enabled: info.ecc_enabled(),
        rapl_disabled: info.rapl_disabled(),
        ciphertext_hiding_dram_enabled: info.ciphertext_hiding_enabled(),
        alias_check_complete: info.alias_check_complete(),
        tio_enabled: info.tio_enabled(),
    }
}
