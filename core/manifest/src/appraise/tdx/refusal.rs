//! Why an entry of the manifest does not accept a genuine TDX quote.

use std::fmt;

use privatemode_attest::tdx::TcbStatus;
use thiserror::Error;

use super::Step;
use crate::appraise::step::short;

/// One for each way in which a step fails.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TdxRefusal {
    /// Step 2.
    #[error(
        "the platform was judged by evaluation {got} of Intel's, the manifest demands at least {need}; fetch newer collateral"
    )]
    EvaluationNumber {
        /// The collateral's.
        got: u32,
        /// The manifest's.
        need: u32,
    },
    /// Step 2.
    #[error(
        "the manifest does not say which evaluation of Intel's it demands at least; the platform was judged by {got}"
    )]
    EvaluationNumberMissing {
        /// The collateral's.
        got: u32,
    },
    /// Step 7.
    #[error("the TCB status is {status}, which this entry does not tolerate; the host must be updated")]
    TcbStatus {
        /// The status.
        status: TcbStatus,
    },
    /// Step 7.
    #[error(
        "the TCB status is {status} with {advisory}, which this entry does not list; the host must be updated"
    )]
    AdvisoryNotListed {
        /// The status, which is tolerated.
        status: TcbStatus,
        /// The first advisory that is not.
        advisory: String,
    },
    /// Step 8.
    #[error("the trust domain is in debug mode (attributes {got:#x}): the host can read all of its memory")]
    Debug {
        /// The attributes.
        got: u64,
    },
    /// Step 8.
    #[error("the trust domain's attributes are {got:#x}, not {:#x}", 1u64 << 28)]
    TdAttributes {
        /// The attributes.
        got: u64,
    },
    /// Step 8.
    #[error("{of} is {}, not {}: {}", short(&got[..]), .expected.as_ref().map_or("in the manifest".to_owned(), |expected| short(&expected[..])), of.meaning())]
    Register {
        /// Which of the registers.
        of: Register,
        /// The entry's.
        expected: Option<Box<[u8; 48]>>,
        /// The quote's.
        got: Box<[u8; 48]>,
    },
    /// Step 8: nothing to compare with.
    #[error("the manifest has no `Rtmrs`")]
    RtmrsMissing,
    /// Step 8.
    #[error("the TDX module is signed by {}, not by Intel", short(&got[..]))]
    SeamSigner {
        /// The quote's.
        got: Box<[u8; 48]>,
    },
    /// Step 8.
    #[error("the TDX module has attributes {got:#x}; production modules have none")]
    SeamAttributes {
        /// The attributes.
        got: u64,
    },
    /// Step 8.
    #[error("XFAM is {}, not {}: another set of CPU features than the manifest was made for", hex::encode(got), .expected.map_or("in the manifest".to_owned(), hex::encode))]
    Xfam {
        /// The entry's.
        expected: Option<[u8; 8]>,
        /// The quote's.
        got: [u8; 8],
    },
    /// Step 8.
    #[error("MRCONFIGID is {}, which does not end in 16 zero bytes after a policy hash", hex::encode(&got[..]))]
    ConfigId {
        /// The quote's.
        got: Box<[u8; 48]>,
    },
    /// Step 8.
    #[error("a service trust domain {} is bound: it may move this one to another machine", short(&got[..]))]
    ServiceTd {
        /// The quote's.
        got: Box<[u8; 48]>,
    },
    /// Step 9.
    #[error("platform instance {} is not in `AllowedPIIDs`", .got.map_or("(not named)".to_owned(), hex::encode))]
    PlatformNotAllowed {
        /// The PCK certificate's, if it names one.
        got: Option<[u8; 16]>,
    },
    /// Step 9.
    #[error("the platform {}, and the manifest demands `StaticPlatform`", if got.is_some() { "is dynamic: packages may be added to it" } else { "does not say whether it is dynamic" })]
    DynamicPlatform {
        /// What the PCK certificate says.
        got: Option<bool>,
    },
    /// Step 9.
    #[error("the platform {}, and the manifest demands `SMTDisabled`", if got.is_some() { "has simultaneous multithreading on" } else { "does not say whether simultaneous multithreading is on" })]
    SmtEnabled {
        /// What the PCK certificate says.
        got: Option<bool>,
    },
    /// Step 9.
    #[error(
        "the platform's memory has no cryptographic integrity, and the manifest demands `MemoryIntegrity`"
    )]
    NoMemoryIntegrity,
}

