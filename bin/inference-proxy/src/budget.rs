//! How much of large requests may be in memory at once, over all requests: anybody may send many of them.
//!
//! The first [`FREE`] bytes of each request count for nothing, so that large requests never keep small ones out. Counts what
//! comes in; opening adds half of it for a moment.

use std::{
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use privatemode_service::BoxError;

/// More than most requests have.
const FREE: usize = 1024 * 1024;

/// What is left. Clones share it.
#[derive(Clone)]
pub(crate) struct Budget(Arc<AtomicUsize>);

/// What one request holds of the budget, until this is dropped.
pub(crate) struct Held {
    budget: Budget,
    came: usize,
    held: usize,
}

/// Too many large requests at once.
#[derive(Debug, thiserror::Error)]
#[error("the worker holds as many large requests as it may")]
pub(crate) struct OverBudget;

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    pub(crate) fn hold(&self) -> Held {
        Held { budget: self.clone(), came: 0, held: 0 }
    }
}

impl Held {
    /// The same body; it fails with [`OverBudget`] once there is no room.
    pub(crate) fn count<B>(&mut self, body: B) -> Counted<'_, B> {
        Counted { body: Box::pin(body), held: self }
    }

    /// Bytes that give back what is held when the last of them is dropped.
    pub(crate) fn keep(self, bytes: Vec<u8>) -> Bytes {
        Bytes::from_owner(Kept { bytes, _held: self })
    }

    /// Counts bytes that came.
    pub(crate) fn take(&mut self, bytes: usize) -> Result<(), OverBudget> {
        self.came = self.came.saturating_add(bytes);
        let more = self.came.saturating_sub(FREE) - self.held;
        let taken =
            self.budget.0.try_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(more));
        taken.map_err(|_| OverBudget)?;
        self.held += more;
        Ok(())
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.budget.0.fetch_add(self.held, Ordering::AcqRel);
    }
}

struct Kept {
    bytes: Vec<u8>,
    _held: Held,
}

impl AsRef<[u8]> for Kept {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// A body whose bytes are counted.
pub(crate) struct Counted<'a, B> {
    body: Pin<Box<B>>,
    held: &'a mut Held,
}

impl<B> Body for Counted<'_, B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let frame = match std::task::ready!(self.body.as_mut().poll_frame(context)) {
            None => return Poll::Ready(None),
            Some(Err(error)) => return Poll::Ready(Some(Err(error.into()))),
            Some(Ok(frame)) => frame,
        };
        let length = frame.data_ref().map_or(0, Bytes::len);
        Poll::Ready(Some(self.held.take(length).map(|()| frame).map_err(Into::into)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
