//! Header names of the protocol, the path between gateway and worker, and the rules for values that come from outside.
//!
//! Does not parse HTTP. protocol.md, section 2.

/// Version of the client, `v<major>.<minor>.<patch>`.
pub const VERSION: &str = "privatemode-version";
/// Operating system of the proxy's machine.
pub const OS: &str = "privatemode-os";
/// Processor architecture of the proxy's machine.
pub const ARCHITECTURE: &str = "privatemode-architecture";
/// Kind of client: `Proxy`, `App`, `SDK` or `ApiGateway`.
pub const CLIENT: &str = "privatemode-client";
/// The request's `model`, for routing.
pub const TARGET_MODEL: &str = "privatemode-target-model";
/// Which secret seals this exchange.
pub const SECRET_ID: &str = "privatemode-secret-id";
/// Salted prefix key for cache-aware routing (section 7).
pub const SHARD_KEY: &str = "privatemode-shard-key";
/// Which GPU certificate states the client accepts (section 6).
pub const OCSP_POLICY: &str = "privatemode-nvidia-ocsp-policy";
/// HMAC over [`OCSP_POLICY`] under the exchange's secret.
pub const OCSP_POLICY_MAC: &str = "privatemode-nvidia-ocsp-policy-mac";
/// The client's own identifier of a request.
pub const USER_REQUEST_ID: &str = "privatemode-user-request-id";
/// The gateway's identifier of a request.
pub const REQUEST_ID: &str = "x-request-id";
/// `false` marks a plain body: an error from before decryption.
pub const ENCRYPTED: &str = "privatemode-encrypted";

/// Where a gateway tells a worker to end the answer to the request named in [`REQUEST_ID`] (section 9).
pub const CANCEL_PATH: &str = "/mesh/v1/cancel";

/// Longest identifier from outside that is logged or passed on.
pub const MAX_ID: usize = 64;

/// An identifier from outside, made safe for logs: at most [`MAX_ID`] characters, all of `[A-Za-z0-9._-]`, anything else
/// becomes `?` (so that nobody forges log lines).
pub fn sanitize_id(id: &str) -> String {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    id.chars().take(MAX_ID).map(|c| if safe(c) { c } else { '?' }).collect()
}

/// Whether a header belongs to one hop only (RFC 9110 §7.6.1) and must not be forwarded. Case does not matter.
/// The names listed in a `Connection` header's value ([`connection_options`]) are to be dropped too.
pub fn is_hop_by_hop(name: &str) -> bool {
    const NAMES: [&str; 9] = [
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    ];
    NAMES.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// The header names that a `Connection` header's value nominates as hop-by-hop.
pub fn connection_options(value: &str) -> impl Iterator<Item = &str> {
    value.split(',').map(str::trim).filter(|option| !option.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_cut_and_cleaned() {
        assert_eq!(sanitize_id("proxy_0198-a.b_1"), "proxy_0198-a.b_1");
        assert_eq!(sanitize_id("a\nb\u{1b}[0mé"), "a?b??0m?");
        assert_eq!(sanitize_id(&"x".repeat(100)).len(), MAX_ID);
    }

    #[test]
    fn hop_by_hop_ignores_case() {
        assert!(is_hop_by_hop("Transfer-Encoding"));
        assert!(!is_hop_by_hop("content-type"));
        assert_eq!(connection_options("close, X-Mine ,").collect::<Vec<_>>(), ["close", "X-Mine"]);
    }
}
