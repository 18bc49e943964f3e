//! What the proxy says about itself: `/healthz`, `/readyz`, the JSON of `/privatemode/status`, and its page
//! ([`crate::page`]). Says no secret and no key. Specification: product.md P12.

use http::{HeaderValue, Response, StatusCode, header};
use jiff::Timestamp;
use privatemode_attest::UnixTime;
use privatemode_client::{Phase, Protocol, Status, chain};
use privatemode_service::{BoxBody, body::full, version};
use serde::Serialize;

use crate::page;

/// What does not change while the process runs.
pub(crate) struct About {
    pub(crate) api_endpoint: String,
    pub(crate) manifest_source: String,
    pub(crate) key_mode: &'static str,
    pub(crate) prompt_cache: &'static str,
    pub(crate) padding: String,
    pub(crate) listening: String,
    /// Settings that are weaker than they could be.
    pub(crate) downgrades: Vec<String>,
}

/// The status as JSON has it and the page shows it.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) name: &'static str,
    pub(crate) version: &'static str,
    /// `never_verified`, `verified` or `failing`.
    pub(crate) state: &'static str,
    /// Requests can be sealed now.
    pub(crate) ready: bool,
    /// Why not, and what next.
    pub(crate) reason: Option<String>,
    /// SIMULATED: nothing is protected.
    pub(crate) simulated: bool,
    /// A test's root stood in the vendor's place: nothing is proved.
    pub(crate) test_root: bool,
    pub(crate) manifest: Option<ManifestReport>,
    pub(crate) platform: Option<String>,
    pub(crate) protocol: Option<&'static str>,
    /// Why this one.
    pub(crate) protocol_reason: Option<String>,
    /// How lengths are hidden, with sealed bodies.
    pub(crate) padding: Option<String>,
    pub(crate) verified_at: Option<String>,
    pub(crate) secret: Option<SecretReport>,
    pub(crate) failing: Option<FailingReport>,
    pub(crate) downgrades: Vec<String>,
    pub(crate) api_endpoint: String,
    pub(crate) manifest_source: String,
    pub(crate) api_key: &'static str,
    pub(crate) prompt_cache: &'static str,
    pub(crate) listening: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct ManifestReport {
    pub(crate) digest: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct SecretReport {
    pub(crate) id: String,
    pub(crate) renewed_from: String,
    pub(crate) expires_at: String,
}

#[derive(Debug, Serialize)]
pub(crate) struct FailingReport {
    pub(crate) since: String,
    pub(crate) attempts: u32,
    pub(crate) error: String,
}

impl Report {
    pub(crate) fn of(about: &About, status: &Status, now: UnixTime) -> Self {
        let ready = status.is_ready(now);
        let verified = status.verified.as_deref();
        let failing = status.failing.as_ref().map(|failing| FailingReport {
            since: rfc3339(failing.since),
            attempts: failing.attempts,
            error: chain(&*failing.error),
        });
        let reason = (!ready).then(|| match &failing {
            Some(failing) => format!("the deployment is not verified: {}", failing.error),
            None => "the deployment is being verified".to_owned(),
        });
        let mut downgrades = verified.map(|verified| verified.downgrades.clone()).unwrap_or_default();
        downgrades.extend(about.downgrades.iter().cloned());
        Self {
            name: "privatemode-proxy",
            version: version(),
            state: match status.phase() {
                Phase::NeverVerified => "never_verified",
                Phase::Verified => "verified",
                Phase::Failing => "failing",
            },
            ready,
            reason,
            simulated: verified.is_some_and(|verified| verified.simulated),
            test_root: verified.is_some_and(|verified| verified.test_root),
            manifest: verified.map(|verified| ManifestReport { digest: verified.manifest_digest.clone() }),
            platform: verified.map(|verified| verified.platform.clone()),
            protocol: verified.map(|verified| verified.protocol.protocol.name()),
            protocol_reason: verified.map(|verified| verified.protocol.why.to_string()),
            padding: verified
                .filter(|verified| verified.protocol.protocol == Protocol::SealedBody)
                .map(|_| about.padding.clone()),
            verified_at: verified.map(|verified| rfc3339(verified.at)),
            secret: status.credential.as_ref().map(|credential| SecretReport {
                id: credential.id().as_str().to_owned(),
                renewed_from: rfc3339(credential.renew_at()),
                expires_at: rfc3339(credential.expires_at()),
            }),
            failing,
            downgrades,
            api_endpoint: about.api_endpoint.clone(),
            manifest_source: about.manifest_source.clone(),
            api_key: about.key_mode,
            prompt_cache: about.prompt_cache,
            listening: about.listening.clone(),
        }
    }
}

/// The process lives.
pub(crate) fn healthz() -> Response<BoxBody> {
    respond(StatusCode::OK, "text/plain; charset=utf-8", "ok\n".to_owned())
}

/// Attested or not, and why.
pub(crate) fn readyz(report: &Report) -> Response<BoxBody> {
    let unproved = match (report.simulated, report.test_root) {
        (true, _) => " (SIMULATED: nothing is protected)",
        (false, true) => " (TEST ROOT: nothing is proved)",
        (false, false) => "",
    };
    match &report.reason {
        None => respond(StatusCode::OK, "text/plain; charset=utf-8", format!("ready: attested{unproved}\n")),
        Some(reason) => respond(
            StatusCode::SERVICE_UNAVAILABLE,
            "text/plain; charset=utf-8",
            format!("not ready: {reason}\n"),
        ),
    }
}

pub(crate) fn json(report: &Report) -> Response<BoxBody> {
    let text = serde_json::to_string_pretty(report).expect("strings and numbers always serialise");
    respond(StatusCode::OK, "application/json", text + "\n")
}

pub(crate) fn page(report: &Report) -> Response<BoxBody> {
    let mut response = respond(StatusCode::OK, "text/html; charset=utf-8", page::html(report));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(page::POLICY));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    response
}

fn respond(status: StatusCode, kind: &'static str, text: String) -> Response<BoxBody> {
    let mut response = Response::new(full(text));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn rfc3339(time: UnixTime) -> String {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    Timestamp::from_second(seconds).map_or_else(|_| time.to_string(), |time| time.to_string())
}

#[cfg(test)]
mod tests;
