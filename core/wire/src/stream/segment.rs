//! One segment: flag ‖ nonce ‖ AES-256-GCM ciphertext ‖ tag, after its length on the wire.
//!
//! ```text
//! wire       u32 big-endian length │ flag (1) │ nonce (12) │ ciphertext │ tag (16)
//! plaintext                                                 data │ padding │ u16 big-endian length of the padding
//! AAD        u32 big-endian number of the segment │ flag
//! ```
//!
//! Does not decide what goes into which segment ([`super::run`]) and does not read ([`super::reader`]). protocol.md,
//! section 9.

use rand_core::CryptoRng;
use sha2::{Digest, Sha256};

use super::error::WriteError;
use crate::aead::{Aead, IV_LENGTH, Key, TAG_LENGTH};

/// Length of the length.
pub(super) const LENGTH: usize = 4;
/// Flag and nonce.
const HEADER: usize = 1 + IV_LENGTH;
/// What stands before the ciphertext.
pub(super) const FRAME: usize = LENGTH + HEADER;
/// Length of the padding's length.
pub(super) const PADDING_LENGTH: usize = 2;
const MAX_PLAINTEXT: usize = 64 * 1024;
/// Shortest segment, without its length: no data, no padding.
pub(super) const MIN_SEGMENT: usize = HEADER + PADDING_LENGTH + TAG_LENGTH;
/// Longest segment, without its length: 64 KiB + 29.
pub(super) const MAX_SEGMENT: usize = HEADER + MAX_PLAINTEXT + TAG_LENGTH;
/// Data and padding that one segment carries at most, in bytes.
pub(super) const CAPACITY: usize = MAX_PLAINTEXT - PADDING_LENGTH;
/// Bytes on the wire beside data and padding.
pub(super) const OVERHEAD: usize = FRAME + PADDING_LENGTH + TAG_LENGTH;

// The longest padding fits its length.
const _: () = assert!(CAPACITY <= u16::MAX as usize);
const _: () = assert!(MAX_SEGMENT == 64 * 1024 + 29);

/// Whether more segments follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flag {
    More = 0,
    Last = 1,
}

impl Flag {
    pub(super) fn parse(byte: u8) -> Option<Flag> {
        match byte {
            0 => Some(Flag::More),
            1 => Some(Flag::Last),
            _ => None,
        }
    }
}

/// AAD = u32 big-endian segment number ‖ flag.
pub(super) fn aad(number: u32, flag: Flag) -> [u8; 5] {
    let [a, b, c, d] = number.to_be_bytes();
    [a, b, c, d, flag as u8]
}

/// The numbers of one direction: from 0, 2^32 of them, never twice.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct SegmentNumbers(u64);

impl SegmentNumbers {
    /// The number of the next segment; `None` when all are used up.
    pub(super) fn take(&mut self) -> Option<u32> {
        let number = u32::try_from(self.0).ok()?;
        self.0 = self.0.saturating_add(1);
        Some(number)
    }

    #[cfg(test)]
    pub(super) fn starting_at(number: u64) -> SegmentNumbers {
        SegmentNumbers(number)
    }
}

/// Seals the segments of one direction of one exchange.
///
/// Nonces: a random start, its last four bytes XORed with the segment's number. They never repeat under a key, because a
/// key belongs to one direction of one exchange (a salt of 32 random bytes is in it) and numbers never repeat.
pub(super) struct SegmentSealer<K = Key> {
    key: K,
    start: [u8; IV_LENGTH],
    numbers: SegmentNumbers,
    digest: Option<Sha256>,
}

impl<K: Aead> SegmentSealer<K> {
    /// With a digest that has taken the salt where a receipt is wanted.
    pub(super) fn new(key: K, digest: Option<Sha256>, rng: &mut dyn CryptoRng) -> SegmentSealer<K> {
        let mut start = [0; IV_LENGTH];
        rng.fill_bytes(&mut start);
        SegmentSealer { key, start, numbers: SegmentNumbers::default(), digest }
    }

