//! Keeps the folder small: the documents that were fetched longest ago go first.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
    time::{Duration, UNIX_EPOCH},
};

use privatemode_attest::UnixTime;

use crate::key::Kind;

pub(super) const SIDECAR: &str = "json";
pub(super) const CONTENT: &str = "bin";
pub(super) const UNFINISHED: &str = "part";

/// A file without its other half may belong to a write under way in another process; after this time it does not.
const ORPHAN: Duration = Duration::from_secs(3600);

#[derive(Default)]
struct Group {
    paths: Vec<PathBuf>,
    bytes: u64,
    has_sidecar: bool,
    /// When its latest file was written.
    written: Duration,
}

/// Removes the oldest documents until at most `max_bytes` are left, and what crashed writers left behind.
pub(super) fn trim(folder: &Path, max_bytes: u64, now: UnixTime) -> io::Result<()> {
    let mut groups: Vec<Group> = groups(folder)?.into_values().collect();
    let now = Duration::from_secs(now.0);
    groups.retain(|group| {
        let orphan = !group.has_sidecar && group.written + ORPHAN < now;
        if orphan {
            remove(group);
        }
        !orphan
    });
    groups.sort_by_key(|group| group.written);
    let mut total: u64 = groups.iter().fold(0, |sum, group| sum.saturating_add(group.bytes));
    for group in groups {
        if total <= max_bytes {
            break;
        }
        remove(&group);
        total = total.saturating_sub(group.bytes);
    }
    Ok(())
}

fn remove(group: &Group) {
    // the sidecar first: content alone is nothing, a sidecar alone is damage
    let (sidecars, others): (Vec<_>, Vec<_>) =
        group.paths.iter().partition(|path| name_of(path, SIDECAR).is_some());
    for path in sidecars.into_iter().chain(others) {
        let _gone = fs::remove_file(path);
    }
}

fn groups(folder: &Path) -> io::Result<BTreeMap<String, Group>> {
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for file in fs::read_dir(folder)?.flatten() {
        let path = file.path();
        let sidecar = name_of(&path, SIDECAR);
        let Some(name) = sidecar.or(name_of(&path, CONTENT)).or(name_of(&path, UNFINISHED)) else {
            continue; // not ours
        };
        if !is_ours(name) {
            continue; // somebody else's JSON, in a folder that we were pointed to
        }
        let Ok(metadata) = file.metadata() else { continue };
        let written = metadata
            .modified()
            .ok()
            .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
            .unwrap_or_default();
        let group = groups.entry(name.to_owned()).or_default();
        group.has_sidecar |= sidecar.is_some();
        group.bytes = group.bytes.saturating_add(metadata.len());
        group.written = group.written.max(written);
        group.paths.push(path);
    }
    Ok(groups)
}

/// Whether a document or an unfinished file of ours can have this name.
fn is_ours(name: &str) -> bool {
    let of_kind = |kind: &Kind| name.strip_prefix(kind.as_str()).is_some_and(|rest| rest.starts_with('-'));
    name.starts_with("new-") || Kind::ALL.iter().any(of_kind)
}

/// The document's name in the name of a file with this extension.
pub(super) fn name_of<'a>(path: &'a Path, extension: &str) -> Option<&'a str> {
    let name = path.file_name()?.to_str()?.strip_suffix(extension)?.strip_suffix('.')?;
    if extension == CONTENT { name.rsplit_once('.').map(|(name, _digest)| name) } else { Some(name) }
}
