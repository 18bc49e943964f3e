//! Everything that can go wrong with a request, and the one mapping to HTTP. Each text says what happened, why, and what
//! to do next; none repeats what was in the request.

use std::sync::Arc;

use http::{HeaderMap, Response, StatusCode};
use privatemode_client::{AttestationError, RenewError, TransportError};
use privatemode_manifest::VerifyError;
use privatemode_service::{ApiError, BodyError, BoxBody, Chain, body::full, error::accepts_event_stream};
use privatemode_wire::{
    Endpoint,
    admit::StatedError,
    json::{JsonError, Object},
    message::{OpenError, SealError},
    multipart::MultipartError,
    salt::SaltError,
    shard_key::ShardKeyError,
    stream::WriteError,
};

use crate::sealed::AnswerError;

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Failure {
    #[error("several Content-Type headers")]
    ContentTypes,
    #[error("a compressed body")]
    ContentEncoding,
    #[error("no API key")]
    NoKey,
    #[error("body not read")]
    Body { source: BodyError },
    #[error("empty body")]
    Empty { endpoint: Endpoint },
    #[error("broken JSON")]
    Json { source: JsonError },
    #[error("broken multipart form")]
    Multipart { source: MultipartError },
    #[error("no model")]
    NoModel,
    #[error("model is no name")]
    ModelName,
    #[error("a member of another type")]
    Stated { source: StatedError },
    #[error("salt")]
    Salt { source: SaltError },
    #[error("shard key")]
    ShardKey { source: ShardKeyError },
    #[error("not attested")]
    NotAttested { source: Arc<RenewError> },
    #[error("sealing")]
    Seal { source: SealError },
    #[error("sealing the body")]
    SealBody { source: WriteError },
    #[error("an upload that cannot be sent again was refused")]
    Unrepeatable { why: &'static str },
    #[error("a sealed answer that does not hold (status {status})")]
    Answer { status: StatusCode, source: AnswerError },
    #[error("a task ended early")]
    Task,
    #[error("no answer from the API endpoint")]
    Unreachable { source: TransportError },
    #[error("status {status}, neither an answer nor an error")]
    Status { status: StatusCode },
    #[error("a plain answer (status {status}) where a sealed one belongs")]
    PlainAnswer { status: StatusCode },
    #[error("an answer that cannot be opened (status {status})")]
    Open { status: StatusCode, source: OpenError },
    #[error("a plain error without JSON (status {status})")]
    ForeignError { status: StatusCode },
}

impl Failure {
    /// The answer to the caller. What the gateway said to a refused key is passed on as it is.
    pub(crate) fn response(&self, request: &HeaderMap) -> Response<BoxBody> {
        let refusal = match self {
            Self::NotAttested { source } => match source.transport() {
                Some(TransportError::Unauthorized { body, .. }) if is_error_json(body) => Some(body.clone()),
                _ => None,
            },
            _ => None,
        };
        let error = self.api_error();
        error.log();
        let mut response = error.response(request);
        if let Some(body) = refusal
            && !accepts_event_stream(request)
        {
            *response.body_mut() = full(body);
        }
        response
    }

    fn api_error(&self) -> ApiError {
        match self {
            Self::ContentTypes => ApiError::bad_request(
                "several_content_types",
                "The request has more than one Content-Type header, which could be read in two ways. Send one.",
            ),
            Self::ContentEncoding => ApiError::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "content_encoding",
                "The request's body is compressed (Content-Encoding), which is not supported. Send it as it is.",
            ),
            Self::NoKey => ApiError::unauthorized(
                "missing_api_key",
                "There is no API key: the proxy was started without --apiKey, and the request has no \
                 `Authorization: Bearer KEY` header. Add one of the two.",
            ),
            Self::Body { source: BodyError::TooLarge { .. } } => ApiError::new(
                StatusCode::PAYLOAD_TOO_LARGE,
                "request_too_large",
                "The request is too large: the service takes at most 50 MB. Send less, or split it.",
            ),
            Self::Body { source: BodyError::Stalled { .. } } => {
                ApiError::new(StatusCode::REQUEST_TIMEOUT, "body_stalled", "The request's body stopped in the middle. Send it again.")
            }
            Self::Body { source: BodyError::Read { .. } } => ApiError::bad_request(
                "body_incomplete",
                "The request's body could not be read to its end. Send it again.",
            ),
            Self::Empty { endpoint } => empty(*endpoint),
            Self::Json { source } => broken_json(source),
            Self::Multipart { source } => ApiError::bad_request(
                "invalid_form",
                format!("The body is no valid multipart form: {}. Send multipart/form-data with `file` and `model`.", Chain(source)),
            ),
            Self::NoModel => ApiError::bad_request(
                "missing_model",
                "The request names no model. Add `model`; GET /v1/models lists what there is.",
            )
            .with_param("model"),
            Self::ModelName => ApiError::bad_request(
                "invalid_model",
                "`model` is not the name of a model. GET /v1/models lists what there is.",
            )
            .with_param("model"),
            Self::Stated { source } => {
                ApiError::bad_request("invalid_request", format!("{}.", Chain(source))).with_param(source.member())
            }
            Self::Salt { source } => salt(source),
            Self::ShardKey { source } => {
                ApiError::bad_request("prompt_too_long", format!("The prompt cannot be sent: {}. Shorten it.", Chain(source)))
            }
            Self::NotAttested { source } => not_attested(source),
            Self::Seal { source } => sealing(source),
            Self::SealBody { source } => ApiError::bad_request(
                "cannot_be_sealed",
                format!("The request cannot be encrypted: {}.", Chain(source)),
            ),
            Self::Unrepeatable { why } => ApiError::unavailable(
                "send_again",
                format!("The upload was refused, because {why}. It is too large to be held for a second try; send it again."),
            )
            .with_header(http::header::RETRY_AFTER, http::HeaderValue::from_static("1")),
            Self::Answer { source, .. } if source.is_outage() => ApiError::bad_gateway(
                "answer_broken",
                format!("The answer broke off: {}. Nothing of it was passed on; try again.", Chain(source)),
            ),
            Self::Answer { status, source } => ApiError::bad_gateway(
                "answer_not_trusted",
                format!(
                    "The answer (status {}) was refused: {}. It was changed or cut on the way, or comes from a service of \
                     another version. Try again; if it persists, update the proxy or report it.",
                    status.as_u16(),
                    Chain(source)
                ),
            ),
            Self::Task => ApiError::internal("a sealing task ended early"),
            Self::Unreachable { source: source @ TransportError::Malformed { .. } } => ApiError::bad_gateway(
                "answer_malformed",
                format!("The API endpoint answered, but not as it should: {}. Try again; if it persists, report it.", Chain(source)),
            ),
            Self::Unreachable { source } => ApiError::bad_gateway(
                "api_unreachable",
                format!(
                    "The API endpoint cannot be reached: {}. Check the network, the outbound proxy (https_proxy) and \
                     --apiEndpoint, then try again.",
                    Chain(source)
                ),
            ),
            Self::Status { status } => ApiError::bad_gateway(
                "unexpected_status",
                format!(
                    "The API endpoint answered with status {}, which is neither an answer nor an error; a redirection could \
                     take your prompt elsewhere in clear text, so it was not passed on. Check --apiEndpoint and the outbound \
                     proxy, then try again.",
                    status.as_u16()
                ),
            ),
            Self::PlainAnswer { status } => ApiError::bad_gateway(
                "answer_not_encrypted",
                format!(
                    "The API endpoint sent an unencrypted answer (status {}) where only the attested worker's encrypted one \
                     counts. It was not passed on, because anybody on the way could have written it. Try again; if it \
                     persists, report it to the service's operator.",
                    status.as_u16()
                ),
            ),
            Self::Open { status, source } => ApiError::bad_gateway(
                "answer_not_trusted",
                format!(
                    "The answer (status {}) was refused: {}. It was changed or cut on the way, or comes from a service of \
                     another version. Try again; if it persists, update the proxy or report it.",
                    status.as_u16(),
                    Chain(source)
                ),
            ),
            Self::ForeignError { status } => ApiError::new(
                *status,
                "upstream_error",
                format!(
                    "The API endpoint, or something before it, answered with status {} and no reason. Check --apiEndpoint \
                     and the outbound proxy, then try again.",
                    status.as_u16()
                ),
            ),
        }
        .with_private(Chain(self))
    }
}

