//! The usage outside the sealed body, so that the gateway can meter. The sealed trailer repeats it.

use serde::{Deserialize, Serialize};

use crate::stream::{CanonicalError, from_canonical, to_canonical};
use crate::usage::Usage;

/// Trailer header of a sealed response: the usage as canonical JSON.
pub const USAGE: &str = "privatemode-usage";

const MAX: usize = 512;

/// Not a usage header.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the usage header is malformed")]
pub struct UsageHeaderError(#[source] pub CanonicalError);

/// Usage as it is written in heads, trailers and receipts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WireUsage {
    #[serde(default, skip_serializing_if = "is_zero")]
    audio_bytes: u64,
    audio_seconds: u64,
    cached_tokens: u64,
    completion_tokens: u64,
    prompt_tokens: u64,
    total_tokens: u64,
}

impl From<Usage> for WireUsage {
    fn from(usage: Usage) -> WireUsage {
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = usage;
        WireUsage {
            audio_bytes,
            audio_seconds,
            cached_tokens,
            completion_tokens,
            prompt_tokens,
            total_tokens,
        }
    }
}

impl From<WireUsage> for Usage {
    fn from(usage: WireUsage) -> Usage {
        let WireUsage {
            audio_bytes,
            audio_seconds,
            cached_tokens,
            completion_tokens,
            prompt_tokens,
            total_tokens,
        } = usage;
        Usage { prompt_tokens, completion_tokens, total_tokens, cached_tokens, audio_seconds, audio_bytes }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

/// The header's value.
pub fn usage_header(usage: Usage) -> String {
    to_canonical(&WireUsage::from(usage))
}

/// Parses the header's value, strictly. The worker's word through whoever carried it: good for metering only.
pub fn parse_usage(value: &str) -> Result<Usage, UsageHeaderError> {
    from_canonical::<WireUsage>(value.as_bytes(), MAX).map(Usage::from).map_err(UsageHeaderError)
}
