//! The process: joins the mesh, opens the listeners, serves until it is told to stop.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use hyper::{body::Incoming, service::service_fn};
use privatemode_manifest::workload::GATEWAY;
use privatemode_mesh::MeshIdentity;
use privatemode_service::{
    ApiError, BoxBody, BoxFuture, Chain, Connection, Faults, Health, Process, Shutdown, listen,
    metrics::Registry, serve, serve_health,
};
use privatemode_store::{
    EtcdSecrets, MonotonicClock,
    claims::{ClaimMemory, system_now},
    etcd::{Etcd, EtcdTimeouts},
};
use privatemode_wire::replay::ReplayLimits;

use crate::{
    Claims, ClaimsPlace, Config, Engine, EngineTimeouts, GpuStatus, Limits, LocalClaims, MeshClaims,
    MeshSource, Metrics, ReceiptSigner, Sealing, SecretCache, SecretWatch, StoreSource, Tasks, Worker,
    handler::plain,
};

/// Secrets in memory at most; more users than one worker ever serves within an hour.
const MAX_SECRETS: usize = 100_000;
const SWEEP_EVERY: Duration = Duration::from_secs(10);
/// How often the engine is asked whether it lives, before and after it did.
const ENGINE_CHECKS: (Duration, Duration) = (Duration::from_millis(250), Duration::from_secs(5));

/// Runs an inference proxy until `process` is told to stop.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let (engine, gpus) = check(&config)?;
        let identity = privatemode_mesh::join(&config.mesh).await.context("cannot join the mesh")?;
        let renewal = identity.spawn_renewal(process.shutdown.clone());

        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let (secrets, watch) = secrets(&config, &identity, &metrics)?;
        let limits = Limits {
            body: config.max_body,
            buffered: config.max_buffered,
            upload: Duration::from_secs(config.upload_timeout),
            ..Limits::default()
        };
        let tasks = Tasks::new(config.tasks);
        let sealing = sealing(config.claims, &config.secret_service, &identity)?;
        let worker = Worker::new(secrets.clone(), Arc::clone(&engine), gpus, tasks, limits, sealing, metrics);

        let listener = listen(config.listen)?;
        let metrics_listener = listen(config.metrics_listen)?;
        process.announce(&[("mesh", listener.local_addr()?), ("metrics", metrics_listener.local_addr()?)]);

        let health = Health::new();
        let background = [
            tokio::spawn(sweep(secrets, process.shutdown.clone())),
            tokio::spawn(watch_secrets(watch, process.shutdown.clone())),
            tokio::spawn(watch_engine(engine, health.clone(), process.shutdown.clone())),
            renewal,
        ];
        let metrics_server = serve_health(metrics_listener, health, registry, process.shutdown.child());
        let tls = identity.server_tls(&[GATEWAY]);
        let service =
            service_fn(move |request| admit_gateway(Arc::clone(&identity), worker.clone(), request));
        let server =
            serve(listener, Some(tls), service, privatemode_service::Limits::default(), process.shutdown);
        tokio::join!(Box::pin(server), Box::pin(metrics_server));
        for task in background {
            task.abort();
        }
        Ok(())
    })
}

/// The cache of secrets, and what keeps it in step where they are in etcd.
fn secrets(
    config: &Config,
    identity: &Arc<MeshIdentity>,
    metrics: &Metrics,
) -> anyhow::Result<(SecretCache, Option<SecretWatch>)> {
    let clock = Arc::new(MonotonicClock::new());
    if config.etcd.is_empty() {
        let source = Arc::new(MeshSource::new(&config.secret_service, Arc::clone(identity)));
        return Ok((SecretCache::new(source, clock, MAX_SECRETS, metrics.clone()), None));
    }
    let tls = Arc::new(identity.client_config(&config.etcd_workload));
    let etcd = Etcd::new(&config.etcd, Some(tls), EtcdTimeouts::default()).context("cannot use --etcd")?;
    // it only reads: the capacity is for those who put
    let store = Arc::new(EtcdSecrets::new(etcd.clone(), clock.clone(), 0));
    let source = Arc::new(StoreSource::new(store.clone()));
    let cache = SecretCache::new(source, clock, MAX_SECRETS, metrics.clone());
    let watch = SecretWatch::new(etcd, store, cache.clone(), metrics.clone());
    Ok((cache, Some(watch)))
}

