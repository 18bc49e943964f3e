//! The record of enforced manifests in the workspace: `manifests/log.txt` and `manifests/<n>.json`.
//!
//! One line per change: `<RFC 3339 time> <path>`. A manifest is recorded after its deployment was verified and before
//! anything is sealed for it, its bytes first and the line second, each on disk before the next step: a line never
//! names a file that is not there. Does not decide what is enforced. Specification: product.md P3.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

const FOLDER: &str = "manifests";
const LOG: &str = "log.txt";

/// Why the record cannot be kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ManifestLogError {
    /// Somebody removed the log: the record has a hole, and nobody should go on as if it had none.
    #[error(
        "`{folder}` holds recorded manifests but no {LOG}: the record of enforced manifests was damaged. \
         Restore {LOG}, or move the folder away to begin a new record, then start again"
    )]
    LogMissing {
        /// The folder.
        folder: PathBuf,
    },
    /// A file could not be read or written.
    #[error("cannot {verb} `{path}`; the proxy needs a workspace that it can write (--workspace)")]
    Io {
        /// What was tried.
        verb: &'static str,
        /// On what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// The record of one workspace.
pub(crate) struct ManifestLog {
    folder: PathBuf,
    /// The manifest recorded last, to tell a change from a repetition.
    last: Mutex<Option<Vec<u8>>>,
}

impl ManifestLog {
    /// Opens the record; makes nothing yet.
    ///
    /// # Errors
    /// [`ManifestLogError::LogMissing`] where manifests are without a log.
    pub(crate) fn open(workspace: &Path) -> Result<Self, ManifestLogError> {
        // "./manifests/1.json" and "manifests/1.json" are the same: the log has the shorter one.
        let folder = if workspace == Path::new(".") { PathBuf::from(FOLDER) } else { workspace.join(FOLDER) };
        let recorded = recorded_numbers(&folder)?;
        let log = folder.join(LOG);
        let lines = match fs::read_to_string(&log) {
            Ok(text) => text.lines().count(),
            Err(error) if error.kind() == io::ErrorKind::NotFound && recorded.is_empty() => 0,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(ManifestLogError::LogMissing { folder });
            }
            Err(source) => return Err(ManifestLogError::Io { verb: "read", path: log, source }),
        };
        let last = if lines == 0 { None } else { last_recorded(&folder, &log)? };
        Ok(Self { folder, last: Mutex::new(last) })
    }

    /// Records `manifest` if it is not the one recorded last. Returns the new file's path.
    ///
    /// # Errors
    /// [`ManifestLogError`]; then the manifest must not be relied on.
    pub(crate) fn record(
        &self,
        manifest: &[u8],
        now: Timestamp,
    ) -> Result<Option<PathBuf>, ManifestLogError> {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        if last.as_deref() == Some(manifest) {
            return Ok(None);
        }
        let failed = |verb, path: &Path| {
            let path = path.to_owned();
            move |source| ManifestLogError::Io { verb, path, source }
        };
        fs::create_dir_all(&self.folder).map_err(failed("make", &self.folder))?;
        let log = self.folder.join(LOG);
        // Looked at again: another proxy may share this workspace.
        let recorded = recorded_numbers(&self.folder)?;
        if !recorded.is_empty() && !log.exists() {
            return Err(ManifestLogError::LogMissing { folder: self.folder.clone() });
        }
        let (path, mut file) = self.create_next(recorded.into_iter().max().unwrap_or(0))?;
        file.write_all(manifest).and_then(|()| file.sync_all()).map_err(failed("write", &path))?;
        let line = format!("{} {}\n", now.strftime("%Y-%m-%dT%H:%M:%SZ"), path.display());
        OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            // one write, so that two proxies cannot mix their lines
            .and_then(|mut file| file.write_all(line.as_bytes()).and_then(|()| file.sync_all()))
            .map_err(failed("write", &log))?;
        *last = Some(manifest.to_vec());
        Ok(Some(path))
    }

    fn create_next(&self, mut number: u64) -> Result<(PathBuf, File), ManifestLogError> {
        loop {
            number = number.saturating_add(1);
            let path = self.folder.join(format!("{number}.json"));
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => return Ok((path, file)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {} // another proxy was faster
                Err(source) => return Err(ManifestLogError::Io { verb: "write", path, source }),
            }
        }
    }
}

