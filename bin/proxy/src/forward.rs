//! Sealing and sending, with the two retries that the protocol knows. Opens nothing. Specification: protocol.md §2, §3, §6.
//!
//! A retry is sealed anew: the same ciphertext never goes out twice.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header as names};
use privatemode_client::Credential;
use privatemode_wire::{
    header,
    message::{RequestSealer, ResponseOpener},
    ocsp::OcspPolicy,
};
use uuid::Uuid;

use crate::{
    app::App,
    failure::Failure,
    key::ApiKey,
    prepare::Prepared,
    upstream::{identity, is_reset, read, unreachable},
};

/// The pause before the one retry after a connection that broke.
const RESET_PAUSE: Duration = Duration::from_millis(50);
/// From this size on, sealing would hold up other requests of the same thread.
const LARGE: usize = 256 << 10;
/// Longest error answer that is searched for the lost secret.
const MAX_ERROR: usize = 1 << 20;
/// What a worker says that does not know the secret.
const NO_SECRET: &[u8] = b"no secret for ID";
/// What of a caller's head reaches the gateway. All else stays here: tools put names, mail addresses and cookies there.
const PASSED: [HeaderName; 1] = [names::ACCEPT];
const PASSED_TEXT: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// Who asked.
pub(crate) struct Caller {
    /// `proxy_<uuidv7>`, without the attempt.
    pub(crate) id: String,
    path: String,
    headers: HeaderMap,
}

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

impl Caller {
    pub(crate) fn new(path: &str, head: &HeaderMap, remote: Option<IpAddr>) -> Self {
        let mut headers = HeaderMap::new();
        for name in PASSED.into_iter().chain(PASSED_TEXT.map(HeaderName::from_static)) {
            for value in head.get_all(&name) {
                headers.append(name.clone(), value.clone());
            }
        }
        if let Some(value) = forwarded_for(head, remote) {
            headers.insert(FORWARDED_FOR, value);
        }
        Self { id: format!("proxy_{}", Uuid::now_v7()), path: path.to_owned(), headers }
    }
}

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");

/// Extended as proxies do. A caller on this machine adds nothing: its address says nothing.
fn forwarded_for(head: &HeaderMap, remote: Option<IpAddr>) -> Option<HeaderValue> {
    let before =
        head.get_all(FORWARDED_FOR).iter().filter_map(|value| value.to_str().ok()).map(str::to_owned);
    let remote = remote.filter(|ip| !ip.to_canonical().is_loopback()).map(|ip| ip.to_string());
    let chain: Vec<String> = before.chain(remote).collect();
    if chain.is_empty() { None } else { HeaderValue::from_str(&chain.join(", ")).ok() }
}

/// Sends the request to the attested deployment.
pub(crate) async fn exchange(
    app: &Arc<App>,
    prepared: Arc<Prepared>,
    caller: &Caller,
    key: &Arc<ApiKey>,
) -> Result<Exchange, Failure> {
    let mut credential = credential(app, key).await?;
    let (mut may_reset, mut may_renew) = (true, true);
    let mut attempt = 0_u32;
    loop {
        attempt += 1;
        let (sealed, opener) = seal(app, &prepared, &credential).await?;
        let headers = headers(app, &prepared, caller, key, &credential, attempt);
        let answer = match app.upstream.send(Method::POST, &caller.path, headers, sealed).await {
            Err(error) if may_reset && is_reset(&error) => {
                may_reset = false;
                tracing::debug!(
                    request.id = caller.id,
                    "connection broke before an answer, trying once more"
                );
                tokio::time::sleep(RESET_PAUSE).await;
                continue;
            }
            Err(error) => return Err(Failure::Unreachable { source: unreachable(error) }),
            Ok(answer) => answer,
        };
        let (status, headers) = (answer.status(), answer.headers().clone());
        if status == StatusCode::UNAUTHORIZED {
            app.upstream.keys().refused(key);
        }
        tracing::debug!(request.id = caller.id, attempt, status = status.as_u16(), "answered");
        if status != StatusCode::INTERNAL_SERVER_ERROR {
            return Ok(Exchange { status, headers, body: AnswerBody::Coming(answer), opener });
        }
        let body = read(answer, MAX_ERROR).await.map_err(|source| Failure::Unreachable { source })?;
        if may_renew && body.windows(NO_SECRET.len()).any(|window| window == NO_SECRET) {
            may_renew = false;
            tracing::info!(request.id = caller.id, "the worker lost the secret, exchanging a new one");
            credential = app
                .session
                .replace(credential.id())
                .await
                .map_err(|source| Failure::NotAttested { source })?;
            continue;
        }
        return Ok(Exchange { status, headers, body: AnswerBody::Whole(body), opener });
    }
}

