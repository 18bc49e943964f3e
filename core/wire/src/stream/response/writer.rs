//! The worker's side of the response.

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use crate::receipt::SealedDigest;
use crate::stream::error::WriteError;
use crate::stream::head::{self, HeadField, HeadMismatch, RequestHead, RequestId, ResponseHead, demand};
use crate::stream::key::ExchangeKeys;
use crate::stream::outer::ResponseSalt;
use crate::stream::padding::{Padding, Records};
use crate::stream::run::RunWriter;
use crate::stream::segment::{Flag, SegmentSealer};
use crate::stream::trailer::Trailer;

/// A request was read, whole or not, and waits for its answer.
pub struct Responder {
    keys: ExchangeKeys,
    request_id: RequestId,
    padding: Padding,
    receipt: bool,
    request_digest: Option<SealedDigest>,
    length: u64,
    complete: bool,
}

impl Responder {
    pub(in crate::stream) fn new(
        keys: ExchangeKeys,
        head: &RequestHead,
        request_digest: Option<SealedDigest>,
        length: u64,
        complete: bool,
    ) -> Responder {
        let RequestHead { request_id, padding, receipt, .. } = *head;
        Responder { keys, request_id, padding, receipt, request_digest, length, complete }
    }

    /// Holds the outer header [`crate::stream::outer::CONTENT_LENGTH_TOKENS`], where there is one, against what arrived.
    pub fn check_length_tokens(&self, outer: Option<&str>) -> Result<(), HeadMismatch> {
        let expected = self.padding.length_tokens(self.length).to_string();
        let equal = outer.is_none_or(|outer| !self.complete || outer == expected);
        demand(HeadField::ContentLengthTokens, equal)
    }

    /// SHA-256 of the request as received, where its head asks for a receipt and it arrived whole.
    pub fn request_digest(&self) -> Option<SealedDigest> {
        self.request_digest
    }

    /// Draws the salt and seals the head. A request that did not arrive whole may only get an error. In the mode
    /// `constant` the head leaves at once, else with the first flush.
    pub fn begin(
        self,
        head: &ResponseHead,
        rng: &mut dyn CryptoRng,
        out: &mut Vec<u8>,
    ) -> Result<ResponseWriter, WriteError> {
        if !self.complete && head.status < 400 {
            return Err(WriteError::RequestIncomplete { status: head.status });
        }
        if head.request_id != self.request_id {
            return Err(WriteError::RequestId);
        }
        let mut salt = [0; 32];
        rng.fill_bytes(&mut salt);
        let salt = ResponseSalt::from_bytes(salt);
        let framed = head.to_json().and_then(|json| head::framed(&json)).map_err(WriteError::Head)?;
        let digest = self.receipt.then(|| Sha256::new_with_prefix(salt.as_bytes()));
        let segments = SegmentSealer::new(self.keys.response(&salt), digest, rng);
        let mut run = RunWriter::new(segments, self.padding);
        run.write(&framed, out)?;
        let packer = match self.padding {
            Padding::Constant(records) => {
                run.end_run(Flag::More, out)?;
                Some(ConstantPacker { records, queue: Vec::new() })
            }
            Padding::Off | Padding::Bucket => None,
        };
        Ok(ResponseWriter { run, salt, packer, request_digest: self.request_digest })
    }
}

/// Seals one response. Dropping it cuts the response off, and the client notices.
pub struct ResponseWriter {
    run: RunWriter,
    salt: ResponseSalt,
    packer: Option<ConstantPacker>,
    request_digest: Option<SealedDigest>,
}

impl ResponseWriter {
    /// For the header [`crate::stream::outer::RESPONSE_HEADER`].
    pub fn salt(&self) -> &ResponseSalt {
        &self.salt
    }

    /// Takes the next bytes of the body and appends to `out` what can be sent. In the mode `constant` they wait for
    /// [`tick`](Self::tick).
    pub fn write(&mut self, body: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        match &mut self.packer {
            Some(packer) => {
                packer.queue.extend_from_slice(body);
                Ok(())
            }
            None => self.run.write(body, out),
        }
    }

    /// Seals all that was written: after each event of a stream. In the mode `constant` it does nothing, because the
    /// cadence must not follow the events.
    pub fn flush(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        if self.packer.is_some() { Ok(()) } else { self.run.end_run(Flag::More, out) }
    }

    /// The cadence of the mode `constant`: while the answer goes on, call [`tick`](Self::tick) that often.
    pub fn interval_millis(&self) -> Option<u32> {
        self.packer.as_ref().map(|packer| packer.records.interval_millis())
    }

    /// One record, full or not: what waits, as far as it fits, and padding. Nothing in the other modes.
    pub fn tick(&mut self, out: &mut Vec<u8>) -> Result<(), WriteError> {
        match &mut self.packer {
            Some(packer) => packer.tick(&mut self.run, out),
            None => Ok(()),
        }
    }

    /// Bytes that wait for records. Stop reading from the engine while they are many; and, so that the end does not show
    /// how many there were, tick until there are none before [`close`](Self::close).
    pub fn waiting(&self) -> usize {
        self.packer.as_ref().map_or(0, |packer| packer.queue.len())
    }

    /// Ends the body.
    pub fn close(mut self, out: &mut Vec<u8>) -> Result<ResponseEnd, WriteError> {
        while self.waiting() > 0 {
            self.tick(out)?;
        }
        self.run.end_run(Flag::More, out)?;
        let response_digest = self.run.take_digest().map(SealedDigest);
        Ok(ResponseEnd { run: self.run, request_digest: self.request_digest, response_digest })
    }
}

/// Packs several deltas into one record, and makes records where there is nothing to pack.
struct ConstantPacker {
    records: Records,
    queue: Vec<u8>,
}

impl ConstantPacker {
    fn tick(&mut self, run: &mut RunWriter, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let capacity = usize::try_from(self.records.capacity()).unwrap_or(usize::MAX);
        let take = self.queue.len().min(capacity);
        run.record(self.queue.get(..take).unwrap_or_default(), capacity, out)?;
        self.queue.drain(..take);
        Ok(())
    }
}

/// The body has ended; the trailer is missing. Here is what a receipt needs.
pub struct ResponseEnd {
    run: RunWriter,
    request_digest: Option<SealedDigest>,
    response_digest: Option<SealedDigest>,
}

impl ResponseEnd {
    /// SHA-256 of the request as received, where its head asks for a receipt and it arrived whole.
    pub fn request_digest(&self) -> Option<SealedDigest> {
        self.request_digest
    }

    /// SHA-256 of the response as sent, without its trailer, where the request's head asks for a receipt.
    pub fn response_digest(&self) -> Option<SealedDigest> {
        self.response_digest
    }

    /// Seals the trailer as the last segment.
    pub fn finish(mut self, trailer: &Trailer, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let json = trailer.to_json().map_err(WriteError::Trailer)?;
        self.run.write(json.as_bytes(), out)?;
        self.run.end_run(Flag::Last, out)
    }
}
