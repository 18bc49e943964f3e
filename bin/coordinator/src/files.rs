//! Reads the files that the flags name. Judges nothing but their length.

use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use privatemode_manifest::Manifest;
use thiserror::Error;

use crate::deployment::PolicyFile;

/// Longest policy.
const MAX_POLICY: usize = 1024 * 1024;
/// Most policies.
const MAX_POLICIES: usize = 1024;

/// Why a file could not be read.
#[derive(Debug, Error)]
pub(crate) enum FileError {
    #[error("cannot read {what} `{}`", .path.display())]
    Read { what: &'static str, path: PathBuf, source: io::Error },
    #[error("{what} `{}` is longer than {max} bytes", .path.display())]
    TooLong { what: &'static str, path: PathBuf, max: usize },
    #[error("policy folder `{}` holds more than {max} files", .path.display())]
    TooMany { path: PathBuf, max: usize },
}

pub(crate) fn manifest(path: &Path) -> Result<Vec<u8>, FileError> {
    read("the manifest", path, Manifest::MAX_LEN)
}

pub(crate) fn own_policy(path: &Path) -> Result<Vec<u8>, FileError> {
    read("the coordinator's own policy", path, MAX_POLICY)
}

/// All files of a folder, in the order of their names. Hidden ones are left out: a mounted ConfigMap keeps its own
/// book-keeping there.
pub(crate) fn policies(folder: &Path) -> Result<Vec<PolicyFile>, FileError> {
    let unreadable = |source| FileError::Read { what: "the policy folder", path: folder.to_owned(), source };
    let mut paths = Vec::new();
    for entry in fs::read_dir(folder).map_err(unreadable)? {
        let path = entry.map_err(unreadable)?.path();
        let hidden = path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"."));
        if !hidden {
            paths.push(path);
        }
        if paths.len() > MAX_POLICIES {
            return Err(FileError::TooMany { path: folder.to_owned(), max: MAX_POLICIES });
        }
    }
    paths.sort();
    paths
        .into_iter()
        .map(|path| {
            let bytes = read("policy", &path, MAX_POLICY)?;
            Ok(PolicyFile { name: path.display().to_string(), bytes })
        })
        .collect()
}

fn read(what: &'static str, path: &Path, max: usize) -> Result<Vec<u8>, FileError> {
    let unreadable = |source| FileError::Read { what, path: path.to_owned(), source };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    // one byte more than allowed, to tell "exactly as long" from "longer"
    file.take(max as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    if bytes.len() > max {
        return Err(FileError::TooLong { what, path: path.to_owned(), max });
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn policies_are_all_visible_files_in_order() {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in [("b.toml", "two"), ("a.toml", "one"), (".hidden", "no")] {
            fs::write(folder.path().join(name), text).unwrap();
        }
        let texts: Vec<_> = policies(folder.path()).unwrap().into_iter().map(|policy| policy.bytes).collect();
        assert_eq!(texts, [b"one", b"two"]);
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let missing = Path::new("/nowhere/manifest.json");
        let refused = manifest(missing).unwrap_err();
        assert!(matches!(&refused, FileError::Read { path, .. } if path == missing));
        assert_eq!(refused.to_string(), "cannot read the manifest `/nowhere/manifest.json`");
        assert!(matches!(policies(missing), Err(FileError::Read { what: "the policy folder", .. })));
        // a folder where a policy should be
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("inner")).unwrap();
        assert!(matches!(policies(folder.path()), Err(FileError::Read { what: "policy", .. })));
    }

    #[test]
    fn length_is_capped() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("policy");
        fs::write(&path, vec![b'x'; MAX_POLICY]).unwrap();
        assert_eq!(own_policy(&path).unwrap().len(), MAX_POLICY);
        fs::write(&path, vec![b'x'; MAX_POLICY + 1]).unwrap();
        assert!(matches!(own_policy(&path), Err(FileError::TooLong { max: MAX_POLICY, .. })));
    }
}
