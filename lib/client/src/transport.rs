//! What a session needs from the network: two calls. Implemented over HTTP by the processes, in memory by tests.

use std::{error::Error, fmt, future::Future, sync::Arc};

/// The 32 random bytes that an attestation must answer to. There is no default: each attestation has its own.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Nonce(pub [u8; 32]);

impl fmt::Debug for Nonce {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Nonce(..)")
    }
}

/// Carries the two calls through the gateway, which is not trusted: nothing that comes back is believed.
pub trait Transport: Send + Sync + 'static {
    /// `POST /privatemode/v1/attest`: the coordinator's attestation document as JSON ([`crate::parse_attest_reply`]
    /// takes it out of the gateway's envelope). Implementations cap its length.
    fn attest(&self, nonce: Nonce) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;

    /// `POST /privatemode/v1/secret`: the JSON reply to the JSON request.
    fn exchange(&self, request: String) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send;
}

impl<T: Transport> Transport for Arc<T> {
    fn attest(&self, nonce: Nonce) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send {
        T::attest(self, nonce)
    }

    fn exchange(&self, request: String) -> impl Future<Output = Result<Vec<u8>, TransportError>> + Send {
        T::exchange(self, request)
    }
}

/// Why a call came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum TransportError {
    /// There is no API key to call with yet; the first caller's key will be used.
    #[error("no API key is known yet; it is taken from the first request that carries one")]
    NoKey,
    /// The gateway refused the API key. `body` is its answer as it came.
    #[error("the gateway refused the API key (status {status})")]
    Unauthorized {
        /// 401 or 403.
        status: u16,
        /// The gateway's own JSON.
        body: Vec<u8>,
    },
    /// The gateway answered with another error.
    #[error("the gateway answered with status {status}: {message}")]
    Status {
        /// The HTTP status.
        status: u16,
        /// Its message, cut and cleaned.
        message: String,
    },
    /// No answer came.
    #[error("the gateway cannot be reached")]
    Unreachable {
        /// Why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// An answer came that is not in the protocol.
    #[error("the gateway's answer is malformed")]
    Malformed {
        /// Where.
        source: Box<dyn Error + Send + Sync>,
    },
}

impl TransportError {
    /// Whether the same call may succeed a little later without anybody doing anything.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unreachable { .. } => true,
            Self::Status { status, .. } => *status >= 500 || *status == 429,
            Self::NoKey | Self::Unauthorized { .. } | Self::Malformed { .. } => false,
        }
    }
}
