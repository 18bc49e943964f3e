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
        Ok(EngineIo { stream: TokioIo::new(stream), deaf: false })
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
///
/// An engine that refuses a request early (too large, no such model) answers and hangs up while we still send. Were that an
/// error of the connection, its answer would be lost; so what it does not take any more is thrown away, and reading tells
/// what it said, or that it said nothing.
pub(super) struct EngineIo {
    stream: TokioIo<Either<TcpStream, UnixStream>>,
    /// The engine takes nothing any more.
    deaf: bool,
}

impl EngineIo {
    /// `length` is what a write would have taken.
    fn written<T>(&mut self, written: Poll<io::Result<T>>, length: T) -> Poll<io::Result<T>> {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset};
        match written {
            Poll::Ready(Err(error))
                if matches!(error.kind(), BrokenPipe | ConnectionAborted | ConnectionReset) =>
            {
                self.deaf = true;
                Poll::Ready(Ok(length))
            }
            written => written,
        }
    }
}

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
        Pin::new(&mut self.stream).poll_read(context, buffer)
    }
}

impl Write for EngineIo {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if self.deaf {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.written(written, bytes.len())
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(context);
        self.written(flushed, ())
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        parts: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let length = parts.iter().map(|part| part.len()).sum();
        if self.deaf {
            return Poll::Ready(Ok(length));
        }
        let written = Pin::new(&mut self.stream).poll_write_vectored(context, parts);
        self.written(written, length)
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    use super::*;

    #[tokio::test]
    async fn what_an_engine_said_before_it_hung_up_is_read() {
        let (ours, mut engine) = UnixStream::pair().unwrap();
        let io = EngineIo { stream: TokioIo::new(Either::Right(ours)), deaf: false };
        let mut io = TokioIo::new(io);
        io.write_all(b"the beginning").await.unwrap();
        engine.write_all(b"too large").await.unwrap();
        drop(engine);
        io.write_all(b"the rest").await.unwrap();
        io.write_all(b"and more").await.unwrap();
        io.flush().await.unwrap();
        let mut said = [0; 9];
        io.read_exact(&mut said).await.unwrap();
        assert_eq!(&said, b"too large");
    }
}
