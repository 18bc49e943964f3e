//! The steps of the verification, and one error for each way in which one fails.

use std::fmt;

use thiserror::Error;

use super::product::Product;
use super::report::{ReportError, Signer};
use super::tcb::Tcb;
use super::vek::VekError;
use crate::UnixTime;
use crate::signature::SignatureError;
use crate::x509::{CertificateError, CrlError, IssueError, ValidityError};

/// What [`verify`](super::verify()) does, in this order. A step before the failing one has passed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Step {
    /// Length, version, signature algorithm and reserved bytes of the report.
    Report,
    /// The root is AMD's, by key, and signed itself.
    Root,
    /// The ASK or ASVK is the root's, and of its product line.
    SigningKey,
    /// The revocation list is the root's and fresh, and names none of the chain.
    RevocationList,
    /// The VCEK or VLEK is the signing key's, and the one that the report names.
    EndorsementKey,
    /// Chain, certificate and processor are of one product line.
    Product,
    /// The certificate is for the TCB that the report reports.
    Tcb,
    /// The certificate is for the chip that the report names.
    Chip,
    /// The VCEK or VLEK signed the report.
    Signature,
}

impl Step {
    /// All steps, in order.
    pub const ALL: &[Self] = &[
        Self::Report,
        Self::Root,
        Self::SigningKey,
        Self::RevocationList,
        Self::EndorsementKey,
        Self::Product,
        Self::Tcb,
        Self::Chip,
        Self::Signature,
    ];

    /// The number in `attestation.md` §3; several steps here may be parts of one there.
    pub fn number(self) -> u8 {
        match self {
            Self::Report => 1,
            Self::Root | Self::SigningKey | Self::RevocationList | Self::EndorsementKey => 2,
            Self::Product => 3,
            Self::Tcb | Self::Chip => 4,
            Self::Signature => 5,
        }
    }

    /// Name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::Report => "report",
            Self::Root => "root",
            Self::SigningKey => "signing_key",
            Self::RevocationList => "revocation_list",
            Self::EndorsementKey => "endorsement_key",
            Self::Product => "product",
            Self::Tcb => "tcb",
            Self::Chip => "chip",
            Self::Signature => "signature",
        }
    }
}

/// A certificate of the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Link {
    /// AMD's root of a product line.
    Ark,
    /// ASK or ASVK, which signs endorsement keys.
    Ask,
    /// VCEK or VLEK, which signs reports.
    Vek,
}

