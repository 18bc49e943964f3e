//! A caller's body: whole, or its beginning with the rest still to come. Knows neither cipher nor form.
//!
//! JSON is always whole, because it is edited. Files are not: of them at most [`AHEAD`] is held.

use std::{
    collections::VecDeque,
    pin::Pin,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use futures_util::{Stream, stream};
use http_body::Body;
use http_body_util::BodyExt;
use memchr::memmem;
use privatemode_service::{BodyError, BoxError};

use crate::dump::DumpFile;

/// How much of a file is held: enough for the fields before it, and for small files as a whole.
pub(crate) const AHEAD: usize = 1 << 20;
/// What is held is cut into blocks: large allocations make glibc keep several MiB for good, once they were freed.
const BLOCK: usize = 64 << 10;
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
    content: Mutex<Option<Content>>,
    /// Why the rest did not come: the sender's error says only that it did not.
    fault: Mutex<Option<BodyError>>,
}

/// What an upload consists of. Whoever takes it can let go of each piece that was sent.
pub(crate) struct Content {
    pub(crate) ahead: Ahead,
    pub(crate) rest: Rest,
}

/// The beginning of a body, in blocks.
#[derive(Default)]
pub(crate) struct Ahead {
    blocks: VecDeque<BytesMut>,
    length: usize,
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
        let mut ahead = Ahead::default();
        while let Some(piece) = pieces.next().await? {
            ahead.push(&piece);
            if ahead.length >= AHEAD {
                let rest = stream::try_unfold(pieces, async |mut pieces| {
                    Ok(pieces.next().await?.map(|piece| (piece, pieces)))
                });
                let rest: Rest = Box::pin(rest);
                let content = Mutex::new(Some(Content { ahead, rest }));
                let upload = Upload { content, fault: Mutex::new(None) };
                return Ok(Self::Streamed(std::sync::Arc::new(upload)));
            }
        }
        Ok(Self::Whole(ahead.into_whole()))
    }

    /// Whether it can be sent a second time.
    pub(crate) fn is_replayable(&self) -> bool {
        matches!(self, Self::Whole(_))
    }
}

impl Upload {
    /// What `read` makes of the beginning; nothing once that was taken.
    pub(crate) fn look_ahead<T>(&self, read: impl FnOnce(&Ahead) -> T) -> Option<T> {
        let content = self.content.lock().unwrap_or_else(PoisonError::into_inner);
        content.as_ref().map(|content| read(&content.ahead))
    }

    /// All of it, to whoever asks first.
    pub(crate) fn take(&self) -> Option<Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(crate) fn broke(&self, error: BodyError) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
    }

    /// Why the rest did not come.
    pub(crate) fn take_fault(&self) -> Option<BodyError> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// All of it, for what cannot be streamed. Nothing once it was taken.
    pub(crate) async fn whole(&self) -> Result<Bytes, BodyError> {
        let Some(Content { ahead, mut rest }) = self.take() else { return Ok(Bytes::new()) };
        let mut all = BytesMut::from(ahead.into_whole());
        while let Some(piece) = futures_util::TryStreamExt::try_next(&mut rest).await? {
            all.extend_from_slice(&piece);
        }
        Ok(all.freeze())
    }
}

impl Ahead {
    pub(crate) fn push(&mut self, mut data: &[u8]) {
        self.length += data.len();
        while !data.is_empty() {
            let full = self.blocks.back().is_none_or(|block| block.len() == BLOCK);
            if full {
                self.blocks.push_back(BytesMut::with_capacity(BLOCK));
            }
            let Some(block) = self.blocks.back_mut() else { return };
            let (now, later) = data.split_at(data.len().min(BLOCK - block.len()));
            block.extend_from_slice(now);
            data = later;
        }
    }

    /// The next block; whoever takes it lets go of it.
    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        self.blocks.pop_front().map(BytesMut::freeze)
    }

    /// The first `length` bytes, or as many as there are.
    pub(crate) fn first(&self, length: usize) -> Vec<u8> {
        let mut first = Vec::with_capacity(length.min(self.length));
        for block in &self.blocks {
            first.extend_from_slice(&block[..block.len().min(length - first.len())]);
        }
        first
    }

    /// Where `mark` stands for the last time.
    pub(crate) fn rfind(&self, mark: &[u8]) -> Option<usize> {
        let keep = mark.len().saturating_sub(1);
        // `tail`: the bytes before a block with which a mark may begin that ends in it
        let (mut found, mut at, mut tail) = (None, 0, Vec::new());
        for block in &self.blocks {
            let seam = [&tail[..], &block[..block.len().min(keep)]].concat();
            let across = memmem::rfind(&seam, mark).map(|place| at - tail.len() + place);
            let inside = memmem::rfind(block, mark).map(|place| at + place);
            found = inside.or(across).or(found);
            at += block.len();
            tail.extend_from_slice(&block[block.len().saturating_sub(keep)..]);
            tail.drain(..tail.len().saturating_sub(keep));
        }
        found
    }

    fn into_whole(mut self) -> Bytes {
        match self.blocks.len() {
            0 | 1 => self.pop().unwrap_or_default(), // most bodies: no copy
            _ => self.first(self.length).into(),
        }
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
        assert_eq!(upload.look_ahead(|ahead| ahead.length), Some(AHEAD));
        assert_eq!(upload.whole().await.unwrap().len(), AHEAD + 5);
    }

    #[test]
    fn a_mark_is_found_wherever_blocks_end() {
        let mut ahead = Ahead::default();
        ahead.push(&vec![b'x'; BLOCK - 2]);
        assert_eq!(ahead.rfind(b"mark"), None);
        ahead.push(b"mark");
        assert_eq!(ahead.rfind(b"mark"), Some(BLOCK - 2), "across");
        ahead.push(b"mark.");
        assert_eq!(ahead.rfind(b"mark"), Some(BLOCK + 2), "inside");
        let whole = ahead.first(usize::MAX);
        assert_eq!((whole.len(), &whole[BLOCK - 2..]), (BLOCK + 7, &b"markmark."[..]));
        assert_eq!(ahead.pop().map(|block| block.len()), Some(BLOCK));
        assert_eq!(ahead.into_whole(), "rkmark.");
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
