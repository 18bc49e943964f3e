//! Opens segments from bytes that come in pieces of any size.
//!
//! Holds one segment at most. Data leaves it only after its tag was checked. Does not know of heads and trailers.
//! protocol.md, section 9.

use std::ops::Range;

use sha2::{Digest, Sha256};

use super::error::ReadError;
use super::segment::{FRAME, Flag, LENGTH, MAX_SEGMENT, MIN_SEGMENT, PADDING_LENGTH, SegmentNumbers, aad};
use crate::aead::{Aead, IV_LENGTH, Key, TAG_LENGTH};

/// A segment that was opened; its data stands in the reader until the next call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) data: Range<usize>,
    pub(super) last: bool,
}

/// The segments of one direction of one exchange.
pub(super) struct SegmentReader<K = Key> {
    key: K,
    numbers: SegmentNumbers,
    /// The segment at hand stands at its front; what is behind is left from earlier ones, so that it need not be written
    /// before it is written over.
    buffer: Vec<u8>,
    /// Bytes of the segment at hand that are there.
    filled: usize,
    opened: bool,
    last: bool,
    failed: Option<ReadError>,
    digest: Option<Sha256>,
    before_last: Option<Sha256>,
    /// The first segment as it came, until its head has said whether a digest is wanted.
    undecided: Option<Vec<u8>>,
}

impl<K: Aead> SegmentReader<K> {
    /// With a digest that has taken the salt where a receipt may be wanted.
    pub(super) fn new(key: K, digest: Option<Sha256>) -> SegmentReader<K> {
        SegmentReader {
            key,
            numbers: SegmentNumbers::default(),
            buffer: Vec::new(),
            filled: 0,
            opened: false,
            last: false,
            failed: None,
            digest,
            before_last: None,
            undecided: None,
        }
    }

    /// With a digest that the first segment decides on ([`decide_digest`](Self::decide_digest)): copying one segment costs a
    /// small part of hashing it.
    pub(super) fn undecided(key: K, digest: Sha256) -> SegmentReader<K> {
        SegmentReader { undecided: Some(Vec::new()), ..SegmentReader::new(key, Some(digest)) }
    }

    /// Takes bytes from the front of `input` until a segment is whole, and opens it; `None` when the input is used up
    /// before. After an error every call gives the same one.
    pub(super) fn next(&mut self, input: &mut &[u8]) -> Result<Option<Opened>, ReadError> {
        if let Some(error) = &self.failed {
            return Err(error.clone());
        }
        self.step(input).inspect_err(|error| self.fail(error))
    }

    /// Makes an error of a layer above final.
    pub(super) fn fail(&mut self, error: &ReadError) {
        self.failed = Some(error.clone());
        self.buffer = Vec::new();
        self.filled = 0;
    }

    pub(super) fn data(&self, range: Range<usize>) -> &[u8] {
        self.buffer.get(range).unwrap_or_default()
    }

    /// The input has ended. [`ReadError::Truncated`] unless the last segment was there.
    pub(super) fn end(&self) -> Result<(), ReadError> {
        match &self.failed {
            Some(error) => Err(error.clone()),
            None if self.last => Ok(()),
            None => Err(ReadError::Truncated),
        }
    }

    pub(super) fn decide_digest(&mut self, wanted: bool) {
        let first = self.undecided.take().unwrap_or_default();
        self.digest = self.digest.take().filter(|_| wanted).map(|digest| digest.chain_update(first));
    }

    /// SHA-256 over all segments with their lengths.
    pub(super) fn take_digest(&mut self) -> Option<[u8; 32]> {
        self.digest.take().map(|digest| digest.finalize().into())
    }

    /// SHA-256 over all segments with their lengths but the last.
    pub(super) fn take_digest_before_last(&mut self) -> Option<[u8; 32]> {
        self.before_last.take().map(|digest| digest.finalize().into())
    }

    fn step(&mut self, input: &mut &[u8]) -> Result<Option<Opened>, ReadError> {
        if self.opened {
            self.filled = 0;
            self.opened = false;
        }
        if self.last && !input.is_empty() {
            return Err(ReadError::AfterLast);
        }
        if self.filled == 0
            && let Some(length) = input.first_chunk::<LENGTH>()
        {
            // One that is whole in the input is opened from there.
            let whole = whole_length(*length)?;
            if let Some((segment, rest)) = input.split_at_checked(whole) {
                *input = rest;
                return self.open_from(segment).map(Some);
            }
        }
        self.fill(LENGTH, input);
        let there = self.buffer.get(..self.filled).unwrap_or_default();
        let Some(length) = there.first_chunk::<LENGTH>() else { return Ok(None) };
        let whole = whole_length(*length)?;
        self.fill(whole, input);
        if self.filled < whole {
            return Ok(None);
        }
        self.open().map(Some)
    }

