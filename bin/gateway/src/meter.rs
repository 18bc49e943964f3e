//! Reads the plain `usage` of an answer while it streams past, unary JSON or server-sent events.
//!
//! A body that is sealed as a whole says what it used in an HTTP trailer. Of a unary answer it looks only for the top-level members `usage` and `duration` and skips everything else, mostly long
//! sealed strings, without keeping it; of a stream it holds one event. So its memory does not grow with the answer. Never
//! fails: what it does not understand is not counted. protocol.md, section 3.

use privatemode_wire::stream::outer::{USAGE, is_sealed, parse_usage};
use privatemode_wire::usage::{DocumentUsage, StreamUsage, Usage};

use crate::ledger::Amounts;

#[cfg(test)]
mod tests;

/// No request uses more than this of anything; a broken worker must not overflow a total.
const PLAUSIBLE: u64 = 1 << 40;

/// Which form an answer has.
pub(crate) enum Meter {
    Json(DocumentUsage),
    Events(StreamUsage),
    /// Sealed as a whole: not looked at, and what the trailer said.
    Trailer(Option<Usage>),
    /// Not looked at, or not any more: neither of the two, encoded, or with an event that is too large. What was found before
    /// that still counts.
    Blind(Option<Usage>),
}

impl Meter {
    /// By the answer's own headers.
    pub(crate) fn for_answer(headers: &http::HeaderMap) -> Meter {
        let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !text(http::header::CONTENT_ENCODING).is_empty() {
            return Meter::Blind(None);
        }
        let kind = text(http::header::CONTENT_TYPE).split(';').next().unwrap_or("").trim();
        if Meter::is_sealed(headers) {
            Meter::Trailer(None)
        } else if kind.eq_ignore_ascii_case("application/json") {
            Meter::Json(DocumentUsage::default())
        } else if kind.eq_ignore_ascii_case("text/event-stream") {
            Meter::Events(StreamUsage::new())
        } else {
            Meter::Blind(None)
        }
    }

    /// Whether an answer is sealed as a whole.
    pub(crate) fn is_sealed(headers: &http::HeaderMap) -> bool {
        headers.get(http::header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(is_sealed)
    }

    /// What stands behind the answer. Only what is sealed as a whole is metered by it.
    pub(crate) fn trailers(&mut self, trailers: &http::HeaderMap) {
        let Meter::Trailer(found) = self else { return };
        let mut values = trailers.get_all(USAGE).iter();
        let (Some(value), None) = (values.next(), values.next()) else { return };
        match value.to_str().ok().and_then(|value| parse_usage(value).ok()) {
            Some(usage) => *found = Some(usage),
            None => tracing::warn!("a worker's usage trailer is malformed: the request is not metered"),
        }
    }

    /// Whether what the answer used is still to be said behind it: a caller that leaves now has read without being billed.
    pub(crate) fn waits_for_trailer(&self) -> bool {
        matches!(self, Meter::Trailer(None))
    }

    /// The next bytes of the answer.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        match self {
            Meter::Json(members) => members.push(bytes),
            Meter::Events(events) => {
                if events.push(bytes).is_err() {
                    tracing::warn!("an event of a stream is too large to be metered");
                    *self = Meter::Blind(events.usage());
                }
            }
            Meter::Trailer(_) | Meter::Blind(_) => {}
        }
    }

    /// What the answer said it used, at its end or where it was cut.
    pub(crate) fn amounts(&self) -> Amounts {
        let usage = match self {
            Meter::Json(members) => members.usage(),
            Meter::Events(events) => events.usage(),
            Meter::Trailer(found) | Meter::Blind(found) => *found,
        };
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: _,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = usage.unwrap_or_default();
        Amounts {
            requests: 1,
            prompt_tokens: prompt_tokens.min(PLAUSIBLE),
            completion_tokens: completion_tokens.min(PLAUSIBLE),
            cached_tokens: cached_tokens.min(PLAUSIBLE),
            audio_seconds: audio_seconds.min(PLAUSIBLE),
            audio_bytes: audio_bytes.min(PLAUSIBLE),
        }
    }
}
