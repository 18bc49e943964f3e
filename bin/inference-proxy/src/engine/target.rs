//! `http://HOST:PORT[/PREFIX]` or `unix:PATH`.

use std::{fmt, net::IpAddr, path::PathBuf, str::FromStr};

use http::{
    Uri,
    uri::{Authority, InvalidUri},
};

/// Where the engine listens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EngineTarget {
    /// Over TCP.
    Http {
        /// Host and port.
        authority: Authority,
        /// What stands before `/v1` in its paths, without a slash at its end.
        prefix: String,
    },
    /// Over a Unix socket.
    Unix(PathBuf),
}

/// Not the address of an engine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EngineTargetError {
    /// Neither form.
    #[error("expected http://HOST:PORT or unix:PATH, got `{text}`")]
    Form {
        /// What was given.
        text: String,
    },
    /// TLS to the engine.
    #[error("the engine runs on this machine and is reached over plain http:// or unix:, not https://")]
    Tls,
}

impl FromStr for EngineTarget {
    type Err = EngineTargetError;

    fn from_str(text: &str) -> Result<Self, EngineTargetError> {
        let form = || EngineTargetError::Form { text: text.to_owned() };
        if let Some(path) = text.strip_prefix("unix:") {
            let path = path.strip_prefix("//").unwrap_or(path);
            return if path.is_empty() { Err(form()) } else { Ok(Self::Unix(PathBuf::from(path))) };
        }
        let uri: Uri = text.parse().map_err(|_| form())?;
        if uri.scheme_str() == Some("https") {
            return Err(EngineTargetError::Tls);
        }
        let authority = uri.authority().filter(|_| uri.scheme_str() == Some("http")).ok_or_else(form)?;
        if uri.query().is_some() || authority.as_str().contains('@') {
            return Err(form());
        }
        // what people copy from other tools is the base URL of a client, which ends with /v1
        let prefix = uri.path().trim_end_matches('/');
        let prefix = prefix.strip_suffix("/v1").unwrap_or(prefix);
        Ok(Self::Http { authority: authority.clone(), prefix: prefix.to_owned() })
    }
}

impl EngineTarget {
    pub(super) fn uri(&self, path: &str) -> Result<Uri, InvalidUri> {
        match self {
            Self::Http { authority, prefix } => format!("http://{authority}{prefix}{path}").parse(),
            Self::Unix(_) => format!("http://localhost{path}").parse(),
        }
    }

    /// Whether what is sent there stays on this machine.
    #[must_use]
    pub fn is_local(&self) -> bool {
        match self {
            Self::Unix(_) => true,
            Self::Http { authority, .. } => {
                let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
            }
        }
    }
}

impl fmt::Display for EngineTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Http { authority, prefix } => write!(f, "http://{authority}{prefix}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms() {
        let target: EngineTarget = "http://127.0.0.1:8008".parse().unwrap();
        assert_eq!(target.uri("/v1/models").unwrap(), "http://127.0.0.1:8008/v1/models");
        assert!(target.is_local());
        let target: EngineTarget = "http://engine:80/base/v1/".parse().unwrap();
        assert_eq!(target.uri("/v1/models").unwrap(), "http://engine:80/base/v1/models");
        assert!(!target.is_local());
        let target: EngineTarget = "unix:/run/engine.sock".parse().unwrap();
        assert_eq!((target.to_string().as_str(), target.is_local()), ("unix:/run/engine.sock", true));
        assert_eq!("unix:///run/engine.sock".parse(), Ok(target));
        assert!("http://[::1]:1".parse::<EngineTarget>().unwrap().is_local());
    }

    #[test]
    fn what_is_refused() {
        assert_eq!("https://x:1".parse::<EngineTarget>(), Err(EngineTargetError::Tls));
        for text in ["unix:", "127.0.0.1:8008", "ftp://x", "http://", "http://u:p@x:1", "http://x/?a"] {
            let form = EngineTargetError::Form { text: text.to_owned() };
            assert_eq!(text.parse::<EngineTarget>(), Err(form), "{text}");
        }
    }
}