/// The credential, waiting for it as long as it may still come. Without a configured key this caller's key may have to
/// pay for the attestation; if another caller's was refused meanwhile, this one's is tried.
async fn credential(app: &App, key: &Arc<ApiKey>) -> Result<Arc<Credential>, Failure> {
    let keys = app.upstream.keys();
    keys.offer(key);
    let mut outcome = app.session.credential_within(app.attestation_wait).await;
    if let Err(error) = &outcome
        && error.is_about_key()
        && !keys.is_configured()
        && (keys.offer(key) || keys.for_session().is_some())
    {
        outcome = app.session.credential_within(app.attestation_wait).await;
    }
    outcome.map_err(|source| Failure::NotAttested { source })
}

async fn seal(
    app: &Arc<App>,
    prepared: &Arc<Prepared>,
    credential: &Arc<Credential>,
) -> Result<(Vec<u8>, ResponseOpener), Failure> {
    let (app, input, credential) = (Arc::clone(app), Arc::clone(prepared), Arc::clone(credential));
    let work = move || {
        let mut rng = app.entropy.rng();
        let mut sealer = RequestSealer::new(credential.id(), credential.secret(), &mut *rng);
        let content_type = input.content_type.as_ref().and_then(|value| value.to_str().ok());
        let sealed = sealer
            .seal(input.endpoint, content_type, &input.body, &mut *rng)
            .map_err(|source| Failure::Seal { source })?;
        Ok((sealed, sealer.finish()))
    };
    if prepared.body.len() < LARGE {
        return work();
    }
    tokio::task::spawn_blocking(work).await.map_err(|_| Failure::Task)?
}

/// `protocol.md` §2.
fn headers(
    app: &App,
    prepared: &Prepared,
    caller: &Caller,
    key: &ApiKey,
    credential: &Credential,
    attempt: u32,
) -> HeaderMap {
    let mut headers = identity(Some(key));
    headers.extend(caller.headers.clone());
    if let Some(content_type) = &prepared.content_type {
        headers.insert(names::CONTENT_TYPE, content_type.clone());
    }
    let text = |value: &str| HeaderValue::from_str(value).ok();
    let mut set = |name: &'static str, value: Option<HeaderValue>| {
        if let Some(value) = value {
            headers.insert(name, value);
        }
    };
    set(header::TARGET_MODEL, prepared.model.clone());
    set(header::SECRET_ID, text(credential.id().as_str()));
    set(header::SHARD_KEY, prepared.shard_key.clone());
    let policy = ocsp_policy(app).to_string();
    set(header::OCSP_POLICY, text(&policy));
    set(header::OCSP_POLICY_MAC, text(&privatemode_wire::ocsp::mac(credential.secret(), &policy)));
    set(header::USER_REQUEST_ID, text(&format!("{}_{attempt}", caller.id)));
    headers
}

/// The time is taken anew for each request: a grace period moves with it.
fn ocsp_policy(app: &App) -> OcspPolicy {
    OcspPolicy::new(app.ocsp.allow_unknown, app.ocsp.revoked_grace, app.clock.now().as_secs())
}
