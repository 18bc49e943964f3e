//! The request, on both sides.

use std::ops::Range;

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::error::{ReadError, WriteError};
use super::head::{self, RequestHead};
use super::key::ExchangeKeys;
use super::outer::RequestSalt;
use super::reader::SegmentReader;
use super::response::{PendingResponse, Responder};
use super::run::RunWriter;
use super::segment::{Flag, SegmentSealer};
use crate::receipt::SealedDigest;
use crate::secret::Secret;

/// Seals one request on the client's side.
pub struct RequestWriter {
    run: RunWriter,
    salt: RequestSalt,
    head_length: u64,
}

impl RequestWriter {
    /// Begins an exchange: draws its salt, expands its key, and takes the head. What opens the response comes apart, so
    /// that an early answer can be read while the request is still being sent.
    pub fn begin(
        secret: &Secret,
        head: &RequestHead,
        rng: &mut dyn CryptoRng,
    ) -> Result<(RequestWriter, PendingResponse), WriteError> {
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let salt = RequestSalt::from_bytes(salt);
        let keys = ExchangeKeys::new(secret, &salt);
        let framed = head.to_json().and_then(|json| head::framed(&json)).map_err(WriteError::Head)?;
        let digest = head.receipt.then(|| Sha256::new_with_prefix(salt.as_bytes()));
        let mut run = RunWriter::new(SegmentSealer::new(keys.request(), digest, rng), head.padding);
        // Shorter than a segment: nothing comes out yet.
        run.write(&framed, &mut Vec::new())?;
        let head_length = framed.len() as u64;
        let pending = PendingResponse::new(keys, head.request_id, head.receipt);
        Ok((RequestWriter { run, salt, head_length }, pending))
    }

    /// For the header [`super::outer::REQUEST_HEADER`].
    pub fn salt(&self) -> &RequestSalt {
        &self.salt
    }

    /// The HTTP `Content-Length` for a body of that many bytes.
    pub fn wire_length(&self, body: u64) -> u64 {
        self.run.padding().wire_length(body.saturating_add(self.head_length))
    }

    /// The value of [`super::outer::CONTENT_LENGTH_TOKENS`] for a body of that many bytes. Leave the header out where the
    /// length is not known.
    pub fn length_tokens(&self, body: u64) -> u64 {
        self.run.padding().length_tokens(body.saturating_add(self.head_length))
    }

    /// Takes the next bytes of the body and appends to `out` what can be sent. Costs no copy beyond one where `out` is
    /// empty.
    pub fn write(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.run.write(body, out)
    }

    /// Ends the body; without this call the worker refuses the request as cut off. Gives the request's digest where the
    /// head asks for a receipt. All the padding comes at once: for a large body, [`end`](Self::end) it piece by piece.
    pub fn finish(self, out: &mut Vec<u8>) -> Result<Option<SealedDigest>, WriteError> {
        let mut end = self.end();
        while end.write(out)? {}
        Ok(end.digest())
    }

    /// Ends the body; what is left of it, and its padding, come from [`RequestEnd`]. The padding of 128 MiB may be 4 MiB,
    /// which nobody should have to hold.
    pub fn end(self) -> RequestEnd {
        let rest = self.run.rest();
        RequestEnd { run: self.run, rest, over: false }
    }
}

/// The end of a request whose body is known: the worker refuses the request as cut off unless all of this is sent.
pub struct RequestEnd {
    run: RunWriter,
    rest: u64,
    over: bool,
}

impl RequestEnd {
    /// Appends the next segment to `out`, at most 64 KiB; `false` when there is none any more.
    pub fn write(&mut self, out: &mut Vec<u8>) -> Result<bool, WriteError> {
        if !self.over {
            self.over = self.run.end_segment(&mut self.rest, Flag::Last, out)?;
        }
        Ok(!self.over)
    }

    /// The request's digest, where the head asks for a receipt and all of it was written.
    pub fn digest(mut self) -> Option<SealedDigest> {
        if self.over { self.run.take_digest().map(SealedDigest) } else { None }
    }
}

