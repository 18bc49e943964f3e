//! Every way to fail, as what the caller reads. Whether it travels plain or sealed is the handler's matter.
//!
//! Messages that travel plain name no value of the request; those that travel sealed may.

use http::{HeaderValue, StatusCode, header};
use privatemode_service::{ApiError, BodyError, Chain};
use privatemode_wire::{
    Endpoint, SecretId,
    admit::AdmitError,
    header as header_names,
    message::OpenError,
    replay::Refusal,
    stream::{
        HeadField, HeadMismatch,
        outer::{self, SaltError},
    },
};

use crate::{
    ClaimError, EngineError, LookupError, arrival::Late, budget::OverBudget, ocsp::PolicyError,
    sealed::IntakeError,
};

/// `code` of the answer that makes a client exchange a new secret.
pub(crate) const NO_SECRET: &str = "no_secret";

pub(crate) fn unsupported_endpoint() -> ApiError {
    ApiError::new(
        StatusCode::NOT_IMPLEMENTED,
        "unsupported_endpoint",
        "This worker does not support this endpoint.",
    )
}

/// Clients look for these words (protocol.md §3), and renew their secret.
pub(crate) fn no_secret(id: &SecretId) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, NO_SECRET, format!("no secret for ID {id}"))
}

pub(crate) fn no_secret_id() -> ApiError {
    ApiError::bad_request(
        "no_secret_id",
        "The request names no secret: it needs the header Privatemode-Secret-ID, or a body with encrypted fields.",
    )
}

pub(crate) fn bad_secret_id() -> ApiError {
    ApiError::bad_request(
        "bad_secret_id",
        "The request's secret ID is not valid, or is there more than once.",
    )
}

pub(crate) fn content_types() -> ApiError {
    ApiError::bad_request(
        "content_type",
        "The request must have at most one Content-Type, in printable characters.",
    )
}

pub(crate) fn body(error: BodyError) -> ApiError {
    match error {
        BodyError::Read { source } if source.is::<OverBudget>() => busy(OverBudget),
        BodyError::Read { source } if source.is::<Late>() => {
            let what = Chain(&*source).to_string();
            let public = format!(
                "The request was given up: {what}. Send it again over a faster connection, or send less."
            );
            ApiError::new(StatusCode::REQUEST_TIMEOUT, "upload_too_slow", public)
        }
        error => error.into(),
    }
}

pub(crate) fn busy(_: OverBudget) -> ApiError {
    ApiError::unavailable(
        "worker_busy",
        "The worker holds as many large requests as it may. Try again shortly.",
    )
    .with_header(header::RETRY_AFTER, HeaderValue::from_static("5"))
}

pub(crate) fn no_salt() -> ApiError {
    ApiError::bad_request(
        "no_request_salt",
        "The request's body is encrypted as a whole and needs the header Privatemode-OAE-Request-Header.",
    )
}

pub(crate) fn bad_salt(error: &SaltError) -> ApiError {
    let public = format!("The header Privatemode-OAE-Request-Header is not valid: {}.", Chain(error));
    ApiError::bad_request("bad_request_salt", public)
}

/// `name` is one of ours.
pub(crate) fn outer_header(name: &'static str) -> ApiError {
    let public = format!("The header {name} is there more than once, or not in printable characters.");
    ApiError::bad_request("outer_header", public)
}

/// Read errors name places and lengths, never content.
pub(crate) fn intake(error: IntakeError) -> ApiError {
    match error {
        IntakeError::Read(error) => ApiError::bad_request(
            "cannot_decrypt",
            format!("The request cannot be decrypted: {}.", Chain(&error)),
        ),
        IntakeError::Body(error) => body(error),
    }
}

/// The gateway, or whoever is on the way, changed what stands outside the seal; or the client is at odds with itself.
pub(crate) fn head(error: &HeadMismatch) -> ApiError {
    let param = match error.field {
        HeadField::Method => "method",
        HeadField::Path => "path",
        HeadField::Model => "model",
        HeadField::ShardKey => header_names::SHARD_KEY,
        HeadField::MaxTokens => "max_tokens",
        HeadField::N => "n",
        HeadField::Stream => "stream",
        HeadField::OcspPolicy => header_names::OCSP_POLICY,
        HeadField::ContentLengthTokens => outer::CONTENT_LENGTH_TOKENS,
    };
    ApiError::bad_request("head_mismatch", format!("{}.", Chain(error))).with_param(param)
}

