//! A client's request to a worker and the answer back, both as streams and as ciphertext.
//!
//! One retry on another worker, and only while nothing of the body was taken and no byte of an answer came: later the
//! request might run twice.

use bytes::Bytes;
use http::{Request, Response, StatusCode, header, request};
use http_body::Body;
use hyper::body::Incoming;
use hyper_util::client::legacy::Error;
use privatemode_service::{ApiError, BoxBody, BoxError, Chain, body};
use privatemode_wire::header as names;
use privatemode_wire::profile::Endpoint;
use privatemode_wire::stream::Padding;
use privatemode_wire::stream::outer::{USAGE, is_sealed};

use crate::catalogue::no_worker;
use crate::exchange::{Download, Exchange};
use crate::gateway::{Answer, Parts};
use crate::headers;
use crate::ledger::Amounts;
use crate::meter::Meter;
use crate::upload::Upload;
use crate::workers::{Lease, NoWorker, affinity};

const MAX_BODY: u64 = 128 * 1024 * 1024;
const MAX_DOCUMENT: u64 = 25 * 1024 * 1024;
/// A body that is sealed as a whole passes in constant memory, documents too: [`MAX_BODY`] of it, its head and its padding,
/// which rounds up by 12 % at this size, and to whole records where records have one size.
pub(crate) fn max_sealed() -> u64 {
    const HEAD: u64 = 16 * 1024 + 4;
    const RECORD: u64 = 64 * 1024;
    Padding::Bucket.wire_length(MAX_BODY + HEAD).saturating_add(2 * RECORD)
}
/// Document-to-text requests have no model: workers offer it under this name.
const DOCUMENT_MODEL: &str = "unstructured";

/// Sends the request on. The record moves into the answer's body, which ends it.
pub(crate) async fn forward<B>(
    parts: &Parts,
    endpoint: Endpoint,
    request: Request<B>,
    exchange: &mut Option<Exchange>,
) -> Result<Answer, ApiError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let (mut head, body) = request.into_parts();
    let model = target_model(&head, endpoint)?;
    let affinity = head.headers.get(names::SHARD_KEY).and_then(|value| affinity(value.to_str().ok()?));
    let affinity = affinity.map(str::to_owned);
    let lease =
        parts.workers.lease(&model, affinity.as_deref(), None).map_err(|reason| no_worker(reason, &model))?;
    let sealed =
        head.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_sealed);
    let max = match endpoint {
        _ if sealed => max_sealed(),
        Endpoint::Unstructured => MAX_DOCUMENT,
        _ => MAX_BODY,
    };
    // An honest sender is refused before it has sent anything.
    if body.size_hint().lower() > max {
        return Err(too_large(max));
    }
    let Some(record) = exchange.as_mut() else {
        return Err(ApiError::internal("a request without a record"));
    };
    record.model = Some(lease.model.clone());
    record.sealed = if sealed { headers::exchange_id(&head.headers) } else { None };
    head.headers = headers::to_worker(head.headers, &record.id, record.remote);
    if sealed {
        // The usage comes behind the body, where nothing inside the seal has to be read for it.
        head.headers.insert(header::TE, http::HeaderValue::from_static("trailers"));
    }

    // Whoever leaves before an answer began is known to have asked, and nothing more.
    record.amounts = Some(Amounts { requests: 1, ..Amounts::default() });

    let upload = Upload::new(body, max);
    let (answer, lease) = match attempt(parts, &lease, &head, &upload).await {
        Ok(answer) => (answer, lease),
        Err(error) if upload.too_large() => return Err(too_large(max).with_private(Chain(&error))),
        Err(error) if upload.broken() => return Err(incomplete().with_private(Chain(&error))),
        Err(error) => {
            note_failure(&lease, &error);
            retry(parts, lease, affinity.as_deref(), &head, &upload, max, error).await?
        }
    };
    let Some(mut record) = exchange.take() else {
        return Err(ApiError::internal("a request without a record"));
    };
    record.worker = Some(lease.name().to_owned());
    let id = record.id.clone();
    let running = |(exchange, key)| parts.running.enter(exchange, id, key, (*lease).clone());
    record.running = record.sealed.zip(record.key.clone()).map(running);
    record.status = Some(answer.status());
    Ok(Answer::Workers(streamed(answer, record, lease)))
}

