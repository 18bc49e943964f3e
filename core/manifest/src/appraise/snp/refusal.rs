//! Why an entry of the manifest does not accept a genuine SEV-SNP report.

use std::fmt;

use privatemode_attest::snp::TcbPart;
use thiserror::Error;

use super::Step;
use super::bits::{PlatformBit, PolicyBit};
use crate::appraise::step::short;
use crate::reference::SnpProduct;

/// One for each way in which a step fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SnpRefusal {
    /// Step 2.
    #[error(
        "a VLEK signed the report{}, which proves the cloud and not the chip; if that is enough, the manifest must say `AllowVLEK`",
        of_cloud(cloud)
    )]
    VlekNotAllowed {
        /// Whose VLEK.
        cloud: Option<String>,
    },
    /// Step 2.
    #[error(
        "a VLEK signed the report{}, which `AllowedClouds` of the manifest does not name; name it if this cloud may sign",
        of_cloud(cloud)
    )]
    CloudNotAllowed {
        /// Whose VLEK.
        cloud: Option<String>,
    },
    /// Step 3.
    #[error("the processor is {got}, not {}", .expected.map_or("named by the manifest", SnpProduct::name))]
    Product {
        /// The entry's product line.
        expected: Option<SnpProduct>,
        /// The chain's.
        got: SnpProduct,
    },
    /// Step 4.
    #[error("the report hides its chip; the host must show it, or the manifest say `AllowMaskedChipID`")]
    ChipMasked,
    /// Step 7.
    #[error("the launch measurement is {}, not {}: another image, firmware or number of CPUs than the manifest was made for", short(&got[..]), .expected.as_ref().map_or("in the manifest".to_owned(), |expected| short(&expected[..])))]
    Measurement {
        /// The entry's.
        expected: Option<Box<[u8; 48]>>,
        /// The report's.
        got: Box<[u8; 48]>,
    },
    /// Step 9.
    #[error("the report is from privilege level {got}, not 0: it was not asked for by the guest itself")]
    Vmpl {
        /// The report's; `u32::MAX` if the host asked.
        got: u32,
    },
    /// Step 10.
    #[error("the guest policy allows {}, which the manifest does not{}", list(bits), if_debug(bits))]
    PolicyAllows {
        /// Bits that are set.
        bits: Vec<PolicyBit>,
    },
    /// Step 10.
    #[error("the guest policy does not demand {}, which the manifest does", list(bits))]
    PolicyLacks {
        /// Bits that are not set.
        bits: Vec<PolicyBit>,
    },
    /// Step 10.
    #[error("the guest policy demands firmware ABI {}.{}, below the manifest's {}.{}", have.0, have.1, need.0, need.1)]
    PolicyAbi {
        /// Major and minor version in the guest policy.
        have: (u8, u8),
        /// Those of the manifest.
        need: (u8, u8),
    },
    /// Step 10.
    #[error(
        "the guest policy {policy:#x} has reserved bits that are not as the firmware ABI says: it may allow something that this version cannot name; a newer one may"
    )]
    PolicyReserved {
        /// The guest policy.
        policy: u64,
    },
    /// Step 11.
    #[error("the platform has {}, which the manifest does not allow", list(bits))]
    PlatformHas {
        /// Bits that are set.
        bits: Vec<PlatformBit>,
    },
    /// Step 11.
    #[error(
        "the platform lacks {}, which the manifest demands; the host's firmware settings decide that",
        list(bits)
    )]
    PlatformLacks {
        /// Bits that are not set.
        bits: Vec<PlatformBit>,
    },
    /// Step 12: nothing to compare with.
    #[error("the manifest has no complete `MinimumTCB`")]
    MinimumMissing,
    /// Step 12.
    #[error("{part} {have} of the {of} TCB is below {need}: the host must update its firmware")]
    TcbBelow {
        /// Which of the TCBs, the first.
        of: TcbOf,
        /// Which component, the first.
        part: TcbPart,
        /// Its version.
        have: u8,
        /// The manifest's minimum.
        need: u8,
    },
    /// Step 12.
    #[error(
        "{part} {have} runs, below the committed {need}: the firmware was rolled back, which genuine firmware refuses"
    )]
    CurrentBelowCommitted {
        /// Which component, the first.
        part: TcbPart,
        /// Version that runs.
        have: u8,
        /// Version that was committed.
        need: u8,
    },
    /// Step 13.
    #[error(
        "a report of version {version} does not say which mitigations are in place, and the manifest demands {need:#x}; newer firmware writes version 5"
    )]
    MitigationsNotReported {
        /// Bits that the manifest demands.
        need: u64,
        /// Version of the report.
        version: u32,
    },
    /// Step 13.
    #[error("the {of} mitigation vector {have:#x} lacks bits {:#x} of the manifest's: the host must update its firmware", need & !have)]
    MitigationsMissing {
        /// Which of the vectors.
        of: VectorOf,
        /// The vector.
        have: u64,
        /// Bits that the manifest demands.
        need: u64,
    },
    /// Step 14.
    #[error("chip {} is not in `AllowedChipIDs`", short(&chip[..]))]
    ChipNotAllowed {
        /// The report's chip.
        chip: Box<[u8; 64]>,
    },
    /// Step 15.
    #[error("the ID key digest is {}, not {}: the guest was launched without the ID block that measurement and policy imply", short(&got[..]), short(&expected[..]))]
    IdKey {
        /// What measurement and policy imply.
        expected: Box<[u8; 48]>,
        /// The report's; zeros without an ID block.
        got: Box<[u8; 48]>,
    },
    /// Step 15.
    #[error("an author key certified the ID key, which no ID block of this kind has")]
    AuthorKey,
    /// Step 15.
    #[error("measurement and policy imply no ID block: no key fits them")]
    NoIdBlock,
}