    /// Seals in place what stands in the buffer from `at` on: [`FRAME`] bytes to be written over, then data. Appends `padding` zero
    /// bytes first. Data and padding have at most [`CAPACITY`] bytes.
    pub(super) fn seal(
        &mut self,
        buffer: &mut Vec<u8>,
        at: usize,
        padding: usize,
        flag: Flag,
    ) -> Result<(), WriteError> {
        let padding_length = u16::try_from(padding).map_err(|_| WriteError::SegmentTooLong)?;
        buffer.resize(buffer.len().saturating_add(padding), 0);
        buffer.extend_from_slice(&padding_length.to_be_bytes());
        let sealed = buffer.len().saturating_sub(at).saturating_sub(FRAME).saturating_add(TAG_LENGTH);
        let (nonce, aad) = self.begin(buffer.get_mut(at..).unwrap_or_default(), sealed, flag)?;
        let text = buffer.get_mut(at.saturating_add(FRAME)..).unwrap_or_default();
        let tag = self
            .key
            .seal_slice(nonce, &aad, text)
            .map_err(|_| WriteError::Bug("AES-GCM refused a short text"))?;
        buffer.extend_from_slice(&tag);
        self.end(buffer.get(at..).unwrap_or_default());
        Ok(())
    }

    /// Seals `data` without padding, at most [`CAPACITY`] bytes, to the end of `out`: read once and written once.
    pub(super) fn seal_from(&mut self, data: &[u8], flag: Flag, out: &mut Vec<u8>) -> Result<(), WriteError> {
        const NO_PADDING: [u8; PADDING_LENGTH] = 0_u16.to_be_bytes();
        let at = out.len();
        let sealed = data.len().saturating_add(PADDING_LENGTH).saturating_add(TAG_LENGTH);
        out.resize(at.saturating_add(FRAME).saturating_add(sealed), 0);
        let segment = out.get_mut(at..).unwrap_or_default();
        let (nonce, aad) = self.begin(segment, sealed, flag)?;
        let text = segment.get_mut(FRAME..).unwrap_or_default();
        self.key
            .seal_into(nonce, &aad, data, &NO_PADDING, text)
            .map_err(|_| WriteError::Bug("AES-GCM refused a short text"))?;
        self.end(segment);
        Ok(())
    }

    /// Writes the frame of the next segment, whose ciphertext and tag have `sealed` bytes; what it is sealed with.
    fn begin(
        &mut self,
        segment: &mut [u8],
        sealed: usize,
        flag: Flag,
    ) -> Result<([u8; IV_LENGTH], [u8; 5]), WriteError> {
        let number = self.numbers.take().ok_or(WriteError::TooManySegments)?;
        let nonce = self.nonce(number);
        let length = HEADER.saturating_add(sealed);
        if length > MAX_SEGMENT {
            return Err(WriteError::SegmentTooLong);
        }
        let length = u32::try_from(length).map_err(|_| WriteError::SegmentTooLong)?;
        let (frame, _) =
            segment.split_first_chunk_mut::<FRAME>().ok_or(WriteError::Bug("a segment without a frame"))?;
        let (length_bytes, header) = frame.split_at_mut(LENGTH);
        length_bytes.copy_from_slice(&length.to_be_bytes());
        if let Some((flag_byte, nonce_bytes)) = header.split_first_mut() {
            *flag_byte = flag as u8;
            nonce_bytes.copy_from_slice(&nonce);
        }
        Ok((nonce, aad(number, flag)))
    }

    fn end(&mut self, segment: &[u8]) {
        if let Some(digest) = &mut self.digest {
            digest.update(segment);
        }
    }

    /// The digest so far, and no further: what comes after is not in it.
    pub(super) fn take_digest(&mut self) -> Option<[u8; 32]> {
        self.digest.take().map(|digest| digest.finalize().into())
    }

    fn nonce(&self, number: u32) -> [u8; IV_LENGTH] {
        let mut nonce = self.start;
        for (byte, part) in nonce.iter_mut().rev().zip(number.to_le_bytes()) {
            *byte ^= part;
        }
        nonce
    }
}

#[cfg(test)]
impl<K: Aead> SegmentSealer<K> {
    /// For vectors and for the end of the numbers: nonces and numbers as given.
    pub(super) fn at(key: K, number: u64, nonce_of_zero: [u8; IV_LENGTH]) -> SegmentSealer<K> {
        let numbers = SegmentNumbers::starting_at(number);
        SegmentSealer { key, start: nonce_of_zero, numbers, digest: None }
    }
}

#[cfg(test)]
mod tests;
