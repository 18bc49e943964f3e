//! The data directory of one deployment: what lies where, with which modes, and who runs in it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

/// The directory and the paths in it.
#[derive(Debug, Clone)]
pub(crate) struct DataDirectory {
    root: PathBuf,
}

/// Why the directory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DirectoryError {
    #[error("there is no home directory to put data into: give one with --dir DIR")]
    NoHome,
    #[error("cannot use `{}`: check that the path exists and that you may write there, or give another with --dir", path.display())]
    Io { path: PathBuf, source: io::Error },
    #[error("another `privatemode up` runs in `{}`: stop it, or give a second one its own --dir", path.display())]
    Busy { path: PathBuf },
}

/// Held while a deployment runs in the directory; dropping it, or dying, frees the directory.
#[derive(Debug)]
pub(crate) struct Lock(#[expect(dead_code, reason = "the lock lives as long as the open file")] File);

impl DataDirectory {
    /// The given directory, or the user's data directory.
    pub(crate) fn locate(given: Option<&Path>) -> Result<Self, DirectoryError> {
        let root = match given {
            Some(path) => std::path::absolute(path)
                .map_err(|source| DirectoryError::Io { path: path.into(), source })?,
            None => user_data_directory(|name| std::env::var_os(name).map(PathBuf::from))?,
        };
        Ok(Self { root })
    }

    /// Makes the directory and its folders, readable by their owner alone.
    pub(crate) fn prepare(&self) -> Result<(), DirectoryError> {
        for folder in
            [self.root.clone(), self.policies(), self.logs(), self.gateway(), self.proxy(), self.models()]
        {
            fs::DirBuilder::new()
                .recursive(true)
                .mode(0o700)
                .create(&folder)
                .map_err(|source| DirectoryError::Io { path: folder, source })?;
        }
        Ok(())
    }

    /// Takes the directory for this process.
    pub(crate) fn lock(&self) -> Result<Lock, DirectoryError> {
        let path = self.root.join("lock");
        let io = |source| DirectoryError::Io { path: path.clone(), source };
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(&path).map_err(io)?;
        match flock(&file, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => Ok(Lock(file)),
            Err(rustix::io::Errno::WOULDBLOCK) => Err(DirectoryError::Busy { path: self.root.clone() }),
            Err(errno) => Err(io(errno.into())),
        }
    }

    /// Writes a file that its owner alone can read, whole or not at all.
    pub(crate) fn write_private(&self, path: &Path, content: &[u8]) -> Result<(), DirectoryError> {
        let io = |source| DirectoryError::Io { path: path.to_owned(), source };
        let mut name = path.as_os_str().to_owned();
        name.push(".new");
        let fresh = PathBuf::from(name);
        let _ = fs::remove_file(&fresh);
        let mut file =
            OpenOptions::new().create_new(true).write(true).mode(0o600).open(&fresh).map_err(io)?;
        file.write_all(content).and_then(|()| file.sync_all()).map_err(io)?;
        fs::rename(&fresh, path).map_err(io)
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn manifest(&self) -> PathBuf {
        self.root.join("deployment/manifest.json")
    }

    pub(crate) fn policies(&self) -> PathBuf {
        self.root.join("deployment/policies")
    }

    pub(crate) fn state(&self) -> PathBuf {
        self.root.join("deployment/state")
    }

    pub(crate) fn logs(&self) -> PathBuf {
        self.root.join("logs")
    }

    pub(crate) fn gateway(&self) -> PathBuf {
        self.root.join("gateway")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.gateway().join("accounts.db")
    }

    /// The client proxy's workspace.
    pub(crate) fn proxy(&self) -> PathBuf {
        self.root.join("proxy")
    }

    /// What a part keeps of what hardware vendors publish. One folder for each: parts do not trust each other's files.
    pub(crate) fn collateral(&self, part: &str) -> PathBuf {
        self.root.join("collateral").join(part)
    }

    pub(crate) fn models(&self) -> PathBuf {
        self.root.join("models")
    }

    /// The key that `up` made for its user.
    pub(crate) fn api_key(&self) -> PathBuf {
        self.root.join("api-key")
    }

    /// What runs here right now; there while it runs.
    pub(crate) fn running(&self) -> PathBuf {
        self.root.join("running.json")
    }
}

/// `$XDG_DATA_HOME/privatemode`, else `~/.local/share/privatemode` (macOS: `~/Library/Application Support/privatemode`).
fn user_data_directory(variable: impl Fn(&str) -> Option<PathBuf>) -> Result<PathBuf, DirectoryError> {
    if let Some(data) = variable("XDG_DATA_HOME").filter(|path| path.is_absolute()) {
        return Ok(data.join("privatemode"));
    }
    let home = variable("HOME").filter(|path| path.is_absolute()).ok_or(DirectoryError::NoHome)?;
    let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
    Ok(home.join(below).join("privatemode"))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    #[test]
    fn the_users_data_directory_is_the_default() {
        let none = |_: &str| None;
        assert!(matches!(user_data_directory(none), Err(DirectoryError::NoHome)));
        let home = |name: &str| (name == "HOME").then(|| PathBuf::from("/home/ada"));
        let below = if cfg!(target_os = "macos") { "Library/Application Support" } else { ".local/share" };
        assert_eq!(
            user_data_directory(home).unwrap(),
            Path::new("/home/ada").join(below).join("privatemode")
        );
        let xdg = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("/data"));
        assert_eq!(user_data_directory(xdg).unwrap(), Path::new("/data/privatemode"));
        // A relative XDG path is invalid by its specification and ignored.
        let relative = |name: &str| (name == "XDG_DATA_HOME").then(|| PathBuf::from("data"));
        assert!(matches!(user_data_directory(relative), Err(DirectoryError::NoHome)));
    }

    #[test]
    fn files_are_private_and_the_directory_is_taken_once() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::locate(Some(folder.path())).unwrap();
        directory.prepare().unwrap();
        directory.write_private(&directory.api_key(), b"key").unwrap();
        directory.write_private(&directory.api_key(), b"another").unwrap();
        assert_eq!(fs::read(directory.api_key()).unwrap(), b"another");
        assert_eq!(fs::metadata(directory.api_key()).unwrap().permissions().mode() & 0o777, 0o600);

        let lock = directory.lock().unwrap();
        assert!(matches!(directory.lock(), Err(DirectoryError::Busy { .. })));
        drop(lock);
        directory.lock().unwrap();
    }
}
