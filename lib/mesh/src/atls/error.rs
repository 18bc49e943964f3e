//! Why there is no attested connection.

use std::{io, time::Duration};

use privatemode_attest::{EvidenceKind, atls::LeafError, signature::SignatureError};
use privatemode_collateral::FetchError;
use privatemode_manifest::{AppraiseError, PolicyHash};

use super::NonceFault;
use crate::{KeyError, QuoteError};

/// Why there is no attested connection: one variant for each cause.
#[derive(Debug, thiserror::Error)]
pub enum AtlsError {
    /// The peer was too slow.
    #[error("no attested connection after {} seconds; the other end is stuck, or does not speak attested TLS", .limit.as_secs())]
    Timeout {
        /// How long was allowed.
        limit: Duration,
    },
    /// The peer did not name the nonce that our evidence would be for.
    #[error("the peer does not speak attested TLS")]
    Nonce {
        /// What is wrong with it.
        source: NonceFault,
    },
    /// The server does not ask for the evidence of a client that wants to show it.
    #[error("the server did not ask for our evidence; this is not the port where workloads prove themselves")]
    NotAsked,
    /// The server did not agree to HTTP/2.
    #[error("the server does not speak HTTP/2 inside of attested TLS")]
    NotHttp2,
    /// Our platform gave no evidence.
    #[error("no evidence for this connection")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// Our evidence does not fit.
    #[error(
        "the {kind} evidence has {len} bytes, and a certificate of attested TLS has room for {max}; let the host bring fewer certificates with it"
    )]
    EvidenceTooLong {
        /// Its kind.
        kind: EvidenceKind,
        /// Its length.
        len: usize,
        /// The most.
        max: usize,
    },
    /// No key.
    #[error("cannot make the key of this connection")]
    Key {
        /// Why.
        source: KeyError,
    },
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
    /// No certificate.
    #[error("cannot make the certificate of this connection")]
    Certificate {
        /// Why.
        source: rcgen::Error,
    },
    /// The peer showed no certificate.
    #[error("the peer showed no certificate, and so no evidence")]
    NoCertificate,
    /// The peer showed a chain.
    #[error("the peer showed {count} certificates; attested TLS has one")]
    NotOneCertificate {
        /// How many.
        count: usize,
    },
    /// The peer's certificate is none of attested TLS.
    #[error("the peer is refused")]
    Leaf {
        /// Why.
        source: LeafError,
    },
    /// The certificate is somebody else's: shown again by one who saw it.
    #[error("the peer does not hold the key of the certificate that it shows: it was captured elsewhere")]
    NotItsKey {
        /// Why.
        source: SignatureError,
    },
    /// Anything else in TLS; also the peer's refusal of us.
    #[error("the TLS handshake failed; the other end may have refused us, and its log says why")]
    Tls {
        /// Why.
        source: io::Error,
    },
    /// What the vendor publishes about the peer's machine.
    #[error("the peer's evidence cannot be verified now")]
    Collateral {
        /// Why.
        source: FetchError,
    },
    /// The evidence is not genuine, not for this connection, or not of this deployment.
    #[error("the peer is refused")]
    Appraise {
        /// Why.
        source: AppraiseError,
    },
    /// A workload of this deployment, where a coordinator is expected.
    #[error("the peer runs policy {got}, which is a workload of the deployment and not its coordinator")]
    NotCoordinator {
        /// What it runs.
        got: PolicyHash,
    },
    /// A task of ours ended early.
    #[error("internal error: a task ended before it was done")]
    Internal,
}

impl AtlsError {
    /// Whether the same may work in a moment: the peer is starting or cut us off, or a vendor does not answer.
    #[must_use]
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Timeout { .. } | Self::Tls { .. } | Self::Collateral { .. } | Self::Internal => true,
            Self::Quote { source } => !matches!(source, QuoteError::NoHardware { .. }),
            Self::Nonce { .. }
            | Self::NotAsked
            | Self::NotHttp2
            | Self::EvidenceTooLong { .. }
            | Self::Key { .. }
            | Self::Random { .. }
            | Self::Certificate { .. }
            | Self::NoCertificate
            | Self::NotOneCertificate { .. }
            | Self::Leaf { .. }
            | Self::NotItsKey { .. }
            | Self::Appraise { .. }
            | Self::NotCoordinator { .. } => false,
        }
    }
}
