//! Names in certificates: which kind of subject alternative name a manifest's text is.

use std::net::IpAddr;

use rcgen::SanType;
use thiserror::Error;

/// Why text cannot stand in a certificate.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error(
    "`{name}` cannot be a name in a certificate: names are ASCII without control characters or blanks, and not empty"
)]
pub struct NameError {
    /// The name.
    pub name: String,
}

/// An address is an IP SAN, text with a scheme a URI, and everything else a DNS name.
pub(crate) fn classify(name: &str) -> Result<SanType, NameError> {
    let refused = || NameError { name: name.to_owned() };
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(refused());
    }
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let text = name.try_into().map_err(|_| refused())?;
    Ok(if has_scheme(name) { SanType::URI(text) } else { SanType::DnsName(text) })
}

/// RFC 3986 §3.1: `scheme = ALPHA *( ALPHA / DIGIT / "+" / "-" / "." )`, then a colon and something.
fn has_scheme(name: &str) -> bool {
    let Some((scheme, rest)) = name.split_once(':') else {
        return false;
    };
    let mut letters = scheme.bytes();
    letters.next().is_some_and(|first| first.is_ascii_alphabetic())
        && letters.all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !rest.is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_kinds() {
        for address in ["127.0.0.1", "::1", "2001:db8::7"] {
            assert!(matches!(classify(address), Ok(SanType::IpAddress(_))), "{address}");
        }
        for uri in ["spiffe://mesh/secret", "urn:x", "a+b-c.1:y"] {
            assert!(matches!(classify(uri), Ok(SanType::URI(_))), "{uri}");
        }
        for dns in ["secret-service", "*", "*.example.org", "1:2", ":x", "x:", "127.0.0.1.example"] {
            assert!(matches!(classify(dns), Ok(SanType::DnsName(_))), "{dns}");
        }
    }

    #[test]
    fn what_is_no_name() {
        for name in ["", " ", "a b", "naïve", "a\n", "a\0"] {
            assert_eq!(classify(name), Err(NameError { name: name.into() }));
        }
    }
}
