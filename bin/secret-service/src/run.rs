//! The process: joins the mesh, opens the listeners, serves until it is told to stop.

use std::{convert::Infallible, sync::Arc};

use anyhow::Context as _;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use privatemode_mesh::MeshIdentity;
use privatemode_service::{
    BoxBody, BoxFuture, Chain, Connection, Faults, Health, Limits, Process, Shutdown, listen,
    metrics::Registry, serve, serve_health,
};
use tokio::net::TcpListener;

use crate::{Caller, Config, Metrics, SecretService, Secrets, SignError, Signer, Uploads, etcd, keep::Keep};

/// Runs a secret service until `process` is told to stop.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        check(&config)?;
        let identity = privatemode_mesh::join(&config.mesh).await.context("cannot join the mesh")?;
        let renewal = identity.spawn_renewal(process.shutdown.clone());

        let registry = Registry::new();
        let metrics = Metrics::new(&registry);
        let keep = Keep::new(&config, &identity)?;
        let signer = Arc::new(MeshSigner(Arc::clone(&identity)));
        let secrets = Arc::new(Secrets::new(Arc::clone(&keep.secrets), signer, config.secret_ttl));
        let uploads = Uploads::new(Arc::clone(&keep.secrets), config.secret_ttl, metrics.clone());
        let service = SecretService::new(secrets, Arc::clone(&keep.claims), metrics.clone());

        let listener = listen(config.listen)?;
        let health_listener = listen(config.health_listen)?;
        let upload_listener = config.danger_old_upload_api.map(listen).transpose()?;
        let mut addresses = vec![("mesh", listener.local_addr()?), ("health", health_listener.local_addr()?)];
        if let Some(listener) = &upload_listener {
            addresses.push(("upload", listener.local_addr()?));
        }
        process.announce(&addresses);

        let health = Health::new();
        let upkeep = tokio::spawn(keep.keep_up(health.clone(), metrics, process.shutdown.clone()));
        let health_server = serve_health(health_listener, health, registry, process.shutdown.child());
        let upload_server =
            take_uploads(upload_listener, uploads, Arc::clone(&identity), process.shutdown.child());
        let tls = identity.server_tls(&Caller::LET_IN);
        let service = service_fn(move |request| answer(Arc::clone(&identity), service.clone(), request));
        let server = serve(listener, Some(tls), service, Limits::default(), process.shutdown);
        tokio::join!(Box::pin(server), Box::pin(health_server), Box::pin(upload_server));
        upkeep.abort();
        renewal.abort();
        Ok(())
    })
}

async fn take_uploads(
    listener: Option<TcpListener>,
    uploads: Uploads,
    identity: Arc<MeshIdentity>,
    shutdown: Shutdown,
) {
    let Some(listener) = listener else { return };
    tracing::warn!("--danger-old-upload-api: anybody who reaches this address can put secrets in the store");
    let service = service_fn(move |request| {
        let uploads = uploads.clone();
        async move { Ok::<_, Infallible>(uploads.handle(request).await) }
    });
    let tls = identity.server_tls_for_strangers();
    serve(listener, Some(tls), service, Limits::default(), shutdown).await;
}

/// Everything that can be wrong with the settings, at once.
fn check(config: &Config) -> Result<(), Faults> {
    let mut faults = Faults::new();
    config.mesh.check(&mut faults);
    etcd::check(&config.etcd, &mut faults);
    faults.into_result()
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

/// The mesh key. It outlives renewals, so that any certificate of this process fits any of its signatures.
struct MeshSigner(Arc<MeshIdentity>);

impl Signer for MeshSigner {
    fn sign(&self, digest: &[u8; 32]) -> Result<(Vec<u8>, Vec<u8>), SignError> {
        Ok((self.0.leaf_der(), self.0.sign_prehash_asn1(digest)))
    }
}
