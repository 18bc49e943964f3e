//! Why there is no credential: one variant for each step of a renewal.

use std::{error::Error, time::Duration};

use privatemode_wire::exchange::{ExchangeMessageError, FinishError};

use crate::{AttestationError, CollateralError, ManifestError, SignerError, TransportError};

/// Why a renewal failed.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    /// There is no manifest to verify against.
    #[error("there is no manifest to verify the deployment against")]
    Manifest {
        /// Why.
        source: ManifestError,
    },
    /// The attestation did not come.
    #[error("the deployment's attestation cannot be obtained")]
    Attest {
        /// Why.
        source: TransportError,
    },
    /// The attestation came, and what is needed to verify it did not.
    #[error("the deployment cannot be verified now")]
    Collateral {
        /// Why.
        source: CollateralError,
    },
    /// The attestation came and proves nothing.
    #[error("the deployment is not trusted")]
    Attestation {
        /// The step that failed.
        source: Box<AttestationError>,
    },
    /// The enforced manifest could not be recorded.
    #[error("the enforced manifest cannot be written to the manifest log, so it is not relied on")]
    Record {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// The secret service's answer did not come.
    #[error("no secret can be exchanged")]
    Exchange {
        /// Why.
        source: TransportError,
    },
    /// The answer is malformed.
    #[error("the answer to the key exchange is malformed")]
    Reply {
        /// Where.
        source: ExchangeMessageError,
    },
    /// The answer was not signed by the attested secret service.
    #[error("the key exchange is not trusted")]
    Signer {
        /// Which check failed.
        source: SignerError,
    },
    /// The answer holds no secret.
    #[error("the encapsulated key of the key exchange is none")]
    Decapsulate,
    /// Still under way when the caller's patience ended.
    #[error("the deployment was not verified within {} s", .wait.as_secs())]
    Waited {
        /// How long the caller waited.
        wait: Duration,
    },
    /// The renewal was given up.
    #[error("the renewal was interrupted")]
    Aborted,
}

impl RenewError {
    pub(super) fn of_finish(error: FinishError<SignerError>) -> Self {
        match error {
            FinishError::Unverified(source) => Self::Signer { source },
            FinishError::Decapsulate => Self::Decapsulate,
        }
    }

    /// The gateway's answer, where it answered at all.
    #[must_use]
    pub fn transport(&self) -> Option<&TransportError> {
        match self {
            Self::Attest { source } | Self::Exchange { source } => Some(source),
            _ => None,
        }
    }

    /// Whether it may go away by itself.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Manifest { .. } | Self::Collateral { .. } | Self::Waited { .. } | Self::Aborted => true,
            Self::Attest { source } | Self::Exchange { source } => source.is_transient(),
            Self::Attestation { .. }
            | Self::Record { .. }
            | Self::Reply { .. }
            | Self::Signer { .. }
            | Self::Decapsulate => false,
        }
    }

    /// Whether the API key is missing or was refused.
    #[must_use]
    pub fn is_about_key(&self) -> bool {
        matches!(self.transport(), Some(TransportError::NoKey | TransportError::Unauthorized { .. }))
    }

    pub(super) fn waits_for_key(&self) -> bool {
        matches!(self.transport(), Some(TransportError::NoKey))
    }

    /// Whether our view of the deployment may be older than the deployment: another manifest, or a coordinator that
    /// was replaced between the attestation and the exchange.
    pub(super) fn may_be_outdated(&self, pinned: bool) -> bool {
        match self {
            Self::Attestation { .. } => !pinned,
            Self::Signer { source } => matches!(source, SignerError::ForeignMeshCa { .. }),
            _ => false,
        }
    }
}
