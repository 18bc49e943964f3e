//! Sending, with the retries that the protocols know: the order of what is tried, in one place. Seals nothing and opens
//! nothing itself; [`crate::fields`] and [`crate::sealed`] do, one attempt each. Specification: protocol.md §2, §3, §9.
//!
//! A retry is sealed anew, under another salt and request ID: the same ciphertext never goes out twice.

use std::{net::IpAddr, sync::Arc, time::Duration};

use http::{HeaderMap, HeaderName, HeaderValue, header as names};
use privatemode_client::{Credential, Protocol};
use privatemode_service::Chain;
use privatemode_wire::{
    header,
    ocsp::OcspPolicy,
    stream::{ClockSkew, RequestHead, UnixMillis, outer},
};
use uuid::Uuid;

use crate::{
    app::App,
    failure::Failure,
    fields,
    key::ApiKey,
    prepare::Prepared,
    receive::PlainAnswer,
    sealed,
    upstream::{identity, unreachable},
};

/// The pause before the one retry after a connection that broke.
const RESET_PAUSE: Duration = Duration::from_millis(50);
/// What a worker says that does not know the secret.
const NO_SECRET: &[u8] = b"no secret for ID";
/// What of a caller's head reaches the gateway. All else stays here: tools put names, mail addresses and cookies there.
const PASSED: [HeaderName; 1] = [names::ACCEPT];
const PASSED_TEXT: [&str; 2] = ["anthropic-version", "anthropic-beta"];

/// Who asked.
pub(crate) struct Caller {
    /// `proxy_<uuidv7>`, without the attempt.
    pub(crate) id: String,
    pub(crate) path: String,
    headers: HeaderMap,
    /// Wants the receipt of this request in hand.
    pub(crate) wants_receipt: bool,
}

/// One attempt.
pub(crate) struct Call<'a> {
    pub(crate) app: &'a Arc<App>,
    pub(crate) prepared: &'a Arc<Prepared>,
    pub(crate) caller: &'a Caller,
    pub(crate) key: &'a Arc<ApiKey>,
    pub(crate) credential: &'a Arc<Credential>,
    /// Counted from 1.
    pub(crate) attempt: u32,
    /// The sending time that a worker asked for.
    pub(crate) send_as: Option<UnixMillis>,
}

/// What an attempt came to.
pub(crate) enum Attempt {
    /// An answer, good or bad.
    Answered(Exchange),
    /// The connection broke before the first byte of an answer.
    Reset(reqwest::Error),
    /// The worker does not know the secret, and says so in this answer.
    SecretLost(Exchange),
    /// The worker's replay memory does not take the sending time.
    ClockSkew(ClockSkew),
}

/// An answer that came, and what opens it.
pub(crate) enum Exchange {
    /// Marked as plain: an error from before anything was opened.
    Plain(PlainAnswer),
    /// Sealed fields.
    Fields(Box<fields::Exchange>),
    /// A sealed body, its head opened.
    Sealed(Box<sealed::Answer>),
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
        let wants_receipt = head
            .get_all(outer::RECEIPT)
            .iter()
            .any(|value| value.as_bytes().eq_ignore_ascii_case(b"request"));
        Self { id: format!("proxy_{}", Uuid::now_v7()), path: path.to_owned(), headers, wants_receipt }
    }
}

