//! Opens connections to the engine for hyper's pool.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::{
    client::legacy::connect::{Connected, Connection},
    rt::TokioIo,
};
use privatemode_service::BoxFuture;
use tokio::net::{TcpStream, UnixStream};
use tokio_util::either::Either;

use super::EngineTarget;

/// Connects to one engine, whatever the URL says.
#[derive(Clone)]
pub(super) struct Connector {
    target: EngineTarget,
    timeout: Duration,
}

impl Connector {
    pub(super) fn new(target: EngineTarget, timeout: Duration) -> Self {
        Self { target, timeout }
    }

    async fn connect(self) -> io::Result<EngineIo> {
        let connecting = async {
            match &self.target {
                EngineTarget::Unix(path) => UnixStream::connect(path).await.map(Either::Right),
                EngineTarget::Http { authority, .. } => {
                    let host = authority.host().trim_start_matches('[').trim_end_matches(']');
                    let stream = TcpStream::connect((host, authority.port_u16().unwrap_or(80))).await?;
                    stream.set_nodelay(true)?;
                    Ok(Either::Left(stream))
                }
            }
        };
        let stream = tokio::time::timeout(self.timeout, connecting).await??;
        Ok(EngineIo(TokioIo::new(stream)))
    }
}

impl tower_service::Service<Uri> for Connector {
    type Response = EngineIo;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<EngineIo>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        Box::pin(self.clone().connect())
    }
}

/// One connection to the engine.
pub(super) struct EngineIo(TokioIo<Either<TcpStream, UnixStream>>);

impl Connection for EngineIo {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl Read for EngineIo {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for EngineIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.0.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write_vectored(context, parts)
    }
}
