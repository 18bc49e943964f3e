//! Tells HTTP/2 with prior knowledge (RFC 9113 §3.3) from HTTP/1 on a plain connection by its first bytes, and gives
//! those bytes back to whoever reads on.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf};

/// RFC 9113 §3.4: the client connection preface starts with these bytes.
const PREFACE: &[u8; 24] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// What is spoken on a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Protocol {
    Http1,
    Http2,
}

/// Reads until the protocol is clear. The caller sets the deadline.
pub(super) async fn sniff<I: AsyncRead + Unpin>(mut io: I) -> io::Result<(Rewound<I>, Protocol)> {
    let mut start = [0; PREFACE.len()];
    let mut filled = 0;
    let protocol = loop {
        let read = io.read(&mut start[filled..]).await?;
        filled += read;
        if read == 0 || start[..filled] != PREFACE[..filled] {
            break Protocol::Http1;
        }
        if filled == PREFACE.len() {
            break Protocol::Http2;
        }
    };
    Ok((Rewound { start, filled, given: 0, io }, protocol))
}

/// A stream whose first bytes were read already and are given out again.
pub(super) struct Rewound<I> {
    start: [u8; PREFACE.len()],
    filled: usize,
    given: usize,
    io: I,
}

impl<I: AsyncRead + Unpin> AsyncRead for Rewound<I> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        if this.given < this.filled && buffer.remaining() > 0 {
            let end = this.filled.min(this.given + buffer.remaining());
            buffer.put_slice(&this.start[this.given..end]);
            this.given = end;
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut this.io).poll_read(context, buffer)
    }
}

impl<I: AsyncWrite + Unpin> AsyncWrite for Rewound<I> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffers: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.io).poll_write_vectored(context, buffers)
    }

    fn is_write_vectored(&self) -> bool {
        self.io.is_write_vectored()
    }
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn sniffed(bytes: &'static [u8]) -> (Vec<u8>, Protocol) {
        let (mut client, server) = tokio::io::duplex(7); // smaller than the preface: several reads
        let send = tokio::spawn(async move {
            client.write_all(bytes).await.unwrap();
        });
        let (mut io, protocol) = sniff(server).await.unwrap();
        let mut all = Vec::new();
        io.read_to_end(&mut all).await.unwrap();
        send.await.unwrap();
        (all, protocol)
    }

    #[tokio::test]
    async fn nothing_is_lost() {
        for (bytes, expected) in [
            (&b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nmore"[..], Protocol::Http2),
            (b"PRI * HTTP/2.0\r\n\r\nXM\r\n\r\n", Protocol::Http1),
            (b"POST / HTTP/1.1\r\n\r\n", Protocol::Http1),
            (b"PRI", Protocol::Http1),
            (b"", Protocol::Http1),
        ] {
            let (all, protocol) = sniffed(bytes).await;
            assert_eq!((all.as_slice(), protocol), (bytes, expected));
        }
    }
}