/// Why evidence is not genuine, or cannot be shown to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VerifyError {
    /// Step 1.
    #[error("the SEV-SNP report cannot be read")]
    Report {
        /// Why.
        source: ReportError,
    },
    /// A certificate of the chain is none.
    #[error("the {link} certificate cannot be read")]
    Certificate {
        /// Which.
        link: Link,
        /// Why.
        source: CertificateError,
    },
    /// Step 2: the chain ends in no root of AMD's.
    #[error("the chain does not end in a root of AMD: whoever made it, it says nothing about AMD's hardware")]
    UntrustedRoot,
    /// Step 2: the root's certificate was changed.
    #[error("the root has AMD's key, but did not sign its own certificate: it was changed")]
    RootNotSelfSigned {
        /// Why.
        source: IssueError,
    },
    /// Step 2: a certificate of the chain is too new or too old.
    #[error("the {link} certificate is not valid at the time of the verification")]
    NotValid {
        /// Which.
        link: Link,
        /// Why.
        source: ValidityError,
    },
    /// Step 2: there is no ASK or ASVK.
    #[error("no certificate of the key that signed the VCEK or VLEK was given, and none is built in")]
    SigningKeyMissing,
    /// Step 2: the ASK or ASVK is not the root's.
    #[error("the ASK or ASVK was not issued by the root")]
    SigningKeyNotIssued {
        /// Why.
        source: IssueError,
    },
    /// Step 2: the root issued it, for something else.
    #[error(
        "the root issued a certificate for {name:?}, which is neither SEV-{product} nor SEV-VLEK-{product}"
    )]
    SigningKeyRole {
        /// The product line of the root.
        product: Product,
        /// The common name that came.
        name: Option<String>,
    },
    /// Step 2: not a revocation list.
    #[error("the revocation list cannot be read")]
    Crl {
        /// Why.
        source: CrlError,
    },
    /// Step 2: the list of another product line, or of somebody else.
    #[error("the revocation list is that of another issuer than the root; fetch the product line's own")]
    CrlNotApplicable,
    /// Step 2: the list is not the root's.
    #[error("the revocation list was not signed by the root")]
    CrlNotIssued {
        /// Why.
        source: IssueError,
    },
    /// Step 2: the list is from the future.
    #[error(
        "the revocation list was made at {this_update}, after the time of the verification; is the clock right?"
    )]
    CrlNotYetValid {
        /// When it was made.
        this_update: UnixTime,
    },
    /// Step 2: the list is too old, grace included.
    #[error(
        "the revocation list ended at {next_update}, and its grace of {grace} s is over; fetch a new one"
    )]
    CrlStale {
        /// When the next one was due.
        next_update: UnixTime,
        /// What was allowed beyond, in seconds.
        grace: u64,
    },
    /// Step 2: AMD took a certificate back.
    #[error("the {link} certificate was revoked at {at}")]
    Revoked {
        /// Which.
        link: Link,
        /// Since when.
        at: UnixTime,
    },
    /// Step 2: the VCEK or VLEK is not of this chain.
    #[error("the VCEK or VLEK was not issued by the ASK or ASVK of the chain")]
    EndorsementKeyNotIssued {
        /// Why.
        source: IssueError,
    },
    /// Step 2: the report names the other kind of key.
    #[error("the report says that a {report} signed it, but the chain is one of a {chain}")]
    EndorsementKeyRole {
        /// What the report says.
        report: Signer,
        /// What the chain is for.
        chain: Signer,
    },
    /// Step 2: issued by the right key, for something else.
    #[error("the certificate that should be a {signer} is one for {name:?}")]
    EndorsementKeyName {
        /// What it should be.
        signer: Signer,
        /// The common name that came.
        name: Option<String>,
    },
    /// Step 2: what the certificate says cannot be read.
    #[error("the claims of the VCEK or VLEK cannot be read")]
    EndorsementKeyClaims {
        /// Why.
        source: VekError,
    },
    /// Step 3: the certificate is for another product line.
    #[error("the VCEK or VLEK is for {certificate:?}, under the chain of {chain}")]
    CertificateProduct {
        /// The product line of the root.
        chain: Product,
        /// What the certificate says.
        certificate: String,
    },
    /// Step 3: the processor is of another product line.
    #[error("the report is from a processor of {report}, under the chain of {chain}")]
    ReportProduct {
        /// The product line of the root.
        chain: Product,
        /// The product line of the processor.
        report: Product,
    },
    /// Step 3: a report of version 2, which names no processor, from a line that never wrote one.
    #[error("the report names no processor, which none of {chain} does")]
    ReportWithoutProduct {
        /// The product line of the root.
        chain: Product,
    },
    /// Step 4: the certificate is for another TCB.
    #[error(
        "the VCEK or VLEK is for the TCB ({certificate}), but the report reports ({report}); fetch the right one"
    )]
    TcbMismatch {
        /// What the certificate says.
        certificate: Tcb,
        /// What the report reports.
        report: Tcb,
    },
    /// Step 4: a VCEK that names no chip.
    #[error("the VCEK does not say for which chip it is")]
    ChipMissing,
    /// Step 4: the certificate is for another chip.
    #[error("the VCEK is for another chip than the one that the report names; fetch the right one")]
    ChipMismatch,
    /// Step 5: a signature that is no pair of numbers below the curve's size.
    #[error("R or S of the report's signature is longer than 384 bits")]
    SignatureTooLong,
    /// Step 5: the report was changed, or is not of this chip.
    #[error("the VCEK or VLEK did not sign this report: it was changed, or another key signed it")]
    Signature {
        /// Why.
        source: SignatureError,
    },
}

impl VerifyError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::Report { .. } => Step::Report,
            Self::Certificate { link, .. } | Self::NotValid { link, .. } => match link {
                Link::Ark => Step::Root,
                Link::Ask => Step::SigningKey,
                Link::Vek => Step::EndorsementKey,
            },
            Self::UntrustedRoot | Self::RootNotSelfSigned { .. } => Step::Root,
            Self::SigningKeyMissing | Self::SigningKeyNotIssued { .. } | Self::SigningKeyRole { .. } => {
                Step::SigningKey
            }
            Self::Crl { .. }
            | Self::CrlNotApplicable
            | Self::CrlNotIssued { .. }
            | Self::CrlNotYetValid { .. }
            | Self::CrlStale { .. }
            | Self::Revoked { .. } => Step::RevocationList,
            Self::EndorsementKeyNotIssued { .. }
            | Self::EndorsementKeyRole { .. }
            | Self::EndorsementKeyName { .. }
            | Self::EndorsementKeyClaims { .. } => Step::EndorsementKey,
            Self::CertificateProduct { .. }
            | Self::ReportProduct { .. }
            | Self::ReportWithoutProduct { .. } => Step::Product,
            Self::TcbMismatch { .. } => Step::Tcb,
            Self::ChipMissing | Self::ChipMismatch => Step::Chip,
            Self::SignatureTooLong | Self::Signature { .. } => Step::Signature,
        }
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ark => "ARK",
            Self::Ask => "ASK or ASVK",
            Self::Vek => "VCEK or VLEK",
        })
    }
}
