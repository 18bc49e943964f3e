//! A body on its way to the engine, piece by piece: at most one piece waits.

use std::{
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame};
use privatemode_service::{BoxBody, BoxError, body::boxed};
use tokio::sync::mpsc;

/// Sends the pieces. Dropped without [`end`](Self::end), it breaks the connection: the engine must not take a part for the
/// whole.
pub(super) struct Sender(mpsc::Sender<Piece>);

enum Piece {
    Data(Bytes),
    End,
}

struct Upload {
    pieces: mpsc::Receiver<Piece>,
    ended: bool,
}

/// A body and what feeds it.
pub(super) fn channel() -> (Sender, BoxBody) {
    let (sender, pieces) = mpsc::channel(1);
    (Sender(sender), boxed(Upload { pieces, ended: false }))
}

impl Sender {
    /// Waits for room. Gives nothing back: an engine that takes no more has said why in its answer.
    pub(super) async fn send(&self, data: Bytes) {
        if !data.is_empty() {
            let _ = self.0.send(Piece::Data(data)).await;
        }
    }

    /// The body is whole.
    pub(super) async fn end(&self) {
        let _ = self.0.send(Piece::End).await;
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.ended {
            return Poll::Ready(None);
        }
        match ready!(self.pieces.poll_recv(context)) {
            Some(Piece::Data(data)) => Poll::Ready(Some(Ok(Frame::data(data)))),
            Some(Piece::End) => {
                self.ended = true;
                Poll::Ready(None)
            }
            None => Poll::Ready(Some(Err("the request was given up".into()))),
        }
    }

    fn is_end_stream(&self) -> bool {
        self.ended
    }
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;

    use super::*;

    #[tokio::test]
    async fn only_what_was_ended_is_whole() {
        for whole in [true, false] {
            let (sender, body) = channel();
            let sending = async move {
                sender.send(Bytes::from_static(b"a")).await;
                sender.send(Bytes::new()).await;
                sender.send(Bytes::from_static(b"b")).await;
                if whole {
                    sender.end().await;
                }
            };
            let (collected, ()) = tokio::join!(body.collect(), sending);
            assert_eq!(collected.ok().map(http_body_util::Collected::to_bytes), whole.then(|| "ab".into()));
        }
    }
}
