//! The calls of one connection: who may make which, and which gRPC status a fault has.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use http::{Request, Response};
use hyper::body::Incoming;
use privatemode_manifest::Role;
use privatemode_mesh::atls::{AtlsError, Peer};
use privatemode_service::Chain;
use tonic::body::Body;
use tonic::server::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;

use super::messages::{
    Empty, MAX_ANSWER, MAX_REQUEST, MESH_CA, MeshCaResponse, NEW_MESH_CERT, NewMeshCertResponse, RECOVER,
    RecoverResponse,
};
use super::{Certified, MeshBackend, MeshFault, NotReady, Secrets};

/// Longest message of a status, in characters.
const MAX_REASON: usize = 1024;

/// Who calls.
pub(super) enum Caller {
    /// A workload of the manifest.
    Verified(Box<Peer>),
    /// Nobody knows: there is no manifest to verify callers with.
    NotReady(NotReady),
    /// Somebody whose evidence was refused; this is what it is told, whatever it asks.
    Refused(Status),
}

/// One connection.
pub(super) struct Session {
    backend: Arc<dyn MeshBackend>,
    caller: Caller,
    max_calls: usize,
    calls: AtomicUsize,
}

impl Caller {
    /// Evidence that could not be verified now may pass later; other evidence will not.
    pub(super) fn refused(error: &AtlsError) -> Self {
        let code = if error.is_temporary() { Code::Unavailable } else { Code::PermissionDenied };
        let reason: String = Chain(error).to_string().chars().take(MAX_REASON).collect();
        Self::Refused(Status::new(code, reason))
    }
}

impl Session {
    pub(super) fn new(backend: Arc<dyn MeshBackend>, caller: Caller, max_calls: usize) -> Self {
        Self { backend, caller, max_calls, calls: AtomicUsize::new(0) }
    }

    /// Calls that were begun.
    pub(super) fn calls(&self) -> usize {
        self.calls.load(Ordering::Relaxed)
    }

    /// Answers one request.
    pub(super) async fn answer(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        if self.calls.fetch_add(1, Ordering::Relaxed) < self.max_calls {
            self.route(request).await
        } else {
            Status::resource_exhausted("too many calls on one connection; open another one").into_http()
        }
    }

    async fn route(self: Arc<Self>, request: Request<Incoming>) -> Response<Body> {
        let path = request.uri().path().to_owned();
        match path.as_str() {
            NEW_MESH_CERT => unary(request, move || self.new_mesh_cert()).await,
            RECOVER => unary(request, move || self.recover()).await,
            MESH_CA => unary(request, move || self.mesh_ca()).await,
            _ => Status::unimplemented("the mesh API has no such call").into_http(),
        }
    }

    fn caller(&self) -> Result<&Peer, Status> {
        match &self.caller {
            Caller::Verified(peer) => Ok(peer),
            Caller::NotReady(reason) => Err(not_ready(*reason)),
            Caller::Refused(status) => Err(status.clone()),
        }
    }

    fn new_mesh_cert(&self) -> Result<NewMeshCertResponse, Status> {
        let caller = self.caller()?;
        let Certified { mesh_ca, cert_chain, root_ca, workload_secret } =
            self.backend.new_mesh_cert(caller).map_err(|fault| status(&fault))?;
        let name = caller.workload().entry.sans.first().map_or("", String::as_str);
        tracing::info!(workload = name, policy = %caller.workload().policy_hash, "a workload got a mesh certificate");
        Ok(NewMeshCertResponse {
            mesh_ca_cert: mesh_ca.into_bytes(),
            cert_chain: cert_chain.into_bytes(),
            root_ca_cert: root_ca.into_bytes(),
            workload_secret: workload_secret.map(|secret| secret.to_vec()).unwrap_or_default(),
        })
    }

    fn recover(&self) -> Result<RecoverResponse, Status> {
        let caller = self.caller()?;
        let policy = caller.workload().policy_hash;
        if caller.workload().entry.role != Role::Coordinator {
            tracing::warn!(%policy, "a workload that is no coordinator asked for the seed, and was refused");
            return Err(Status::permission_denied("only coordinators of the manifest may recover"));
        }
        let mut secrets = self.backend.recover_peer(caller).map_err(|fault| status(&fault))?;
        tracing::info!(%policy, "another coordinator recovered from this one");
        let Secrets { seed, salt, mesh_ca_key, manifest, mesh_ca, root_ca } = &mut secrets;
        Ok(RecoverResponse {
            seed: std::mem::take(&mut **seed),
            salt: std::mem::take(salt),
            mesh_ca_key: std::mem::take(&mut **mesh_ca_key).into_bytes(),
            latest_manifest: std::mem::take(manifest),
            mesh_ca_cert: std::mem::take(mesh_ca).into_bytes(),
            root_ca_cert: std::mem::take(root_ca).into_bytes(),
        })
    }

    fn mesh_ca(&self) -> Result<MeshCaResponse, Status> {
        self.caller()?;
        let mesh_ca = self.backend.mesh_ca().map_err(not_ready)?;
        Ok(MeshCaResponse { mesh_ca_cert: mesh_ca.into_bytes() })
    }
}

/// One call: sizes are capped by the codec, and what is asked is work, not waiting.
async fn unary<M, F>(request: Request<Incoming>, work: F) -> Response<Body>
where
    M: prost::Message + Default + 'static,
    F: FnOnce() -> Result<M, Status> + Send + 'static,
{
    let mut work = Some(work);
    let service = tower::service_fn(move |_: tonic::Request<Empty>| {
        let work = work.take();
        async move {
            let work = work.ok_or_else(|| Status::internal("internal error"))?;
            let done = tokio::task::spawn_blocking(work).await;
            done.map_err(|_| Status::internal("internal error"))?.map(tonic::Response::new)
        }
    });
    let mut grpc = Grpc::new(ProstCodec::<M, Empty>::default())
        .max_decoding_message_size(MAX_REQUEST)
        .max_encoding_message_size(MAX_ANSWER);
    grpc.unary(service, request).await
}

fn not_ready(reason: NotReady) -> Status {
    Status::failed_precondition(reason.to_string())
}

fn status(fault: &MeshFault) -> Status {
    match fault {
        MeshFault::NotReady(reason) => not_ready(*reason),
        MeshFault::Internal { .. } => {
            tracing::error!(error = %Chain(fault), "a call of the mesh API failed");
            Status::internal("internal error")
        }
    }
}
