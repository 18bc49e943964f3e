//! One attempt over the compatible protocol: sealed fields. Opens nothing ([`crate::receive`] does). Specification:
//! protocol.md §2, §3.

use std::sync::Arc;

use http::{HeaderMap, Method, StatusCode, header as names};
use privatemode_wire::message::{RequestSealer, ResponseOpener};

use crate::{
    failure::Failure,
    forward::{self, Attempt, Call},
    payload::Payload,
    upstream::read,
};

/// From this size on, sealing would hold up other requests of the same thread.
const LARGE: usize = 256 << 10;
/// Longest error answer that is searched for the lost secret.
const MAX_ERROR: usize = 1 << 20;

/// An answer that came, and what opens it.
pub(crate) struct Exchange {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: AnswerBody,
    pub(crate) opener: ResponseOpener,
}

pub(crate) enum AnswerBody {
    /// Read already, to look for the lost secret.
    Whole(Vec<u8>),
    /// Still coming.
    Coming(reqwest::Response),
}

/// Seals, sends, and waits for the head of the answer.
pub(crate) async fn attempt(call: &Call<'_>) -> Result<Attempt, Failure> {
    let (sealed, opener) = seal(call).await?;
    let mut headers = call.headers();
    if let Some(content_type) = &call.prepared.content_type {
        headers.insert(names::CONTENT_TYPE, content_type.clone());
    }
    call.ocsp_policy(&mut headers);
    let answer = match call.app.upstream.send(Method::POST, &call.caller.path, headers, sealed).await {
        Err(error) => return call.not_sent(error),
        Ok(answer) => answer,
    };
    let (status, headers) = (answer.status(), answer.headers().clone());
    call.answered(status);
    let exchange = |body| forward::Exchange::Fields(Box::new(Exchange { status, headers, body, opener }));
    if status != StatusCode::INTERNAL_SERVER_ERROR {
        return Ok(Attempt::Answered(exchange(AnswerBody::Coming(answer))));
    }
    let body = read(answer, MAX_ERROR).await.map_err(|source| Failure::Unreachable { source })?;
    let lost = forward::is_secret_lost(&body);
    let exchange = exchange(AnswerBody::Whole(body));
    Ok(if lost { Attempt::SecretLost(exchange) } else { Attempt::Answered(exchange) })
}

async fn seal(call: &Call<'_>) -> Result<(Vec<u8>, ResponseOpener), Failure> {
    let Payload::Whole(body) = &call.prepared.body else { return Err(Failure::Task) };
    let (app, input) = (Arc::clone(call.app), Arc::clone(call.prepared));
    let (credential, body, length) = (Arc::clone(call.credential), body.clone(), body.len());
    let work = move || {
        let mut rng = app.entropy.rng();
        let mut sealer = RequestSealer::new(credential.id(), credential.secret(), &mut *rng);
        let content_type = input.content_type.as_ref().and_then(|value| value.to_str().ok());
        let sealed = sealer
            .seal(input.endpoint, content_type, &body, &mut *rng)
            .map_err(|source| Failure::Seal { source })?;
        Ok((sealed, sealer.finish()))
    };
    if length < LARGE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Task)?
}
