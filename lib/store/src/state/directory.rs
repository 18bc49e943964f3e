//! The state in a directory: for coordinators of one machine, who find their history again after a restart.
//!
//! One file per entry, called as its key is written: `manifests/<hex>`, `transitions/latest`. A file appears whole or not at
//! all (written under another name, flushed, renamed, the folder flushed). Writers take turns by a lock on the file `lock`,
//! which the system frees when a process dies. Nothing here watches the file system: a change is seen within a second.
//!
//! ```text
//! DIR/lock                      held while something is written
//! DIR/<folder>/.new             what is being written; of a writer that died, the next one removes it
//! DIR/<folder>/<name>           an entry
//! ```
//!
//! The directory is trusted no more than any store. Whatever lies in an entry's place is opened without following links,
//! and measured before it is read.

mod error;

use std::{
    fs::{DirBuilder, File},
    io::{self, Read as _, Write as _},
    os::{fd::OwnedFd, unix::fs::DirBuilderExt as _},
    path::{Path, PathBuf},
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rustix::{
    fs::{
        AtFlags, FileType, FlockOperation, Mode, OFlags, flock, fstat, fsync, mkdirat, open, openat,
        renameat, unlinkat,
    },
    io::Errno,
};

pub use error::DirectoryError;

use super::{MAX_ENTRY, StateError, StateKey, StateStore, SwapError};
use crate::StoreFuture;

/// How often [`DirectoryState::changed`] looks.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// Longest wait for another writer: one takes milliseconds.
const PATIENCE: Duration = Duration::from_secs(10);
/// Pause between two attempts to become the writer.
const PAUSE: Duration = Duration::from_millis(5);
/// What is being written in a folder. No key is called so.
const NEW: &str = ".new";

/// Entries as files.
pub struct DirectoryState {
    root: Arc<Root>,
}

/// The open directory. What takes its place at the path later is not looked at.
struct Root {
    path: PathBuf,
    directory: OwnedFd,
}

/// Held by whoever writes; the lock ends with the file.
struct Writer<'a> {
    root: &'a Root,
    _lock: File,
}

impl DirectoryState {
    /// Opens the store in `path`; makes the directory if there is none.
    ///
    /// # Errors
    /// [`DirectoryError::Open`].
    pub fn open(path: impl Into<PathBuf>) -> Result<Self, DirectoryError> {
        let path = path.into();
        let failed = |source| DirectoryError::Open { path: path.clone(), source };
        DirBuilder::new().recursive(true).mode(0o700).create(&path).map_err(failed)?;
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let directory = open(&path, flags, Mode::empty()).map_err(|errno| failed(errno.into()))?;
        Ok(Self { root: Arc::new(Root { path, directory }) })
    }

    /// Works with the file system, which may block.
    async fn with_root<T, E>(&self, work: impl FnOnce(&Root) -> Result<T, E> + Send + 'static) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StateError> + Send + 'static,
    {
        let root = Arc::clone(&self.root);
        let done = tokio::task::spawn_blocking(move || work(&root)).await;
        done.unwrap_or_else(|_| Err(unavailable(DirectoryError::Stopped).into()))
    }
}

impl StateStore for DirectoryState {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        let key = *key;
        Box::pin(self.with_root(move |root| root.read(&key)))
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(async move {
            super::check_length(key, value, MAX_ENTRY)?;
            let (key, value) = (*key, value.to_vec());
            self.with_root(move |root| {
                let writer = root.writer()?;
                match root.read(&key)? {
                    Some(_) => Ok(()),
                    None => writer.write(&key, &value),
                }
            })
            .await
        })
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        Box::pin(async move {
            super::check_length(&StateKey::Latest, new, MAX_ENTRY)?;
            let (expected, new) = (expected.map(<[u8]>::to_vec), new.to_vec());
            self.with_root(move |root| {
                let writer = root.writer()?;
                if root.read(&StateKey::Latest)? != expected {
                    return Err(SwapError::Lost);
                }
                Ok(writer.write(&StateKey::Latest, &new)?)
            })
            .await
        })
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move {
            loop {
                let latest = self.get(&StateKey::Latest).await?;
                if latest.as_deref() != seen {
                    return Ok(latest);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        })
    }
}

impl Root {
    fn read(&self, key: &StateKey) -> Result<Option<Vec<u8>>, StateError> {
        let Some(folder) = self.folder(key)? else { return Ok(None) };
        let path = || self.path.join(key.folder()).join(key.name());
        // a pipe would keep us waiting for its writer
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let file = match openat(&folder, key.name(), flags, Mode::empty()) {
            Ok(file) => File::from(file),
            Err(Errno::NOENT) => return Ok(None),
            Err(Errno::LOOP) => return Err(foreign(key, DirectoryError::Symlink { path: path() })),
            Err(errno) => return Err(failed("open", path(), errno)),
        };
        let stat = fstat(&file).map_err(|errno| failed("look at", path(), errno))?;
        match FileType::from_raw_mode(stat.st_mode) {
            FileType::RegularFile => {}
            FileType::Directory => {
                return Err(foreign(key, DirectoryError::Directory { path: path() }));
            }
            _ => return Err(foreign(key, DirectoryError::Special { path: path() })),
        }
        let length = usize::try_from(stat.st_size).unwrap_or(usize::MAX);
        if length > MAX_ENTRY {
            return Err(StateError::TooLong { key: *key, len: length, max: MAX_ENTRY });
        }
        let mut bytes = Vec::with_capacity(length);
        let limit = MAX_ENTRY as u64 + 1; // it may grow while it is read
        file.take(limit).read_to_end(&mut bytes).map_err(|error| failed("read", path(), error))?;
        super::check_length(key, &bytes, MAX_ENTRY)?;
        Ok(Some(bytes))
    }

