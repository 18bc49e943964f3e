//! Plain listening and serving, shared by the fakes.

use std::{convert::Infallible, future::Future, sync::Arc};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::combinators::UnsyncBoxBody;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use tokio::io::{AsyncRead, AsyncWrite};

/// A fake's failure; its text is seen only in a test's output.
pub(crate) type Failure = Box<dyn std::error::Error + Send + Sync>;
pub(crate) type FakeBody = UnsyncBoxBody<Bytes, Failure>;

/// Serves HTTP/1.1 on one connection until it ends. An error of `answer` closes it without an answer.
pub(crate) async fn serve<I, S, F, A>(io: I, state: Arc<S>, answer: F)
where
    I: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    F: Fn(Arc<S>, Request<Incoming>) -> A,
    A: Future<Output = Result<Response<FakeBody>, Failure>>,
{
    let service = service_fn(|request| answer(Arc::clone(&state), request));
    // how a connection ends is no business of the fake: tests look at both of its sides
    let _ended = http1::Builder::new()
        .preserve_header_case(true)
        .max_buf_size(1024 * 1024)
        .serve_connection(TokioIo::new(io), service)
        .await;
}

pub(crate) fn never(error: Infallible) -> Failure {
    match error {}
}
