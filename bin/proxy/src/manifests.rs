//! The expected manifest: pinned by a file, or fetched; and the record of what was enforced. Judges no deployment.
//! Specification: product.md P3.

use std::{error::Error, fs, path::Path, sync::Arc, time::Duration};

use jiff::Timestamp;
use privatemode_client::{ManifestError, Manifests};
use privatemode_manifest::Manifest;

use crate::{config::ManifestOrigin, manifest_log::ManifestLog, upstream};

/// Longest manifest (`privatemode-manifest` refuses longer ones as well).
const MAX_MANIFEST: usize = 1 << 20;
const FETCH_TIMEOUT: Duration = Duration::from_secs(30);

/// Why the pinned manifest cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum PinError {
    /// The file cannot be read.
    #[error("cannot read the manifest `{path}` (--manifestPath)")]
    Read {
        /// The file.
        path: String,
        /// Why.
        source: std::io::Error,
    },
    /// It is no manifest.
    #[error(
        "`{path}` (--manifestPath) is no manifest that this version understands; check the file, or update the proxy"
    )]
    Parse {
        /// The file.
        path: String,
        /// Why.
        source: privatemode_manifest::ManifestError,
    },
    /// A build without simulated evidence meets a simulated deployment.
    #[error(
        "`{path}` (--manifestPath) describes a SIMULATED deployment, and release builds cannot read simulated evidence: \
         nothing would be protected. Use the manifest of a real deployment; for development, use `privatemode up`"
    )]
    SimulatedNotBuilt {
        /// The file.
        path: String,
    },
    /// The run-time switch is missing.
    #[error(
        "`{path}` (--manifestPath) describes a SIMULATED deployment, which protects nothing; \
         for development add --danger-simulated"
    )]
    SimulatedNotAllowed {
        /// The file.
        path: String,
    },
}

/// The proxy's source of manifests.
pub(crate) enum Source {
    /// One file's bytes, read at the start.
    Pinned {
        /// For people.
        path: String,
        /// The bytes.
        raw: Vec<u8>,
    },
    /// Fetched when asked for.
    Url {
        /// With the system's and the further TLS roots, always checked.
        client: reqwest::Client,
        /// Whole.
        url: String,
    },
}

/// Source and record.
pub(crate) struct LoggedManifests {
    source: Source,
    log: ManifestLog,
}

impl LoggedManifests {
    pub(crate) fn new(source: Source, log: ManifestLog) -> Arc<Self> {
        Arc::new(Self { source, log })
    }

    /// For the status page.
    pub(crate) fn origin(&self) -> String {
        match &self.source {
            Source::Pinned { path, .. } => format!("pinned: {path}"),
            Source::Url { url, .. } => url.clone(),
        }
    }
}

impl Source {
    /// Reads a pinned manifest, so that a wrong one stops the start and not the first request.
    pub(crate) fn open(
        origin: &ManifestOrigin,
        client: &reqwest::Client,
        simulated: bool,
    ) -> Result<Self, PinError> {
        match origin {
            ManifestOrigin::Url(url) => Ok(Self::Url { client: client.clone(), url: url.clone() }),
            ManifestOrigin::Pinned(path) => pinned(path, simulated),
        }
    }
}

fn pinned(path: &Path, simulated: bool) -> Result<Source, PinError> {
    let name = path.display().to_string();
    let raw = fs::read(path).map_err(|source| PinError::Read { path: name.clone(), source })?;
    let manifest = Manifest::parse(&raw).map_err(|source| PinError::Parse { path: name.clone(), source })?;
    if manifest.is_simulated() && !cfg!(feature = "simulated") {
        return Err(PinError::SimulatedNotBuilt { path: name });
    }
    if manifest.is_simulated() && !simulated {
        return Err(PinError::SimulatedNotAllowed { path: name });
    }
    Ok(Source::Pinned { path: name, raw })
}

impl Manifests for LoggedManifests {
    async fn fetch(&self) -> Result<Manifest, ManifestError> {
        let (origin, raw) = match &self.source {
            Source::Pinned { path, raw } => (path, raw.clone()),
            Source::Url { client, url } => {
                let raw =
                    get(client, url).await.map_err(|source| ManifestError { origin: url.clone(), source })?;
                tracing::info!(url, "manifest fetched");
                (url, raw)
            }
        };
        Manifest::parse(&raw)
            .map_err(|source| ManifestError { origin: origin.clone(), source: Box::new(source) })
    }

    fn enforced(&self, manifest: &Manifest) -> Result<(), Box<dyn Error + Send + Sync>> {
        if let Some(path) = self.log.record(manifest.raw(), Timestamp::now())? {
            tracing::info!(path = %path.display(), digest = %manifest.digest(), "manifest enforced and logged");
        }
        Ok(())
    }

    fn is_pinned(&self) -> bool {
        matches!(self.source, Source::Pinned { .. })
    }
}

async fn get(client: &reqwest::Client, url: &str) -> Result<Vec<u8>, Box<dyn Error + Send + Sync>> {
    let response =
        client.get(url).timeout(FETCH_TIMEOUT).send().await.map_err(reqwest::Error::without_url)?;
    let status = response.status();
    if !status.is_success() {
        return Err(format!("status {}", status.as_u16()).into());
    }
    Ok(upstream::read(response, MAX_MANIFEST).await?)
}
