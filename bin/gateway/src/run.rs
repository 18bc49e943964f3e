//! The process: joins the mesh, opens the database, serves until it is told to end, and writes what is left to write.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context;
use privatemode_mesh::{MeshIdentity, join};
use privatemode_service::metrics::Registry;
use privatemode_service::{
    BoxFuture, FileTls, Health, Limits, Process, Shutdown, TlsSource, listen, serve, serve_health,
};

use crate::Config;
use crate::accounts::Accounts;
use crate::exchange_limit::ExchangeLimit;
use crate::gateway::{Gateway, Parts};
use crate::keyring::{Keyring, pause};
use crate::ledger::Ledger;
use crate::manifest::ServedManifest;
use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::replicas::Replicas;
use crate::running::Running;
use crate::workers::Workers;

/// The names of the workloads that the gateway speaks to, as their mesh certificates carry them.
const INFERENCE_PROXY: &str = "inference-proxy";
const SECRET_SERVICE: &str = "secret-service";
const READINESS_EVERY: Duration = Duration::from_millis(250);

/// Runs the gateway until `process.shutdown`.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(serve_until_shutdown(config, process))
}

async fn serve_until_shutdown(config: Config, process: Process) -> anyhow::Result<()> {
    config.check()?;
    let tls = server_tls(&config)?;
    let accounts = Arc::new(Accounts::open(&config.database).await?);
    let listener = listen(config.listen)?;
    let metrics_listener = listen(config.metrics_listen)?;
    let identity = Box::pin(join(&config.mesh)).await.context("cannot join the mesh")?;
    identity.spawn_renewal(process.shutdown.clone());

    let registry = Registry::new();
    let keyring = Arc::new(Keyring::load(Arc::clone(&accounts)).await?);
    let ledger = Arc::new(Ledger::new(Arc::clone(&accounts)).keeping(config.usage_days));
    let workers = Arc::new(workers(&config, &identity)?);
    let gateway = Gateway::new(Parts {
        keyring: Arc::clone(&keyring),
        ledger: Arc::clone(&ledger),
        workers: Arc::clone(&workers),
        coordinator: coordinators(&config)?,
        secret_service: secret_services(&config, &identity)?,
        manifest: ServedManifest::new(identity.manifest().raw().to_vec()),
        exchange_limit: ExchangeLimit::new(config.exchanges_per_minute),
        running: Running::default(),
        metrics: Metrics::new(registry.clone()),
    });

    let health = Health::new();
    let shutdown = &process.shutdown;
    // The background work outlives the listener's drain only by its own reaction to the same signal.
    let background = tokio::spawn({
        let (keyring, ledger, workers, health) =
            (Arc::clone(&keyring), Arc::clone(&ledger), Arc::clone(&workers), health.clone());
        let shutdown = shutdown.clone();
        async move {
            tokio::join!(
                keyring.watch(shutdown.clone()),
                ledger.run(shutdown.clone()),
                workers.watch(shutdown.clone()),
                readiness(&keyring, &workers, &health, shutdown),
            )
        }
    });
    let purpose = if tls.is_some() { "https" } else { "http" };
    process.announce(&[(purpose, listener.local_addr()?), ("metrics", metrics_listener.local_addr()?)]);
    let (drained, _) = tokio::join!(
        serve(listener, tls, gateway, Limits::default(), shutdown.clone()),
        serve_health(metrics_listener, health, registry, shutdown.clone()),
    );
    background.await?;
    // After the last answer: what the drain has counted is written too.
    ledger.flush().await?;
    accounts.database().close().await;
    tracing::info!(aborted = drained.aborted, "gateway has ended");
    Ok(())
}

fn server_tls(config: &Config) -> anyhow::Result<Option<Arc<dyn TlsSource>>> {
    let (Some(certificate), Some(key)) = (&config.tls_cert, &config.tls_key) else {
        if !config.listen.ip().is_loopback() {
            tracing::warn!("serving plain HTTP beyond this machine: API keys can be read on the network");
        }
        return Ok(None);
    };
    let tls = FileTls::load(certificate, key)?;
    Ok(Some(Arc::new(tls)))
}

fn workers(config: &Config, identity: &MeshIdentity) -> anyhow::Result<Workers> {
    let tls = peer(identity, INFERENCE_PROXY);
    let origins = config.worker.iter().map(|url| Origin::mesh(url, Arc::clone(&tls)));
    Ok(Workers::new(origins.collect::<Result<_, _>>()?))
}

fn coordinators(config: &Config) -> anyhow::Result<Replicas> {
    let urls = config.mesh.coordinator.iter().map(|url| anyhow::Ok(Origin::coordinator(&url.parse()?)?));
    Ok(Replicas::new(urls.collect::<Result<_, _>>()?))
}

fn secret_services(config: &Config, identity: &MeshIdentity) -> anyhow::Result<Replicas> {
    let tls = peer(identity, SECRET_SERVICE);
    let origins = config.secret_service.iter().map(|url| Origin::mesh(url, Arc::clone(&tls)));
    Ok(Replicas::new(origins.collect::<Result<_, _>>()?))
}

/// Connections that accept only the workload `name`.
fn peer(identity: &MeshIdentity, name: &str) -> Arc<rustls::ClientConfig> {
    let mut config = identity.client_config(name);
    // Thousands of open streams need few connections; HTTP/1.1 where the other side has nothing else.
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Arc::new(config)
}

/// Ready means: revocations are seen, and at least one worker answers.
async fn readiness(keyring: &Keyring, workers: &Workers, health: &Health, shutdown: Shutdown) {
    loop {
        if !keyring.is_current() {
            health.not_ready("the database cannot be read: revoked keys would not be noticed");
        } else if !workers.any_up() {
            health.not_ready("no worker answers");
        } else {
            health.ready();
        }
        if !pause(READINESS_EVERY, &shutdown).await {
            health.not_ready("shutting down");
            return;
        }
    }
}
