//! Why a quote is not genuine, or its platform not up to date.

use thiserror::Error;

use super::super::chain::ChainError;
use super::super::collateral::CollateralError;
use super::super::evidence::PckCa;
use super::super::pck::PckExtensionError;
use super::super::quote::QuoteError;
use super::super::report::SeamAttributes;
use super::super::status::TcbStatus;
use super::super::step::Step;
use crate::signature::{PublicKeyError, SignatureError};

/// Why a quote is refused.
#[derive(Debug, Error)]
pub enum VerifyError {
    /// Step 1: not a TDX quote that is understood.
    #[error("the quote cannot be read")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// Step 1: something stands behind the quote.
    #[error(
        "byte {at} behind the end of the quote is not zero: genuine quotes are followed by nothing but zeros; remove what was appended"
    )]
    Padding {
        /// Counted from the end of the quote.
        at: usize,
    },
    /// Step 2: the collateral is not current any more.
    #[error("the collateral does not count now")]
    Collateral {
        /// Why.
        source: Box<CollateralError>,
    },
    /// Step 3: the PCK certificate does not count.
    #[error("the quote's PCK certificate is refused: it does not come from Intel, or not any more")]
    PckChain {
        /// Why.
        source: ChainError,
    },
    /// Step 3: whether the certificate is revoked cannot be told.
    #[error("the quote's PCK certificate is from {quote:?}, but the collateral's revocation list is the {} authority's; fetch the collateral that belongs to the quote", collateral.name())]
    OtherPckCa {
        /// Common name of the certificate's issuer.
        quote: Option<String>,
        /// Whose list it is.
        collateral: PckCa,
    },
    /// Step 3: the certificate does not say which platform it is for.
    #[error("the quote's PCK certificate has no SGX extension, so that its platform is unknown")]
    NoPckExtension,
    /// Step 3: what it says about the platform is unreadable.
    #[error("the quote's PCK certificate does not describe its platform as it should")]
    PckExtension {
        /// Why.
        source: PckExtensionError,
    },
    /// Step 4: the platform did not sign the quoting enclave's report.
    #[error(
        "the quoting enclave's report was changed, or signed by another platform than the PCK certificate's"
    )]
    QeReportSignature {
        /// Why.
        source: SignatureError,
    },
    /// Step 4: the attestation key is not the enclave's.
    #[error("the quote's attestation key is not the one that the quoting enclave made")]
    AttestationKeyBinding,
    /// Step 4: another signer's enclave.
    #[error("the quoting enclave is not Intel's: its signer is {}", hex::encode(found))]
    QeSigner {
        /// MRSIGNER of the report.
        found: [u8; 32],
    },
    /// Step 4: another enclave of Intel's.
    #[error("the enclave is not the TDX quoting enclave: its product is {found}, {expected} is needed")]
    QeProduct {
        /// ISVPRODID of the report.
        found: u16,
        /// ISVPRODID of the identity.
        expected: u16,
    },
    /// Step 4: another configuration.
    #[error("the quoting enclave runs with MISCSELECT {found:#010x}, which its identity does not allow")]
    QeMiscSelect {
        /// MISCSELECT of the report.
        found: u32,
    },
    /// Step 4: a debug enclave.
    #[error("the quoting enclave is in debug mode: the host can read its key, and make any quote with it")]
    QeDebug,
    /// Step 4: another configuration.
    #[error(
        "the quoting enclave runs with attributes {}, which its identity does not allow",
        hex::encode(found)
    )]
    QeAttributes {
        /// Attributes of the report.
        found: [u8; 16],
    },
    /// Step 4: older than everything that is published.
    #[error(
        "the quoting enclave's version {isv_svn} is below every level of its identity: the host must update it"
    )]
    NoQeLevel {
        /// ISVSVN of the report.
        isv_svn: u16,
    },
    /// Step 5: not a key.
    #[error("the quote's attestation key is no P-256 key")]
    AttestationKey {
        /// Why.
        source: PublicKeyError,
    },
    /// Step 5: the quote was changed.
    #[error("the quote was changed after it was signed, or signed with another key")]
    QuoteSignature {
        /// Why.
        source: SignatureError,
    },
    /// Step 6: collateral for other platforms.
    #[error(
        "the quote's platform is FMSPC {}, the collateral is for {}; fetch the collateral that belongs to the quote",
        hex::encode(quote),
        hex::encode(collateral)
    )]
    Fmspc {
        /// FMSPC of the PCK certificate.
        quote: [u8; 6],
        /// FMSPC of the TCB info.
        collateral: [u8; 6],
    },
    /// Step 6: collateral for another provisioning enclave.
    #[error(
        "the quote's platform has PCE-ID {}, the collateral is for {}; fetch the collateral that belongs to the quote",
        hex::encode(quote),
        hex::encode(collateral)
    )]
    PceId {
        /// PCE-ID of the PCK certificate.
        quote: [u8; 2],
        /// PCE-ID of the TCB info.
        collateral: [u8; 2],
    },
    /// Step 6: older than everything that is published.
    #[error(
        "the platform is below every TCB level that Intel publishes for it (SGX components {}, PCE {pce_svn}, TDX components {}): the host must update firmware or TDX module",
        hex::encode(components),
        hex::encode(tee_tcb_svn)
    )]
    NoTcbLevel {
        /// Security versions of the SGX components.
        components: [u8; 16],
        /// Security version of the provisioning enclave.
        pce_svn: u16,
        /// Security versions of the TDX components.
        tee_tcb_svn: [u8; 16],
    },
    /// Step 6: Intel publishes nothing about the module.
    #[error(
        "the TDX module has major version {version}, about which the collateral says nothing; fetch newer collateral"
    )]
    ModuleUnknown {
        /// Major version.
        version: u8,
    },
    /// Step 6: another signer's module.
    #[error("the TDX module is not Intel's: its signer is {}", hex::encode(found))]
    ModuleSigner {
        /// MRSIGNERSEAM of the report.
        found: [u8; 48],
    },
    /// Step 6: a debug or other special module.
    #[error("the TDX module runs with attributes {}, which its identity does not allow", hex::encode(found.to_bytes()))]
    ModuleAttributes {
        /// SEAMATTRIBUTES of the report.
        found: SeamAttributes,
    },
    /// Step 6: older than everything that is published.
    #[error(
        "the TDX module's version {version}.{isv_svn} is below every level of its identity: the host must update it"
    )]
    NoModuleLevel {
        /// Major version.
        version: u8,
        /// Security version.
        isv_svn: u8,
    },
    /// Step 7: keys of this level are compromised.
    #[error(
        "the platform's TCB is revoked: its keys are known to be compromised. No tolerance covers that; use another host"
    )]
    TcbRevoked {
        /// What is known about it.
        advisories: Vec<String>,
    },
    /// Step 7: not up to date, and not tolerated.
    #[error(
        "the platform's TCB is {status}{}: the host must be updated, or exactly this status tolerated",
        listed(advisories)
    )]
    TcbStatus {
        /// The status.
        status: TcbStatus,
        /// What is known about it.
        advisories: Vec<String>,
    },
    /// Step 7: the status is tolerated, but not with this advisory.
    #[error(
        "the platform's TCB is {status}, which is tolerated, but not with {advisory}: read it, then update the host or tolerate it"
    )]
    AdvisoryNotTolerated {
        /// The status.
        status: TcbStatus,
        /// The first advisory that the tolerance does not list.
        advisory: String,
    },
}

