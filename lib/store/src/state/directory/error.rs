//! What may be wrong with a directory.

use std::{io, path::PathBuf};

/// Why the directory did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum DirectoryError {
    /// No directory.
    #[error(
        "cannot use `{}` as the coordinator's store; check that the path exists and is writable", path.display()
    )]
    Open {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The file system says no.
    #[error("cannot {action} `{}`; check the disk and its permissions", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With what.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A link in an entry's place.
    #[error("`{}` is a symbolic link, which the store never makes; somebody else wrote there: remove it", path.display())]
    Symlink {
        /// Where.
        path: PathBuf,
    },
    /// A directory in an entry's place.
    #[error("`{}` is a directory, where the store has a file; somebody else wrote there: remove it", path.display())]
    Directory {
        /// Where.
        path: PathBuf,
    },
    /// A pipe, a socket or a device in an entry's place.
    #[error("`{}` is no plain file; somebody else wrote there: remove it", path.display())]
    Special {
        /// Where.
        path: PathBuf,
    },
    /// Something else in a folder's place.
    #[error("`{}` is a file or a link, where the store has a directory; somebody else wrote there: remove it", path.display())]
    NoFolder {
        /// Where.
        path: PathBuf,
    },
    /// Another process writes, or hangs while it does.
    #[error(
        "`{}` is locked by another process for too long; see which one with `fuser`, and whether it hangs", path.display()
    )]
    Locked {
        /// The lock.
        path: PathBuf,
    },
    /// This process is ending.
    #[error("the process is stopping")]
    Stopped,
}
