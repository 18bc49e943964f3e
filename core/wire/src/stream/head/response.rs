//! The response's head.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{HeadError, MAX_HEAD, RequestId, printable, unhex};
use crate::replay::Refusal;
use crate::stream::{UnixMillis, from_canonical, to_canonical};

const MAX_HEADERS: usize = 16;

/// What a response is, under the seal. Errors are responses too: a status, and the error's JSON as the body.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ResponseHead {
    /// 200 to 599.
    pub status: u16,
    /// Of the plaintext body.
    pub content_type: Option<String>,
    /// The request that is answered.
    pub request_id: RequestId,
    /// Further headers for the caller, by lower-case name.
    pub headers: BTreeMap<String, String>,
    /// Why the request was not run: only with status 409, 429 or 503.
    pub refusal: Option<Refusal>,
}

/// The worker refused a request for its sending time. A fresh head (new request ID) with [`send_as`](Self::send_as) as
/// sending time is worth one retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockSkew {
    /// The worker's clock when it refused.
    pub server_time: UnixMillis,
    /// The sending time that it will take.
    pub send_as: UnixMillis,
}

// Members in the order of their names: that is the canonical order.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire {
    #[serde(skip_serializing_if = "Option::is_none")]
    content_type: Option<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    headers: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refusal: Option<Code>,
    request_id: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    server_ms: Option<u64>,
    status: u16,
    v: u64,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Code {
    BeforeStart,
    FromFuture,
    Full,
    Replayed,
    Share,
    TooOld,
}

impl ResponseHead {
    /// Longest head, in bytes of JSON.
    pub const MAX_LENGTH: usize = MAX_HEAD;

    /// A head without further headers.
    pub fn new(status: u16, content_type: Option<&str>, request_id: RequestId) -> ResponseHead {
        let content_type = content_type.map(str::to_owned);
        ResponseHead { status, content_type, request_id, headers: BTreeMap::new(), refusal: None }
    }

    /// A refusal; `content_type` of the error body.
    pub fn refused(refusal: Refusal, content_type: &str, request_id: RequestId) -> ResponseHead {
        let head = ResponseHead::new(refusal.status(), Some(content_type), request_id);
        ResponseHead { refusal: Some(refusal), ..head }
    }

    /// Whether a fresh head with a corrected sending time may be tried once.
    pub fn clock_skew(&self) -> Option<ClockSkew> {
        match self.refusal? {
            Refusal::TooOld { server_time } | Refusal::FromFuture { server_time } => {
                Some(ClockSkew { server_time, send_as: server_time })
            }
            Refusal::BeforeStart { server_time, not_before } => {
                Some(ClockSkew { server_time, send_as: server_time.max(not_before) })
            }
            Refusal::Replayed | Refusal::Share | Refusal::Full => None,
        }
    }

    /// Canonical JSON. Says nothing that [`ResponseHead::parse`] refuses.
    pub fn to_json(&self) -> Result<String, HeadError> {
        self.check()?;
        let (refusal, server, not_before) = match self.refusal {
            None => (None, None, None),
            Some(Refusal::Replayed) => (Some(Code::Replayed), None, None),
            Some(Refusal::Share) => (Some(Code::Share), None, None),
            Some(Refusal::Full) => (Some(Code::Full), None, None),
            Some(Refusal::TooOld { server_time }) => (Some(Code::TooOld), Some(server_time), None),
            Some(Refusal::FromFuture { server_time }) => (Some(Code::FromFuture), Some(server_time), None),
            Some(Refusal::BeforeStart { server_time, not_before }) => {
                (Some(Code::BeforeStart), Some(server_time), Some(not_before))
            }
        };
        Ok(to_canonical(&Wire {
            content_type: self.content_type.clone(),
            headers: self.headers.clone(),
            not_before_ms: not_before.map(|time| time.0),
            refusal,
            request_id: self.request_id.to_string(),
            server_ms: server.map(|time| time.0),
            status: self.status,
            v: 1,
        }))
    }

    /// Parses the JSON, strictly.
    pub fn parse(json: &[u8]) -> Result<ResponseHead, HeadError> {
        let wire: Wire = from_canonical(json, MAX_HEAD).map_err(HeadError::Json)?;
        if wire.v != 1 {
            return Err(HeadError::Version { version: wire.v });
        }
        let head = ResponseHead {
            status: wire.status,
            request_id: RequestId(unhex(&wire.request_id, "request_id")?),
            refusal: wire.refusal()?,
            content_type: wire.content_type,
            headers: wire.headers,
        };
        head.check()?;
        Ok(head)
    }

    fn check(&self) -> Result<(), HeadError> {
        let status = HeadError::Member { member: "status" };
        if !(200..=599).contains(&self.status) {
            return Err(status);
        }
        // A refusal under a success would be a success to whoever reads the status alone.
        if self.refusal.is_some_and(|refusal| refusal.status() != self.status) {
            return Err(status);
        }
        self.content_type.as_deref().map_or(Ok(()), |value| printable(value, 256, "content_type"))?;
        let name = |name: &str| {
            let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
            (1..=64).contains(&name.len()) && name.bytes().all(plain)
        };
        if self.headers.len() > MAX_HEADERS || !self.headers.keys().all(|header| name(header)) {
            return Err(HeadError::Member { member: "headers" });
        }
        self.headers.values().try_for_each(|value| printable(value, 1024, "headers"))
    }
}

impl Wire {
    fn refusal(&self) -> Result<Option<Refusal>, HeadError> {
        let refusal = match (self.refusal, self.server_ms.map(UnixMillis), self.not_before_ms.map(UnixMillis))
        {
            (None, None, None) => return Ok(None),
            (Some(Code::Replayed), None, None) => Refusal::Replayed,
            (Some(Code::Share), None, None) => Refusal::Share,
            (Some(Code::Full), None, None) => Refusal::Full,
            (Some(Code::TooOld), Some(server_time), None) => Refusal::TooOld { server_time },
            (Some(Code::FromFuture), Some(server_time), None) => Refusal::FromFuture { server_time },
            (Some(Code::BeforeStart), Some(server_time), Some(not_before)) => {
                Refusal::BeforeStart { server_time, not_before }
            }
            _ => return Err(HeadError::Member { member: "refusal" }),
        };
        Ok(Some(refusal))
    }
}
