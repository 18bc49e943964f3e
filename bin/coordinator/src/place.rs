//! Where the history is kept, as the flag `--state` names it.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;

use privatemode_store::state::{
    ConfigMapError, ConfigMapSettings, ConfigMapState, DirectoryError, DirectoryState, MemoryState,
    StateStore,
};
use thiserror::Error;

/// A place for the history.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StatePlace {
    /// In this process: a restart is a new deployment.
    Memory,
    /// In a directory of this machine.
    Directory(PathBuf),
    /// In `ConfigMap`s of the namespace that this pod runs in.
    Kubernetes,
}

/// Not a place.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("`{text}` is no place for the state: use memory, directory:PATH or kubernetes")]
pub struct StatePlaceError {
    text: String,
}

/// Why a place cannot be used.
#[derive(Debug, Error)]
pub enum OpenStateError {
    /// A directory.
    #[error("the coordinator's state cannot be kept in this directory")]
    Directory(#[from] DirectoryError),
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
            _ => Err(StatePlaceError { text: text.to_owned() }),
        }
    }
}

impl fmt::Display for StatePlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory"),
            Self::Directory(path) => write!(f, "directory:{}", path.display()),
            Self::Kubernetes => f.write_str("kubernetes"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_read_as_they_are_written() {
        for text in ["memory", "kubernetes", "directory:/var/lib/state", "directory:relative:with-colon"] {
            assert_eq!(text.parse::<StatePlace>().unwrap().to_string(), text);
        }
        for text in ["", "directory", "directory:", "Memory", "etc:x"] {
            assert_eq!(text.parse::<StatePlace>(), Err(StatePlaceError { text: text.into() }));
        }
    }
}