/// Which of the TCBs of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcbOf {
    /// The certificate's, from which the key was derived.
    Certificate,
    /// The reported one.
    Reported,
    /// The committed one, below which the machine cannot go.
    Committed,
    /// The one at launch.
    Launch,
}

/// Which of the mitigation vectors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorOf {
    /// At launch.
    Launch,
    /// Now.
    Current,
}

impl SnpRefusal {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::VlekNotAllowed { .. } | Self::CloudNotAllowed { .. } => Step::SignerAllowed,
            Self::Product { .. } => Step::ProductAllowed,
            Self::ChipMasked => Step::ChipNamed,
            Self::Measurement { .. } => Step::Measurement,
            Self::Vmpl { .. } => Step::Vmpl,
            Self::PolicyAllows { .. }
            | Self::PolicyLacks { .. }
            | Self::PolicyAbi { .. }
            | Self::PolicyReserved { .. } => Step::GuestPolicy,
            Self::PlatformHas { .. } | Self::PlatformLacks { .. } => Step::PlatformInfo,
            Self::MinimumMissing | Self::TcbBelow { .. } | Self::CurrentBelowCommitted { .. } => {
                Step::MinimumTcb
            }
            Self::MitigationsNotReported { .. } | Self::MitigationsMissing { .. } => Step::Mitigations,
            Self::ChipNotAllowed { .. } => Step::ChipAllowed,
            Self::IdKey { .. } | Self::AuthorKey | Self::NoIdBlock => Step::IdBlock,
        }
    }
}

impl VectorOf {
    /// Name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Launch => "launch_mitigation_vector",
            Self::Current => "current_mitigation_vector",
        }
    }
}

impl fmt::Display for TcbOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Certificate => "certificate's",
            Self::Reported => "reported",
            Self::Committed => "committed",
            Self::Launch => "launch",
        })
    }
}

impl fmt::Display for VectorOf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Launch => "launch",
            Self::Current => "current",
        })
    }
}

fn list<B: fmt::Display>(bits: &[B]) -> String {
    let names: Vec<String> = bits.iter().map(B::to_string).collect();
    names.join(", ")
}

fn if_debug(bits: &[PolicyBit]) -> &'static str {
    if bits.contains(&PolicyBit::Debug) { ": the host can read all of the guest's memory" } else { "" }
}

fn of_cloud(cloud: &Option<String>) -> String {
    cloud.as_ref().map_or_else(String::new, |cloud| format!(" (of {cloud})"))
}
