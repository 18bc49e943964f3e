//! Reads the files, makes the coordinator, listens, and drains.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use anyhow::Context;
use privatemode_attest::{EvidenceKind, UnixTime};
use privatemode_collateral::Collector;
use privatemode_manifest::{PolicyHash, VerifyOptions};
use privatemode_mesh::Quoter;
use privatemode_mesh::atls::Server;
use privatemode_service::metrics::Registry;
use privatemode_service::{BoxFuture, Health, Limits, Process, listen, serve_health, serve_router};
use thiserror::Error;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::api::user::Channel;
use crate::config::Config;
use crate::coordinator::{ChangeError, Clock, Coordinator};
use crate::deployment::{Deployment, Own};
use crate::mesh_api::{MeshApi, OfCoordinator};
use crate::mesh_peers::MeshPeers;
use crate::state::State;
use crate::state::set::SetRequest;
use crate::{api, files, user_port};

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

/// Not an address.
#[derive(Debug, Error)]
#[error("--peer: `{text}` is not of the form HOST:PORT")]
struct BadPeer {
    text: String,
}

/// Listeners of a coordinator.
#[derive(Debug)]
pub struct Listeners {
    /// For clients and the gateway.
    pub http: TcpListener,
    /// The same over attested TLS.
    pub user: TcpListener,
    /// For initializers and other coordinators.
    pub mesh: TcpListener,
    /// For our own workloads.
    pub join: TcpListener,
    /// For probes and metrics.
    pub probe: TcpListener,
}

/// Runs the coordinator until it is told to stop.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        // a wrong manifest is reported before a port is taken
        let coordinator = open(&config, Arc::new(wall_clock)).await?;
        let listeners = Listeners {
            http: listen(config.http_listen)?,
            user: listen(config.user_listen)?,
            mesh: listen(config.mesh_listen)?,
            join: listen(config.join_listen)?,
            probe: listen(config.probe_listen)?,
        };
        serve(coordinator, listeners, process).await
    })
}

/// Makes a coordinator, and sets the manifest that it was given if nothing was ever set.
pub async fn open(config: &Config, clock: Clock) -> anyhow::Result<Coordinator> {
    let kind = EvidenceKind::from(config.platform);
    let plan = config.collateral.plan(None)?;
    let own = Own { policy: PolicyHash::of(&files::own_policy(&config.own_policy)?), kind };
    let options = VerifyOptions { simulated: config.simulated(), ..plan.options() };
    let first = match (&config.manifest, &config.policies) {
        (Some(manifest), Some(policies)) => Some(first(manifest, policies, own)?),
        _ => None,
    };
    if config.fake_snp().is_some() && kind != EvidenceKind::Snp {
        return Err(FakeOfAnother { kind }.into());
    }
    let quoter = privatemode_mesh::quoter(kind, Some(own.policy), config.fake_snp())?;
    if kind == EvidenceKind::Simulated {
        options.simulated.ok_or(SimulatedNotAllowed)?;
        tracing::warn!("SIMULATED platform: evidence proves nothing, no hardware protects anything");
    }
    if let Some(downgrade) = config.collateral.downgrade() {
        tracing::warn!("{downgrade}");
    }
    if let Some(danger) = plan.danger() {
        tracing::warn!("DANGER: {danger}");
    }
    let store = config.state.open()?;
    // there is nothing to fetch about simulated evidence, and a manifest never mixes the two
    let collector = if kind == EvidenceKind::Simulated { None } else { Some(plan.collector()?) };
    let peers = peers(config, &quoter, &options, collector.as_ref(), &clock)?;
    let coordinator = Coordinator::open(own, store, quoter, options, clock)
        .await
        .with_context(|| format!("cannot read the state in --state {}", config.state))?;
    let coordinator = match collector {
        Some(collector) => coordinator.with_collateral(collector),
        None => coordinator,
    };
    let coordinator = match peers {
        Some(peers) => coordinator.with_peers(Arc::new(peers)),
        None => coordinator,
    };
    if let Some(first) = first {
        set_first(&coordinator, first).await?;
    }
    Ok(coordinator)
}

fn peers(
    config: &Config,
    quoter: &Arc<dyn Quoter>,
    options: &VerifyOptions,
    collector: Option<&Collector>,
    clock: &Clock,
) -> anyhow::Result<Option<MeshPeers>> {
    if config.peer.is_empty() {
        return Ok(None);
    }
    for peer in &config.peer {
        let good =
            peer.rsplit_once(':').is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        if !good {
            return Err(BadPeer { text: peer.clone() }.into());
        }
    }
    let (quoter, options, clock) = (Arc::clone(quoter), options.clone(), Arc::clone(clock));
    Ok(Some(MeshPeers::new(config.peer.clone(), quoter, options, collector.cloned(), clock)))
}

