//! Listens, verifies, and limits.

use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use privatemode_mesh::Quoter;
use privatemode_mesh::atls::{Clock, Demand, Server};
use privatemode_service::{Chain, Shutdown};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::MeshBackend;
use super::service::{Caller, Session};

/// After an error of accepting that would come again at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
const MAX_HEADERS: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 4;

/// What the listener and one connection may use.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Open connections; further ones wait in the kernel's queue.
    pub max_connections: usize,
    /// Calls on one connection; callers make one or two.
    pub max_calls: usize,
    /// For how long a connection may be silent.
    pub idle: Duration,
    /// How long calls may go on once the drain has begun, or the connection was to end.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_connections: 256,
            max_calls: 16,
            idle: Duration::from_secs(30),
            grace: Duration::from_secs(5),
        }
    }
}

/// The API of one coordinator.
#[derive(Clone)]
pub struct MeshApi {
    server: Arc<Server>,
    backend: Arc<dyn MeshBackend>,
    limits: Limits,
}

impl MeshApi {
    /// An API that attests itself with `quoter`.
    pub fn new(quoter: Arc<dyn Quoter>, clock: Clock, backend: Arc<dyn MeshBackend>) -> Self {
        Self { server: Arc::new(Server::new(quoter, clock)), backend, limits: Limits::default() }
    }

    /// With other limits.
    #[must_use]
    pub fn with_limits(self, limits: Limits) -> Self {
        Self { limits, ..self }
    }

    /// Serves until `shutdown`, then drains.
    pub async fn serve(self, listener: TcpListener, shutdown: Shutdown) {
        let slots = Arc::new(Semaphore::new(self.limits.max_connections));
        let mut connections = JoinSet::new();
        loop {
            let accepted = tokio::select! {
                accepted = accept(&listener, &slots) => accepted,
                Some(_) = connections.join_next(), if !connections.is_empty() => continue,
                () = shutdown.triggered() => break,
            };
            let Some((stream, slot)) = accepted else { continue };
            let (api, shutdown) = (self.clone(), shutdown.clone());
            connections.spawn(async move {
                let _slot = slot;
                api.connection(stream, shutdown).await;
            });
        }
        drop(listener);
        let drain = async { while connections.join_next().await.is_some() {} };
        if tokio::time::timeout(self.limits.grace, drain).await.is_err() {
            connections.shutdown().await;
        }
    }

    async fn connection(&self, stream: TcpStream, shutdown: Shutdown) {
        let remote = stream.peer_addr().map(|address| address.to_string()).unwrap_or_default();
        let _ = stream.set_nodelay(true);
        let unverified = tokio::select! {
            unverified = self.server.accept_mutual(stream) => unverified,
            () = shutdown.triggered() => return, // nothing was asked yet
        };
        let unverified = match unverified {
            Ok(unverified) => unverified,
            Err(error) => {
                tracing::info!(remote, error = %Chain(&error), "no attested connection");
                return;
            }
        };
        let outcome = match self.backend.appraiser() {
            Ok(appraiser) => match unverified.verify(&appraiser, Demand::AnyWorkload).await {
                Ok(attested) => {
                    let caller = Caller::Verified(Box::new(attested.peer().clone()));
                    self.drive(attested, caller, shutdown).await
                }
                Err(refused) => {
                    tracing::warn!(remote, error = %Chain(&refused.error), "a caller was refused");
                    self.drive(refused.stranger, Caller::refused(&refused.error), shutdown).await
                }
            },
            // nobody can be verified now, and nobody gets anything but this answer
            Err(reason) => self.drive(unverified.into_stranger(), Caller::NotReady(reason), shutdown).await,
        };
        if let Err(error) = outcome {
            tracing::debug!(remote, error = %Chain(&error), "a connection ended early");
        }
    }

    async fn drive<T>(&self, io: T, caller: Caller, shutdown: Shutdown) -> Result<(), hyper::Error>
    where
        T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let session = Arc::new(Session::new(Arc::clone(&self.backend), caller, self.limits.max_calls));
        let calls = Arc::clone(&session);
        let service = service_fn(move |request| {
            let session = Arc::clone(&calls);
            async move { Ok::<_, std::convert::Infallible>(session.answer(request).await) }
        });
        let mut builder = http2::Builder::new(TokioExecutor::new());
        builder
            .timer(TokioTimer::new())
            .max_concurrent_streams(MAX_STREAMS)
            .max_header_list_size(MAX_HEADERS)
            .keep_alive_interval(self.limits.idle)
            .keep_alive_timeout(self.limits.idle);
        let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
        tokio::select! {
            ended = connection.as_mut() => return ended,
            () = self.over(&session) => {}
            () = shutdown.triggered() => {}
        }
        connection.as_mut().graceful_shutdown();
        tokio::time::timeout(self.limits.grace, connection).await.unwrap_or(Ok(()))
    }

    /// Ends when no call was begun for a while, or enough were. A call that takes longer than that is one whose caller is
    /// silent.
    async fn over(&self, session: &Session) {
        let mut before = session.calls();
        loop {
            tokio::time::sleep(self.limits.idle).await;
            let now = session.calls();
            if now == before || now >= self.limits.max_calls {
                return;
            }
            before = now;
        }
    }
}

type Slot = tokio::sync::OwnedSemaphorePermit;

/// The next connection, or `None` after an error that concerns one connection or passes.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, Slot)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
            if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
                tracing::warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
            None
        }
    }
}