pub(crate) fn claim(error: &ClaimError) -> ApiError {
    let refused = |code, refusal: &Refusal| {
        let status = StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::CONFLICT);
        ApiError::new(status, code, format!("{}.", Chain(refusal)))
    };
    match error {
        ClaimError::Refused(refusal @ Refusal::Replayed) => refused("replayed", refusal),
        ClaimError::Refused(refusal @ Refusal::Share) => refused("too_many_requests", refusal)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("60")),
        ClaimError::Refused(refusal @ Refusal::Full) => refused("replay_memory_full", refusal)
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("60")),
        ClaimError::Refused(
            refusal @ (Refusal::TooOld { .. } | Refusal::FromFuture { .. } | Refusal::BeforeStart { .. }),
        ) => refused("clock_skew", refusal),
        ClaimError::Unreachable(_) | ClaimError::Answer { .. } => ApiError::unavailable(
            "claims_unavailable",
            "The worker cannot find out whether this request ran before, so it does not run it. Try again.",
        )
        .with_private(Chain(error)),
    }
}

pub(crate) fn lookup(error: &LookupError) -> ApiError {
    ApiError::unavailable(
        "secret_service_unavailable",
        "The worker cannot reach the secret service. Try again.",
    )
    .with_private(Chain(error))
}

pub(crate) fn policy(error: &PolicyError) -> ApiError {
    let public = format!("{}.", Chain(error));
    match error {
        PolicyError::Headers | PolicyError::Mac | PolicyError::Policy(_) => {
            ApiError::bad_request("ocsp_policy_invalid", public)
        }
        // 500 as the compatible workers have it: another worker may do
        PolicyError::Refused(_) => {
            ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "ocsp_policy_not_met", public)
                .with_private(Chain(error))
        }
    }
}

pub(crate) fn open(error: &OpenError) -> ApiError {
    ApiError::bad_request("cannot_decrypt", format!("The request cannot be decrypted: {}.", Chain(error)))
}

pub(crate) fn admit(error: &AdmitError) -> ApiError {
    let answer = ApiError::bad_request("invalid_request", format!("{}.", Chain(error)));
    match error {
        AdmitError::SaltMissing | AdmitError::SaltNotAString | AdmitError::SaltTooShort { .. } => {
            answer.with_param("cache_salt")
        }
        AdmitError::MediaUrl { member }
        | AdmitError::MediaKind { member }
        | AdmitError::MediaShape { member } => answer.with_param(*member),
        AdmitError::StreamOptions => answer.with_param("stream_options"),
        AdmitError::Stated(error) => answer.with_param(error.member()),
        AdmitError::Json(_) | AdmitError::Multipart(_) | AdmitError::TooDeep => answer,
    }
}

pub(crate) fn engine(error: &EngineError) -> ApiError {
    let answer = match error {
        EngineError::Unreachable(_) => ApiError::unavailable(
            "engine_unreachable",
            "The worker's inference engine does not run. Try again later.",
        ),
        EngineError::Broken(_) => {
            ApiError::bad_gateway("engine_broken", "The worker's inference engine broke off. Try again.")
        }
        EngineError::Timeout { .. } => ApiError::gateway_timeout(
            "engine_timeout",
            "The worker's inference engine did not answer in time.",
        ),
        EngineError::Path(_) => unsupported_endpoint(),
    };
    answer.with_private(Chain(error))
}

pub(crate) fn broken_answer() -> ApiError {
    ApiError::bad_gateway(
        "engine_broken",
        "The worker's inference engine broke off in the middle of its answer.",
    )
}

/// `status` is the engine's own; of what it wrote nothing is passed on.
pub(crate) fn not_json(status: StatusCode) -> ApiError {
    let status = status.as_u16();
    let public = format!(
        "The worker's inference engine answered with status {status} and a body that is not JSON, which cannot be \
         encrypted. If you asked for another response format, ask for a JSON one."
    );
    ApiError::bad_gateway("engine_answer_not_json", public)
}

/// A status without a body is all there is to tell. One that is no error, a redirect for example, would make clients act on
/// headers that they do not get.
pub(crate) fn silent(status: StatusCode) -> ApiError {
    let public =
        format!("The worker's inference engine answered with status {} and no explanation.", status.as_u16());
    let is_error = status.is_client_error() || status.is_server_error();
    ApiError::new(if is_error { status } else { StatusCode::BAD_GATEWAY }, "engine_error", public)
}

/// The JSON of an error that will be sealed: OpenAI's shape, which Anthropic's clients read too once `type` is there.
pub(crate) fn sealable_json(endpoint: Endpoint, error: &ApiError) -> String {
    let json = error.to_json();
    match (endpoint, json.strip_prefix('{')) {
        (Endpoint::Messages, Some(members)) => format!(r#"{{"type":"error",{members}"#),
        _ => json,
    }
}

/// Logs it where we or what is behind us are at fault. A lost secret is neither.
pub(crate) fn log(error: &ApiError) {
    if error.code == NO_SECRET {
        tracing::debug!(code = error.code, "request refused");
    } else {
        error.log();
    }
}
