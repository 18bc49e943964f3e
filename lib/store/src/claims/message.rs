//! `POST /v1/claims`: `{"key": base64, "owner": base64, "sent": milliseconds, "attempt": base64}` → 204, or 409, 429 or 503 with
//! `{"reason", "time", "not_before"}`.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_wire::{
    replay::{Refusal, ReplayKey},
    stream::UnixMillis,
};
use serde::{Deserialize, Serialize};

/// A worker asks whether it may run a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ClaimMessage {
    /// The request's name.
    pub key: ReplayKey,
    /// The request's sealed sending time.
    pub sent: UnixMillis,
    /// The worker's own mark on this claim, random: whoever did not hear the answer of one secret service may ask another.
    pub attempt: Option<[u8; 16]>,
}

/// It may not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RefusalMessage(pub Refusal);

/// Neither of the two. Says nothing of the content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClaimMessageError {
    /// Not the JSON expected.
    #[error("the message is not the JSON that is expected")]
    Json,
    /// The key is not 32 bytes in base64.
    #[error("the key is not 32 bytes in base64")]
    Key,
    /// The owner's mark is not 8 bytes in base64.
    #[error("the owner is not 8 bytes in base64")]
    Owner,
    /// The attempt's mark is not 16 bytes in base64.
    #[error("the attempt is not 16 bytes in base64")]
    Attempt,
    /// A reason without what belongs to it.
    #[error("the refusal is incomplete")]
    Refusal,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireClaim {
    key: String,
    owner: String,
    sent: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    attempt: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct WireRefusal {
    reason: Reason,
    time: u64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    not_before: Option<u64>,
}

#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Reason {
    Replayed,
    TooOld,
    FromFuture,
    BeforeStart,
    Share,
    Full,
}

impl ClaimMessage {
    /// Longest message, in bytes.
    pub const MAX: usize = 512;

    /// JSON.
    #[must_use]
    pub fn to_json(&self) -> String {
        let (key, owner) = (self.key.as_bytes(), self.key.owner());
        let (key, owner) = (STANDARD.encode(key), STANDARD.encode(owner.as_bytes()));
        let attempt = self.attempt.map(|attempt| STANDARD.encode(attempt));
        let wire = WireClaim { key, owner, sent: self.sent.0, attempt };
        serde_json::to_string(&wire).expect("strings and a number serialise")
    }

    /// Parses JSON.
    ///
    /// # Errors
    /// [`ClaimMessageError`].
    pub fn parse(json: &[u8]) -> Result<Self, ClaimMessageError> {
        let WireClaim { key, owner, sent, attempt } =
            serde_json::from_slice(json).map_err(|_| ClaimMessageError::Json)?;
        let key = STANDARD.decode(key).ok().and_then(|key| key.try_into().ok());
        let owner = STANDARD.decode(owner).ok().and_then(|owner| owner.try_into().ok());
        let key =
            ReplayKey::from_bytes(key.ok_or(ClaimMessageError::Key)?, owner.ok_or(ClaimMessageError::Owner)?);
        let attempt = attempt.map(|attempt| {
            let bytes = STANDARD.decode(attempt).ok().and_then(|bytes| bytes.try_into().ok());
            bytes.ok_or(ClaimMessageError::Attempt)
        });
        Ok(Self { key, sent: UnixMillis(sent), attempt: attempt.transpose()? })
    }
}

impl RefusalMessage {
    /// Longest message, in bytes.
    pub const MAX: usize = 512;

    /// JSON. `now`: the memory's clock, for reasons that have no time of their own.
    #[must_use]
    pub fn to_json(&self, now: UnixMillis) -> String {
        let (reason, time, not_before) = match self.0 {
            Refusal::Replayed => (Reason::Replayed, now, None),
            Refusal::Share => (Reason::Share, now, None),
            Refusal::Full => (Reason::Full, now, None),
            Refusal::TooOld { server_time } => (Reason::TooOld, server_time, None),
            Refusal::FromFuture { server_time } => (Reason::FromFuture, server_time, None),
            Refusal::BeforeStart { server_time, not_before } => {
                (Reason::BeforeStart, server_time, Some(not_before.0))
            }
        };
        let wire = WireRefusal { reason, time: time.0, not_before };
        serde_json::to_string(&wire).expect("strings and numbers serialise")
    }

    /// Parses JSON.
    ///
    /// # Errors
    /// [`ClaimMessageError`].
    pub fn parse(json: &[u8]) -> Result<Self, ClaimMessageError> {
        let WireRefusal { reason, time, not_before } =
            serde_json::from_slice(json).map_err(|_| ClaimMessageError::Json)?;
        let server_time = UnixMillis(time);
        Ok(Self(match (reason, not_before) {
            (Reason::Replayed, None) => Refusal::Replayed,
            (Reason::Share, None) => Refusal::Share,
            (Reason::Full, None) => Refusal::Full,
            (Reason::TooOld, None) => Refusal::TooOld { server_time },
            (Reason::FromFuture, None) => Refusal::FromFuture { server_time },
            (Reason::BeforeStart, Some(not_before)) => {
                Refusal::BeforeStart { server_time, not_before: UnixMillis(not_before) }
            }
            _ => return Err(ClaimMessageError::Refusal),
        }))
    }
}
