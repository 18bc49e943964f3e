//! Small helpers around HTTP bodies: fixed ones, boxed ones, and reading one whole under a cap.

use std::{error::Error, time::Duration};

use bytes::{Bytes, BytesMut};
use http_body::Body;
use http_body_util::{BodyExt, Empty, Full, Limited};

/// Any error that may end a body.
pub type BoxError = Box<dyn Error + Send + Sync>;
/// The body type of our answers.
pub type BoxBody = http_body_util::combinators::UnsyncBoxBody<Bytes, BoxError>;

/// A sender that is silent for this long in the middle of a body is given up.
const IDLE: Duration = Duration::from_secs(60);
/// Memory reserved before the first byte came, whatever length was announced.
const RESERVE: usize = 64 * 1024;

/// Why a body could not be read.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    /// More bytes than allowed; none of the excess was kept.
    #[error("the body is larger than the {max} bytes allowed here")]
    TooLarge {
        /// The cap.
        max: usize,
    },
    /// The sender stopped in the middle.
    #[error("the body did not go on for {} seconds", .after.as_secs())]
    Stalled {
        /// The time without a byte.
        after: Duration,
    },
    /// The connection broke.
    #[error("the body could not be read to its end")]
    Read {
        /// Why.
        source: BoxError,
    },
}

/// A body with exactly these bytes.
pub fn full(bytes: impl Into<Bytes>) -> BoxBody {
    Full::new(bytes.into()).map_err(|never| match never {}).boxed_unsync()
}

/// A body without bytes.
#[must_use]
pub fn empty() -> BoxBody {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

/// Any body, boxed.
pub fn boxed<B>(body: B) -> BoxBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    body.map_err(Into::into).boxed_unsync()
}

/// The same body; reading past `max` bytes is an error ([`http_body_util::LengthLimitError`]).
pub fn limited<B>(body: B, max: usize) -> BoxBody
where
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<BoxError>,
{
    Limited::new(body, max).boxed_unsync()
}

/// The whole body, if it has at most `max` bytes.
///
/// # Errors
/// [`BodyError::TooLarge`] before the excess is kept, [`BodyError::Stalled`] when the sender is silent for a minute.
pub async fn read_limited<B>(body: B, max: usize) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    read_limited_idle(body, max, IDLE).await
}

/// As [`read_limited`], with another time for a silent sender.
///
/// # Errors
/// As [`read_limited`].
pub async fn read_limited_idle<B>(body: B, max: usize, idle: Duration) -> Result<Bytes, BodyError>
where
    B: Body<Data = Bytes>,
    B::Error: Into<BoxError>,
{
    let announced = body.size_hint().lower();
    // An honest sender is refused before the first byte of an oversized body.
    if announced > max as u64 {
        return Err(BodyError::TooLarge { max });
    }
    let mut body = std::pin::pin!(body);
    let mut first = Bytes::new();
    let mut all = BytesMut::new();
    loop {
        let frame = match tokio::time::timeout(idle, body.frame()).await {
            Err(_) => return Err(BodyError::Stalled { after: idle }),
            Ok(None) => break,
            Ok(Some(Err(error))) => return Err(BodyError::Read { source: error.into() }),
            Ok(Some(Ok(frame))) => frame,
        };
        let Ok(data) = frame.into_data() else { continue }; // trailers carry nothing for us
        if first.len().max(all.len()) + data.len() > max {
            return Err(BodyError::TooLarge { max });
        }
        if first.is_empty() && all.is_empty() {
            first = data; // most bodies are one frame: no copy
            continue;
        }
        if all.is_empty() {
            // The announced length is the sender's claim: trust only a little of it.
            all.reserve((announced as usize).min(RESERVE).max(first.len() + data.len()));
            all.extend_from_slice(&first);
        }
        all.extend_from_slice(&data);
    }
    Ok(if all.is_empty() { first } else { all.freeze() })
}

#[cfg(test)]
mod tests {
    use std::{
        collections::VecDeque,
        pin::Pin,
        task::{Context, Poll},
    };

    use http_body::Frame;

    use super::*;

    /// Frames one after the other; silent for ever after them if `stall`.
    struct Frames {
        frames: VecDeque<&'static [u8]>,
        stall: bool,
    }

    impl Body for Frames {
        type Data = Bytes;
        type Error = std::convert::Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
            match self.frames.pop_front() {
                Some(data) => Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(data))))),
                None if self.stall => Poll::Pending,
                None => Poll::Ready(None),
            }
        }
    }

    fn frames(frames: &[&'static [u8]], stall: bool) -> Frames {
        Frames { frames: frames.iter().copied().collect(), stall }
    }

    #[tokio::test]
    async fn a_body_at_the_cap_is_read_and_one_byte_more_is_not() {
        assert_eq!(read_limited(frames(&[b"abc", b"de"], false), 5).await.unwrap(), "abcde");
        let error = read_limited(frames(&[b"abc", b"def"], false), 5).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 5 }), "{error:?}");
    }

    #[tokio::test]
    async fn an_announced_excess_is_refused_at_once() {
        let error = read_limited(full("123456"), 5).await.unwrap_err();
        assert!(matches!(error, BodyError::TooLarge { max: 5 }), "{error:?}");
    }

    #[tokio::test]
    async fn empty_and_split_bodies() {
        assert_eq!(read_limited(empty(), 0).await.unwrap(), "");
        assert_eq!(read_limited(frames(&[b"", b"a", b"", b"bc"], false), 3).await.unwrap(), "abc");
    }

    #[tokio::test]
    async fn a_silent_sender_is_given_up() {
        let idle = Duration::from_millis(1);
        let error = read_limited_idle(frames(&[b"abc"], true), 5, idle).await.unwrap_err();
        assert!(matches!(error, BodyError::Stalled { .. }), "{error:?}");
    }
}
