//! Steps 1 to 4: the report is a genuine device's answer to our nonce.
//!
//! Says nothing about whether its firmware is good: [`super::appraise()`] does. Specification: `attestation.md` §5.

use std::fmt;

use super::chain::{ChainError, VerifiedChain};
use super::fwid::{self, LeafFwid};
use super::roots::Roots;
use super::spdm::{Nonce, Report, ReportError};
use super::step::Step;
use crate::UnixTime;
use crate::signature::Scheme;
use crate::x509::Certificate;

/// Device chains have five certificates; four where a chip has no certificate of its own boot ROM.
const CHAIN_LENGTHS: std::ops::RangeInclusive<usize> = 4..=5;

/// Which family of chips.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Architecture {
    /// GPUs of the GH100 family.
    Hopper,
    /// GPUs of the GB100 and GB200 families.
    Blackwell,
    /// NVSwitch.
    Ls10,
}

impl Architecture {
    fn of_chip(chip: &str) -> Option<Self> {
        match chip {
            "LS_10" => Some(Self::Ls10),
            _ if chip.starts_with("GH1") => Some(Self::Hopper),
            _ if chip.starts_with("GB1") || chip.starts_with("GB2") => Some(Self::Blackwell),
            _ => None,
        }
    }

    /// As NVIDIA's tools write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hopper => "HOPPER",
            Self::Blackwell => "BLACKWELL",
            Self::Ls10 => "LS10",
        }
    }

    /// Whether it is a switch and not a GPU.
    pub fn is_switch(self) -> bool {
        self == Self::Ls10
    }
}

impl fmt::Display for Architecture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A device whose report, chain and signature hold. Only [`verify_device`] makes one.
///
/// ```compile_fail
/// fn forge(report: privatemode_attest::gpu::Report) -> privatemode_attest::gpu::VerifiedDevice {
///     privatemode_attest::gpu::VerifiedDevice { report }
/// }
/// ```
#[derive(Debug, Clone)]
pub struct VerifiedDevice {
    report: Report,
    chain: VerifiedChain,
    architecture: Architecture,
    chip: String,
    leaf_serial: Vec<u8>,
    leaf_key: Vec<u8>,
}

impl VerifiedDevice {
    /// What the device says.
    pub fn report(&self) -> &Report {
        &self.report
    }

    /// Its certificates.
    pub fn chain(&self) -> &VerifiedChain {
        &self.chain
    }

    /// By its certificate, not by what anybody says of it.
    pub fn architecture(&self) -> Architecture {
        self.architecture
    }

    /// The chip by its certificate, for example `GH100`.
    pub fn chip(&self) -> &str {
        &self.chip
    }

    /// Serial number of the leaf certificate.
    pub fn leaf_serial(&self) -> &[u8] {
        &self.leaf_serial
    }

    /// SubjectPublicKeyInfo of the leaf certificate: no two devices have the same.
    pub fn leaf_key(&self) -> &[u8] {
        &self.leaf_key
    }
}

/// Why a report is not a genuine device's answer to our nonce.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum VerifyError {
    /// Step 1.
    #[error("the GPU's evidence is not a measurement report")]
    Report(#[source] ReportError),
    /// Step 2. An old report, or one made for somebody else.
    #[error(
        "the GPU answered another nonce: expected {}, found {}; ask the GPU again",
        hex::encode(.expected.0),
        hex::encode(.found.0)
    )]
    Nonce {
        /// Ours.
        expected: Nonce,
        /// The report's.
        found: Nonce,
    },
    /// Step 3.
    #[error("the GPU's certificates do not lead to NVIDIA's root")]
    Chain(#[source] ChainError),
    /// Step 3. A chip that is none of the supported families.
    #[error("`{common_name}` is not a supported GPU or switch")]
    UnknownChip {
        /// Common name of the leaf.
        common_name: String,
    },
    /// Step 3. Without one the certificate does not say which firmware holds the key.
    #[error("the GPU's certificate has no readable firmware identifier")]
    NoFirmwareId,
    /// Step 3. The report is of other firmware than the certificate.
    #[error("the report's firmware identifier is not the certificate's")]
    FirmwareId,
    /// Step 4. Changed, or not this device's.
    #[error("the report's signature does not verify with the GPU's certificate")]
    Signature,
}

impl VerifyError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::Report(_) => Step::Structure,
            Self::Nonce { .. } => Step::Nonce,
            Self::Chain(_) | Self::UnknownChip { .. } => Step::Chain,
            Self::Signature => Step::Signature,
            Self::NoFirmwareId | Self::FirmwareId => Step::FirmwareId,
        }
    }
}

/// Steps 1 to 4 for one device. `evidence` is request and response, `chain` the certificates in PEM, leaf first.
///
/// # Errors
/// [`VerifyError`] names the step.
pub fn verify_device(
    evidence: &[u8],
    chain: &[u8],
    roots: &Roots,
    nonce: &Nonce,
    now: UnixTime,
) -> Result<VerifiedDevice, VerifyError> {
    // step 1: every length is checked before use
    let report = Report::parse(evidence).map_err(VerifyError::Report)?;
    // step 2: the nonce is ours
    if report.nonce() != nonce {
        return Err(VerifyError::Nonce { expected: *nonce, found: *report.nonce() });
    }
    // step 3: chain to the pinned root
    let chain = device_chain(chain, roots, now).map_err(VerifyError::Chain)?;
    let leaf = chain.leaf().ok_or(VerifyError::NoFirmwareId)?;
    let common_name = leaf.common_name().unwrap_or_default();
    let chip = common_name.split(' ').next().unwrap_or_default().to_owned();
    let architecture = Architecture::of_chip(&chip)
        .ok_or_else(|| VerifyError::UnknownChip { common_name: common_name.to_owned() })?;
    // step 4: ECDSA P-384 over request and response
    leaf.public_key()
        .verify_fixed(Scheme::EcdsaSha384, report.signed(), report.signature())
        .map_err(|_| VerifyError::Signature)?;
    // step 3, now that the report's own word counts: leaf and report name the same firmware
    check_firmware_id(leaf, &report)?;
    let (leaf_serial, leaf_key) = (leaf.serial().to_vec(), leaf.spki_der().to_vec());
    Ok(VerifiedDevice { report, chain, architecture, chip, leaf_serial, leaf_key })
}

fn device_chain(pem: &[u8], roots: &Roots, now: UnixTime) -> Result<VerifiedChain, ChainError> {
    let certificates = Certificate::parse_pem_chain(pem, *CHAIN_LENGTHS.end()).map_err(ChainError::Parse)?;
    let understood = [fwid::COMPOSITE_DEVICE_ID, fwid::TCB_INFO];
    VerifiedChain::verify(certificates, roots.device(), &CHAIN_LENGTHS, &understood, now)
}

fn check_firmware_id(leaf: &Certificate, report: &Report) -> Result<(), VerifyError> {
    match (fwid::of_leaf(leaf), report.opaque().fwid) {
        (LeafFwid::None | LeafFwid::Malformed, _) => Err(VerifyError::NoFirmwareId),
        (LeafFwid::Sha384(certified), Some(reported)) if certified != reported => {
            Err(VerifyError::FirmwareId)
        }
        // switches and older drivers do not report it
        (LeafFwid::Sha384(_), _) => Ok(()),
    }
}