fn sealing(
    place: ClaimsPlace,
    secret_services: &[String],
    identity: &Arc<MeshIdentity>,
) -> anyhow::Result<Sealing> {
    let now = system_now();
    let claims: Arc<dyn Claims> = match place {
        ClaimsPlace::Mesh => Arc::new(MeshClaims::new(secret_services, Arc::clone(identity))),
        ClaimsPlace::Local => {
            tracing::warn!(
                "--claims=local: a request may run again at any other worker that shares this one's secrets"
            );
            let mut seed = [0; 16];
            getrandom::fill(&mut seed).context("no random bytes for the replay memory")?;
            let memory = ClaimMemory::begin(ReplayLimits::default(), Arc::clone(&now), seed);
            Arc::new(LocalClaims::new(Arc::new(memory)))
        }
    };
    Ok(Sealing { claims, signer: Arc::clone(identity) as Arc<dyn ReceiptSigner>, now })
}

/// Everything that can be wrong with the settings, at once.
fn check(config: &Config) -> anyhow::Result<(Arc<Engine>, GpuStatus)> {
    let mut faults = Faults::new();
    config.mesh.check(&mut faults);
    if config.secret_service.is_empty() {
        faults.add("--secret-service is missing: there has to be at least one");
    }
    for url in config.secret_service.iter().filter(|url| !url.starts_with("https://")) {
        faults.add(format!("--secret-service: `{url}` is not of the form https://HOST:PORT"));
    }
    // without etcd each of them has claims of its own, and a request would run once at each
    if config.secret_service.len() > 1 && config.etcd.is_empty() {
        faults.add("--secret-service is given several times, and --etcd not at all: several secret services share their claims in etcd only; name its members, or one secret service");
    }
    for url in config.etcd.iter().filter(|url| !url.is_tls() && !url.is_loopback()) {
        faults.add(format!("--etcd {url}: secrets would cross the network in plain: use https"));
    }
    let timeouts =
        EngineTimeouts { answer: Duration::from_secs(config.engine_timeout), ..EngineTimeouts::default() };
    let engine = Engine::new(config.engine.clone(), config.engine_api_key.as_deref(), timeouts);
    let engine = faults.check(engine.map_err(|_| "--engine-api-key: not a header's value"));
    let gpus = config.ocsp_status.as_deref().map(GpuStatus::load).transpose();
    let gpus = faults.check(gpus.map_err(|error| format!("--ocsp-status: {}", Chain(&error))));
    faults.into_result()?;
    let engine = engine.context("checked above")?;
    if !engine.target().is_local() {
        tracing::warn!(engine = %engine.target(), "the engine is not on this machine: requests travel there in plain");
    }
    let gpus = gpus.flatten().unwrap_or_else(|| {
        tracing::info!("no --ocsp-status: a worker without GPUs, every OCSP policy is met");
        GpuStatus::default()
    });
    Ok((Arc::new(engine), gpus))
}

/// TLS let only gateways in; a certificate that expired while its connection stayed open counts no more.
async fn admit_gateway(
    identity: Arc<MeshIdentity>,
    worker: Worker,
    request: Request<Incoming>,
) -> Result<Response<BoxBody>, Infallible> {
    let caller = Connection::of(&request).map(|connection| identity.peer_name(connection, &[GATEWAY]));
    if !matches!(caller, Some(Ok(_))) {
        let error = ApiError::forbidden("wrong_caller", "Only a gateway may call a worker.");
        return Ok(plain(error.response(request.headers())));
    }
    Ok(Box::pin(worker.handle(request)).await)
}

async fn sweep(secrets: SecretCache, shutdown: Shutdown) {
    while !paused(SWEEP_EVERY, &shutdown).await {
        secrets.sweep();
    }
}

async fn watch_secrets(watch: Option<SecretWatch>, shutdown: Shutdown) {
    if let Some(watch) = watch {
        watch.run(shutdown).await;
    }
}

/// Ready while the engine answers.
async fn watch_engine(engine: Arc<Engine>, health: Health, shutdown: Shutdown) {
    loop {
        let models = engine.send(Method::GET, "/v1/models", HeaderMap::new(), Bytes::new());
        let alive = match tokio::time::timeout(ENGINE_CHECKS.1, models).await {
            Ok(Ok(answer)) => answer.status().is_success(),
            Ok(Err(_)) | Err(_) => false,
        };
        if alive && !health.is_ready() {
            tracing::info!("the engine is ready");
            health.ready();
        } else if !alive && health.is_ready() {
            tracing::warn!("the engine does not answer");
        }
        if !alive {
            health.not_ready("the inference engine does not answer");
        }
        let pause = if alive { ENGINE_CHECKS.1 } else { ENGINE_CHECKS.0 };
        if paused(pause, &shutdown).await {
            return;
        }
    }
}

/// Waits; says whether the process is to stop.
async fn paused(time: Duration, shutdown: &Shutdown) -> bool {
    tokio::select! {
        () = shutdown.triggered() => true,
        () = tokio::time::sleep(time) => false,
    }
}
