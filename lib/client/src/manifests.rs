//! Where the expected manifest comes from, and who records the ones that were enforced.

use std::{error::Error, future::Future, sync::Arc};

use privatemode_manifest::Manifest;

/// Why there is no expected manifest.
#[derive(Debug, thiserror::Error)]
#[error("the manifest cannot be obtained from {origin}")]
pub struct ManifestError {
    /// URL or path.
    pub origin: String,
    /// Why.
    pub source: Box<dyn Error + Send + Sync>,
}

/// A source of expected manifests.
pub trait Manifests: Send + Sync + 'static {
    /// The newest manifest of this source. Called at the start and after each failed verification.
    fn fetch(&self) -> impl Future<Output = Result<Manifest, ManifestError>> + Send;

    /// Called after a verification succeeded, before anything is sealed for that deployment. An error stops the
    /// session: a manifest that cannot be recorded is not enforced, or the audit log would have a gap.
    ///
    /// # Errors
    /// Whatever kept the record from being written.
    fn enforced(&self, manifest: &Manifest) -> Result<(), Box<dyn Error + Send + Sync>>;

    /// Whether this source can never give another manifest, so that asking again is pointless.
    fn is_pinned(&self) -> bool {
        false
    }
}

impl<M: Manifests> Manifests for Arc<M> {
    fn fetch(&self) -> impl Future<Output = Result<Manifest, ManifestError>> + Send {
        M::fetch(self)
    }

    fn enforced(&self, manifest: &Manifest) -> Result<(), Box<dyn Error + Send + Sync>> {
        M::enforced(self, manifest)
    }

    fn is_pinned(&self) -> bool {
        M::is_pinned(self)
    }
}

/// One manifest, for good, without a record.
#[derive(Debug)]
pub struct Pinned {
    raw: Vec<u8>,
}

impl Pinned {
    /// Pins these bytes.
    #[must_use]
    pub fn new(raw: Vec<u8>) -> Self {
        Self { raw }
    }
}

impl Manifests for Pinned {
    async fn fetch(&self) -> Result<Manifest, ManifestError> {
        Manifest::parse(&self.raw).map_err(|source| ManifestError {
            origin: "the pinned bytes".to_owned(),
            source: Box::new(source),
        })
    }

    fn enforced(&self, _: &Manifest) -> Result<(), Box<dyn Error + Send + Sync>> {
        Ok(())
    }

    fn is_pinned(&self) -> bool {
        true
    }
}
