//! Server-side TLS 1.3 (RFC 8446) configurations that change while the process runs. Mutual TLS between workloads is
//! `lib/mesh`, through the same [`TlsSource`].

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant, SystemTime},
};

use rustls::{
    ServerConfig,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
};

use crate::Chain;

/// How often [`FileTls::current`] looks at the files, at most.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A certificate or key file is never this large.
const MAX_FILE: u64 = 1024 * 1024;

/// Gives the configuration for the next connection.
pub trait TlsSource: Send + Sync {
    /// The configuration as of now. Called once per connection: must be cheap.
    fn current(&self) -> Arc<ServerConfig>;
}

/// A configuration that never changes.
impl TlsSource for Arc<ServerConfig> {
    fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(self)
    }
}

/// Why a certificate and key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file could not be read.
    #[error("cannot read the TLS file `{path}`")]
    Read {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// A file is far larger than certificates are.
    #[error("the TLS file `{path}` has more than 1 MiB")]
    TooLarge {
        /// Which one.
        path: PathBuf,
    },
    /// A file is not PEM.
    #[error("the TLS file `{path}` is not valid PEM")]
    Pem {
        /// Which one.
        path: PathBuf,
        /// Why.
        source: pem::Error,
    },
    /// A file has no `CERTIFICATE` block.
    #[error("the TLS file `{path}` holds no certificate; it needs the chain as PEM, leaf first")]
    NoCertificate {
        /// Which one.
        path: PathBuf,
    },
    /// The certificate and the key do not belong together, or are of a kind that we cannot use.
    #[error("the certificate in `{certificate}` and the key in `{key}` cannot be used together")]
    Pair {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// Why.
        source: rustls::Error,
    },
}

/// A certificate chain and key in PEM files, read again when the files change. A new pair that is broken is logged and
/// the old one stays in use: a half-finished rotation does not take the service down.
pub struct FileTls {
    certificate: PathBuf,
    key: PathBuf,
    state: Mutex<State>,
}

struct State {
    config: Arc<ServerConfig>,
    /// What the files looked like when they were last read, well or badly.
    seen: Fingerprint,
    looked: Instant,
}

/// Changes when a file was replaced or rewritten.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fingerprint([Option<(SystemTime, u64, u64)>; 2]);

impl FileTls {
    /// Reads both files.
    ///
    /// # Errors
    /// [`TlsError`] names the file and what is wrong with it.
    pub fn load(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Result<Self, TlsError> {
        let (certificate, key) = (certificate.into(), key.into());
        let seen = fingerprint(&certificate, &key);
        let config = read(&certificate, &key)?;
        Ok(Self { certificate, key, state: Mutex::new(State { config, seen, looked: Instant::now() }) })
    }

    /// Looks at the files now; reads them if they changed. Returns whether a new pair is in use.
    pub fn refresh(&self) -> bool {
        self.refresh_locked(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn refresh_locked(&self, state: &mut State) -> bool {
        state.looked = Instant::now();
        let now = fingerprint(&self.certificate, &self.key);
        if now == state.seen {
            return false;
        }
        state.seen = now;
        match read(&self.certificate, &self.key) {
            Ok(config) => {
                state.config = config;
                tracing::info!(certificate = %self.certificate.display(), "TLS certificate replaced");
                true
            }
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "new TLS certificate refused, the old one stays in use");
                false
            }
        }
    }
}

impl TlsSource for FileTls {
    fn current(&self) -> Arc<ServerConfig> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.looked.elapsed() >= LOOK_EVERY {
            self.refresh_locked(&mut state);
        }
        Arc::clone(&state.config)
    }
}

fn fingerprint(certificate: &Path, key: &Path) -> Fingerprint {
    Fingerprint([certificate, key].map(|path| {
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len(), inode(&metadata)))
    }))
}

#[cfg(unix)]
fn inode(metadata: &fs::Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &fs::Metadata) -> u64 {
    0
}

fn read(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, TlsError> {
    let pem = |path: &Path, source| TlsError::Pem { path: path.to_owned(), source };
    let chain = CertificateDer::pem_slice_iter(&read_file(certificate)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|source| pem(certificate, source))?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: certificate.to_owned() });
    }
    let private = PrivateKeyDer::from_pem_slice(&read_file(key)?).map_err(|source| pem(key, source))?;
    let pair = |source| TlsError::Pair { certificate: certificate.to_owned(), key: key.to_owned(), source };
    let mut config =
        ServerConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(pair)?
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .map_err(pair)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(Arc::new(config))
}

fn read_file(path: &Path) -> Result<Vec<u8>, TlsError> {
    let failed = |source| TlsError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(TlsError::TooLarge { path: path.to_owned() });
    }
    fs::read(path).map_err(failed)
}

#[cfg(test)]
mod tests {
    use rcgen::{CertifiedKey, generate_simple_self_signed};

    use super::*;

    fn write_pair(folder: &Path, name: &str) -> (PathBuf, PathBuf) {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(vec![name.to_owned()]).unwrap();
        let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
        fs::write(&certificate, cert.pem()).unwrap();
        fs::write(&key, signing_key.serialize_pem()).unwrap();
        (certificate, key)
    }

    #[test]
    fn a_new_pair_is_used_and_a_broken_one_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path(), "first.example");
        let tls = FileTls::load(&certificate, &key).unwrap();
        let first = tls.current();
        assert!(!tls.refresh(), "nothing changed");

        // Another length, so that a coarse file clock cannot hide the change.
        write_pair(folder.path(), "a-second-and-longer-name.example");
        assert!(tls.refresh());
        let second = tls.current();
        assert!(!Arc::ptr_eq(&first, &second));

        fs::write(&key, "not a key").unwrap();
        assert!(!tls.refresh());
        assert!(Arc::ptr_eq(&second, &tls.current()), "the old pair stays");

        write_pair(folder.path(), "third.example");
        assert!(tls.refresh(), "and a repaired one is taken");
    }

    #[test]
    fn every_fault_has_its_name() {
        let folder = tempfile::tempdir().unwrap();
        let (certificate, key) = write_pair(folder.path(), "first.example");
        let load = |certificate: &Path, key: &Path| FileTls::load(certificate, key).err().unwrap();

        let missing = folder.path().join("missing.pem");
        assert!(matches!(load(&missing, &key), TlsError::Read { path, .. } if path == missing));
        assert!(matches!(load(&key, &key), TlsError::NoCertificate { .. }));
        assert!(matches!(load(&certificate, &certificate), TlsError::Pem { .. }));

        let other = tempfile::tempdir().unwrap();
        let (_, foreign_key) = write_pair(other.path(), "other.example");
        assert!(matches!(load(&certificate, &foreign_key), TlsError::Pair { .. }));

        let huge = folder.path().join("huge.pem");
        fs::write(&huge, vec![b' '; MAX_FILE as usize + 1]).unwrap();
        assert!(matches!(load(&huge, &key), TlsError::TooLarge { .. }));
    }
}
