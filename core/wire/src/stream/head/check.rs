//! The head against what stands outside the body and what stands within it.

use std::fmt;

use super::RequestHead;

/// The outer headers as the worker received them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outer<'a> {
    /// Of the HTTP request.
    pub method: &'a str,
    /// Of the HTTP request, with its query.
    pub path: &'a str,
    /// `Privatemode-Target-Model`.
    pub model: Option<&'a str>,
    /// `Privatemode-Shard-Key`.
    pub shard_key: Option<&'a str>,
    /// `Privatemode-Max-Tokens`.
    pub max_tokens: Option<&'a str>,
    /// `Privatemode-NVIDIA-OCSP-Policy`.
    pub ocsp_policy: Option<&'a str>,
}

/// What the body itself says, so that nobody is billed for one model and served another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct BodyFields<'a> {
    /// `model`.
    pub model: Option<&'a str>,
    /// `stream`; absent is `false`.
    pub stream: bool,
    /// The endpoint's limit of tokens.
    pub max_tokens: Option<u64>,
    /// `n`.
    pub n: Option<u64>,
}

/// A statement that stands in the head and elsewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HeadField {
    /// HTTP method.
    Method,
    /// HTTP path with query.
    Path,
    /// Model.
    Model,
    /// Prefix-affinity key.
    ShardKey,
    /// Limit of tokens.
    MaxTokens,
    /// Number of answers.
    N,
    /// Streamed or not.
    Stream,
    /// OCSP policy.
    OcspPolicy,
    /// Estimated length in tokens.
    ContentLengthTokens,
}

/// The head says something else than the outer headers or the body. Answered with 400.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the {field} differs from what the sealed head says: it was changed on the way")]
pub struct HeadMismatch {
    /// In what.
    pub field: HeadField,
}

impl fmt::Display for HeadField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            HeadField::Method => "method",
            HeadField::Path => "path",
            HeadField::Model => "model",
            HeadField::ShardKey => "shard key",
            HeadField::MaxTokens => "token limit",
            HeadField::N => "number of answers",
            HeadField::Stream => "stream flag",
            HeadField::OcspPolicy => "OCSP policy",
            HeadField::ContentLengthTokens => "estimated length",
        })
    }
}

impl RequestHead {
    /// Holds the head against the outer headers: each must be there exactly where the head has it, with the same value.
    /// (`Privatemode-Content-Length-Tokens` is checked when the body has ended:
    /// [`crate::stream::Responder::check_length_tokens`].)
    pub fn check_outer(&self, outer: &Outer<'_>) -> Result<(), HeadMismatch> {
        // One spelling of a number: as text, or `+5` and `05` would pass as 5.
        let max_tokens = self.max_tokens.map(|tokens| tokens.to_string());
        demand(HeadField::Method, self.method == outer.method)?;
        demand(HeadField::Path, self.path == outer.path)?;
        demand(HeadField::Model, self.model.as_deref() == outer.model)?;
        demand(HeadField::ShardKey, self.shard_key.as_deref() == outer.shard_key)?;
        demand(HeadField::MaxTokens, max_tokens.as_deref() == outer.max_tokens)?;
        demand(HeadField::OcspPolicy, self.ocsp_policy.as_deref() == outer.ocsp_policy)
    }

    /// Holds the head against the body.
    pub fn check_body(&self, body: &BodyFields<'_>) -> Result<(), HeadMismatch> {
        demand(HeadField::Model, self.model.as_deref() == body.model)?;
        demand(HeadField::Stream, self.stream == body.stream)?;
        demand(HeadField::MaxTokens, self.max_tokens == body.max_tokens)?;
        demand(HeadField::N, self.n == body.n)
    }
}

pub(in crate::stream) fn demand(field: HeadField, equal: bool) -> Result<(), HeadMismatch> {
    if equal { Ok(()) } else { Err(HeadMismatch { field }) }
}
