//! A caller's body: whole, or its beginning with the rest still to come. Knows neither cipher nor form.
//!
//! JSON is always whole, because it is edited. Files are not: of them at most [`AHEAD`] is held.

use std::{
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body::Body;
use http_body_util::BodyExt;
use privatemode_service::{BodyError, BoxError};

use crate::dump::DumpFile;

/// How much of a file is held: enough for the fields before it, and for small files as a whole.
pub(crate) const AHEAD: usize = 1 << 20;
/// A caller that is silent for this long in the middle of a body is given up.
const IDLE: Duration = Duration::from_secs(60);

/// The body of one request.
#[derive(Clone)]
pub(crate) enum Payload {
    /// All of it; can be sent again.
    Whole(Bytes),
    /// The beginning, and what follows; can be sent once.
    Streamed(std::sync::Arc<Upload>),
}

/// A body that is still coming.
pub(crate) struct Upload {
    ahead: Bytes,
    rest: Mutex<Option<Rest>>,
    /// Why the rest did not come: the sender's error says only that it did not.
    fault: Mutex<Option<BodyError>>,
}

/// The pieces that follow.
pub(crate) type Rest = Pin<Box<dyn Stream<Item = Result<Bytes, BodyError>> + Send>>;

impl Payload {
    /// Reads the beginning of `body`, or all of it where that is no more. At most `max` bytes ever come.
    pub(crate) async fn begin<B>(body: B, max: usize, dump: Option<DumpFile>) -> Result<Self, BodyError>
    where
        B: Body<Data = Bytes> + Send + Unpin + 'static,
        B::Error: Into<BoxError>,
    {
        if body.size_hint().lower() > max as u64 {
            return Err(BodyError::TooLarge { max });
        }
        let mut pieces = Pieces { body, left: max, max, dump };
        let mut ahead = BytesMut::new();
        while let Some(piece) = pieces.next().await? {
            ahead.extend_from_slice(&piece);
            if ahead.len() >= AHEAD {
                let rest = stream::try_unfold(pieces, async |mut pieces| {
                    Ok(pieces.next().await?.map(|piece| (piece, pieces)))
                });
                let rest: Rest = Box::pin(rest);
                let upload =
                    Upload { ahead: ahead.freeze(), rest: Mutex::new(Some(rest)), fault: Mutex::new(None) };
                return Ok(Self::Streamed(std::sync::Arc::new(upload)));
            }
        }
        Ok(Self::Whole(ahead.freeze()))
    }

    /// Whether it can be sent a second time.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Upload {
    /// The beginning.
    pub(crate) fn ahead(&self) -> &Bytes {
        &self.ahead
    }

    /// The rest, to whoever asks first.
    pub(crate) fn take_rest(&self) -> Option<Rest> {
        self.rest.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn broke(&self, error: BodyError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why the rest did not come.
    pub(crate) fn take_fault(&self) -> Option<BodyError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// All of it, for what cannot be streamed.
    pub(crate) async fn whole(&self) -> Result<Bytes, BodyError> {
        let mut all = BytesMut::from(&self.ahead[..]);
        let Some(mut rest) = self.take_rest() else { return Ok(all.freeze()) };
        while let Some(piece) = futures_util::TryStreamExt::try_next(&mut rest).await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

struct Pieces<B> {
    body: B,
    left: usize,
    max: usize,
    dump: Option<DumpFile>,
}

impl<B> Pieces<B>
where
    B: Body<Data = Bytes> + Unpin,
    B::Error: Into<BoxError>,
{
    async fn next(&mut self) -> Result<Option<Bytes>, BodyError> {
        loop {
            let frame = match tokio::time::timeout(IDLE, self.body.frame()).await {
                Err(_) => return Err(BodyError::Stalled { after: IDLE }),
                Ok(None) => return Ok(None),
                Ok(Some(Err(error))) => return Err(BodyError::Read { source: error.into() }),
                Ok(Some(Ok(frame))) => frame,
            };
            let Ok(data) = frame.into_data() else { continue }; // trailers carry nothing for us
            self.left = self.left.checked_sub(data.len()).ok_or(BodyError::TooLarge { max: self.max })?;
            if let Some(dump) = &mut self.dump {
                dump.write(&data);
            }
            if !data.is_empty() {
                return Ok(Some(data));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use http_body::Frame;
    use http_body_util::StreamBody;

    use super::*;

    fn body(pieces: &[usize]) -> impl Body<Data = Bytes, Error = BoxError> + Send + Unpin + 'static {
        let frames: Vec<_> = pieces.iter().map(|n| Ok(Frame::data(Bytes::from(vec![b'x'; *n])))).collect();
        StreamBody::new(stream::iter(frames))
    }

    #[tokio::test]
    async fn small_bodies_are_whole_and_large_ones_come_in_order() {
        let Payload::Whole(whole) = Payload::begin(body(&[3, 0, 4]), 10, None).await.unwrap() else {
            panic!("small")
        };
        assert_eq!(whole.len(), 7);
        let Payload::Streamed(upload) =
            Payload::begin(body(&[AHEAD - 1, 1, 5]), AHEAD + 5, None).await.unwrap()
        else {
            panic!("large")
        };
        assert_eq!(upload.ahead().len(), AHEAD);
        assert_eq!(upload.whole().await.unwrap().len(), AHEAD + 5);
    }

    #[tokio::test]
    async fn the_cap_holds_while_it_streams() {
        let error = Payload::begin(body(&[6]), 5, None).await.err().unwrap();
        assert!(matches!(error, BodyError::TooLarge { max: 5 }), "{error:?}");
        let Payload::Streamed(upload) = Payload::begin(body(&[AHEAD, 5, 1]), AHEAD + 5, None).await.unwrap()
        else {
            panic!("large")
        };
        let error = upload.whole().await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { .. }), "{error:?}");
    }
}
