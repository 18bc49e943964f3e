//! Where the history is kept, as the flag `--state` names it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use privatemode_store::etcd::{Etcd, EtcdError, EtcdTimeouts, EtcdUrl};
use privatemode_store::state::{
    ConfigMapError, ConfigMapSettings, ConfigMapState, DirectoryError, DirectoryState, EtcdState,
    MemoryState, StateStore,
};
use thiserror::Error;

/// A place for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// In this process: a restart is a new deployment.
    Memory,
    /// In a directory of this machine.
    Directory(PathBuf),
    /// In an etcd, whose members are at these addresses.
    Etcd(Vec<EtcdUrl>),
    /// In `ConfigMap`s of the namespace that this pod runs in.
    Kubernetes,
}

/// Not a place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no place for the state: use memory, directory:PATH, etcd:URL[,URL…] or kubernetes")]
pub struct StatePlaceError {
    text: String,
}

/// Why a place cannot be used.
#[derive(Debug, Error)]
pub enum OpenStateError {
    /// A directory.
    #[error("the coordinator's state cannot be kept in this directory")]
    Directory(#[from] DirectoryError),
    /// etcd.
    #[error("the coordinator's state cannot be kept in etcd")]
    Etcd(#[from] EtcdError),
    /// No certificate is known to verify it with.
    #[error(
        "--state etcd:{url}: this etcd comes before the mesh, and so no mesh certificate can be asked of it; what is kept there is public and signed: use http, and let only coordinators reach it"
    )]
    EtcdTls {
        /// Which.
        url: EtcdUrl,
    },
    /// Kubernetes.
    #[error("the coordinator's state cannot be kept in Kubernetes")]
    Kubernetes(#[from] ConfigMapError),
}

impl StatePlace {
    /// Opens the store there.
    pub fn open(&self) -> Result<Arc<dyn StateStore>, OpenStateError> {
        Ok(match self {
            Self::Memory => Arc::new(MemoryState::new()),
            Self::Directory(path) => Arc::new(DirectoryState::open(path)?),
            // what is kept there is public and signed: nobody has to be trusted, and so nobody is asked who it is
            Self::Etcd(urls) => {
                if let Some(url) = urls.iter().find(|url| url.is_tls()) {
                    return Err(OpenStateError::EtcdTls { url: url.clone() });
                }
                Arc::new(EtcdState::new(Etcd::new(urls, None, EtcdTimeouts::default())?, ""))
            }
            Self::Kubernetes => {
                let settings = ConfigMapSettings::in_cluster(|name| std::env::var(name).ok())?;
                Arc::new(ConfigMapState::new(settings)?)
            }
        })
    }
}

impl FromStr for StatePlace {
    type Err = StatePlaceError;

    fn from_str(text: &str) -> Result<Self, StatePlaceError> {
        match (text, text.split_once(':')) {
            ("memory", _) => Ok(Self::Memory),
            ("kubernetes", _) => Ok(Self::Kubernetes),
            (_, Some(("directory", path))) if !path.is_empty() => Ok(Self::Directory(path.into())),
            (_, Some(("etcd", urls))) => match urls.split(',').map(str::parse).collect() {
                Ok(urls) => Ok(Self::Etcd(urls)),
                Err(_) => Err(StatePlaceError { text: text.to_owned() }),
            },
            _ => Err(StatePlaceError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Directory(path) => write!(f, "directory:{}", path.display()),
            Self::Etcd(urls) => {
                let urls: Vec<String> = urls.iter().map(ToString::to_string).collect();
                write!(f, "etcd:{}", urls.join(","))
            }
            Self::Kubernetes => f.write_str("kubernetes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in [
            "memory",
            "kubernetes",
            "directory:/var/lib/state",
            "directory:relative:with-colon",
            "etcd:http://a:1,http://b:2",
        ] {
            assert_eq!(text.parse::<StatePlace>().unwrap().to_string(), text);
        }
        for text in
            ["", "directory", "directory:", "Memory", "etc:x", "etcd", "etcd:", "etcd:x", "etcd:http://a:1,"]
        {
            assert_eq!(text.parse::<StatePlace>(), Err(StatePlaceError { text: text.into() }));
        }
    }
}
