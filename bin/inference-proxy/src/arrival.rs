//! A request's body as it arrives: no sender takes longer than it may, and none sends more than it may, in whatever form.

use std::{pin::Pin, time::Duration};

use bytes::Bytes;
use http_body::Body;
use http_body_util::BodyExt;
use privatemode_service::{BodyError, BoxError};
use tokio::time::Instant;

use crate::budget::Buffer;

/// A sender that is silent for this long in the middle of a body is given up.
const IDLE: Duration = Duration::from_secs(60);

/// One body.
pub(crate) struct Arrival<B> {
    body: Pin<Box<B>>,
    began: Instant,
    /// For all of it: a byte every minute would hold memory for ever.
    within: Duration,
    left: u64,
    max: u64,
}

/// The body was not there in time.
#[derive(Debug, thiserror::Error)]
#[error("the body was not there within {} seconds", .within.as_secs())]
pub(crate) struct Late {
    pub(crate) within: Duration,
}

impl<B> Arrival<B>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    /// At most `max` bytes on the wire, all of them within that time.
    pub(crate) fn new(body: B, max: u64, within: Duration) -> Self {
        Self { body: Box::pin(body), began: Instant::now(), within, left: max, max }
    }

    /// How much of its time is left.
    pub(crate) fn remaining(&self) -> Duration {
        self.within.saturating_sub(self.began.elapsed())
    }

    /// Waits for the next bytes; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let too_large = BodyError::TooLarge { max: usize::try_from(self.max).unwrap_or(usize::MAX) };
            // An honest sender is refused before it has sent an oversized body.
            if self.body.size_hint().lower() > self.left {
                return Err(too_large);
            }
            let wait = self.remaining().min(IDLE);
            let frame = match tokio::time::timeout(wait, self.body.frame()).await {
                Err(_) if wait == IDLE => return Err(BodyError::Stalled { after: IDLE }),
                Err(_) => return Err(BodyError::Read { source: Late { within: self.within }.into() }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(BodyError::Read { source: error.into() }),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue }; // trailers carry nothing for us
            self.left = self.left.checked_sub(data.len() as u64).ok_or(too_large)?;
            return Ok(Some(data));
        }
    }

    /// All of it.
    pub(crate) async fn whole(mut self, buffer: &mut Buffer) -> Result<(), BodyError> {
        while let Some(data) = self.next().await? {
            buffer.extend(&data)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use futures_util::{Stream, StreamExt as _, stream};
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;
    use crate::budget::Budget;

    fn body(
        frames: impl Stream<Item = &'static [u8]>,
    ) -> StreamBody<impl Stream<Item = Result<Frame<Bytes>, Infallible>>> {
        StreamBody::new(frames.map(|data| Ok(Frame::data(Bytes::from_static(data)))))
    }

    async fn whole<B>(body: B, max: u64, within: Duration) -> Result<Vec<u8>, BodyError>
    where
        B: Body<Data = Bytes>,
        B::Error: Into<BoxError>,
    {
        let mut buffer = Buffer::new(Budget::new(0).hold(), 100);
        Arrival::new(body, max, within).whole(&mut buffer).await.map(|()| buffer.into_parts().0)
    }

    /// Whatever is in it: what is sealed may be padding alone.
    #[tokio::test]
    async fn no_more_than_may_come() {
        let frames = || body(stream::iter([&b"abc"[..], b"", b"de"]));
        assert_eq!(whole(frames(), 5, IDLE).await.unwrap(), b"abcde");
        let error = whole(frames(), 4, IDLE).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 4 }), "{error:?}");
        let endless = body(stream::repeat(&b"padding"[..]));
        let error = whole(endless, 50, IDLE).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 50 }), "{error:?}");
        let announced = privatemode_service::body::full("123456");
        let error = whole(announced, 5, IDLE).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 5 }), "{error:?}");
    }

    #[tokio::test(start_paused = true)]
    async fn neither_silent_nor_slow() {
        let paced = |pause: u64| {
            let frames = stream::repeat(&b"x"[..]).then(move |data| async move {
                tokio::time::sleep(Duration::from_secs(pause)).await;
                data
            });
            body(Box::pin(frames))
        };
        let error = whole(paced(61), 100, Duration::from_secs(900)).await.unwrap_err();
        assert!(matches!(error, BodyError::Stalled { after: IDLE }), "{error:?}");
        let error = whole(paced(59), 100, Duration::from_secs(900)).await.unwrap_err();
        let BodyError::Read { source } = error else { panic!("{error:?}") };
        assert_eq!(source.downcast_ref::<Late>().unwrap().within, Duration::from_secs(900));
    }
}
