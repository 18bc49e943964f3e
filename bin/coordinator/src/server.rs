//! Reads the files, makes the coordinator, listens, and drains.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use privatemode_attest::{EvidenceKind, UnixTime};
use privatemode_manifest::VerifyOptions;
use privatemode_service::metrics::Registry;
use privatemode_service::{BoxFuture, Health, Limits, Process, listen, serve_health, serve_router};
use thiserror::Error;
use tokio::net::TcpListener;

use crate::authority::Authority;
use crate::config::Config;
use crate::coordinator::{Clock, Coordinator};
use crate::deployment::Deployment;
use crate::{api, files};

/// Why this machine may not attest.
#[derive(Debug, Error)]
#[error(
    "the platform is SIMULATED, no hardware protects anything; to go on nevertheless, for development, give --danger-simulated"
)]
struct SimulatedNotAllowed;

/// Two flags that say two things.
#[derive(Debug, Error)]
#[error(
    "--danger-fake-snp and --platform {} contradict each other: fake reports are of --platform snp",
    .kind.name()
)]
struct FakeOfAnother {
    kind: EvidenceKind,
}

/// Listeners of a coordinator.
#[derive(Debug)]
pub struct Listeners {
    /// For clients and the gateway.
    pub http: TcpListener,
    /// For workloads.
    pub mesh: TcpListener,
    /// For probes and metrics.
    pub probe: TcpListener,
}

/// Runs the coordinator until it is told to stop.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        // a wrong manifest is reported before a port is taken
        let coordinator = open(&config, Arc::new(wall_clock))?;
        let listeners = Listeners {
            http: listen(config.http_listen)?,
            mesh: listen(config.mesh_listen)?,
            probe: listen(config.probe_listen)?,
        };
        serve(coordinator, listeners, process).await
    })
}

/// Makes a coordinator: checks everything, then makes the keys.
pub fn open(config: &Config, clock: Clock) -> anyhow::Result<Coordinator> {
    let kind = EvidenceKind::from(config.platform);
    let plan = config.collateral.plan(None)?;
    let manifest = files::manifest(&config.manifest)?;
    let policies = files::policies(&config.policies)?;
    let own_policy = files::own_policy(&config.own_policy)?;
    let deployment = Deployment::check(&manifest, policies, &own_policy, kind)
        .with_context(|| format!("cannot enforce `{}`", config.manifest.display()))?;
    let options = VerifyOptions { simulated: config.simulated(), ..plan.options() };
    if config.fake_snp().is_some() && kind != EvidenceKind::Snp {
        return Err(FakeOfAnother { kind }.into());
    }
    let quoter = privatemode_mesh::quoter(kind, Some(deployment.own_policy()), config.fake_snp())?;
    if kind == EvidenceKind::Simulated {
        options.simulated.ok_or(SimulatedNotAllowed)?;
        tracing::warn!("SIMULATED platform: evidence proves nothing, no hardware protects anything");
    }
    let authority = Authority::create(clock())?;
    tracing::info!(
        manifest = %deployment.manifest().digest(),
        policies = deployment.policies().count(),
        platform = %kind,
        "the manifest is in force"
    );
    if let Some(downgrade) = config.collateral.downgrade() {
        tracing::warn!("{downgrade}");
    }
    if let Some(danger) = plan.danger() {
        tracing::warn!("DANGER: {danger}");
    }
    let coordinator = Coordinator::new(deployment, authority, quoter, options, clock);
    // there is nothing to fetch about simulated evidence, and a manifest never mixes the two
    Ok(if kind == EvidenceKind::Simulated {
        coordinator
    } else {
        coordinator.with_collateral(plan.collector()?)
    })
}

/// Serves a coordinator until `process.shutdown`, then drains.
pub async fn serve(coordinator: Coordinator, listeners: Listeners, process: Process) -> anyhow::Result<()> {
    let Listeners { http, mesh, probe } = listeners;
    let addresses: [(&str, SocketAddr); 3] =
        [("http", http.local_addr()?), ("mesh", mesh.local_addr()?), ("probe", probe.local_addr()?)];
    let (metrics, health) = (Registry::new(), Health::new());
    let coordinator = Arc::new(coordinator);
    let user = api::user::router(Arc::clone(&coordinator), &metrics);
    let workloads = api::mesh::router(coordinator, &metrics);
    let limits = Limits { max_connections: 1024, ..Limits::default() };
    // with a manifest set at start it is ready when it listens, and stays so
    health.ready();
    process.announce(&addresses);
    let shutdown = process.shutdown;
    tokio::join!(
        serve_router(http, None, user, limits, shutdown.clone()),
        serve_router(mesh, None, workloads, limits, shutdown.clone()),
        serve_health(probe, health, metrics, shutdown),
    );
    Ok(())
}

fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 makes every certificate invalid, which is what it should do.
    UnixTime(since.map_or(0, |since| since.as_secs()))
}
