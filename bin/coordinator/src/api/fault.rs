//! Every refusal, with its status and its code, in one place. The form is the existing service's:
//! `{"version", "error", "code"}`.

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use privatemode_attest::UnknownEvidenceKind;
use privatemode_manifest::AppraiseError;
use privatemode_service::{BodyError, Chain};
use serde::Serialize;
use thiserror::Error;

use crate::challenge::NonceError;
use crate::coordinator::{AttestError, ChallengeError, ChangeError, JoinError};
use crate::shares::ShareError;
use crate::state::NotInForce;
use crate::state::recover::RecoverError;
use crate::state::set::SetError;

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
    /// No attestation document.
    #[error(transparent)]
    Attest(#[from] AttestError),
    /// There is nothing to serve.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
    /// A transition's hash that is none.
    #[error("`{member}` is not the hash of a transition, 64 hexadecimal digits")]
    Transition {
        /// Its name.
        member: &'static str,
    },
    /// Not what belongs there. What it is instead is not said: it may be a seed.
    #[error("the request to recover is not the JSON object that belongs here")]
    RecoverMessage,
    /// One owner is enough.
    #[error("there are {count} signatures; send one, of one workload owner")]
    Signatures {
        /// How many came.
        count: usize,
    },
    /// Not set, not recovered.
    #[error(transparent)]
    Change(#[from] ChangeError),
    /// A seed must not travel where others can read along.
    #[error(
        "recovery sends the seed, and so goes over attested TLS only: use the coordinator's user port, as `privatemode manifest recover` does"
    )]
    NotConfidential,
    /// Nobody has the shares.
    #[error(
        "there are no seed shares: the manifest names no share owners, or a stale coordinator cannot find them"
    )]
    NoShares,
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
            Self::Transition { .. } => (StatusCode::BAD_REQUEST, "invalid_transition"),
            Self::RecoverMessage => (StatusCode::BAD_REQUEST, "invalid_json"),
            Self::Signatures { .. } => (StatusCode::BAD_REQUEST, "too_many_signatures"),
            Self::NotConfidential => (StatusCode::FORBIDDEN, "not_confidential"),
            Self::NoShares => (StatusCode::NOT_FOUND, "no_seed_shares"),
            Self::NotInForce(reason)
            | Self::Attest(AttestError::NotInForce(reason))
            | Self::Challenge(ChallengeError::NotInForce(reason)) => not_in_force(*reason),
            Self::Join(refusal) => join(refusal),
            Self::Change(refusal) => change(refusal),
            Self::Challenge(ChallengeError::Random { .. }) | Self::Internal => {
                (StatusCode::INTERNAL_SERVER_ERROR, "internal")
            }
            Self::Attest(AttestError::Quote { .. }) => (StatusCode::INTERNAL_SERVER_ERROR, "no_evidence"),
        }
    }
}

fn not_in_force(reason: NotInForce) -> (StatusCode, &'static str) {
    let code = match reason {
        NotInForce::NoManifest => "no_manifest",
        NotInForce::NeedsRecovery { .. } => "needs_recovery",
    };
    (StatusCode::PRECONDITION_FAILED, code)
}

fn change(refusal: &ChangeError) -> (StatusCode, &'static str) {
    match refusal {
        ChangeError::Set(refusal) => set(refusal),
        ChangeError::Recover(refusal) => recover(refusal),
        ChangeError::Conflict => (StatusCode::CONFLICT, "manifest_conflict"),
        ChangeError::Store { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_unavailable"),
        ChangeError::Uncertain { .. } => (StatusCode::SERVICE_UNAVAILABLE, "commit_uncertain"),
        ChangeError::Read { .. } => (StatusCode::SERVICE_UNAVAILABLE, "store_unusable"),
        ChangeError::Random { .. } => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

fn set(refusal: &SetError) -> (StatusCode, &'static str) {
    match refusal {
        SetError::NotInForce(reason) => not_in_force(*reason),
        SetError::NothingToUpdate => (StatusCode::PRECONDITION_FAILED, "no_manifest"),
        SetError::NotLatest { .. } => (StatusCode::CONFLICT, "manifest_conflict"),
        SetError::Immutable
        | SetError::SignatureMissing
        | SetError::OwnerKeyMissing
        | SetError::NotAnOwner
        | SetError::ShareOwnersChanged => (StatusCode::FORBIDDEN, "permission_denied"),
        SetError::OwnerKey { .. } | SetError::Signature { .. } => {
            (StatusCode::FORBIDDEN, "invalid_signature")
        }
        SetError::Deployment(_) | SetError::Share(ShareError::Key { .. }) => {
            (StatusCode::BAD_REQUEST, "invalid_manifest")
        }
        SetError::NotTheFirst => (StatusCode::BAD_REQUEST, "invalid_manifest"),
        SetError::HistoryFull => (StatusCode::CONFLICT, "history_full"),
        SetError::Share(ShareError::Encrypt { .. }) | SetError::Seed(_) | SetError::Authority(_) => {
            (StatusCode::INTERNAL_SERVER_ERROR, "internal")
        }
    }
}

fn recover(refusal: &RecoverError) -> (StatusCode, &'static str) {
    match refusal {
        RecoverError::NothingToRecover => (StatusCode::PRECONDITION_FAILED, "no_manifest"),
        RecoverError::AlreadyRecovered => (StatusCode::CONFLICT, "already_recovered"),
        RecoverError::RolledBack { .. } => (StatusCode::CONFLICT, "rolled_back"),
        RecoverError::NotAnOwner => (StatusCode::FORBIDDEN, "permission_denied"),
        RecoverError::Signature => (StatusCode::FORBIDDEN, "invalid_signature"),
        RecoverError::Seed(_) => (StatusCode::BAD_REQUEST, "invalid_seed"),
        RecoverError::WrongSeed { .. } => (StatusCode::FORBIDDEN, "wrong_seed"),
        RecoverError::Deployment(_) => (StatusCode::CONFLICT, "cannot_enforce"),
        RecoverError::History(_) | RecoverError::Manifest { .. } | RecoverError::PeerManifest => {
            (StatusCode::SERVICE_UNAVAILABLE, "store_unusable")
        }
        RecoverError::Authority(_) => (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
    }
}

fn join(refusal: &JoinError) -> (StatusCode, &'static str) {
    let code = match refusal {
        JoinError::NotInForce(reason) => return not_in_force(*reason),
        JoinError::PublicKey { .. } => return (StatusCode::BAD_REQUEST, "public_key"),
        JoinError::Issue { .. } => return (StatusCode::INTERNAL_SERVER_ERROR, "internal"),
        JoinError::Collateral { .. } => return (StatusCode::SERVICE_UNAVAILABLE, "collateral_unavailable"),
        JoinError::Nonce(NonceError::Unknown) => "nonce_unknown",
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
        // what is our own fault is for our log only, but an operator must learn why nothing was changed
        let error = if status == StatusCode::INTERNAL_SERVER_ERROR { "internal error" } else { &text };
        let answer = Answer { version: privatemode_service::version(), error, code };
        let json = serde_json::to_vec(&answer).expect("strings always serialise");
        (status, [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))], json).into_response()
    }
}
