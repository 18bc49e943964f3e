//! Every refusal, with its status and its code, in one place. The form is the existing service's:
//! `{"version", "error", "code"}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use privatemode_attest::UnknownEvidenceKind;
use privatemode_manifest::AppraiseError;
use privatemode_mesh::QuoteError;
use privatemode_service::{BodyError, Chain};
use serde::Serialize;
use thiserror::Error;

use crate::challenge::NonceError;
use crate::coordinator::{ChallengeError, JoinError};

/// Why a request is refused.
#[derive(Debug, Error)]
pub enum Fault {
    /// No such path.
    #[error("there is nothing at this path")]
    NotFound,
    /// The path has another method.
    #[error("this path has another method")]
    MethodNotAllowed,
    /// Not JSON by its own account. Browsers cannot send this type to a foreign origin unasked.
    #[error("the request must have one Content-Type, application/json")]
    ContentType,
    /// The body could not be read, or is too large.
    #[error("the request's body was not read")]
    Body {
        /// Why.
        source: BodyError,
    },
    /// Not the JSON that it should be.
    #[error("the request is not the JSON object that belongs here")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// Not base64.
    #[error("`{member}` is not standard base64 with padding")]
    Base64 {
        /// Its name.
        member: &'static str,
        /// Where and why.
        source: base64::DecodeError,
    },
    /// A nonce of a wrong length.
    #[error("the nonce has {len} bytes, it must have 32")]
    NonceLength {
        /// Length that came.
        len: usize,
    },
    /// Evidence of a kind that is not known.
    #[error("the evidence is of an unknown kind")]
    EvidenceKind {
        /// Which.
        source: UnknownEvidenceKind,
    },
    /// No challenge to be had.
    #[error(transparent)]
    Challenge(#[from] ChallengeError),
    /// Not allowed to join.
    #[error(transparent)]
    Join(#[from] JoinError),
    /// The platform gave no evidence.
    #[error("the platform gave no evidence")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// A task ended early.
    #[error("internal error")]
    Internal,
}

#[derive(Serialize)]
struct Answer<'a> {
    version: &'a str,
    error: &'a str,
    code: &'a str,
}

impl Fault {
    /// Status and stable code. 4xx: the caller must act; 5xx: we must.
    pub fn status_and_code(&self) -> (StatusCode, &'static str) {
        match self {
            Self::NotFound => (StatusCode::NOT_FOUND, "not_found"),
            Self::MethodNotAllowed => (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed"),
            Self::ContentType => (StatusCode::UNSUPPORTED_MEDIA_TYPE, "content_type"),
            Self::Body { source } => match source {
                BodyError::TooLarge { .. } => (StatusCode::PAYLOAD_TOO_LARGE, "body_too_large"),
                BodyError::Stalled { .. } => (StatusCode::REQUEST_TIMEOUT, "body_stalled"),
                BodyError::Read { .. } => (StatusCode::BAD_REQUEST, "body_broken"),
            },
            Self::Json { .. } => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::Base64 { .. } => (StatusCode::BAD_REQUEST, "invalid_base64"),
            Self::NonceLength { .. } => (StatusCode::BAD_REQUEST, "nonce_length"),
            Self::EvidenceKind { .. } => (StatusCode::BAD_REQUEST, "evidence_type"),
            Self::Challenge(ChallengeError::Full(_)) => {
                (StatusCode::SERVICE_UNAVAILABLE, "too_many_challenges")
            }
            Self::Join(refusal) => join(refusal),
            Self::Challenge(ChallengeError::Random { .. }) | Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
            Self::Quote { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "no_evidence"),
        }
    }
}

fn join(refusal: &JoinError) -> (StatusCode, &'static str) {
    let code = match refusal {
        JoinError::PublicKey { .. } => return (StatusCode::BAD_REQUEST, "public_key"),
        JoinError::Issue { .. } => return (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        JoinError::Collateral { .. } => return (StatusCode::SERVICE_UNAVAILABLE, "collateral_unavailable"),
        JoinError::Nonce(NonceError::Unknown) => "nonce_unknown",
        JoinError::Nonce(NonceError::Used) => "nonce_used",
        JoinError::Nonce(NonceError::Expired) => "nonce_expired",
        JoinError::Appraise(refusal) => match refusal {
            AppraiseError::PlatformNotInManifest { .. } => "platform_not_in_manifest",
            AppraiseError::ProductNotInManifest { .. } => "product_not_in_manifest",
            AppraiseError::ReferenceValueMissing { .. } => "reference_value_missing",
            AppraiseError::SimulatedNotBuilt => "simulated_not_built",
            AppraiseError::SimulatedNotAllowed => "simulated_not_allowed",
            AppraiseError::ReportDataMismatch => "report_data_mismatch",
            AppraiseError::Evidence { .. } => "evidence_not_genuine",
            AppraiseError::CollateralMissing { .. } => "collateral_missing",
            AppraiseError::RevocationListMissing => "revocation_list_missing",
            AppraiseError::RevocationListStale { .. } => "revocation_list_stale",
            AppraiseError::NotAccepted { .. } => "evidence_not_accepted",
            AppraiseError::HostDataNotAllowed { .. } => "host_data_not_allowed",
            AppraiseError::PolicyNotInManifest { .. } => "policy_not_in_manifest",
        },
    };
    (StatusCode::FORBIDDEN, code)
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let (status, code) = self.status_and_code();
        let text = Chain(&self).to_string();
        if status.is_server_error() {
            tracing::error!(code, error = text, "request failed");
        } else {
            tracing::debug!(code, error = text, "request refused");
        }
        // what is our own fault is for our log only
        let error = if status == StatusCode::INTERNAL_SERVER_ERROR { "internal error" } else { &text };
        let answer = Answer { version: privatemode_service::version(), error, code };
        let json = serde_json::to_vec(&answer).expect("strings always serialise");
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
    }
}
