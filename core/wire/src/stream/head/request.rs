//! The request's head.

use serde::{Deserialize, Serialize};

use super::{HeadError, MAX_HEAD, ManifestDigest, RequestId, printable, unhex};
use crate::stream::{Padding, UnixMillis, from_canonical, to_canonical};

/// What a request is, under the seal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHead {
    /// Upper case.
    pub method: String,
    /// With its query, as the gateway sees it.
    pub path: String,
    /// Of the plaintext body.
    pub content_type: Option<String>,
    /// The caller's `Accept`: some engines choose the answer's form by it.
    pub accept: Option<String>,
    /// The body's model.
    pub model: Option<String>,
    /// Whether the answer is to be streamed.
    pub stream: bool,
    /// The body's limit of tokens.
    pub max_tokens: Option<u64>,
    /// The body's number of answers.
    pub n: Option<u64>,
    /// The prefix-affinity key that the gateway routes by.
    pub shard_key: Option<String>,
    /// The policy that stands in the outer header, so that no other of the same secret can take its place.
    pub ocsp_policy: Option<String>,
    /// Fresh for each request, retries included.
    pub request_id: RequestId,
    /// By the client's clock, or as the worker's last refusal told it ([`super::ClockSkew`]).
    pub sent: UnixMillis,
    /// The manifest that the client verified.
    pub manifest: ManifestDigest,
    /// For both directions.
    pub padding: Padding,
    /// Whether a receipt is wanted.
    pub receipt: bool,
}

// Members in the order of their names: that is the canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    accept: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    manifest: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_tokens: Option<u64>,
    method: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    n: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ocsp_policy: Option<String>,
    padding: String,
    path: String,
    receipt: bool,
    request_id: String,
    sent_ms: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    shard_key: Option<String>,
    stream: bool,
    v: u64,
}

impl RequestHead {
    /// Longest head, in bytes of JSON.
    pub const MAX_LENGTH: usize = MAX_HEAD;
    /// Longest `Accept`, in bytes.
    pub const MAX_ACCEPT: usize = 512;

    /// Canonical JSON. Says nothing that [`RequestHead::parse`] refuses.
    pub fn to_json(&self) -> Result<String, HeadError> {
        self.check()?;
        let head = self.clone();
        Ok(to_canonical(&Wire {
            accept: head.accept,
            content_type: head.content_type,
            manifest: hex::encode(head.manifest.0),
            max_tokens: head.max_tokens,
            method: head.method,
            model: head.model,
            n: head.n,
            ocsp_policy: head.ocsp_policy,
            padding: head.padding.to_string(),
            path: head.path,
            receipt: head.receipt,
            request_id: head.request_id.to_string(),
            sent_ms: head.sent.0,
            shard_key: head.shard_key,
            stream: head.stream,
            v: 1,
        }))
    }

    /// Parses the JSON, strictly.
    pub fn parse(json: &[u8]) -> Result<RequestHead, HeadError> {
        let wire: Wire = from_canonical(json, MAX_HEAD).map_err(HeadError::Json)?;
        if wire.v != 1 {
            return Err(HeadError::Version { version: wire.v });
        }
        let head = RequestHead {
            method: wire.method,
            path: wire.path,
            content_type: wire.content_type,
            accept: wire.accept,
            model: wire.model,
            stream: wire.stream,
            max_tokens: wire.max_tokens,
            n: wire.n,
            shard_key: wire.shard_key,
            ocsp_policy: wire.ocsp_policy,
            request_id: RequestId(unhex(&wire.request_id, "request_id")?),
            sent: UnixMillis(wire.sent_ms),
            manifest: ManifestDigest(unhex(&wire.manifest, "manifest")?),
            padding: wire.padding.parse().map_err(|_| HeadError::Member { member: "padding" })?,
            receipt: wire.receipt,
        };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), HeadError> {
        if !(1..=16).contains(&self.method.len()) || !self.method.bytes().all(|b| b.is_ascii_uppercase()) {
            return Err(HeadError::Member { member: "method" });
        }
        if !self.path.starts_with('/') || self.path.contains(' ') {
            return Err(HeadError::Member { member: "path" });
        }
        printable(&self.path, 2048, "path")?;
        let optional = [
            (&self.accept, RequestHead::MAX_ACCEPT, "accept"),
            (&self.content_type, 256, "content_type"),
            (&self.model, 256, "model"),
            (&self.ocsp_policy, 256, "ocsp_policy"),
            (&self.shard_key, 4096, "shard_key"),
        ];
        for (value, max, member) in optional {
            value.as_deref().map_or(Ok(()), |value| printable(value, max, member))?;
        }
        Ok(())
    }
}