/// A measurement of 48 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Register {
    /// Initial contents.
    MrTd,
    /// TDX module.
    MrSeam,
    /// Virtual firmware's configuration.
    Rtmr0,
    /// Kernel.
    Rtmr1,
    /// Command line and initial file system.
    Rtmr2,
    /// Whatever the guest measured.
    Rtmr3,
    /// Owner.
    MrOwner,
    /// Owner's configuration.
    MrOwnerConfig,
}

impl Register {
    /// Name for machines.
    pub fn value_name(self) -> &'static str {
        match self {
            Self::MrTd => "mr_td",
            Self::MrSeam => "mr_seam",
            Self::Rtmr0 => "rtmr0",
            Self::Rtmr1 => "rtmr1",
            Self::Rtmr2 => "rtmr2",
            Self::Rtmr3 => "rtmr3",
            Self::MrOwner => "mr_owner",
            Self::MrOwnerConfig => "mr_owner_config",
        }
    }

    fn meaning(self) -> &'static str {
        match self {
            Self::MrTd => "another firmware than the manifest was made for",
            Self::MrSeam => "another TDX module than the manifest was made for; was the host updated?",
            Self::Rtmr0 | Self::Rtmr1 | Self::Rtmr2 | Self::Rtmr3 => {
                "another image, configuration or number of CPUs than the manifest was made for"
            }
            Self::MrOwner | Self::MrOwnerConfig => "somebody else configured the trust domain",
        }
    }
}

impl TdxRefusal {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::EvaluationNumber { .. } | Self::EvaluationNumberMissing { .. } => Step::EvaluationNumber,
            Self::TcbStatus { .. } | Self::AdvisoryNotListed { .. } => Step::TcbTolerated,
            Self::Debug { .. } | Self::TdAttributes { .. } => Step::TdAttributes,
            Self::Register { of, .. } => match of {
                Register::MrTd => Step::MrTd,
                Register::MrSeam => Step::MrSeam,
                Register::Rtmr0 | Register::Rtmr1 | Register::Rtmr2 | Register::Rtmr3 => Step::Rtmrs,
                Register::MrOwner | Register::MrOwnerConfig => Step::MrOwner,
            },
            Self::RtmrsMissing => Step::Rtmrs,
            Self::SeamSigner { .. } | Self::SeamAttributes { .. } => Step::SeamSigner,
            Self::Xfam { .. } => Step::Xfam,
            Self::ConfigId { .. } => Step::MrConfigId,
            Self::ServiceTd { .. } => Step::ServiceTd,
            Self::PlatformNotAllowed { .. } => Step::PlatformInstance,
            Self::DynamicPlatform { .. } => Step::StaticPlatform,
            Self::SmtEnabled { .. } => Step::SmtDisabled,
            Self::NoMemoryIntegrity => Step::MemoryIntegrity,
        }
    }
}

impl fmt::Display for Register {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::MrTd => "MRTD",
            Self::MrSeam => "MRSEAM",
            Self::Rtmr0 => "RTMR0",
            Self::Rtmr1 => "RTMR1",
            Self::Rtmr2 => "RTMR2",
            Self::Rtmr3 => "RTMR3",
            Self::MrOwner => "MROWNER",
            Self::MrOwnerConfig => "MROWNERCONFIG",
        })
    }
}
