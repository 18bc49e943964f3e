//! The caller's side: a connection for each call, and the coordinator is verified before anything is asked. What comes back is
//! checked for form and length; whether a certificate is good is [`crate::initializer`]'s question, whether a seed is the
//! right one that of [`crate::state::recover`].

use std::time::Duration;

use http::uri::{PathAndQuery, Uri};
use hyper::client::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo};
use p384::SecretKey;
use privatemode_mesh::atls::{Appraiser, AtlsError, Client, Clock, Demand, Identity};
use thiserror::Error;
use tokio::net::TcpStream;
use tonic::body::Body;
use tonic::client::Grpc;
use tonic::{Code, Status};
use tonic_prost::ProstCodec;
use zeroize::Zeroizing;

use super::backend::WORKLOAD_SECRET;
use super::messages::{
    Empty, MAX_ANSWER, MAX_REQUEST, MESH_CA, MeshCaResponse, NEW_MESH_CERT, NewMeshCertResponse, RECOVER,
    RecoverResponse,
};
use crate::authority::Certificates;
use crate::state::recover::PeerState;

/// Longest wait for a connection.
const DIALLING: Duration = Duration::from_secs(10);
/// Longest wait for an answer on a connection.
const ANSWER: Duration = Duration::from_secs(30);

/// Calls one coordinator.
pub struct MeshClient {
    address: String,
    client: Client,
}

/// What the coordinator gave. Not verified.
pub struct NewCertificate {
    /// PEM of the mesh CA.
    pub mesh_ca: String,
    /// PEM of our certificate, then of the intermediate.
    pub cert_chain: String,
    /// PEM of the root CA.
    pub root_ca: String,
    /// Our secret, if the manifest gives us one.
    pub workload_secret: Option<Zeroizing<[u8; WORKLOAD_SECRET]>>,
}

/// Why a call failed.
#[derive(Debug, Error)]
pub enum MeshCallError {
    /// No connection.
    #[error("the coordinator at `{address}` cannot be reached; is it up, and is the address right?")]
    Dial {
        /// Where.
        address: String,
        /// Why.
        source: std::io::Error,
    },
    /// No connection or no answer in time.
    #[error("the coordinator at `{address}` did not answer within {} seconds", .limit.as_secs())]
    Slow {
        /// Where.
        address: String,
        /// How long was waited.
        limit: Duration,
    },
    /// No attested connection: also when it is not the expected coordinator.
    #[error("no attested connection to the coordinator at `{address}`")]
    Atls {
        /// Where.
        address: String,
        /// Why.
        source: Box<AtlsError>,
    },
    /// The connection broke.
    #[error(
        "the connection to the coordinator at `{address}` broke; it may have refused us in the handshake, and its log says why"
    )]
    Broken {
        /// Where.
        address: String,
        /// Why.
        source: hyper::Error,
    },
    /// It says no.
    #[error("the coordinator at `{address}` refused with {code:?}: {message}")]
    Refused {
        /// Where.
        address: String,
        /// The status.
        code: Code,
        /// Its words, printable characters only.
        message: String,
    },
    /// Not what a coordinator says.
    #[error("the answer of the coordinator at `{address}` cannot be used: {what}")]
    Answer {
        /// Where.
        address: String,
        /// What is wrong.
        what: &'static str,
    },
}

impl MeshCallError {
    /// Whether the same may work in a moment: the coordinator is starting, has no manifest yet, or must be recovered.
    pub fn is_temporary(&self) -> bool {
        match self {
            Self::Dial { .. } | Self::Slow { .. } | Self::Broken { .. } => true,
            Self::Atls { source, .. } => source.is_temporary(),
            // a connection that breaks in the middle shows as one of the last four
            Self::Refused { code, .. } => matches!(
                code,
                Code::FailedPrecondition
                    | Code::ResourceExhausted
                    | Code::DeadlineExceeded
                    | Code::Aborted
                    | Code::Unavailable
                    | Code::Internal
                    | Code::Cancelled
                    | Code::Unknown
            ),
            Self::Answer { .. } => false,
        }
    }
}

impl MeshClient {
    /// Calls the coordinator at `address` (`HOST:PORT`) with the evidence of `identity`.
    pub fn new(address: impl Into<String>, identity: Identity, clock: Clock) -> Self {
        Self { address: address.into(), client: Client::attested(identity, clock) }
    }

    /// A certificate for our key.
    ///
    /// # Errors
    /// [`MeshCallError`].
    pub async fn new_mesh_cert(&self, coordinator: &Appraiser) -> Result<NewCertificate, MeshCallError> {
        let mut answer: NewMeshCertResponse = self.call(coordinator, NEW_MESH_CERT).await?;
        let secret = match answer.workload_secret.as_slice() {
            [] => None,
            secret => {
                let mut own = Zeroizing::new([0; WORKLOAD_SECRET]);
                if secret.len() != WORKLOAD_SECRET {
                    return Err(self.unusable("the workload secret does not have 64 bytes"));
                }
                own.copy_from_slice(secret);
                Some(own)
            }
        };
        Ok(NewCertificate {
            mesh_ca: self.text(std::mem::take(&mut answer.mesh_ca_cert))?,
            cert_chain: self.text(std::mem::take(&mut answer.cert_chain))?,
            root_ca: self.text(std::mem::take(&mut answer.root_ca_cert))?,
            workload_secret: secret,
        })
    }

