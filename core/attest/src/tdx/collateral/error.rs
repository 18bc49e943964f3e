//! Why collateral does not count.

use std::fmt;

use thiserror::Error;

use super::super::chain::ChainError;
use super::super::document::DocumentError;
use super::super::step::Step;
use crate::UnixTime;
use crate::signature::SignatureError;
use crate::x509::{CrlError, IssueError, ValidityError};

/// The documents of a collateral.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Document {
    /// Levels of a platform.
    TcbInfo,
    /// Identity and levels of the quoting enclave.
    QeIdentity,
    /// Revoked PCK certificates.
    PckCrl,
    /// Revoked authorities.
    RootCrl,
}

impl fmt::Display for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TcbInfo => "TCB info",
            Self::QeIdentity => "QE identity",
            Self::PckCrl => "PCK revocation list",
            Self::RootCrl => "root revocation list",
        })
    }
}

/// Why collateral is refused. All of it is step 2.
#[derive(Debug, Error)]
pub enum CollateralError {
    /// More bytes than the document ever has.
    #[error("the {document} has {len} bytes, at most {max} are read")]
    TooLong {
        /// Which.
        document: Document,
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// The TCB signing certificate does not count.
    #[error("the {document} is not signed by Intel: its issuer chain is refused")]
    SigningChain {
        /// Whose issuer it is.
        document: Document,
        /// Why.
        source: ChainError,
    },
    /// The document was changed, or its signature is another one's.
    #[error("the {document} was changed after Intel signed it; fetch it again")]
    Signature {
        /// Which.
        document: Document,
        /// Why.
        source: SignatureError,
    },
    /// Signed, but not what is needed.
    #[error("the {document} cannot be used")]
    Content {
        /// Which.
        document: Document,
        /// Why.
        source: DocumentError,
    },
    /// The PCK authority's certificate does not count.
    #[error("the issuer chain of the PCK revocation list is refused")]
    PckCaChain {
        /// Why.
        source: ChainError,
    },
    /// Not a revocation list.
    #[error("the {document} cannot be read")]
    Crl {
        /// Which.
        document: Document,
        /// Why.
        source: CrlError,
    },
    /// A revocation list of somebody else.
    #[error(
        "the {document} is not from the authority whose certificates it should revoke; fetch the right one"
    )]
    CrlIssuer {
        /// Which.
        document: Document,
        /// Why.
        source: IssueError,
    },
    /// Its time has not come.
    #[error("the {document} was issued later, {issued}, than the time of verification; is the clock right?")]
    NotYetIssued {
        /// Which.
        document: Document,
        /// When it was issued.
        issued: UnixTime,
    },
    /// Its time is over.
    #[error("the {document} is stale: a new one was due {next_update}; fetch new collateral")]
    Stale {
        /// Which.
        document: Document,
        /// When the next one was due.
        next_update: UnixTime,
    },
    /// A certificate of the collateral was valid when it was verified, and is not any more.
    #[error("a certificate that signs collateral is not valid now; fetch new collateral")]
    Certificate {
        /// Why.
        source: ValidityError,
    },
}

impl CollateralError {
    /// [`Step::Collateral`].
    pub fn step(&self) -> Step {
        Step::Collateral
    }
}