/// Opens one request on the worker's side.
pub struct RequestReader {
    segments: SegmentReader,
    keys: ExchangeKeys,
    head: Option<RequestHead>,
    rest: Option<Range<usize>>,
    length: u64,
}

/// What comes out of a request, in this order: one head, then pieces of the body.
#[derive(Debug, PartialEq, Eq)]
pub enum RequestPart<'a> {
    /// First of all.
    Head(&'a RequestHead),
    /// The next bytes of the body, authentic, never empty. The body is whole only when [`RequestReader::finish`] says so.
    Body(&'a [u8]),
}

impl RequestReader {
    /// Begins with the secret that the outer header names, and the salt.
    pub fn new(secret: &Secret, salt: &RequestSalt) -> RequestReader {
        let keys = ExchangeKeys::new(secret, salt);
        // Whether a receipt is wanted stands in the first segment, which is in the digest.
        let digest = Sha256::new_with_prefix(salt.as_bytes());
        let segments = SegmentReader::undecided(keys.request(), digest);
        RequestReader { segments, keys, head: None, rest: None, length: 0 }
    }

    /// Takes bytes from the front of `input`; call it until it gives `None`, then with the next piece.
    pub fn next(&mut self, input: &mut &[u8]) -> Result<Option<RequestPart<'_>>, ReadError> {
        if let Some(rest) = self.rest.take() {
            return Ok(Some(RequestPart::Body(self.segments.data(rest))));
        }
        loop {
            let Some(opened) = self.segments.next(input)? else { return Ok(None) };
            self.length = self.length.saturating_add(opened.data.len() as u64);
            if self.head.is_none() {
                let parsed = self.parse_head(&opened.data);
                let (head, rest) = parsed.inspect_err(|error| self.segments.fail(error))?;
                self.segments.decide_digest(head.receipt);
                self.rest = (!rest.is_empty()).then_some(rest);
                return Ok(Some(RequestPart::Head(self.head.insert(head))));
            }
            if !opened.data.is_empty() {
                return Ok(Some(RequestPart::Body(self.segments.data(opened.data))));
            }
        }
    }

    /// The head, once it was read.
    pub fn head(&self) -> Option<&RequestHead> {
        self.head.as_ref()
    }

    /// The input has ended. [`ReadError::Truncated`] unless the request arrived whole and was taken whole. What
    /// [`finish`](Self::finish) will say, for whoever wants to [`refuse`](Self::refuse) a request that was cut off.
    pub fn check_end(&self) -> Result<(), ReadError> {
        self.segments.end()?;
        if self.rest.is_some() || self.head.is_none() { Err(ReadError::Truncated) } else { Ok(()) }
    }

    /// The input has ended. [`ReadError::Truncated`] unless the request arrived whole and was taken whole.
    pub fn finish(self) -> Result<Responder, ReadError> {
        self.check_end()?;
        self.responder(true).ok_or(ReadError::Truncated)
    }

    /// Answers with an error without waiting for the rest of the request. `None` before the head was read: then there is
    /// nobody to answer under seal.
    pub fn refuse(self) -> Option<Responder> {
        self.responder(false)
    }

    fn responder(mut self, complete: bool) -> Option<Responder> {
        let head = self.head.take()?;
        // Of a part it would name no request that anybody sent.
        let whole = complete || self.segments.end().is_ok();
        let digest = self.segments.take_digest().filter(|_| whole).map(SealedDigest);
        Some(Responder::new(self.keys, &head, digest, self.length, complete))
    }

    fn parse_head(&self, data: &Range<usize>) -> Result<(RequestHead, Range<usize>), ReadError> {
        let (json, offset) = head::split(self.segments.data(data.clone()))?;
        let head = RequestHead::parse(json).map_err(ReadError::Head)?;
        Ok((head, data.start.saturating_add(offset)..data.end))
    }
}
