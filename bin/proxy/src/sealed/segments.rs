//! A sealed answer piece by piece as it arrives: one HTTP frame and one segment in memory.

use std::pin::Pin;

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body_util::BodyExt;
use privatemode_wire::{
    receipt::SealedDigest,
    stream::{ReadError, ResponseHead, ResponsePart, ResponseReader, Trailer},
};

use super::answer::AnswerError;

/// One answer being read.
pub(super) struct Segments {
    body: Pin<Box<reqwest::Body>>,
    reader: ResponseReader,
    /// What is left of the last frame.
    frame: Bytes,
    /// HTTP's trailers: nobody vouches for them.
    outer: HeaderMap,
    trailer: Option<Trailer>,
    over: bool,
}

/// What comes, in this order.
pub(super) enum Part {
    Head(Box<ResponseHead>),
    /// Authentic bytes of the body, never empty.
    Body(Bytes),
    /// The end: of the stream, and of what HTTP had behind it.
    End(Box<End>),
}

/// What stands at the end of an answer.
pub(super) struct End {
    pub(super) trailer: Trailer,
    pub(super) outer: HeaderMap,
    pub(super) digest: Option<SealedDigest>,
}

impl Segments {
    pub(super) fn new(answer: reqwest::Response, reader: ResponseReader) -> Self {
        let body = Box::pin(reqwest::Body::from(answer));
        Self { body, reader, frame: Bytes::new(), outer: HeaderMap::new(), trailer: None, over: false }
    }

    /// The next part. After the end, or an error, there is none.
    pub(super) async fn next(&mut self) -> Result<Part, AnswerError> {
        loop {
            if let Some(part) = self.open()? {
                return Ok(part);
            }
            if self.over {
                return self.end();
            }
            self.receive().await?;
        }
    }

    fn open(&mut self) -> Result<Option<Part>, AnswerError> {
        loop {
            let mut input: &[u8] = &self.frame;
            let part = self.reader.next(&mut input).map_err(AnswerError::Read)?;
            let part = match part {
                None => None,
                Some(ResponsePart::Head(head)) => Some(Part::Head(head)),
                Some(ResponsePart::Body(data)) => Some(Part::Body(Bytes::copy_from_slice(data))),
                Some(ResponsePart::Trailer(trailer)) => {
                    self.trailer = Some(trailer);
                    Some(Part::Body(Bytes::new()))
                }
            };
            let used = self.frame.len() - input.len();
            self.frame.advance(used);
            match part {
                Some(Part::Body(data)) if data.is_empty() => {} // the trailer: go on to see that nothing follows
                part => return Ok(part),
            }
        }
    }

    async fn receive(&mut self) -> Result<(), AnswerError> {
        match self.body.frame().await {
            None => self.over = true,
            // All that was sealed is here: a connection that breaks behind it takes nothing away.
            Some(Err(_)) if self.trailer.is_some() => self.over = true,
            Some(Err(source)) => return Err(AnswerError::Broken { source }),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => self.frame = data,
                Err(frame) => self.outer = frame.into_trailers().unwrap_or_default(),
            },
        }
        Ok(())
    }

    fn end(&mut self) -> Result<Part, AnswerError> {
        self.reader.finish().map_err(AnswerError::Read)?;
        let trailer = self.trailer.take().ok_or(AnswerError::Read(ReadError::Truncated))?;
        let (outer, digest) = (std::mem::take(&mut self.outer), self.reader.take_digest());
        Ok(Part::End(Box::new(End { trailer, outer, digest })))
    }
}
