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
    stream::{RequestEnd, RequestWriter},
};

use crate::payload::{Content, Payload, Upload};

/// Plaintext that is sealed at a time: some segments, so that a frame is worth its system call.
const PIECE: usize = 256 << 10;

/// What a receipt calls the request, once all of it was sealed.
pub(super) type RequestDigest = Arc<OnceLock<SealedDigest>>;

/// The body of one attempt.
pub(super) struct SealedRequest {
    state: State,
    source: Source,
    /// Bytes on the wire that are still to come, where that is known.
    left: Option<u64>,
    digest: RequestDigest,
}

enum State {
    Body(RequestWriter),
    /// All of the body was taken. Padding may be several MiB: it, too, is sealed piece by piece.
    End(RequestEnd),
    Over,
}

enum Source {
    Whole(Bytes),
    /// A mutex for `Sync`, which the HTTP client asks for; it is never contended.
    Upload {
        content: Mutex<Option<Content>>,
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
                let content = Mutex::new(upload.take());
                (Source::Upload { content, upload: Arc::clone(upload) }, None)
            }
        };
        (Self { state: State::Body(writer), source, left, digest: Arc::clone(&digest) }, digest)
    }

    /// Seals the next piece of the body, or of what ends it.
    fn seal(&mut self, context: &mut Context<'_>) -> Poll<Result<Vec<u8>, BoxError>> {
        let mut out = Vec::new();
        match &mut self.state {
            State::Over => {}
            State::Body(writer) => {
                let (piece, last) = ready!(self.source.poll(context))?;
                writer.write(&piece, &mut out)?;
                if last && let State::Body(writer) = std::mem::replace(&mut self.state, State::Over) {
                    self.state = State::End(writer.end());
                }
            }
            State::End(end) => {
                let more = end.write(&mut out)?;
                if !more
                    && let State::End(end) = std::mem::replace(&mut self.state, State::Over)
                    && let Some(digest) = end.digest()
                {
                    // Set once: the state is over.
                    let _ = self.digest.set(digest);
                }
            }
        }
        Poll::Ready(Ok(out))
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
            Self::Upload { content, upload } => {
                let content = content.get_mut().unwrap_or_else(PoisonError::into_inner);
                // Sent once already: this body must not pass for a whole one.
                let Some(content) = content else {
                    return Poll::Ready(Err("the upload was sent already".into()));
                };
                if let Some(piece) = content.ahead.pop() {
                    return Poll::Ready(Ok((piece, false)));
                }
                match ready!(content.rest.as_mut().poll_next(context)) {
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
        while !self.is_end_stream() {
            match ready!(self.seal(context)) {
                Ok(sealed) if sealed.is_empty() => {} // less than a segment so far
                Ok(sealed) => {
                    self.left = self.left.map(|left| left.saturating_sub(sealed.len() as u64));
                    return Poll::Ready(Some(Ok(Frame::data(sealed.into()))));
                }
                Err(error) => {
                    self.state = State::Over; // nothing follows: what was sent must not pass for a whole body
                    return Poll::Ready(Some(Err(error)));
                }
            }
        }
        Poll::Ready(None)
    }

    fn is_end_stream(&self) -> bool {
        matches!(self.state, State::Over)
    }

    fn size_hint(&self) -> SizeHint {
        self.left.map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}
