//! Reads manifests and policies; writes files whole or not at all.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};
use privatemode_manifest::{Manifest, PolicyHash};

use super::Failure;
use crate::command::attest::input::{Files, wrong_form};

/// Longest policy: the longest entry of a coordinator's store.
const MAX_POLICY: usize = 1024 * 1024;
/// Most policies of a deployment.
const MAX_POLICIES: usize = 1024;

/// The manifest in a file that a flag, or a place on the command line, names.
pub(super) fn manifest(files: &mut Files, flag: &'static str, path: &Path) -> Result<Manifest, Failure> {
    let bytes = files.read(flag, path, Manifest::MAX_LEN)?;
    Ok(Manifest::parse(&bytes).map_err(|error| wrong_form(flag, path, "a manifest", &bytes, error))?)
}

/// Policies from files and from all files of a folder, in the order of their hashes.
pub(super) fn policies(
    files: &mut Files,
    given: &[PathBuf],
    folder: Option<&Path>,
) -> Result<BTreeMap<PolicyHash, Vec<u8>>, Failure> {
    let mut paths = given.to_vec();
    if let Some(folder) = folder {
        let failed = || format!("cannot list --policies `{}`", folder.display());
        for entry in fs::read_dir(folder).with_context(failed)? {
            paths.push(entry.with_context(failed)?.path());
        }
    }
    if paths.len() > MAX_POLICIES {
        return Err(anyhow::anyhow!("{} policies are more than a deployment has", paths.len()).into());
    }
    let read = paths.iter().map(|path| {
        let bytes = files.read("--policy", path, MAX_POLICY)?;
        Ok((PolicyHash::of(&bytes), bytes))
    });
    read.collect()
}

/// Who may read a file.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Readers {
    Everybody,
    Owner,
}

/// Writes a file whole or not at all.
pub(super) fn write(path: &Path, bytes: &[u8], readers: Readers) -> Result<()> {
    let failed =
        || format!("cannot write `{}`: check that its folder exists and is writable", path.display());
    let mut new = path.as_os_str().to_owned();
    new.push(format!(".{}.part", std::process::id()));
    let new = PathBuf::from(new);
    let mode = if readers == Readers::Owner { 0o600 } else { 0o644 };
    let mut options = fs::OpenOptions::new();
    let mut file = options.create_new(true).write(true).mode(mode).open(&new).with_context(failed)?;
    let written = file.write_all(bytes).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&new, path));
    if written.is_err() {
        let _gone = fs::remove_file(&new);
    }
    written.with_context(failed)
}
