//! The order of things: ask until there is a certificate, write it, and stay to renew it or be done.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use privatemode_attest::UnixTime;
use privatemode_mesh::MeshKey;
use privatemode_mesh::atls::{Appraiser, Clock, Identity, wall_clock};
use privatemode_service::{BoxFuture, Chain, Process};
use thiserror::Error;

use super::args::{InitializerArgs, Plan};
use super::enrol::{self, EnrolError, Enrolled};
use super::files::{self, WriteError};
use crate::mesh_api::{MeshCallError, MeshClient};

/// The first and the longest pause after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(30));

/// Why there are no files.
#[derive(Debug, Error)]
enum Failure {
    #[error("cannot get a mesh certificate")]
    Call { source: MeshCallError },
    #[error("cannot use what the coordinator gave")]
    Enrol { source: EnrolError },
    #[error("cannot write the mesh certificate")]
    Write { source: WriteError },
}

#[derive(Debug, Error)]
#[error("ended before there was a mesh certificate")]
struct Ended;

impl Failure {
    /// Whether it is worth while to ask again.
    fn is_temporary(&self) -> bool {
        matches!(self, Self::Call { source } if source.is_temporary())
    }
}

/// Runs the initializer.
pub fn run(args: InitializerArgs, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let Plan { coordinator, quoter } = args.plan()?;
        // made anew at each start: a key that lay in the folder before could be anybody's
        let key = Arc::new(MeshKey::generate()?);
        let identity = Identity { quoter, key: Arc::clone(&key) };
        let clock = wall_clock();
        let client = MeshClient::new(&args.coordinator, identity, Arc::clone(&clock));
        let initializer = Initializer {
            client,
            coordinator,
            key,
            clock,
            look_every: Duration::from_secs(args.look_every),
            output: &args.output,
        };
        let first = tokio::select! {
            first = initializer.patiently() => first?,
            () = process.shutdown.triggered() => return Err(Ended.into()),
        };
        if args.renew {
            tokio::select! {
                () = initializer.renew_forever(first) => {}
                () = process.shutdown.triggered() => {}
            }
        }
        Ok(())
    })
}

struct Initializer<'a> {
    client: MeshClient,
    coordinator: Appraiser,
    key: Arc<MeshKey>,
    clock: Clock,
    /// How often the coordinator is asked which mesh CA it has.
    look_every: Duration,
    output: &'a Path,
}

/// What was written last.
struct Written {
    mesh_ca: String,
    not_after: UnixTime,
    renew_at: UnixTime,
}

impl Initializer<'_> {
    /// Asks until the coordinator gives a certificate; ends at once when it never will.
    async fn patiently(&self) -> Result<Written, Failure> {
        let mut pause = PAUSES.0;
        loop {
            match self.enrol().await {
                Err(error) if error.is_temporary() => {
                    tracing::info!(error = %Chain(&error), retry_ms = pause.as_millis() as u64, "waiting for the coordinator");
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(PAUSES.1);
                }
                outcome => return outcome,
            }
        }
    }

    async fn enrol(&self) -> Result<Written, Failure> {
        let new = self.client.new_mesh_cert(&self.coordinator).await;
        let new = new.map_err(|source| Failure::Call { source })?;
        let enrolled =
            enrol::check(new, &self.key, (self.clock)()).map_err(|source| Failure::Enrol { source })?;
        files::write(self.output, &enrolled, &self.key).map_err(|source| Failure::Write { source })?;
        let Enrolled { new, name, not_after, renew_at } = enrolled;
        let secret = new.workload_secret.is_some();
        tracing::info!(name, %not_after, secret, output = %self.output.display(), "mesh certificate written");
        Ok(Written { mesh_ca: new.mesh_ca.clone(), not_after, renew_at })
    }

    /// Keeps the files good. Failures are logged and tried again: what is written stays good until it expires.
    async fn renew_forever(&self, mut written: Written) {
        let mut failures = 0_u32;
        loop {
            tokio::time::sleep(self.pause(&written, failures)).await;
            match self.renew_if_needed(&written).await {
                Ok(None) => failures = 0,
                Ok(Some(new)) => (written, failures) = (new, 0),
                Err(error) => {
                    failures = failures.saturating_add(1);
                    let (error, not_after) = (Chain(&error), written.not_after);
                    if (self.clock)() > not_after {
                        tracing::error!(%error, "the mesh certificate has expired and cannot be renewed: peers refuse this workload");
                    } else {
                        tracing::warn!(%error, %not_after, "the mesh certificate could not be checked or renewed, trying again");
                    }
                }
            }
        }
    }

    /// Short sleeps, because timers stand still while a host sleeps; after failures growing ones.
    fn pause(&self, written: &Written, failures: u32) -> Duration {
        let (first, longest) = PAUSES;
        match failures.checked_sub(1) {
            Some(doublings) => first.saturating_mul(2_u32.saturating_pow(doublings)).min(longest),
            None => {
                let left = written.renew_at.as_secs().saturating_sub((self.clock)().as_secs());
                Duration::from_secs(left).clamp(first, self.look_every.max(first))
            }
        }
    }

    async fn renew_if_needed(&self, written: &Written) -> Result<Option<Written>, Failure> {
        if (self.clock)() < written.renew_at {
            let now = self.client.mesh_ca(&self.coordinator).await;
            let now = now.map_err(|source| Failure::Call { source })?;
            if now.is_none_or(|mesh_ca| mesh_ca == written.mesh_ca) {
                return Ok(None);
            }
            tracing::warn!("the coordinator has another mesh CA, joining again");
        }
        self.enrol().await.map(Some)
    }
}
