//! The engine behind this proxy: plain HTTP/1.1 over loopback or a Unix socket, with pooled connections.
//!
//! Knows nothing of sealing. What is sent and received here is plaintext: none of it is logged.

mod connector;
mod target;

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Method, Request, Response, header, uri::InvalidUri};
use hyper::body::Incoming;
use hyper_util::{
    client::legacy::Client,
    rt::{TokioExecutor, TokioTimer},
};
use privatemode_service::{BoxBody, BoxError, body::full};

use connector::Connector;
pub use target::{EngineTarget, EngineTargetError};

/// Engines close idle connections after 5 s (uvicorn's default): ours must go first, or requests race with the close.
const IDLE: Duration = Duration::from_secs(4);

/// How long the engine may take.
#[derive(Debug, Clone, Copy)]
pub struct EngineTimeouts {
    /// To accept a connection.
    pub connect: Duration,
    /// Until an answer begins: for unary answers this is the whole generation. Also between two pieces of a stream.
    pub answer: Duration,
}

impl Default for EngineTimeouts {
    fn default() -> Self {
        Self { connect: Duration::from_secs(5), answer: Duration::from_secs(3600) }
    }
}

/// A client of one engine.
pub struct Engine {
    client: Client<Connector, BoxBody>,
    target: EngineTarget,
    authorization: Option<HeaderValue>,
    timeouts: EngineTimeouts,
}

/// Why the engine gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// It does not listen.
    #[error("the inference engine cannot be reached")]
    Unreachable(#[source] BoxError),
    /// It hung up.
    #[error("the inference engine broke the connection")]
    Broken(#[source] BoxError),
    /// It took too long.
    #[error("the inference engine did not answer within {} seconds", .after.as_secs())]
    Timeout {
        /// How long we waited.
        after: Duration,
    },
    /// The path cannot be part of a URL.
    #[error("the path is not valid")]
    Path(#[source] InvalidUri),
}

impl Engine {
    /// A client of the engine at `target`, which gets `api_key` and never a caller's credentials.
    ///
    /// # Errors
    /// When the key cannot be a header's value.
    pub fn new(
        target: EngineTarget,
        api_key: Option<&str>,
        timeouts: EngineTimeouts,
    ) -> Result<Self, http::header::InvalidHeaderValue> {
        let authorization = api_key
            .map(|key| {
                let mut value = HeaderValue::try_from(format!("Bearer {key}"))?;
                value.set_sensitive(true);
                Ok(value)
            })
            .transpose()?;
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .pool_idle_timeout(IDLE)
            .build(Connector::new(target.clone(), timeouts.connect));
        Ok(Self { client, target, authorization, timeouts })
    }

    /// Where the engine is.
    #[must_use]
    pub fn target(&self) -> &EngineTarget {
        &self.target
    }

    /// How long a stream may be silent.
    pub(crate) fn patience(&self) -> Duration {
        self.timeouts.answer
    }

    /// Sends a request; the answer's body is a stream that has just begun. Dropping either hangs up on the engine.
    ///
    /// # Errors
    /// [`EngineError`] when no answer began.
    pub async fn send(
        &self,
        method: Method,
        path: &str,
        headers: HeaderMap,
        body: Bytes,
    ) -> Result<Response<Incoming>, EngineError> {
        self.send_stream(method, path, headers, full(body)).await
    }

    /// As [`Self::send`], with a body that comes in pieces. An error of the body breaks the connection: the engine never takes
    /// what came so far for the whole.
    ///
    /// # Errors
    /// [`EngineError`] when no answer began.
    pub(crate) async fn send_stream(
        &self,
        method: Method,
        path: &str,
        mut headers: HeaderMap,
        body: BoxBody,
    ) -> Result<Response<Incoming>, EngineError> {
        headers.remove(header::AUTHORIZATION);
        if let Some(authorization) = &self.authorization {
            headers.insert(header::AUTHORIZATION, authorization.clone());
        }
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = self.target.uri(path).map_err(EngineError::Path)?;
        *request.headers_mut() = headers;
        let after = self.timeouts.answer;
        match tokio::time::timeout(after, self.client.request(request)).await {
            Err(_) => Err(EngineError::Timeout { after }),
            Ok(Ok(response)) => Ok(response),
            Ok(Err(error)) if error.is_connect() => Err(EngineError::Unreachable(error.into())),
            Ok(Err(error)) => Err(EngineError::Broken(error.into())),
        }
    }
}

impl fmt::Debug for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Engine({})", self.target)
    }
}