/// Whether a plain error body has the shape that clients understand.
pub(crate) fn is_error_json(body: &[u8]) -> bool {
    Object::parse(body)
        .is_ok_and(|object| object.get("error").is_some_and(|error| error.raw.starts_with(b"{")))
}

fn empty(endpoint: Endpoint) -> ApiError {
    let needs = match endpoint {
        Endpoint::ChatCompletions | Endpoint::Messages => "a JSON object with `model` and `messages`",
        Endpoint::Completions => "a JSON object with `model` and `prompt`",
        Endpoint::Embeddings | Endpoint::Responses => "a JSON object with `model` and `input`",
        Endpoint::Transcriptions | Endpoint::Translations => "a multipart form with `file` and `model`",
        Endpoint::Unstructured => "a multipart form with `files`",
    };
    ApiError::bad_request("empty_body", format!("The request has no body; this path needs {needs}."))
}

fn broken_json(source: &JsonError) -> ApiError {
    ApiError::bad_request(
        "invalid_json",
        format!("The body is no valid JSON object: {}. Correct it there and send it again.", Chain(source)),
    )
}

fn is_simulated_in_release(error: &AttestationError) -> bool {
    matches!(error, AttestationError::Verify { source: VerifyError::SimulatedNotBuilt })
}

/// Every cause fails closed; the text names it and the next step.
fn not_attested(error: &RenewError) -> ApiError {
    let next = match error {
        RenewError::Manifest { .. } => {
            "Check the network and --cdnBaseURL, or pin a manifest with --manifestPath."
        }
        RenewError::Attest { .. }
        | RenewError::Exchange { .. }
        | RenewError::Waited { .. }
        | RenewError::Aborted => "Check the network and --apiEndpoint, then try again.",
        RenewError::Collateral { .. } => "It is tried again in the background.",
        RenewError::Attestation { source } if is_simulated_in_release(source) => {
            "Release builds cannot read simulated evidence. Use a real deployment; for development, use `privatemode up`."
        }
        RenewError::Attestation { source } if matches!(&**source, AttestationError::Protocol { .. }) => {
            "Choose with --protocol what both sides speak."
        }
        RenewError::Attestation { .. } => {
            "Do not work around this: compare the manifests (manifests/log.txt), update the proxy, or ask the operator."
        }
        RenewError::Record { .. } => {
            "Make the workspace (--workspace) writable, or repair manifests/log.txt."
        }
        RenewError::Reply { .. } | RenewError::Signer { .. } | RenewError::Decapsulate => {
            "Somebody between you and the service may be at work; try another network, or report it to the operator."
        }
    };
    let code = "deployment_not_verified";
    let message = format!(
        "Nothing was sent, because the service could not be verified: {}. {next} The status page of this proxy \
         (/privatemode) shows more.",
        Chain(error)
    );
    match error.transport() {
        Some(TransportError::NoKey) => Failure::NoKey.api_error(),
        // The gateway's own answer is passed on where it is one ([`Failure::response`]).
        Some(TransportError::Unauthorized { .. }) => ApiError::unauthorized(
            "invalid_api_key",
            "The service refused the API key. Check it, or make a new one.",
        ),
        _ => ApiError::unavailable(code, message)
            .with_header(http::header::RETRY_AFTER, http::HeaderValue::from_static("5")),
    }
}

fn salt(source: &SaltError) -> ApiError {
    match source {
        SaltError::Json(source) => broken_json(source),
        other => ApiError::bad_request(
            "invalid_cache_salt",
            format!("{}. Send a longer random one, or leave `cache_salt` out.", Chain(other)),
        )
        .with_param("cache_salt"),
    }
}

fn sealing(source: &SealError) -> ApiError {
    match source {
        SealError::Json(source) => broken_json(source),
        other => ApiError::bad_request(
            "cannot_be_sealed",
            format!("The request cannot be encrypted: {}.", Chain(other)),
        ),
    }
}
