//! A request's body, sealed while it is sent: one piece of plaintext and its ciphertext in memory.

use std::{
    pin::Pin,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use privatemode_service::BoxError;
use privatemode_wire::{
    receipt::SealedDigest,
    stream::{RequestWriter, WriteError},
};

use crate::payload::{Payload, Rest, Upload};

/// Plaintext that is sealed at a time: some segments, so that a frame is worth its system call.
const PIECE: usize = 256 << 10;

/// What a receipt calls the request, once all of it was sealed.
pub(super) type RequestDigest = Arc<OnceLock<SealedDigest>>;

/// The body of one attempt.
pub(super) struct SealedRequest {
    writer: Option<RequestWriter>,
    source: Source,
    /// Bytes on the wire that are still to come, where that is known.
    left: Option<u64>,
    digest: RequestDigest,
}

enum Source {
    Whole(Bytes),
    /// A mutex for `Sync`, which the HTTP client asks for; it is never contended.
    Upload {
        ahead: Bytes,
        rest: Mutex<Option<Rest>>,
        upload: Arc<Upload>,
    },
}

impl SealedRequest {
    pub(super) fn new(writer: RequestWriter, payload: &Payload) -> (Self, RequestDigest) {
        let digest = RequestDigest::default();
        let (source, left) = match payload {
            Payload::Whole(body) => {
                let length = writer.wire_length(body.len() as u64);
                (Source::Whole(body.clone()), Some(length))
            }
            Payload::Streamed(upload) => {
                let (ahead, rest) = (upload.ahead().clone(), Mutex::new(upload.take_rest()));
                (Source::Upload { ahead, rest, upload: Arc::clone(upload) }, None)
            }
        };
        (Self { writer: Some(writer), source, left, digest: Arc::clone(&digest) }, digest)
    }

    /// Seals `piece`; ends the body with the last one.
    fn seal(&mut self, piece: &[u8], last: bool) -> Result<Vec<u8>, WriteError> {
        let mut out = Vec::new();
        if let Some(writer) = &mut self.writer {
            writer.write(piece, &mut out)?;
        }
        if last
            && let Some(writer) = self.writer.take()
            && let Some(digest) = writer.finish(&mut out)?
        {
            // Set once: the writer is gone.
            let _ = self.digest.set(digest);
        }
        Ok(out)
    }
}

impl Source {
    /// The next piece, and whether it is the last.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<Result<(Bytes, bool), BoxError>> {
        match self {
            Self::Whole(body) => {
                let piece = body.split_to(body.len().min(PIECE));
                Poll::Ready(Ok((piece, body.is_empty())))
            }
            Self::Upload { ahead, .. } if !ahead.is_empty() => {
                Poll::Ready(Ok((ahead.split_to(ahead.len().min(PIECE)), false)))
            }
            Self::Upload { rest, upload, .. } => {
                let rest = rest.get_mut().unwrap_or_else(PoisonError::into_inner);
                // Sent once already: this body must not pass for a whole one.
                let Some(stream) = rest else {
                    return Poll::Ready(Err("the upload was sent already".into()));
                };
                match ready!(stream.as_mut().poll_next(context)) {
                    Some(Ok(piece)) => Poll::Ready(Ok((piece, false))),
                    Some(Err(error)) => {
                        let text = error.to_string();
                        upload.broke(error);
                        Poll::Ready(Err(text.into()))
                    }
                    None => Poll::Ready(Ok((Bytes::new(), true))),
                }
            }
        }
    }
}

impl Body for SealedRequest {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        while self.writer.is_some() {
            let (piece, last) = match ready!(self.source.poll(context)) {
                Ok(next) => next,
                Err(error) => {
                    self.writer = None;
                    return Poll::Ready(Some(Err(error)));
                }
            };
            match self.seal(&piece, last) {
                Ok(sealed) if sealed.is_empty() => {} // less than a segment so far
                Ok(sealed) => {
                    self.left = self.left.map(|left| left.saturating_sub(sealed.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(sealed.into()))));
                }
                Err(error) => {
                    self.writer = None;
                    return Poll::Ready(Some(Err(error.into())));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        self.writer.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