impl Caller {
    /// The caller's `Accept` for the sealed head, where it is one that fits: the outer one may be changed on the way.
    pub(crate) fn accept(&self) -> Option<String> {
        let mut values = self.headers.get_all(names::ACCEPT).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return None };
        value.to_str().ok().filter(|text| text.len() <= RequestHead::MAX_ACCEPT).map(str::to_owned)
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

/// What may still be tried again, each once.
struct Retries {
    reset: bool,
    renew: bool,
    redate: bool,
}

/// Sends the request to the attested deployment.
pub(crate) async fn exchange(
    app: &Arc<App>,
    mut prepared: Arc<Prepared>,
    caller: &Caller,
    key: &Arc<ApiKey>,
) -> Result<Exchange, Failure> {
    let mut credential = credential(app, key).await?;
    let mut may = Retries { reset: true, renew: true, redate: true };
    let (mut attempt, mut send_as) = (0_u32, None);
    loop {
        attempt += 1;
        let protocol = credential.verification().protocol.protocol;
        if protocol == Protocol::Fields {
            prepared = Prepared::into_whole(prepared, app).await?;
        }
        let call = Call { app, prepared: &prepared, caller, key, credential: &credential, attempt, send_as };
        let outcome = match protocol {
            Protocol::Fields => fields::attempt(&call).await?,
            Protocol::SealedBody => sealed::attempt(&call).await?,
        };
        let again = prepared.body.is_replayable();
        match outcome {
            Attempt::Answered(exchange) => return Ok(exchange),
            Attempt::Reset(error) => {
                if !again || !std::mem::take(&mut may.reset) {
                    return Err(Failure::Unreachable { source: unreachable(error) });
                }
                tracing::debug!(
                    request.id = caller.id,
                    "connection broke before an answer, trying once more"
                );
                tokio::time::sleep(RESET_PAUSE).await;
            }
            Attempt::SecretLost(exchange) => {
                if !std::mem::take(&mut may.renew) {
                    return Ok(exchange);
                }
                tracing::info!(request.id = caller.id, "the worker lost the secret, exchanging a new one");
                credential = app
                    .session
                    .replace(credential.id())
                    .await
                    .map_err(|source| Failure::NotAttested { source })?;
                if !again {
                    return Err(Failure::Unrepeatable {
                        why: "the worker had lost the secret it was encrypted for",
                    });
                }
            }
            Attempt::ClockSkew(skew) => {
                app.sending_time.corrected(skew, app.clock.now());
                if !again || !std::mem::take(&mut may.redate) {
                    let why = "the worker did not take its date, which is corrected now";
                    return Err(Failure::Unrepeatable { why });
                }
                tracing::info!(request.id = caller.id, server_time = %skew.server_time, "the worker asks for another date");
                send_as = Some(skew.send_as);
            }
        }
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

impl Call<'_> {
    /// What both protocols have outside of the body (`protocol.md` §2).
    pub(crate) fn headers(&self) -> HeaderMap {
        let mut headers = identity(Some(self.key));
        headers.extend(self.caller.headers.clone());
        let text = |value: &str| HeaderValue::from_str(value).ok();
        let mut set = |name: &'static str, value: Option<HeaderValue>| {
            if let Some(value) = value {
                headers.insert(name, value);
            }
        };
        set(header::TARGET_MODEL, self.prepared.model.clone());
        set(header::SECRET_ID, text(self.credential.id().as_str()));
        set(header::SHARD_KEY, self.prepared.shard_key.clone());
        set(header::USER_REQUEST_ID, text(&format!("{}_{}", self.caller.id, self.attempt)));
        headers
    }

    /// The OCSP policy, into `headers` with its MAC. The time is taken anew for each request: a grace period moves with it.
    pub(crate) fn ocsp_policy(&self, headers: &mut HeaderMap) -> String {
        let ocsp = self.app.ocsp;
        let policy = OcspPolicy::new(ocsp.allow_unknown, ocsp.revoked_grace, self.app.clock.now().as_secs())
            .to_string();
        let mac = privatemode_wire::ocsp::mac(self.credential.secret(), &policy);
        for (name, value) in [(header::OCSP_POLICY, &policy), (header::OCSP_POLICY_MAC, &mac)] {
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        }
        policy
    }

    /// Notes what the status says of the key, and that there is an answer.
    pub(crate) fn answered(&self, status: http::StatusCode) {
        if status == http::StatusCode::UNAUTHORIZED {
            self.app.upstream.keys().refused(self.key);
        }
        tracing::debug!(
            request.id = self.caller.id,
            attempt = self.attempt,
            status = status.as_u16(),
            "answered"
        );
    }

    /// Why sending failed: the caller's body, a connection that broke, or a host that is not there.
    pub(crate) fn not_sent(&self, error: reqwest::Error) -> Result<Attempt, Failure> {
        if let crate::payload::Payload::Streamed(upload) = &self.prepared.body
            && let Some(source) = upload.take_fault()
        {
            return Err(Failure::Body { source });
        }
        if crate::upstream::is_reset(&error) {
            return Ok(Attempt::Reset(error));
        }
        tracing::debug!(request.id = self.caller.id, error = %Chain(&error), "not sent");
        Err(Failure::Unreachable { source: unreachable(error) })
    }
}

/// Whether an error says that the worker does not know the secret.
pub(crate) fn is_secret_lost(body: &[u8]) -> bool {
    body.windows(NO_SECRET.len()).any(|window| window == NO_SECRET)
}
