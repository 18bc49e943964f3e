//! The client's side of the response.

use std::ops::Range;

use sha2::{Digest, Sha256};

use crate::receipt::SealedDigest;
use crate::stream::error::ReadError;
use crate::stream::head::{self, RequestId, ResponseHead};
use crate::stream::key::ExchangeKeys;
use crate::stream::outer::ResponseSalt;
use crate::stream::reader::SegmentReader;
use crate::stream::trailer::{Trailer, TrailerError};

/// A request is on its way; its answer can be opened once the response's salt is there.
pub struct PendingResponse {
    keys: ExchangeKeys,
    request_id: RequestId,
    receipt: bool,
}

impl PendingResponse {
    pub(in crate::stream) fn new(
        keys: ExchangeKeys,
        request_id: RequestId,
        receipt: bool,
    ) -> PendingResponse {
        PendingResponse { keys, request_id, receipt }
    }

    /// With the salt from the header [`crate::stream::outer::RESPONSE_HEADER`].
    pub fn open(self, salt: &ResponseSalt) -> ResponseReader {
        let digest = self.receipt.then(|| Sha256::new_with_prefix(salt.as_bytes()));
        ResponseReader {
            segments: SegmentReader::new(self.keys.response(salt), digest),
            request_id: self.request_id,
            begun: false,
            rest: None,
        }
    }
}

/// Opens one response.
pub struct ResponseReader {
    segments: SegmentReader,
    request_id: RequestId,
    begun: bool,
    rest: Option<Range<usize>>,
}

/// What comes out of a response, in this order: one head, pieces of the body, one trailer.
#[derive(Debug, PartialEq, Eq)]
pub enum ResponsePart<'a> {
    /// First of all.
    Head(Box<ResponseHead>),
    /// The next bytes of the body, authentic, never empty. Whether it is the whole body only the trailer says.
    Body(&'a [u8]),
    /// Last of all.
    Trailer(Trailer),
}

impl ResponseReader {
    /// Takes bytes from the front of `input`; call it until it gives `None`, then with the next piece.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<ResponsePart<'_>>, ReadError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(ResponsePart::Body(self.segments.data(rest))));
        }
        loop {
            let Some(opened) = self.segments.next(input)? else { return Ok(None) };
            if !self.begun || opened.last {
                let parsed = if self.begun {
                    self.parse_trailer(opened.data).map(ResponsePart::Trailer)
                } else {
                    self.parse_head(&opened.data, opened.last).map(|head| ResponsePart::Head(Box::new(head)))
                };
                self.begun = true;
                return parsed.map(Some).inspect_err(|error| self.segments.fail(error));
            }
            if !opened.data.is_empty() {
                return Ok(Some(ResponsePart::Body(self.segments.data(opened.data))));
            }
        }
    }

    /// The input has ended. [`ReadError::Truncated`] unless the trailer was there: what was read so far is not the answer.
    pub fn finish(&self) -> Result<(), ReadError> {
        self.segments.end()
    }

    /// SHA-256 of the response as a receipt names it, after the trailer, where the head asked for a receipt.
    pub fn take_digest(&mut self) -> Option<SealedDigest> {
        self.segments.take_digest_before_last().map(SealedDigest)
    }

    fn parse_head(&mut self, data: &Range<usize>, last: bool) -> Result<ResponseHead, ReadError> {
        let (json, offset) = head::split(self.segments.data(data.clone()))?;
        let head = ResponseHead::parse(json).map_err(ReadError::Head)?;
        if head.request_id != self.request_id {
            return Err(ReadError::RequestId);
        }
        if last {
            return Err(ReadError::Trailer(TrailerError::Missing));
        }
        let rest = data.start.saturating_add(offset)..data.end;
        self.rest = (!rest.is_empty()).then_some(rest);
        Ok(head)
    }

    fn parse_trailer(&self, data: Range<usize>) -> Result<Trailer, ReadError> {
        Trailer::parse(self.segments.data(data)).map_err(ReadError::Trailer)
    }
}