/// The numbers of `<n>.json` in the folder.
fn recorded_numbers(folder: &Path) -> Result<Vec<u64>, ManifestLogError> {
    let failed = |source| ManifestLogError::Io { verb: "read", path: folder.to_owned(), source };
    let entries = match fs::read_dir(folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error)),
    };
    let mut numbers = Vec::new();
    for entry in entries {
        let name = entry.map_err(failed)?.file_name();
        let number = name
            .to_str()
            .and_then(|name| name.strip_suffix(".json"))
            .and_then(|stem| stem.parse::<u64>().ok());
        numbers.extend(number);
    }
    Ok(numbers)
}

/// The manifest that the last line names; `None` if its file is gone, so that the next one is recorded in any case.
fn last_recorded(folder: &Path, log: &Path) -> Result<Option<Vec<u8>>, ManifestLogError> {
    let text = fs::read_to_string(log).map_err(|source| ManifestLogError::Io {
        verb: "read",
        path: log.to_owned(),
        source,
    })?;
    // The file's name only: the workspace may have been moved, or mounted elsewhere.
    let name = text
        .lines()
        .last()
        .and_then(|line| line.split_once(' '))
        .and_then(|(_, path)| Path::new(path).file_name());
    Ok(name.and_then(|name| fs::read(folder.join(name)).ok()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(1_790_000_000 + seconds).unwrap()
    }

    #[test]
    fn each_change_is_one_line_and_one_file() {
        let workspace = tempfile::tempdir().unwrap();
        let log = ManifestLog::open(workspace.path()).unwrap();
        assert!(!workspace.path().join("manifests").exists(), "nothing is made before something is enforced");

        let first = log.record(b"{\"a\":1}", at(0)).unwrap().unwrap();
        assert_eq!(first, workspace.path().join("manifests/1.json"));
        assert_eq!(log.record(b"{\"a\":1}", at(1)).unwrap(), None, "the same one again");
        log.record(b"{\"b\":2}", at(2)).unwrap().unwrap();
        log.record(b"{\"a\":1}", at(3)).unwrap().unwrap();

        let text = fs::read_to_string(workspace.path().join("manifests/log.txt")).unwrap();
        let folder = workspace.path().join("manifests");
        let expected = format!(
            "2026-09-21T14:13:20Z {0}/1.json\n2026-09-21T14:13:22Z {0}/2.json\n2026-09-21T14:13:23Z {0}/3.json\n",
            folder.display()
        );
        assert_eq!(text, expected);
        assert_eq!(fs::read(folder.join("2.json")).unwrap(), b"{\"b\":2}");
    }

    #[test]
    fn a_restart_goes_on_where_it_was() {
        let workspace = tempfile::tempdir().unwrap();
        ManifestLog::open(workspace.path()).unwrap().record(b"1", at(0)).unwrap();
        let log = ManifestLog::open(workspace.path()).unwrap();
        assert_eq!(log.record(b"1", at(1)).unwrap(), None);
        assert_eq!(log.record(b"2", at(2)).unwrap(), Some(workspace.path().join("manifests/2.json")));
    }

    #[test]
    fn manifests_without_their_log_are_refused() {
        let workspace = tempfile::tempdir().unwrap();
        let log = ManifestLog::open(workspace.path()).unwrap();
        log.record(b"1", at(0)).unwrap();
        fs::remove_file(workspace.path().join("manifests/log.txt")).unwrap();

        let error = ManifestLog::open(workspace.path()).err().unwrap();
        assert!(matches!(error, ManifestLogError::LogMissing { .. }), "{error:?}");
        let error = log.record(b"2", at(1)).unwrap_err();
        assert!(matches!(error, ManifestLogError::LogMissing { .. }), "also while running: {error:?}");
    }

    #[test]
    fn a_file_without_its_line_is_not_overwritten() {
        let workspace = tempfile::tempdir().unwrap();
        let log = ManifestLog::open(workspace.path()).unwrap();
        log.record(b"1", at(0)).unwrap();
        fs::write(workspace.path().join("manifests/2.json"), "written, then the power failed").unwrap();
        let path = log.record(b"3", at(1)).unwrap().unwrap();
        assert_eq!(path, workspace.path().join("manifests/3.json"));
    }

    #[test]
    fn an_unwritable_workspace_says_so() {
        let workspace = tempfile::tempdir().unwrap();
        fs::write(workspace.path().join("manifests"), "in the way").unwrap();
        let error = ManifestLog::open(workspace.path()).err().unwrap();
        assert!(matches!(error, ManifestLogError::Io { verb: "read", .. }), "{error:?}");
    }
}
