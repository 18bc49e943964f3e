//! Sends the request over attested TLS. What is sent is sent to a verified coordinator, by the type of the connection.

use std::io;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, header};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper_util::rt::{TokioExecutor, TokioIo};
use privatemode_mesh::atls::{Appraiser, AtlsError, Client, Demand, wall_clock};
use serde::Deserialize;
use thiserror::Error;
use tokio::net::TcpStream;
use zeroize::Zeroizing;

use super::super::api;
use super::Failure;

/// Longest wait for a connection, and for the answer: a coordinator reads its whole history meanwhile.
const CONNECT: Duration = Duration::from_secs(10);
const ANSWER: Duration = Duration::from_secs(60);
/// Longest answer: two certificates.
const MAX_ANSWER: usize = 256 * 1024;

const CHECK: &str = "check that the coordinator runs, and that HOST:PORT is its port for attested TLS (1313)";
const DISTRUST: &str =
    "nothing was sent to it; find out what answers there, or give the manifest that is in force";

/// A coordinator is back.
#[derive(Debug, Deserialize)]
pub(super) struct Reply {
    root_ca: String,
    mesh_ca: String,
    pub(super) latest_transition: String,
    #[serde(default)]
    pub(super) recovered_by: Option<String>,
}

/// Why it is not.
#[derive(Debug, Error)]
pub(super) enum SendError {
    #[error("the coordinator at {address} cannot be reached")]
    Unreachable { address: String, source: io::Error },
    #[error("the coordinator at {address} did not answer in time")]
    Timeout { address: String },
    #[error("there is no attested connection to {address}")]
    Handshake { address: String, source: AtlsError },
    #[error("what answers at {address} is refused")]
    NotTrusted { address: String, source: AtlsError },
    #[error("the connection to {address} broke")]
    Broken { address: String, source: hyper::Error },
    #[error("the answer of {address} cannot be read")]
    Body { address: String, source: Box<dyn std::error::Error + Send + Sync> },
    #[error("the coordinator at {address} refused ({code}, status {status}): {message}")]
    Refused { address: String, status: u16, code: String, message: String },
}

impl From<SendError> for Failure {
    fn from(error: SendError) -> Self {
        let next = match &error {
            SendError::NotTrusted { .. } => DISTRUST,
            SendError::Refused { code, status, .. } => api::next(code, *status),
            _ => CHECK,
        };
        Self::refused(error, next)
    }
}

/// Sends `message` to the coordinator at `address`, once it has proved that it is one.
pub(super) async fn recover(
    address: &str,
    appraiser: &Appraiser,
    message: Zeroizing<Vec<u8>>,
) -> Result<Reply, SendError> {
    let of = || address.to_owned();
    let timeout = |_| SendError::Timeout { address: of() };
    let tcp = tokio::time::timeout(CONNECT, TcpStream::connect(address)).await.map_err(timeout)?;
    let tcp = tcp.map_err(|source| SendError::Unreachable { address: of(), source })?;
    let unverified = Client::anonymous(wall_clock()).connect(tcp).await;
    let unverified = unverified.map_err(|source| SendError::Handshake { address: of(), source })?;
    let attested = unverified.verify(appraiser, Demand::Coordinator).await;
    let attested =
        attested.map_err(|refused| SendError::NotTrusted { address: of(), source: refused.error })?;
    tokio::time::timeout(ANSWER, ask(address, attested, message)).await.map_err(timeout)?
}

async fn ask<IO>(address: &str, io: IO, message: Zeroizing<Vec<u8>>) -> Result<Reply, SendError>
where
    IO: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
{
    let broken = |source| SendError::Broken { address: address.to_owned(), source };
    let handshake = hyper::client::conn::http2::handshake(TokioExecutor::new(), TokioIo::new(io));
    let (mut sender, connection) = handshake.await.map_err(broken)?;
    // how it ends is seen by whoever reads the answer
    let driver = tokio::spawn(connection);
    // wiped when HTTP lets go of it
    let body = Full::new(Bytes::from_owner(message));
    let request = Request::post("https://coordinator/recover")
        .header(header::CONTENT_TYPE, "application/json")
        .body(body)
        .expect("a fixed request");
    let response = sender.send_request(request).await.map_err(broken)?;
    let status = response.status();
    let unread = |source| SendError::Body { address: address.to_owned(), source };
    let body = Limited::new(response.into_body(), MAX_ANSWER).collect().await.map_err(unread)?.to_bytes();
    driver.abort();
    if status.is_success() {
        return serde_json::from_slice(&body).map_err(|error| unread(error.into()));
    }
    let (code, message) = api::said(&body);
    Err(SendError::Refused { address: address.to_owned(), status: status.as_u16(), code, message })
}

/// PEM of root and mesh CA.
pub(super) fn certificates(reply: &Reply) -> Result<(Vec<u8>, Vec<u8>), Failure> {
    let decode = |text: &str| {
        STANDARD
            .decode(text)
            .map_err(|error| Failure::refused(error, "the coordinator's answer makes no sense"))
    };
    Ok((decode(&reply.root_ca)?, decode(&reply.mesh_ca)?))
}
