//! Where secrets and claims are kept: in this process, or in etcd. What has to be done for them now and then is here, too.

use std::{sync::Arc, time::Duration};

use anyhow::Context as _;
use privatemode_mesh::MeshIdentity;
use privatemode_service::{Chain, Health, Shutdown};
use privatemode_store::{
    Embedded, EtcdSecrets, MonotonicClock, SecretStore,
    claims::{ClaimMemory, ClaimStore, EtcdClaims, system_now},
    etcd::Etcd,
};
use privatemode_wire::replay::ReplayLimits;

use crate::{Config, Metrics, etcd};

const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often etcd is asked whether it lives, when it did and when it did not.
const LOOK_EVERY: (Duration, Duration) = (Duration::from_secs(10), Duration::from_secs(1));

/// The two memories, and their upkeep.
pub(crate) struct Keep {
    pub(crate) secrets: Arc<dyn SecretStore>,
    pub(crate) claims: Arc<dyn ClaimStore>,
    upkeep: Upkeep,
}

enum Upkeep {
    /// Wipes what has expired.
    Embedded(Arc<Embedded>),
    /// Looks whether etcd answers.
    Etcd(EtcdUpkeep),
}

struct EtcdUpkeep {
    etcd: Etcd,
    secrets: Arc<EtcdSecrets>,
    claims: Arc<EtcdClaims>,
    /// Users and roles are yet to be set up.
    auth: bool,
}

impl Keep {
    pub(crate) fn new(config: &Config, identity: &MeshIdentity) -> anyhow::Result<Self> {
        let limits = ReplayLimits::with_capacity(config.max_claims);
        if config.etcd.is_empty() {
            Self::embedded(config, limits)
        } else {
            Self::etcd(config, limits, identity)
        }
    }

    /// The memory of claims forgets with its process, and so begins by refusing what an earlier one may have taken.
    fn embedded(config: &Config, limits: ReplayLimits) -> anyhow::Result<Self> {
        let secrets = Arc::new(Embedded::new(Arc::new(MonotonicClock::new()), config.max_secrets));
        let claims = Arc::new(ClaimMemory::begin(limits, system_now(), random()?));
        Ok(Self { secrets: secrets.clone(), claims, upkeep: Upkeep::Embedded(secrets) })
    }

    fn etcd(config: &Config, limits: ReplayLimits, identity: &MeshIdentity) -> anyhow::Result<Self> {
        let etcd = etcd::client(&config.etcd, &config.etcd_workload, identity)?;
        let auth = etcd::sets_up_auth(&config.etcd, identity);
        let clock = Arc::new(MonotonicClock::new());
        let secrets = Arc::new(EtcdSecrets::new(etcd.clone(), clock.clone(), config.max_secrets));
        let claims = Arc::new(EtcdClaims::begin(etcd.clone(), limits, system_now(), clock, random()?));
        let upkeep = EtcdUpkeep { etcd, secrets: secrets.clone(), claims: claims.clone(), auth };
        Ok(Self { secrets, claims, upkeep: Upkeep::Etcd(upkeep) })
    }

    /// Keeps them up, and says in `health` whether they can be used, until `shutdown`.
    pub(crate) async fn keep_up(self, health: Health, metrics: Metrics, shutdown: Shutdown) {
        let Self { secrets: _, claims, mut upkeep } = self;
        loop {
            let (secrets, trouble) = match &mut upkeep {
                Upkeep::Embedded(store) => {
                    store.sweep();
                    (Some(store.len()), None)
                }
                Upkeep::Etcd(upkeep) => upkeep.look().await,
            };
            if let Some(secrets) = secrets {
                metrics.secrets.set(i64::try_from(secrets).unwrap_or(i64::MAX));
            }
            metrics.remembered.set(i64::try_from(claims.remembered()).unwrap_or(i64::MAX));
            let pause = match (&upkeep, &trouble) {
                (Upkeep::Embedded(_), _) => SWEEP_EVERY,
                (Upkeep::Etcd(_), None) => LOOK_EVERY.0,
                (Upkeep::Etcd(_), Some(_)) => LOOK_EVERY.1,
            };
            match trouble {
                None => health.ready(),
                Some(trouble) => health.not_ready(trouble),
            }
            tokio::select! {
                () = shutdown.triggered() => return,
                () = tokio::time::sleep(pause) => {}
            }
        }
    }
}

impl EtcdUpkeep {
    /// How many secrets there are, and why nothing can be done at present; the latter is public.
    async fn look(&mut self) -> (Option<usize>, Option<String>) {
        if self.auth {
            if let Err(error) = etcd::set_up_auth(&self.etcd).await {
                tracing::warn!(error = %Chain(&error), "etcd's users and roles are not set up");
                return (None, Some("etcd's users and roles cannot be set up".to_owned()));
            }
            tracing::info!("etcd's users and roles are set up");
            self.auth = false;
        }
        match self.secrets.count().await {
            Ok(count) => (Some(count), self.claims.trouble()),
            Err(error) => {
                tracing::warn!(error = %Chain(&error), "etcd cannot be used");
                (None, Some(format!("the secret store cannot be used: {error}")))
            }
        }
    }
}

fn random<const N: usize>() -> anyhow::Result<[u8; N]> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).context("no random bytes for the replay memory")?;
    Ok(bytes)
}

#[cfg(test)]
mod tests;