    fn fill(&mut self, target: usize, input: &mut &[u8]) {
        let wanted = target.saturating_sub(self.filled);
        let missing = wanted.min(input.len());
        // Room for the whole segment at once, but only when half of it is there: a length alone reserves nothing.
        let room = if missing >= wanted.div_ceil(2) { wanted } else { missing };
        self.make_room(self.filled.saturating_add(room));
        if let Some((front, rest)) = input.split_at_checked(missing)
            && let Some(place) = self.buffer.get_mut(self.filled..).and_then(|free| free.get_mut(..missing))
        {
            place.copy_from_slice(front);
            self.filled = self.filled.saturating_add(missing);
            *input = rest;
        }
    }

    fn make_room(&mut self, length: usize) {
        if let Some(more) = length.checked_sub(self.buffer.len()) {
            self.buffer.reserve_exact(more);
            self.buffer.resize(length, 0);
        }
    }

    /// Opens the segment in the buffer, where it stands.
    fn open(&mut self) -> Result<Opened, ReadError> {
        // What is taken out goes back: nothing between fails but for good, and then nothing is left to be read.
        let mut buffer = std::mem::take(&mut self.buffer);
        let segment = buffer.get_mut(..self.filled).unwrap_or_default();
        let start = self.begin(segment)?;
        let sealed = segment.get_mut(FRAME..).unwrap_or_default();
        let end = FRAME.saturating_add(sealed.len()).saturating_sub(TAG_LENGTH);
        self.key.open_slice(start.nonce, &start.aad(), sealed).map_err(|_| start.tampered())?;
        self.buffer = buffer;
        self.opened(&start, end)
    }

    /// Opens a segment that is not in the buffer into the buffer, at the same place.
    fn open_from(&mut self, segment: &[u8]) -> Result<Opened, ReadError> {
        let start = self.begin(segment)?;
        let sealed = segment.get(FRAME..).unwrap_or_default();
        let end = FRAME.saturating_add(sealed.len()).saturating_sub(TAG_LENGTH);
        self.make_room(end);
        let text = self.buffer.get_mut(FRAME..end).unwrap_or_default();
        self.key.open_into(start.nonce, &start.aad(), sealed, text).map_err(|_| start.tampered())?;
        self.opened(&start, end)
    }

    /// What a segment says of itself, before anything of it is believed. Takes it into the digest.
    fn begin(&mut self, segment: &[u8]) -> Result<Start, ReadError> {
        let number = self.numbers.take().ok_or(ReadError::TooManySegments)?;
        let malformed = ReadError::Tampered { segment: number };
        let (frame, _) = segment.split_first_chunk::<FRAME>().ok_or(malformed.clone())?;
        let (_, header) = frame.split_at(LENGTH);
        let (flag, nonce) = header.split_first().ok_or(malformed.clone())?;
        let flag = Flag::parse(*flag).ok_or(ReadError::Flag { segment: number, flag: *flag })?;
        let nonce = nonce.try_into().map_err(|_| malformed)?;
        self.digest_segment(segment, flag);
        Ok(Start { number, flag, nonce })
    }

    /// Its tag fits; the text ends at `end` of the buffer.
    fn opened(&mut self, start: &Start, end: usize) -> Result<Opened, ReadError> {
        self.opened = true;
        self.last = start.flag == Flag::Last;
        let data = self.unpad(FRAME..end).ok_or(ReadError::Padding { segment: start.number })?;
        Ok(Opened { data, last: self.last })
    }

    /// Before decryption takes the ciphertext's place.
    fn digest_segment(&mut self, segment: &[u8], flag: Flag) {
        if let Some(first) = &mut self.undecided {
            first.clear();
            first.extend_from_slice(segment);
        } else if let Some(digest) = &mut self.digest {
            if flag == Flag::Last {
                self.before_last = Some(digest.clone());
            }
            digest.update(segment);
        }
    }

    fn unpad(&self, text: Range<usize>) -> Option<Range<usize>> {
        let at = text.end.checked_sub(PADDING_LENGTH)?;
        let length = self.buffer.get(at..text.end)?.first_chunk::<PADDING_LENGTH>()?;
        let end = at.checked_sub(usize::from(u16::from_be_bytes(*length)))?;
        (end >= text.start).then_some(text.start..end)
    }
}

/// What stands before a segment's ciphertext.
struct Start {
    number: u32,
    flag: Flag,
    nonce: [u8; IV_LENGTH],
}

impl Start {
    fn aad(&self) -> [u8; 5] {
        aad(self.number, self.flag)
    }

    fn tampered(&self) -> ReadError {
        ReadError::Tampered { segment: self.number }
    }
}

/// The bytes of a segment with its length, if a segment can have that length: before anything of it is held.
fn whole_length(length: [u8; LENGTH]) -> Result<usize, ReadError> {
    let length = u32::from_be_bytes(length);
    usize::try_from(length)
        .ok()
        .filter(|length| (MIN_SEGMENT..=MAX_SEGMENT).contains(length))
        .map(|length| length.saturating_add(LENGTH))
        .ok_or(ReadError::SegmentLength { length })
}

#[cfg(test)]
mod tests;