impl VerifyError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::Quote { .. } | Self::Padding { .. } => Step::Structure,
            Self::Collateral { .. } => Step::Collateral,
            Self::PckChain { .. }
            | Self::OtherPckCa { .. }
            | Self::NoPckExtension
            | Self::PckExtension { .. } => Step::PckChain,
            Self::QeReportSignature { .. }
            | Self::AttestationKeyBinding
            | Self::QeSigner { .. }
            | Self::QeProduct { .. }
            | Self::QeMiscSelect { .. }
            | Self::QeDebug
            | Self::QeAttributes { .. }
            | Self::NoQeLevel { .. } => Step::QuotingEnclave,
            Self::AttestationKey { .. } | Self::QuoteSignature { .. } => Step::QuoteSignature,
            Self::Fmspc { .. }
            | Self::PceId { .. }
            | Self::NoTcbLevel { .. }
            | Self::ModuleUnknown { .. }
            | Self::ModuleSigner { .. }
            | Self::ModuleAttributes { .. }
            | Self::NoModuleLevel { .. } => Step::TcbLevel,
            Self::TcbRevoked { .. } | Self::TcbStatus { .. } | Self::AdvisoryNotTolerated { .. } => {
                Step::TcbStatus
            }
        }
    }
}

fn listed(advisories: &[String]) -> String {
    if advisories.is_empty() { String::new() } else { format!(" ({})", advisories.join(", ")) }
}
