//! Attestation and key exchange, relayed. Both carry their own proofs: a gateway that changes a byte is found out by the
//! client. protocol.md, sections 4 and 8.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body::Body;
use privatemode_service::{ApiError, BoxBody, BoxError, Chain, body};

use crate::gateway::Parts;
use crate::replicas::Replicas;

const MAX_REQUEST: usize = 64 * 1024;
/// No client reads a longer document.
const MAX_ATTESTATION: usize = 4 * 1024 * 1024;
/// An encapsulated key of 1120 bytes, a signature and a certificate, in base64.
const MAX_SECRET: usize = 64 * 1024;

/// `POST /privatemode/v1/attest`: the coordinator's document, wrapped.
pub(crate) async fn attest<B>(parts: &Parts, content: B) -> Result<Response<BoxBody>, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let mut answer = ask(parts, &parts.coordinator, "/attest", content, MAX_ATTESTATION).await?;
    if answer.status() == StatusCode::OK {
        let wrapped = format!(r#"{{"AttestationDoc":"{}"}}"#, STANDARD.encode(answer.body()));
        *answer.body_mut() = wrapped.into();
    }
    Ok(relayed(answer))
}

/// `POST /privatemode/v1/secret`: the bytes as they are.
pub(crate) async fn secret<B>(parts: &Parts, content: B) -> Result<Response<BoxBody>, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    ask(parts, &parts.secret_service, "/v1/secret", content, MAX_SECRET).await.map(relayed)
}

async fn ask<B>(
    parts: &Parts,
    replicas: &Replicas,
    path: &'static str,
    content: B,
    max: usize,
) -> Result<Response<Bytes>, ApiError>
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    let content = body::read_limited(content, MAX_REQUEST).await?;
    let failed = |kind: &'static str, private: &dyn std::fmt::Display| {
        parts.metrics.upstream_error(kind);
        ApiError::bad_gateway(
            "trusted_side_unreachable",
            "The trusted side of this service cannot be reached at present. Try again in some seconds.",
        )
        .with_private(private)
    };
    let answer =
        replicas.ask(path, &content, max).await.map_err(|error| failed("control", &Chain(&error)))?;
    if answer.status().is_server_error() {
        return Err(failed("control_status", &answer.status()));
    }
    Ok(answer)
}

fn relayed(answer: Response<Bytes>) -> Response<BoxBody> {
    let (head, content) = answer.into_parts();
    let mut response = Response::new(body::full(content));
    *response.status_mut() = head.status;
    let json = HeaderValue::from_static("application/json");
    let kind = head.headers.get(header::CONTENT_TYPE).cloned().unwrap_or(json);
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    response
}
