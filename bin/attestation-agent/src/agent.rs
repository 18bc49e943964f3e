//! All steps in their order: collect, fetch, verify, set ready, tell; and again before the certificates' states are out of date.
//!
//! The evidence is collected once and is the same in every round: a round asks NVIDIA's responder anew, verifies everything
//! again at the new time, and has the driver say that its GPUs and their mode are those of then.

use std::{sync::Arc, time::Duration};

use privatemode_attest::gpu::{Fleet, NonceRule, Roots};
use privatemode_collateral::{Collector, Timing};
use privatemode_service::Shutdown;

use crate::{
    AdmitError, Collected, Fetched, GpuQuoter, Plan, Requirements,
    admit::{admit, stop},
    collect, fetch,
};

/// Shortest pause between two rounds: also while the responder's answers run out.
const MIN_PAUSE: u64 = 60;
/// Longest pause: a revocation is noticed after it at the latest, if the responder tells it.
const MAX_PAUSE: u64 = 6 * 3600;

/// A machine's GPUs, and all that it takes to admit them.
pub struct Agent {
    /// The driver.
    pub quoter: Arc<dyn GpuQuoter>,
    /// Gets what NVIDIA publishes.
    pub collector: Collector,
    /// Whose signatures count.
    pub roots: Roots,
    /// Clock and timer.
    pub timing: Arc<dyn Timing>,
    /// What is accepted, and who is told.
    pub plan: Plan,
}

impl Agent {
    /// Admits the GPUs, and keeps their state current until `shutdown`.
    ///
    /// # Errors
    /// [`AdmitError`]: the GPUs take no work then, and what was told about them is taken back.
    pub async fn run(self, shutdown: Shutdown) -> Result<(), AdmitError> {
        let agent = Arc::new(self);
        let outcome = agent.rounds(&shutdown).await;
        let Err(refused) = outcome else { return Ok(()) };
        // what stands in the files is no longer so; the refusal itself weighs more than a file that stays
        if let Err(error) = agent.plan.tell.nothing() {
            tracing::error!(error = %privatemode_service::Chain(&error), "refused GPUs still have a file that says otherwise");
        }
        Err(refused)
    }

    async fn rounds(self: &Arc<Self>, shutdown: &Shutdown) -> Result<(), AdmitError> {
        // nobody may read the last run's word while this one has not spoken
        self.plan.tell.nothing().map_err(|source| self.stopped(AdmitError::Tell { source }))?;
        let mut collected = self.blocking(Self::collect).await?;
        let mut fetched = Fetched::default();
        loop {
            let pause;
            (collected, fetched, pause) = self.round(collected, fetched).await?;
            if self.plan.once {
                return Ok(());
            }
            tokio::select! {
                () = shutdown.triggered() => return Ok(()),
                () = self.timing.pause(pause) => {}
            }
        }
    }

    /// One time of fetching, verifying, setting ready and telling.
    async fn round(
        self: &Arc<Self>,
        mut collected: Collected,
        earlier: Fetched,
    ) -> Result<(Collected, Fetched, Duration), AdmitError> {
        let (policy, roots) = (&self.plan.policy, &self.roots);
        let now = self.timing.now();
        // steps 1 to 4: of devices that are not genuine nobody is told
        let devices = collected.bundle.verify_devices(&collected.nonces, roots, now);
        let devices = devices.map_err(|source| self.stopped(AdmitError::Evidence { source }))?;
        let bundle = (&mut collected.bundle, &devices[..]);
        let fetched = fetch(&self.collector, bundle, (policy, roots), &earlier, now).await;
        let fetched = fetched.map_err(|refused| self.stopped(refused))?;
        let collected = self.blocking(move |agent| agent.admit(collected)).await?;
        let now = self.timing.now();
        fetched.confirm(&self.collector, now).await;
        let until = fetched.renew_at(now).map_or(MAX_PAUSE, |at| at.as_secs().saturating_sub(now.as_secs()));
        Ok((collected, fetched, Duration::from_secs(until.clamp(MIN_PAUSE, MAX_PAUSE))))
    }

    fn collect(&self) -> Result<Collected, AdmitError> {
        let collected = collect(&*self.quoter, &self.plan.report_data, self.plan.gpus)
            .map_err(|source| self.stopped(AdmitError::Collect { source }))?;
        tracing::info!(gpus = collected.devices.len(), "the GPUs gave evidence; it is not verified yet");
        Ok(collected)
    }

    fn admit(&self, collected: Collected) -> Result<Collected, AdmitError> {
        let now = self.timing.now();
        // NVML knows no switches; a machine that needs them is refused by its GPUs' protected-PCIe state
        let fleet = Fleet {
            gpus: self.plan.gpus.unwrap_or(collected.devices.len()),
            switches: 0,
            nonces: NonceRule::Own,
        };
        let requirements = Requirements { fleet: &fleet, policy: &self.plan.policy, roots: &self.roots };
        let admitted = admit(&*self.quoter, &collected, &requirements, now)?;
        let Plan { tell, report_data, .. } = &self.plan;
        tell.ready(&collected.bundle, &admitted, report_data, now)
            .map_err(|source| self.stopped(AdmitError::Tell { source }))?;
        tracing::info!(gpus = collected.devices.len(), "the GPUs are verified and ready");
        Ok(collected)
    }

    fn stopped(&self, refused: AdmitError) -> AdmitError {
        stop(&*self.quoter, refused)
    }

    /// The driver may take seconds for each GPU.
    async fn blocking<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Self) -> Result<T, AdmitError> + Send + 'static,
    ) -> Result<T, AdmitError> {
        let agent = Arc::clone(self);
        match tokio::task::spawn_blocking(move || work(&agent)).await {
            Ok(outcome) => outcome,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                Err(_) => Err(self.stopped(AdmitError::CutShort)),
            },
        }
    }
}
