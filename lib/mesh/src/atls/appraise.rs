//! Whether a peer's evidence is what the manifest wants. Fetches; decides nothing itself: that is
//! `privatemode_manifest::appraise_workload`, and one question about the role.

use std::{sync::Arc, time::Duration};

use privatemode_attest::atls::Leaf;
use privatemode_collateral::{Collector, Gathered};
use privatemode_manifest::{
    AppraiseError, Manifest, Needs, Role, VerifyOptions, Workload, appraise_workload, needs,
};

use super::{AtlsError, Clock, nonce::Nonce};

/// Longest wait for the vendors.
const FETCHING: Duration = Duration::from_secs(20);

/// Which peers are let in, of those that the manifest names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Demand {
    /// All.
    AnyWorkload,
    /// Coordinators.
    Coordinator,
}

/// Appraises peers under one manifest. Cheap to clone.
#[derive(Clone)]
pub struct Appraiser {
    manifest: Arc<Manifest>,
    options: VerifyOptions,
    collector: Option<Collector>,
    clock: Clock,
}

impl Appraiser {
    /// Peers of `manifest`; `options` say what evidence is tolerated, and bring what it does not bring itself.
    #[must_use]
    pub fn new(manifest: impl Into<Arc<Manifest>>, options: VerifyOptions, clock: Clock) -> Self {
        Self { manifest: manifest.into(), options, collector: None, clock }
    }

    /// Fetches what evidence does not bring through `collector`.
    #[must_use]
    pub fn with_collateral(self, collector: Collector) -> Self {
        Self { collector: Some(collector), ..self }
    }

    /// The manifest.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        &self.manifest
    }

    pub(super) async fn appraise(
        &self,
        leaf: &Leaf,
        nonce: &Nonce,
        demand: Demand,
    ) -> Result<Workload, AtlsError> {
        let gathered = self.gather(leaf).await?;
        let appraised = self.decide(leaf, nonce, &gathered).await?;
        if let Some(collector) = &self.collector {
            match &appraised {
                Ok(_) => collector.confirm_all(&gathered).await,
                Err(refusal) => collector.reject_faulty(&gathered, refusal).await,
            }
        }
        let workload = appraised.map_err(|source| AtlsError::Appraise { source })?;
        match (demand, workload.entry.role) {
            (Demand::AnyWorkload, _) | (Demand::Coordinator, Role::Coordinator) => Ok(workload),
            (Demand::Coordinator, Role::Workload) => {
                Err(AtlsError::NotCoordinator { got: workload.policy_hash })
            }
        }
    }

    async fn gather(&self, leaf: &Leaf) -> Result<Gathered, AtlsError> {
        let Some(collector) = &self.collector else { return Ok(Gathered::default()) };
        // evidence that does not say what it needs is refused below, with the reason
        let needs = needs(leaf.kind(), leaf.evidence(), &self.manifest).unwrap_or(Needs::Nothing);
        let gathered = collector.gather_within(&needs, FETCHING).await;
        gathered.map_err(|source| AtlsError::Collateral { source })
    }

    /// Verifying is work, not waiting.
    async fn decide(
        &self,
        leaf: &Leaf,
        nonce: &Nonce,
        gathered: &Gathered,
    ) -> Result<Result<Workload, AppraiseError>, AtlsError> {
        let (manifest, leaf) = (Arc::clone(&self.manifest), leaf.clone());
        let mut options = self.options.clone();
        if self.collector.is_some() {
            options.collateral = gathered.collateral.clone();
        }
        let (bound, now) = (leaf.report_data(nonce.as_bytes()), (self.clock)());
        let decided = tokio::task::spawn_blocking(move || {
            appraise_workload(&manifest, leaf.kind(), leaf.evidence(), &bound, &options, now)
        });
        decided.await.map_err(|_| AtlsError::Internal)
    }
}
