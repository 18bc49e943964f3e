//! The user API over attested TLS: this end proves itself, the other may be anybody. Only here a share owner may send a
//! seed. `attestation.md` §2.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use hyper::server::conn::http2;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use privatemode_mesh::atls::Server;
use privatemode_service::{Chain, Shutdown};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::JoinSet;

/// Open connections; further ones wait in the kernel's queue. People and their tools: few, and each costs a quote.
const MAX_CONNECTIONS: usize = 64;
const MAX_HEADERS: u32 = 16 * 1024;
const MAX_STREAMS: u32 = 4;
/// A connection ends after this long, whatever it does: nobody needs longer to set a manifest.
const LIFETIME: Duration = Duration::from_secs(120);
/// How long requests may go on once the drain has begun.
const GRACE: Duration = Duration::from_secs(5);
/// After an error of accepting that would come again at once.
const PAUSE: Duration = Duration::from_millis(100);

/// Serves `router` until `shutdown`, then drains.
pub(crate) async fn serve(listener: TcpListener, server: Server, router: Router, shutdown: Shutdown) {
    let (server, slots) = (Arc::new(server), Arc::new(Semaphore::new(MAX_CONNECTIONS)));
    let mut connections = JoinSet::new();
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &slots) => accepted,
            Some(_) = connections.join_next(), if !connections.is_empty() => continue,
            () = shutdown.triggered() => break,
        };
        let Some((stream, slot)) = accepted else { continue };
        let (server, router, shutdown) = (Arc::clone(&server), router.clone(), shutdown.clone());
        connections.spawn(async move {
            let _slot = slot;
            connection(stream, &server, router, shutdown).await;
        });
    }
    drop(listener);
    let drain = async { while connections.join_next().await.is_some() {} };
    if tokio::time::timeout(GRACE, drain).await.is_err() {
        connections.shutdown().await;
    }
}

async fn connection(stream: TcpStream, server: &Server, router: Router, shutdown: Shutdown) {
    let _ = stream.set_nodelay(true);
    let stream = tokio::select! {
        stream = server.accept(stream) => stream,
        () = shutdown.triggered() => return, // nothing was asked yet
    };
    let stream = match stream {
        Ok(stream) => stream,
        Err(error) => {
            tracing::info!(error = %Chain(&error), "no attested connection");
            return;
        }
    };
    let mut builder = http2::Builder::new(TokioExecutor::new());
    builder.timer(TokioTimer::new()).max_concurrent_streams(MAX_STREAMS).max_header_list_size(MAX_HEADERS);
    let service = TowerToHyperService::new(router);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let ended = tokio::select! {
        ended = connection.as_mut() => Some(ended),
        () = tokio::time::sleep(LIFETIME) => None,
        () = shutdown.triggered() => None,
    };
    let ended = match ended {
        Some(ended) => ended,
        None => {
            connection.as_mut().graceful_shutdown();
            tokio::time::timeout(GRACE, connection).await.unwrap_or(Ok(()))
        }
    };
    if let Err(error) = ended {
        tracing::debug!(error = %Chain(&error), "a connection ended early");
    }
}

/// The next connection, or `None` after an error that concerns one connection or passes.
async fn accept(listener: &TcpListener, slots: &Arc<Semaphore>) -> Option<(TcpStream, OwnedSemaphorePermit)> {
    let slot = Arc::clone(slots).acquire_owned().await.ok()?;
    match listener.accept().await {
        Ok((stream, _)) => Some((stream, slot)),
        Err(error) => {
            use io::ErrorKind::{ConnectionAborted, ConnectionReset, Interrupted};
            if !matches!(error.kind(), ConnectionAborted | ConnectionReset | Interrupted) {
                tracing::warn!(%error, "cannot accept connections, trying again");
                tokio::time::sleep(PAUSE).await;
            }
            None
        }
    }
}
