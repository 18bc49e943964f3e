//! A coordinator's HTTP interface for operators. Believes nothing that comes back; what matters is proved afterwards.

use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use reqwest::{Client, RequestBuilder, Url};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use thiserror::Error;

use super::Failure;
use crate::command::attest::input::Unusable;

/// From connecting to the last byte. A coordinator asks its platform and its store meanwhile.
const LIMIT: Duration = Duration::from_secs(60);
/// Longest answer: 256 manifests of 1 MiB are not to be expected.
const MAX_ANSWER: usize = 64 << 20;
const MAX_MESSAGE: usize = 600;

/// Asks for a manifest to be put in force.
#[derive(Debug, Serialize)]
pub(super) struct SetRequest {
    pub(super) manifest: String,
    pub(super) policies: Vec<String>,
    pub(super) signatures: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) owner_key: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) previous_transition: Option<String>,
}

/// It is in force.
#[derive(Debug, Deserialize)]
pub(super) struct SetReply {
    pub(super) root_ca: String,
    pub(super) mesh_ca: String,
    pub(super) latest_transition: String,
    pub(super) seed_shares_doc: Option<SeedShares>,
}

/// The seed, encrypted for each of its owners.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeedShares {
    pub(super) seed_shares: Vec<SeedShare>,
    pub(super) salt: String,
}

/// For one owner.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct SeedShare {
    pub(super) public_key: String,
    pub(super) encrypted_seed: String,
}

/// All that was in force.
#[derive(Debug, Deserialize)]
pub(super) struct ManifestsReply {
    pub(super) manifests: Vec<String>,
    pub(super) policies: Vec<String>,
    #[serde(default)]
    pub(super) latest_transition: Option<String>,
}

/// Why a coordinator did not do as it was told.
#[derive(Debug, Error)]
pub(super) enum ApiError {
    #[error("cannot set up a connection")]
    Client { source: reqwest::Error },
    #[error("the coordinator at {url} cannot be reached")]
    Unreachable { url: String, source: reqwest::Error },
    #[error("the coordinator at {url} refused ({code}, status {status}): {message}")]
    Refused { url: String, status: u16, code: String, message: String },
    #[error("the answer of {url} has more than {MAX_ANSWER} bytes")]
    TooLong { url: String },
    #[error("the answer of {url} is no coordinator's")]
    Json { url: String, source: serde_json::Error },
    #[error("`{member}` in the answer of {url} is not base64")]
    Base64 { url: String, member: &'static str, source: base64::DecodeError },
}

impl ApiError {
    fn next(&self) -> &'static str {
        match self {
            Self::Client { .. } | Self::Unreachable { .. } => {
                "check that the coordinator runs, its URL, and the network in between"
            }
            Self::Json { .. } | Self::Base64 { .. } | Self::TooLong { .. } => {
                "check the URL: is it a coordinator's?"
            }
            Self::Refused { code, status, .. } => next(code, *status),
        }
    }
}

/// What to do about a refusal.
pub(super) fn next(code: &str, status: u16) -> &'static str {
    match code {
        "no_manifest" => "nothing was set here yet: set the first manifest, without --signature",
        "needs_recovery" => "recover it first, with a seed share: `privatemode manifest recover`",
        "already_recovered" => "nothing is to be done",
        "manifest_conflict" => {
            "somebody else changed it in the meantime: see `manifest history`, review, and sign for the latest transition"
        }
        "permission_denied" => {
            "an update needs the signature of an owner of the manifest in force (--signature); its seed-share owners cannot \
             change, and one without owners is immutable"
        }
        "invalid_signature" => {
            "sign this manifest for the latest transition, with a key of the manifest in force: `manifest sign`"
        }
        "invalid_manifest" => "correct what is named: `manifest verify` says more",
        "wrong_seed" | "invalid_seed" => {
            "the shares are of another deployment: find those that its first set wrote"
        }
        "not_confidential" => "give the coordinator's port for attested TLS (1313)",
        "rolled_back" => {
            "the coordinator's store is older than what you know: find out who restored it before you go on"
        }
        "commit_uncertain" => "nobody knows whether it was done: see `manifest history` before you try again",
        _ if status >= 500 => "try again; the coordinator's log says more",
        _ => "check the URL and the flags",
    }
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        let next = error.next();
        Self::refused(error, next)
    }
}

/// One coordinator.
pub(super) struct Api {
    client: Client,
    base: Url,
}

impl Api {
    /// The coordinator at `http://HOST:PORT`.
    pub(super) fn new(url: &str) -> Result<Self, Failure> {
        let wrong = || Unusable::Value {
            flag: "the coordinator",
            value: url.chars().take(200).collect(),
            what: "a URL of the form http://HOST:PORT".to_owned(),
        };
        let base = Url::parse(url).map_err(|_| wrong())?;
        if base.scheme() != "http" || !base.has_host() || !base.username().is_empty() {
            return Err(wrong().into());
        }
        // a redirect would lead elsewhere; and a proxy in between is none of an operator's
        let builder = Client::builder().timeout(LIMIT).redirect(reqwest::redirect::Policy::none()).no_proxy();
        let client = builder.build().map_err(|source| ApiError::Client { source })?;
        Ok(Self { client, base })
    }

    pub(super) fn url(&self) -> &Url {
        &self.base
    }

    pub(super) async fn set(&self, request: &SetRequest) -> Result<SetReply, ApiError> {
        let url = self.at("/manifest");
        let json =
            serde_json::to_vec(request).map_err(|source| ApiError::Json { url: url.to_string(), source })?;
        let request = self.client.post(url.clone()).header("content-type", "application/json").body(json);
        ask(&url, request).await
    }

    pub(super) async fn manifests(&self) -> Result<ManifestsReply, ApiError> {
        let url = self.at("/manifests");
        ask(&url, self.client.get(url.clone())).await
    }

    /// Bytes of a member of an answer.
    pub(super) fn decode(&self, member: &'static str, text: &str) -> Result<Vec<u8>, ApiError> {
        STANDARD.decode(text).map_err(|source| ApiError::Base64 {
            url: self.base.to_string(),
            member,
            source,
        })
    }

    fn at(&self, path: &str) -> Url {
        let mut url = self.base.clone();
        url.set_path(path);
        url
    }
}

async fn ask<T: DeserializeOwned>(url: &Url, request: RequestBuilder) -> Result<T, ApiError> {
    let unreachable =
        |source: reqwest::Error| ApiError::Unreachable { url: url.to_string(), source: source.without_url() };
    let mut response = request.send().await.map_err(unreachable)?;
    let status = response.status();
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(unreachable)? {
        if body.len() + chunk.len() > MAX_ANSWER {
            return Err(ApiError::TooLong { url: url.to_string() });
        }
        body.extend_from_slice(&chunk);
    }
    if status.is_success() {
        return serde_json::from_slice(&body)
            .map_err(|source| ApiError::Json { url: url.to_string(), source });
    }
    let (code, message) = said(&body);
    Err(ApiError::Refused { url: url.to_string(), status: status.as_u16(), code, message })
}

/// Code and words of a refusal, cut.
pub(super) fn said(body: &[u8]) -> (String, String) {
    let said: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    let cut = |member: &str| {
        let text = said.get(member).and_then(serde_json::Value::as_str).unwrap_or("no reason given");
        text.chars().take(MAX_MESSAGE).collect()
    };
    (cut("code"), cut("error"))
}