    /// The state of another coordinator, for one that has none.
    ///
    /// # Errors
    /// [`MeshCallError`].
    pub async fn recover(&self, coordinator: &Appraiser) -> Result<PeerState, MeshCallError> {
        let mut answer: RecoverResponse = self.call(coordinator, RECOVER).await?;
        let key = std::str::from_utf8(&answer.mesh_ca_key).ok();
        let mesh_key = key.and_then(|pem| SecretKey::from_sec1_pem(pem).ok());
        let mesh_key = mesh_key.ok_or_else(|| self.unusable("the mesh CA's key is no P-384 key in PEM"))?;
        let (root, mesh) =
            (std::mem::take(&mut answer.root_ca_cert), std::mem::take(&mut answer.mesh_ca_cert));
        let certificates = match (root.is_empty(), mesh.is_empty()) {
            (true, true) => None,
            _ => Some(Certificates { root: self.text(root)?, mesh: self.text(mesh)? }),
        };
        Ok(PeerState {
            seed: Zeroizing::new(std::mem::take(&mut answer.seed)),
            salt: std::mem::take(&mut answer.salt),
            mesh_key,
            latest_manifest: std::mem::take(&mut answer.latest_manifest),
            certificates,
        })
    }

    /// PEM of the mesh CA in force; none if the coordinator does not know the call, which is ours.
    ///
    /// # Errors
    /// [`MeshCallError`].
    pub async fn mesh_ca(&self, coordinator: &Appraiser) -> Result<Option<String>, MeshCallError> {
        match self.call::<MeshCaResponse>(coordinator, MESH_CA).await {
            Ok(answer) => self.text(answer.mesh_ca_cert).map(Some),
            Err(MeshCallError::Refused { code: Code::Unimplemented, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn call<M>(&self, coordinator: &Appraiser, path: &'static str) -> Result<M, MeshCallError>
    where
        M: prost::Message + Default + 'static,
    {
        let slow = |limit| move |_| MeshCallError::Slow { address: self.address.clone(), limit };
        let dial = tokio::time::timeout(DIALLING, TcpStream::connect(&self.address));
        let stream = dial
            .await
            .map_err(slow(DIALLING))?
            .map_err(|source| MeshCallError::Dial { address: self.address.clone(), source })?;
        let _ = stream.set_nodelay(true);
        let unattested = |source: AtlsError| MeshCallError::Atls {
            address: self.address.clone(),
            source: Box::new(source),
        };
        let unverified = self.client.connect(stream).await.map_err(unattested)?;
        let attested = unverified
            .verify(coordinator, Demand::Coordinator)
            .await
            .map_err(|refused| unattested(refused.error))?;
        let broken = |source| MeshCallError::Broken { address: self.address.clone(), source };
        let handshake = http2::handshake::<_, _, Body>(TokioExecutor::new(), TokioIo::new(attested));
        let (sender, connection) =
            tokio::time::timeout(ANSWER, handshake).await.map_err(slow(ANSWER))?.map_err(broken)?;
        let call = async {
            let mut ready = sender.clone();
            ready.ready().await.map_err(broken)?;
            let service = tower::service_fn(move |request| {
                let mut sender = sender.clone();
                async move { sender.send_request(request).await }
            });
            let origin = Uri::from_static("http://coordinator");
            let mut grpc = Grpc::with_origin(service, origin)
                .max_encoding_message_size(MAX_REQUEST)
                .max_decoding_message_size(MAX_ANSWER);
            let codec = ProstCodec::<Empty, M>::default();
            let request = tonic::Request::new(Empty {});
            let answer = grpc.unary(request, PathAndQuery::from_static(path), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| self.refused(&status))
        };
        // the connection ends with the call
        let exchange = async {
            tokio::pin!(connection);
            tokio::pin!(call);
            tokio::select! {
                answer = &mut call => answer,
                ended = &mut connection => match ended {
                    Ok(()) => call.await,
                    Err(source) => Err(broken(source)),
                },
            }
        };
        tokio::time::timeout(ANSWER, exchange).await.map_err(slow(ANSWER))?
    }

    fn refused(&self, status: &Status) -> MeshCallError {
        let printable = |letter: char| if letter.is_control() { ' ' } else { letter };
        let message = status.message().chars().take(1024).map(printable).collect();
        MeshCallError::Refused { address: self.address.clone(), code: status.code(), message }
    }

    fn text(&self, bytes: Vec<u8>) -> Result<String, MeshCallError> {
        String::from_utf8(bytes).map_err(|_| self.unusable("a certificate is not text"))
    }

    fn unusable(&self, what: &'static str) -> MeshCallError {
        MeshCallError::Answer { address: self.address.clone(), what }
    }
}