/// The second and last attempt, if there may be one.
async fn retry<B>(
    parts: &Parts,
    failed: Lease,
    affinity: Option<&str>,
    head: &request::Parts,
    upload: &Upload<B>,
    max: u64,
    error: Error,
) -> Result<(Response<Incoming>, Lease), ApiError>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    if upload.started() {
        return Err(unreachable_worker(&error));
    }
    let other = match parts.workers.lease(&failed.model, affinity, Some(&failed)) {
        Ok(other) => other,
        Err(_) => return Err(no_worker(NoWorker::Unreachable, &failed.model).with_private(Chain(&error))),
    };
    drop(failed);
    match attempt(parts, &other, head, upload).await {
        Ok(answer) => Ok((answer, other)),
        Err(error) if upload.too_large() => Err(too_large(max).with_private(Chain(&error))),
        Err(error) if upload.broken() => Err(incomplete().with_private(Chain(&error))),
        Err(error) => {
            note_failure(&other, &error);
            Err(unreachable_worker(&error))
        }
    }
}

async fn attempt<B>(
    parts: &Parts,
    worker: &Lease,
    head: &request::Parts,
    upload: &Upload<B>,
) -> Result<Response<Incoming>, Error>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    let mut request = Request::new(upload.attempt());
    *request.method_mut() = head.method.clone();
    let path = head.uri.path_and_query().cloned();
    *request.uri_mut() = worker.uri(path.unwrap_or_else(|| http::uri::PathAndQuery::from_static("/")));
    *request.headers_mut() = head.headers.clone();
    let answer = worker.send(request).await;
    if answer.is_err() && !upload.too_large() && !upload.broken() {
        parts.metrics.upstream_error("no_answer");
    }
    answer
}

/// Only a worker that takes no connection is passed over from now on: one that dropped a single request may have been made
/// to by that request, and must not be taken from everybody else.
fn note_failure(worker: &Lease, error: &Error) {
    if error.is_connect() {
        worker.unreachable(&Chain(error));
    }
}

fn streamed(answer: Response<Incoming>, record: Exchange, lease: Lease) -> Response<BoxBody> {
    let (mut head, content) = answer.into_parts();
    head.extensions.clear();
    head.version = http::Version::default();
    headers::to_caller(&mut head.headers, &record.id);
    if Meter::is_sealed(&head.headers) {
        head.headers.insert(header::TRAILER, http::HeaderValue::from_static(USAGE));
    }
    let meter = Meter::for_answer(&head.headers);
    Response::from_parts(head, body::boxed(Download::new(content, meter, record, lease)))
}

fn target_model(head: &request::Parts, endpoint: Endpoint) -> Result<String, ApiError> {
    let mut values = head.headers.get_all(names::TARGET_MODEL).iter();
    let value = match (values.next(), values.next()) {
        (Some(value), None) => value.to_str().map(str::trim).unwrap_or_default(),
        (None, _) if endpoint == Endpoint::Unstructured => DOCUMENT_MODEL,
        (None, _) => "",
        (Some(_), Some(_)) => {
            return Err(ApiError::bad_request(
                "several_target_models",
                "The request has more than one `Privatemode-Target-Model` header. Send exactly one.",
            ));
        }
    };
    if value.is_empty() {
        return Err(ApiError::bad_request(
            "missing_target_model",
            "Send the header `Privatemode-Target-Model` with the request's `model`. Bodies are encrypted, so the gateway \
             routes by it; privatemode-proxy and the SDKs send it by themselves: point the tool at the proxy.",
        )
        .with_param("model"));
    }
    Ok(value.to_owned())
}

fn too_large(max: u64) -> ApiError {
    // The rest of the body is not read: the connection cannot be used again.
    ApiError::too_large(usize::try_from(max).unwrap_or(usize::MAX))
        .with_header(header::CONNECTION, http::HeaderValue::from_static("close"))
}

fn incomplete() -> ApiError {
    ApiError::bad_request("body_incomplete", "The request's body could not be read to its end.")
}

fn unreachable_worker(error: &Error) -> ApiError {
    ApiError::new(
        StatusCode::BAD_GATEWAY,
        "worker_failed",
        "The worker broke off before it answered. Send the request again.",
    )
    .with_private(Chain(error))
}
