//! Where a member of etcd is.

use std::{fmt, str::FromStr};

use http::{Uri, uri::Scheme};

/// `https://HOST:PORT` (mesh certificates) or `http://HOST:PORT` (nobody is known: one machine, and tests).
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct EtcdUrl(Uri);

/// Not the URL of a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("expected https://HOST:PORT, for example https://etcd-0:2379")]
pub struct EtcdUrlError;

impl EtcdUrl {
    /// Whether it wants TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.0.scheme() == Some(&Scheme::HTTPS)
    }

    /// Whether it is this machine's own loopback.
    #[must_use]
    pub fn is_loopback(&self) -> bool {
        let host = self.host();
        host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
    }

    /// The host, without the brackets of an IPv6 address.
    #[must_use]
    pub fn host(&self) -> &str {
        self.0.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']')
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_u16().unwrap_or(2379)
    }

    pub(super) fn uri(&self) -> &Uri {
        &self.0
    }
}

impl FromStr for EtcdUrl {
    type Err = EtcdUrlError;

    fn from_str(text: &str) -> Result<Self, EtcdUrlError> {
        let uri: Uri = text.parse().map_err(|_| EtcdUrlError)?;
        let known = matches!(uri.scheme_str(), Some("http" | "https"));
        let bare = matches!(uri.path(), "" | "/") && uri.query().is_none();
        // a user in a URL would end in logs
        let plain = uri.authority().is_some_and(|authority| !authority.as_str().contains('@'));
        if known && bare && plain && uri.port_u16().is_some() { Ok(Self(uri)) } else { Err(EtcdUrlError) }
    }
}

impl fmt::Display for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.to_string().trim_end_matches('/'))
    }
}

impl fmt::Debug for EtcdUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_addresses() {
        let url: EtcdUrl = "https://etcd-0.etcd:2379".parse().unwrap();
        assert_eq!((url.to_string().as_str(), url.is_tls()), ("https://etcd-0.etcd:2379", true));
        assert!(!url.is_loopback());
        for url in ["http://127.0.0.1:2379/", "http://[::1]:1", "http://localhost:2379"] {
            let url: EtcdUrl = url.parse().unwrap();
            assert!(url.is_loopback() && !url.is_tls(), "{url}");
        }
        for wrong in [
            "",
            "etcd:2379",
            "https://etcd",
            "ftp://etcd:2379",
            "https://etcd:2379/v3",
            "https://etcd:2379/?a=b",
            "https://root:pw@etcd:2379",
            "https://etcd:99999",
        ] {
            assert_eq!(wrong.parse::<EtcdUrl>(), Err(EtcdUrlError), "{wrong}");
        }
    }
}