/// The manifest to set, checked before a device is asked for anything.
fn first(manifest: &Path, policies: &Path, own: Own) -> anyhow::Result<SetRequest> {
    let (raw, policies) = (files::manifest(manifest)?, files::policies(policies)?);
    Deployment::check(&raw, policies.clone(), own, 0)
        .with_context(|| format!("cannot enforce `{}`", manifest.display()))?;
    Ok(SetRequest { manifest: raw, policies, ..SetRequest::default() })
}

async fn set_first(coordinator: &Coordinator, first: SetRequest) -> anyhow::Result<()> {
    if !matches!(&*coordinator.state(), State::NoState) {
        tracing::info!("--manifest is not set: the store has a history already");
        return Ok(());
    }
    match coordinator.set(first).await {
        Ok(_) => Ok(()),
        // another coordinator of the same deployment started at the same time
        Err(ChangeError::Conflict) => Ok(()),
        Err(refused) => Err(refused).context("cannot enforce --manifest"),
    }
}

/// Serves a coordinator until `process.shutdown`, then drains.
pub async fn serve(coordinator: Coordinator, listeners: Listeners, process: Process) -> anyhow::Result<()> {
    let Listeners { http, user, mesh, join, probe } = listeners;
    let addresses: [(&str, SocketAddr); 5] = [
        ("http", http.local_addr()?),
        ("user", user.local_addr()?),
        ("mesh", mesh.local_addr()?),
        ("join", join.local_addr()?),
        ("probe", probe.local_addr()?),
    ];
    let (metrics, health) = (Registry::new(), Health::new());
    let coordinator = Arc::new(coordinator);
    let plain = api::user::router(Arc::clone(&coordinator), Channel::Plain, &metrics);
    let attested = api::user::router(Arc::clone(&coordinator), Channel::Attested, &metrics);
    let clock: Clock = {
        let coordinator = Arc::clone(&coordinator);
        Arc::new(move || coordinator.now())
    };
    let attesting = Server::new(Arc::clone(coordinator.quoter()), Arc::clone(&clock));
    let backend = OfCoordinator::new(Arc::clone(&coordinator), coordinator.collector().cloned());
    let mesh_api = MeshApi::new(Arc::clone(coordinator.quoter()), clock, Arc::new(backend));
    let workloads = api::mesh::router(Arc::clone(&coordinator), &metrics);
    let limits = Limits { max_connections: 1024, ..Limits::default() };
    show(&coordinator.state(), &health, &metrics);
    process.announce(&addresses);
    let shutdown = process.shutdown;
    let watching = tokio::spawn(show_states(coordinator.states(), health.clone(), metrics.clone()));
    tokio::join!(
        coordinator.tend(shutdown.clone()),
        serve_router(http, None, plain, limits, shutdown.clone()),
        user_port::serve(user, attesting, attested, shutdown.clone()),
        mesh_api.serve(mesh, shutdown.clone()),
        serve_router(join, None, workloads, limits, shutdown.clone()),
        serve_health(probe, health, metrics, shutdown),
    );
    watching.abort();
    Ok(())
}

async fn show_states(mut states: watch::Receiver<Arc<State>>, health: Health, metrics: Registry) {
    while states.changed().await.is_ok() {
        let state = Arc::clone(&states.borrow_and_update());
        show(&state, &health, &metrics);
    }
}

/// Ready only with a manifest in force; alive also without: a restart would not make a stale coordinator any better.
fn show(state: &State, health: &Health, metrics: &Registry) {
    let generation = match state.in_force() {
        Ok(in_force) => {
            health.ready();
            in_force.generation()
        }
        Err(reason) => {
            health.not_ready(reason.to_string());
            0
        }
    };
    let help = "Manifests that were in force, the one that is now included; 0 while there is none.";
    let gauge = metrics.gauge("privatemode_coordinator_manifest_generation", help, &[]);
    gauge.set(i64::try_from(generation).unwrap_or(i64::MAX));
}

fn wall_clock() -> UnixTime {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    // A clock before 1970 makes every certificate invalid, which is what it should do.
    UnixTime(since.map_or(0, |since| since.as_secs()))
}
