//! Tells the outcome in files: the evidence with its reference values, the states of certificates, the signed evidence.
//!
//! Whoever reads a file finds all of it or what was there before. A refusal takes the files away: what is not there is
//! believed by nobody.

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use p256::{
    SecretKey,
    ecdsa::{DerSignature, SigningKey, signature::hazmat::PrehashSigner as _},
    pkcs8::{DecodePrivateKey as _, EncodePublicKey as _},
};
use privatemode_attest::{
    ReportData, UnixTime,
    gpu::{AppraisedFleet, Bundle, GpuStatus, SignedBundle, Statement},
    x509::{Certificate, CertificateError},
};
use thiserror::Error;
use zeroize::Zeroizing;

/// Leaf, and what the coordinator sends with it.
const MAX_CHAIN: usize = 8;

/// Where the outcome goes.
#[derive(Debug, Clone)]
pub struct Tell {
    /// The evidence.
    pub evidence: PathBuf,
    /// The states of certificates (`ocsp-status.json`).
    pub status: PathBuf,
    /// Key, certificate, and where what is signed with them goes.
    pub signed: Option<(PathBuf, PathBuf, PathBuf)>,
}

/// Why nobody can be told.
#[derive(Debug, Error)]
pub enum TellError {
    /// A file cannot be read.
    #[error("cannot read `{path}`")]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file cannot be written.
    #[error("cannot write `{path}`")]
    Write {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What an earlier run told cannot be taken back.
    #[error("cannot remove `{path}`, which an earlier run wrote")]
    Remove {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Not a key of the mesh.
    #[error("`{path}` holds no P-256 private key as PKCS #8 in PEM")]
    Key {
        /// Which.
        path: PathBuf,
    },
    /// Not a certificate.
    #[error("`{path}` holds no certificate in PEM")]
    Certificate {
        /// Which.
        path: PathBuf,
        /// Why.
        source: CertificateError,
    },
    /// The certificate is of another key.
    #[error("the certificate in `{certificate}` is not for the key in `{key}`; both must be of one renewal")]
    OtherKey {
        /// Where the key is.
        key: PathBuf,
        /// Where the certificate is.
        certificate: PathBuf,
    },
    /// The states cannot be written as JSON.
    #[error("the states of the GPUs' certificates cannot be written as JSON")]
    Json {
        /// Why.
        source: serde_json::Error,
    },
}

impl Tell {
    /// Tells that these GPUs are ready. The states come last: who waits for them finds the evidence already.
    ///
    /// # Errors
    /// [`TellError`].
    pub fn ready(
        &self,
        bundle: &Bundle,
        fleet: &AppraisedFleet,
        report_data: &ReportData,
        now: UnixTime,
    ) -> Result<(), TellError> {
        write(&self.evidence, bundle.to_json().as_bytes())?;
        if let Some((key, certificate, out)) = &self.signed {
            let statement = Statement { report_data: *report_data, verified_at: now, bundle: bundle.clone() };
            write(out, sign(&statement, key, certificate)?.to_json().as_bytes())?;
        }
        let states = serde_json::to_vec(&GpuStatus::of(fleet.devices()))
            .map_err(|source| TellError::Json { source })?;
        write(&self.status, &states)
    }

    /// Takes back what was told, by this run or an earlier one.
    ///
    /// # Errors
    /// [`TellError::Remove`].
    pub fn nothing(&self) -> Result<(), TellError> {
        let signed = self.signed.iter().map(|(_, _, out)| out);
        for path in [&self.status, &self.evidence].into_iter().chain(signed) {
            match fs::remove_file(path) {
                Err(source) if source.kind() != io::ErrorKind::NotFound => {
                    return Err(TellError::Remove { path: path.clone(), source });
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Key and certificate are read for each signature: who renews them replaces the files.
fn sign(statement: &Statement, key: &Path, certificate: &Path) -> Result<SignedBundle, TellError> {
    let cannot_read = |path: &Path| {
        let path = path.to_owned();
        |source| TellError::Read { path, source }
    };
    let pem = Zeroizing::new(fs::read_to_string(key).map_err(cannot_read(key))?);
    let secret = SecretKey::from_pkcs8_pem(&pem).map_err(|_| TellError::Key { path: key.to_owned() })?;
    let chain = fs::read(certificate).map_err(cannot_read(certificate))?;
    let unusable = |source| TellError::Certificate { path: certificate.to_owned(), source };
    let chain = Certificate::parse_pem_chain(&chain, MAX_CHAIN).map_err(unusable)?;
    let other_key = || TellError::OtherKey { key: key.to_owned(), certificate: certificate.to_owned() };
    let leaf = chain.first().ok_or_else(other_key)?;
    let ours =
        secret.public_key().to_public_key_der().map_err(|_| TellError::Key { path: key.to_owned() })?;
    if leaf.spki_der() != ours.as_bytes() {
        return Err(other_key());
    }
    let encoded = statement.encode();
    let signature: DerSignature = SigningKey::from(&secret)
        .sign_prehash(&Statement::digest(&encoded))
        .expect("a digest as long as the curve's field can always be signed");
    Ok(SignedBundle::new(encoded, leaf.der().to_vec(), signature.as_bytes().to_vec()))
}

fn write(path: &Path, content: &[u8]) -> Result<(), TellError> {
    let partial = path.with_extension("partial");
    fs::write(&partial, content)
        .and_then(|()| fs::rename(&partial, path))
        .map_err(|source| TellError::Write { path: path.to_owned(), source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_as_a_whole() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("evidence.json");
        fs::write(&path, "before").unwrap();
        write(&path, b"after").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"after");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&folder.path().join("no/evidence.json"), b"").unwrap_err();
        assert!(matches!(error, TellError::Write { path, .. } if path.ends_with("no/evidence.json")));
    }

    #[test]
    fn what_an_earlier_run_told_is_taken_back() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = |name: &str| folder.path().join(name);
        let signed = Some((path("key"), path("certificate"), path("signed")));
        let tell = Tell { evidence: path("evidence"), status: path("status"), signed };
        for name in ["evidence", "status", "signed", "key", "certificate"] {
            fs::write(path(name), "").unwrap();
        }
        tell.nothing().unwrap();
        let mut left: Vec<_> =
            fs::read_dir(folder.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["certificate", "key"]);
        tell.nothing().unwrap();
        fs::create_dir(path("status")).unwrap();
        assert!(
            matches!(tell.nothing().unwrap_err(), TellError::Remove { path, .. } if path.ends_with("status"))
        );
    }
}
