//! Documents in files. Trusts nothing that it reads: what does not match its digest is dropped.
//!
//! Per document there is one sidecar, `<name>.json`, and the content that it names, `<name>.<digest>.bin`. Both are written beside
//! their place and renamed into it, content first: a reader in another process sees the old pair or the new one, without a lock.
//! What is signed is verified after every read, so the cache may be shared by processes but is no trust boundary.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::atomic::{AtomicU64, Ordering},
};

use privatemode_attest::UnixTime;
use sha2::{Digest as _, Sha256};

use crate::{
    document::{Document, Freshness, MAX_CERTIFICATE, check},
    key::Key,
};

mod sidecar;
mod trim;

use sidecar::Sidecar;

/// Longest sidecar, in bytes: the issuers' certificates as JSON, with room.
const MAX_SIDECAR: u64 = 2 * MAX_CERTIFICATE as u64;

/// What is kept beside a document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    pub(crate) document: Document,
    pub(crate) fetched_at: UnixTime,
    pub(crate) freshness: Freshness,
    pub(crate) etag: Option<String>,
}

/// A folder of documents.
#[derive(Debug)]
pub(crate) struct Cache {
    folder: PathBuf,
    max_bytes: u64,
    /// Makes names of unfinished files differ within this process.
    unfinished: AtomicU64,
}

impl Cache {
    /// Makes the folder if need be.
    pub(crate) fn open(folder: &Path, max_bytes: u64) -> io::Result<Self> {
        fs::create_dir_all(folder)?;
        Ok(Self { folder: folder.to_owned(), max_bytes, unfinished: AtomicU64::new(0) })
    }

    /// The document of `key`, if it is there, whole and usable.
    pub(crate) fn load(&self, key: &Key) -> Option<Entry> {
        let name = name(key);
        // A second look: between our two reads another process may have renamed a new sidecar into place and removed
        // the content that the old one named.
        for _ in 0..2 {
            let sidecar = match read(&self.sidecar(&name), MAX_SIDECAR) {
                Ok(bytes) => bytes,
                Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
                Err(error) => {
                    tracing::warn!(%key, %error, "a cached document cannot be read");
                    return None;
                }
            };
            match self.entry(key, &name, &sidecar) {
                Ok(entry) => return Some(entry),
                Err(Damage::ContentMissing) => {}
                Err(damage) => {
                    tracing::warn!(%key, ?damage, "a damaged document in the cache was dropped");
                    self.remove(key);
                    return None;
                }
            }
        }
        // Not removed: a writer may be at work this very moment. Whatever is fetched next takes its place.
        tracing::warn!(%key, "a document in the cache has lost its content");
        None
    }

    fn entry(&self, key: &Key, name: &str, sidecar: &[u8]) -> Result<Entry, Damage> {
        let sidecar: Sidecar = serde_json::from_slice(sidecar).map_err(|_| Damage::Sidecar)?;
        let digest = sidecar.of(key).ok_or(Damage::Sidecar)?;
        let path = self.content(name, &digest);
        let bytes = match read(&path, key.kind().max_len() as u64) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(Damage::ContentMissing),
            Err(_) => return Err(Damage::ContentUnreadable),
        };
        let document = Document { bytes, issuer_chain: sidecar.issuer_chain };
        if digest_of(&document) != digest {
            return Err(Damage::Digest);
        }
        check(key, &document).map_err(|_| Damage::Unusable)?;
        Ok(Entry {
            document,
            fetched_at: UnixTime(sidecar.fetched_at),
            freshness: sidecar.freshness,
            etag: sidecar.etag,
        })
    }

    /// Keeps a document in place of the one there, and makes room for it.
    pub(crate) fn store(&self, key: &Key, entry: &Entry) -> io::Result<()> {
        let name = name(key);
        let digest = digest_of(&entry.document);
        let content = self.content(&name, &digest);
        self.put(&content, &entry.document.bytes)?;
        let sidecar =
            serde_json::to_vec_pretty(&Sidecar::new(key, &digest, entry)).map_err(io::Error::other)?;
        self.put(&self.sidecar(&name), &sidecar)?;
        self.remove_contents(&name, Some(&content));
        trim::trim(&self.folder, self.max_bytes, entry.fetched_at)
    }

    /// Forgets a document.
    pub(crate) fn remove(&self, key: &Key) {
        let name = name(key);
        let _absent = fs::remove_file(self.sidecar(&name));
        self.remove_contents(&name, None);
    }

    fn remove_contents(&self, name: &str, except: Option<&Path>) {
        let Ok(files) = fs::read_dir(&self.folder) else { return };
        for path in files.flatten().map(|file| file.path()) {
            if trim::name_of(&path, trim::CONTENT) == Some(name) && Some(path.as_path()) != except {
                let _gone = fs::remove_file(path);
            }
        }
    }

    fn sidecar(&self, name: &str) -> PathBuf {
        self.folder.join(format!("{name}.{}", trim::SIDECAR))
    }

    fn content(&self, name: &str, digest: &[u8; 32]) -> PathBuf {
        let short = hex::encode(digest.get(..8).unwrap_or_default());
        self.folder.join(format!("{name}.{short}.{}", trim::CONTENT))
    }

    fn put(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let number = self.unfinished.fetch_add(1, Ordering::Relaxed);
        let new = self.folder.join(format!("new-{}-{number}.{}", std::process::id(), trim::UNFINISHED));
        // made anew: a link that somebody put in its place must not be followed, nor the leftover of a crash be in the way
        let create = || fs::File::options().write(true).create_new(true).open(&new);
        let mut file = create().or_else(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => fs::remove_file(&new).and_then(|()| create()),
            _ => Err(error),
        })?;
        io::Write::write_all(&mut file, bytes).inspect_err(|_| {
            let _gone = fs::remove_file(&new);
        })?;
        fs::rename(&new, path).inspect_err(|_| {
            let _gone = fs::remove_file(&new);
        })
    }
}

#[derive(Debug)]
enum Damage {
    Sidecar,
    ContentMissing,
    ContentUnreadable,
    Digest,
    Unusable,
}

/// A readable start, and a digest that tells apart what the start does not.
fn name(key: &Key) -> String {
    let (kind, identity) = (key.kind().as_str(), key.identity());
    let readable: String =
        identity.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).take(24).collect();
    let digest = Sha256::digest(format!("{kind}\n{identity}"));
    format!("{kind}-{readable}-{}", hex::encode(digest.get(..16).unwrap_or_default()))
}

/// Over the content and the issuers beside it.
fn digest_of(document: &Document) -> [u8; 32] {
    let mut digest = Sha256::new();
    digest.update((document.bytes.len() as u64).to_be_bytes());
    digest.update(&document.bytes);
    digest.update(document.issuer_chain.as_deref().unwrap_or_default());
    digest.finalize().into()
}

/// The file, if it is a plain one and has at most `max` bytes: what somebody put there must not fill the memory, nor keep all who
/// want the document waiting, as a pipe would that nobody writes to.
fn read(path: &Path, max: u64) -> io::Result<Vec<u8>> {
    use io::Read as _;
    if !fs::symlink_metadata(path)?.is_file() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let mut bytes = Vec::new();
    fs::File::open(path)?.take(max + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max { Err(io::ErrorKind::FileTooLarge.into()) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests;