    /// The open folder of a key; none if it was never written to.
    fn folder(&self, key: &StateKey) -> Result<Option<OwnedFd>, StateError> {
        let path = || self.path.join(key.folder());
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        match openat(&self.directory, key.folder(), flags, Mode::empty()) {
            Ok(folder) => Ok(Some(folder)),
            Err(Errno::NOENT) => Ok(None),
            // a link, or a file
            Err(Errno::LOOP | Errno::NOTDIR) => Err(foreign(key, DirectoryError::NoFolder { path: path() })),
            Err(errno) => Err(failed("open", path(), errno)),
        }
    }

    /// Waits until nobody else writes.
    fn writer(&self) -> Result<Writer<'_>, StateError> {
        let path = || self.path.join("lock");
        let flags = OFlags::RDWR | OFlags::CREATE | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let lock = openat(&self.directory, "lock", flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| failed("open", path(), errno))?;
        let start = Instant::now();
        loop {
            match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => return Ok(Writer { root: self, _lock: lock.into() }),
                Err(Errno::WOULDBLOCK) if start.elapsed() < PATIENCE => thread::sleep(PAUSE),
                Err(Errno::WOULDBLOCK) => return Err(unavailable(DirectoryError::Locked { path: path() })),
                Err(errno) => return Err(failed("lock", path(), errno)),
            }
        }
    }
}

impl Writer<'_> {
    fn write(&self, key: &StateKey, value: &[u8]) -> Result<(), StateError> {
        let folder_path = self.root.path.join(key.folder());
        let folder = self.folder(key)?;
        let step =
            |action, done: io::Result<()>| done.map_err(|error| failed(action, folder_path.join(NEW), error));
        match unlinkat(&folder, NEW, AtFlags::empty()) {
            Err(Errno::NOENT) => {}
            gone => step("remove", gone.map_err(Into::into))?,
        }
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let made = openat(&folder, NEW, flags, Mode::RUSR | Mode::WUSR);
        let mut file: File = made.map_err(|errno| failed("make", folder_path.join(NEW), errno))?.into();
        step("write", file.write_all(value))?;
        // its content before its name: a name without content would be an entry that is wrong
        step("flush", file.sync_all())?;
        step("rename", renameat(&folder, NEW, &folder, key.name()).map_err(Into::into))?;
        fsync(&folder).map_err(|errno| failed("flush", folder_path.clone(), errno))
    }

    fn folder(&self, key: &StateKey) -> Result<OwnedFd, StateError> {
        if let Some(folder) = self.root.folder(key)? {
            return Ok(folder);
        }
        let path = || self.root.path.join(key.folder());
        let make = |action, done: Result<(), Errno>| done.map_err(|errno| failed(action, path(), errno));
        make("make", mkdirat(&self.root.directory, key.folder(), Mode::RWXU))?;
        make("flush", fsync(&self.root.directory))?;
        self.root.folder(key)?.ok_or_else(|| failed("open", path(), Errno::NOENT))
    }
}

fn failed(action: &'static str, path: impl AsRef<Path>, source: impl Into<io::Error>) -> StateError {
    unavailable(DirectoryError::Io { action, path: path.as_ref().to_owned(), source: source.into() })
}

fn unavailable(error: DirectoryError) -> StateError {
    StateError::Unavailable(error.into())
}

fn foreign(key: &StateKey, error: DirectoryError) -> StateError {
    StateError::Foreign { key: *key, source: error.into() }
}
