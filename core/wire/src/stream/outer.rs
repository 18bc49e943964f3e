//! What stands outside a sealed body: header names and values. All that the gateway sees and needs.
//!
//! Holds no secret and opens nothing, so it is there without the feature `cipher`. protocol.md, section 9.

mod byte_sequence;
mod exchange_id;
mod usage;

pub use byte_sequence::{RequestSalt, ResponseSalt, SaltError};
pub use exchange_id::{ExchangeId, ExchangeIdError};
#[cfg(feature = "cipher")]
pub(crate) use usage::WireUsage;
pub use usage::{USAGE, UsageHeaderError, parse_usage, usage_header};

/// `Content-Type` of a sealed body, in both directions.
pub const CONTENT_TYPE: &str = "application/vnd.privatemode.encrypted-body";
/// The request's salt, [`RequestSalt`].
pub const REQUEST_HEADER: &str = "privatemode-oae-request-header";
/// The response's salt, [`ResponseSalt`].
pub const RESPONSE_HEADER: &str = "privatemode-oae-response-header";
/// An estimate of the request's length in tokens, bucketed as the body is.
pub const CONTENT_LENGTH_TOKENS: &str = "privatemode-content-length-tokens";
/// The request's limit of tokens, where it has one.
pub const MAX_TOKENS: &str = "privatemode-max-tokens";
/// `request` on a call to the local proxy asks for a receipt.
pub const RECEIPT: &str = "privatemode-receipt";

/// `DELETE` on this path with an [`ExchangeId`] behind it ends the answer that is under way, with its trailer.
pub const EXCHANGES: &str = "/privatemode/v1/exchanges/";

/// Whether a `Content-Type` says that the body is sealed. Parameters are not accepted: nobody sends any.
pub fn is_sealed(content_type: &str) -> bool {
    content_type.trim().eq_ignore_ascii_case(CONTENT_TYPE)
}

/// Parses [`CONTENT_LENGTH_TOKENS`] or [`MAX_TOKENS`]: a decimal number in its one spelling. `None` if it is not.
pub fn parse_count(value: &str) -> Option<u64> {
    let plain = value.bytes().all(|b| b.is_ascii_digit()) && (value == "0" || !value.starts_with('0'));
    if plain { value.parse().ok() } else { None }
}

#[cfg(test)]
mod tests;
