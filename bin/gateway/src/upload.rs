//! A request's body on its way to a worker: passed on frame by frame, counted, and kept for a second worker as long as
//! nothing of it was taken.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use privatemode_service::{BoxBody, BoxError, body};

/// The body of one request, shared by the attempts to send it.
pub(crate) struct Upload<B>(Arc<Shared<B>>);

struct Shared<B> {
    source: Mutex<Source<B>>,
    started: AtomicBool,
    too_large: AtomicBool,
    broken: AtomicBool,
}

struct Source<B> {
    body: B,
    left: u64,
}

#[derive(Debug, thiserror::Error)]
#[error("the request is larger than is allowed")]
struct TooLarge;

impl<B> Upload<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    pub(crate) fn new(body: B, max: u64) -> Upload<B> {
        Upload(Arc::new(Shared {
            source: Mutex::new(Source { body, left: max }),
            started: AtomicBool::new(false),
            too_large: AtomicBool::new(false),
            broken: AtomicBool::new(false),
        }))
    }

    /// The body for one attempt.
    pub(crate) fn attempt(&self) -> BoxBody {
        body::boxed(Attempt(Arc::clone(&self.0)))
    }

    /// Whether any of it was taken: then no other worker can be tried.
    pub(crate) fn started(&self) -> bool {
        self.0.started.load(Ordering::Acquire)
    }

    /// Whether it turned out too large.
    pub(crate) fn too_large(&self) -> bool {
        self.0.too_large.load(Ordering::Acquire)
    }

    /// Whether the caller's side of it failed.
    pub(crate) fn broken(&self) -> bool {
        self.0.broken.load(Ordering::Acquire)
    }
}

struct Attempt<B>(Arc<Shared<B>>);

impl<B> Body for Attempt<B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let shared = &self.0;
        let mut source = shared.source.lock().unwrap_or_else(PoisonError::into_inner);
        let frame = match Pin::new(&mut source.body).poll_frame(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(None) => return Poll::Ready(None),
            Poll::Ready(Some(frame)) => frame,
        };
        shared.started.store(true, Ordering::Release);
        let frame = match frame {
            Ok(frame) => frame,
            Err(error) => {
                shared.broken.store(true, Ordering::Release);
                return Poll::Ready(Some(Err(error.into())));
            }
        };
        let size = frame.data_ref().map_or(0, Bytes::len) as u64;
        match source.left.checked_sub(size) {
            Some(left) => {
                source.left = left;
                Poll::Ready(Some(Ok(frame)))
            }
            None => {
                shared.too_large.store(true, Ordering::Release);
                Poll::Ready(Some(Err(TooLarge.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.0.source.lock().unwrap_or_else(PoisonError::into_inner).body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.source.lock().unwrap_or_else(PoisonError::into_inner).body.size_hint()
    }
}
