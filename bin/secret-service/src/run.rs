//! The process: joins the mesh, opens the listeners, serves until it is told to stop.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::Context as _;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use privatemode_mesh::MeshIdentity;
use privatemode_service::{
    BoxBody, BoxFuture, Chain, Connection, Health, Limits, Process, Shutdown, listen, metrics::Registry,
    serve, serve_health,
};
use privatemode_store::{
    Embedded, MonotonicClock,
    claims::{ClaimMemory, system_now},
};
use privatemode_wire::replay::ReplayLimits;

use crate::{Caller, Config, Metrics, SecretService, Secrets, SignError, Signer};

const SWEEP_EVERY: Duration = Duration::from_secs(10);

/// Runs a secret service until `process` is told to stop.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let identity = privatemode_mesh::join(&config.mesh).await.context("cannot join the mesh")?;
        let renewal = identity.spawn_renewal(process.shutdown.clone());

        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let store = Arc::new(Embedded::new(Arc::new(MonotonicClock::new()), config.max_secrets));
        let signer = Arc::new(MeshSigner(Arc::clone(&identity)));
        let secrets = Arc::new(Secrets::new(store.clone(), signer, config.secret_ttl));
        let claims = Arc::new(claims(config.max_claims)?);
        let service = SecretService::new(secrets, Arc::clone(&claims), metrics.clone());

        let listener = listen(config.listen)?;
        let health_listener = listen(config.health_listen)?;
        process.announce(&[("mesh", listener.local_addr()?), ("health", health_listener.local_addr()?)]);

        let sweeping = tokio::spawn(sweep(store, claims, metrics, process.shutdown.clone()));
        let health = Health::new();
        health.ready();
        let health_server = serve_health(health_listener, health, registry, process.shutdown.child());
        let tls = identity.server_tls(&Caller::LET_IN);
        let service = service_fn(move |request| answer(Arc::clone(&identity), service.clone(), request));
        let server = serve(listener, Some(tls), service, Limits::default(), process.shutdown);
        tokio::join!(Box::pin(server), Box::pin(health_server));
        sweeping.abort();
        renewal.abort();
        Ok(())
    })
}

/// It forgets with its process, and so begins by refusing what an earlier one may have taken.
fn claims(capacity: usize) -> anyhow::Result<ClaimMemory> {
    let mut seed = [0; 16];
    getrandom::fill(&mut seed).context("no random bytes for the replay memory")?;
    Ok(ClaimMemory::begin(ReplayLimits::with_capacity(capacity), system_now(), seed))
}

async fn answer(
    identity: Arc<MeshIdentity>,
    service: SecretService,
    request: Request<Incoming>,
) -> Result<Response<BoxBody>, Infallible> {
    let caller = Caller::of(Connection::of(&request), &identity).unwrap_or_else(|error| {
        tracing::warn!(error = %Chain(&error), "caller refused");
        Caller::Other
    });
    Ok(Box::pin(service.handle(caller, request)).await)
}

/// Wipes expired secrets and shows how many are left.
async fn sweep(store: Arc<Embedded>, claims: Arc<ClaimMemory>, metrics: Metrics, shutdown: Shutdown) {
    while !shutdown.is_triggered() {
        store.sweep();
        metrics.secrets.set(i64::try_from(store.len()).unwrap_or(i64::MAX));
        metrics.remembered.set(i64::try_from(claims.len()).unwrap_or(i64::MAX));
        tokio::select! {
            () = shutdown.triggered() => return,
            () = tokio::time::sleep(SWEEP_EVERY) => {}
        }
    }
}

/// The mesh key. It outlives renewals, so that any certificate of this process fits any of its signatures.
struct MeshSigner(Arc<MeshIdentity>);

impl Signer for MeshSigner {
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        Ok((self.0.leaf_der(), self.0.sign_prehash_asn1(digest)))
    }
}
