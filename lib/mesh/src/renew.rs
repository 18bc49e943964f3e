//! Keeps an identity alive: a new certificate at two thirds of the old one's lifetime, and at once when the coordinator has
//! another mesh CA than ours (it restarted, or the manifest was set anew): peers would refuse us otherwise.

use std::{sync::Arc, time::Duration};

use privatemode_service::{Chain, Shutdown};
use tokio::task::JoinHandle;

use crate::{
    JoinError, MeshIdentity,
    join::{attest, enrol, now},
};

/// How often the coordinator is asked which mesh CA it has.
const LOOK_EVERY: Duration = Duration::from_secs(60);
/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

impl MeshIdentity {
    /// Renews in the background until `shutdown`. Failures are logged and tried again.
    pub fn spawn_renewal(self: &Arc<Self>, shutdown: Shutdown) -> JoinHandle<()> {
        let identity = Arc::clone(self);
        tokio::spawn(async move {
            let mut failures = 0;
            loop {
                tokio::select! {
                    () = shutdown.triggered() => return,
                    () = tokio::time::sleep(identity.pause(failures)) => {}
                }
                match identity.renew_if_needed().await {
                    Ok(_) => failures = 0,
                    Err(error) => {
                        failures += 1;
                        identity.log_failure(&error);
                    }
                }
            }
        })
    }

    /// Short sleeps, because timers stand still while a host sleeps; after failures growing ones.
    fn pause(&self, failures: u32) -> Duration {
        let (first, longest) = PAUSES;
        match failures.checked_sub(1) {
            Some(doublings) => first.saturating_mul(2_u32.saturating_pow(doublings)).min(longest),
            None => self.until_due().clamp(first, LOOK_EVERY),
        }
    }

    /// Gets a new certificate now and swaps it in. Connections that are open stay as they are.
    ///
    /// # Errors
    /// [`JoinError`]; the old certificate stays in use.
    pub async fn renew(&self) -> Result<(), JoinError> {
        let state = enrol(&self.settings, &self.coordinator, &self.quoter, &self.key).await?;
        self.swap(state);
        tracing::info!(not_after = %self.not_after(), simulated = self.simulated(), "mesh certificate renewed");
        Ok(())
    }

    /// Renews if it is time, or if the coordinator has another mesh CA. Returns whether it did.
    async fn renew_if_needed(&self) -> Result<bool, JoinError> {
        if !self.until_due().is_zero() {
            let deployment = attest(&self.settings, &self.coordinator).await?;
            if deployment.mesh_ca() == self.shared.state.load().deployment.mesh_ca() {
                return Ok(false);
            }
            tracing::warn!("the coordinator has another mesh CA, joining again");
        }
        self.renew().await.map(|()| true)
    }

    fn until_due(&self) -> Duration {
        let due = self.shared.state.load().renew_at.as_secs();
        Duration::from_secs(due.saturating_sub(now().as_secs()))
    }

    fn log_failure(&self, error: &JoinError) {
        let not_after = self.not_after();
        if now() > not_after {
            tracing::error!(error = %Chain(error), "the mesh certificate has expired and cannot be renewed: peers refuse this workload");
        } else {
            tracing::warn!(error = %Chain(error), %not_after, "the mesh certificate could not be checked or renewed, trying again");
        }
    }
}
