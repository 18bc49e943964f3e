//! Cuts what is written into segments and pads each run.
//!
//! Holds less than one segment and one byte. Does not decide when to flush. The rule is in [`super::padding`].

use super::error::WriteError;
use super::padding::Padding;
use super::segment::{CAPACITY, FRAME, Flag, OVERHEAD, SegmentSealer};
use crate::aead::{Aead, Key};

/// Seals runs.
pub(super) struct RunWriter<K = Key> {
    segments: SegmentSealer<K>,
    padding: Padding,
    /// Empty, or a frame to be written over and the data of the next segment: it is sealed where it stands.
    pending: Vec<u8>,
    /// Bytes of the present run that were sealed before.
    sealed: u64,
}

impl<K: Aead> RunWriter<K> {
    pub(super) fn new(segments: SegmentSealer<K>, padding: Padding) -> RunWriter<K> {
        RunWriter { segments, padding, pending: Vec::new(), sealed: 0 }
    }

    pub(super) fn padding(&self) -> Padding {
        self.padding
    }

    /// Appends sealed bytes to `out` as segments fill.
    pub(super) fn write(&mut self, mut data: &[u8], out: &mut Vec<u8>) -> Result<(), WriteError> {
        while !data.is_empty() {
            // Only now: a full segment may be the last one, and then its flag says so.
            if self.held() == CAPACITY {
                self.seal(0, Flag::More, out)?;
            }
            if self.pending.is_empty() && data.len() > CAPACITY {
                let (full, rest) = data.split_at(CAPACITY);
                self.seal_full(full, data.len(), out)?;
                data = rest;
                continue;
            }
            let take = data.len().min(CAPACITY.saturating_sub(self.held()));
            let (now, rest) = data.split_at(take);
            self.hold(now);
            data = rest;
        }
        Ok(())
    }

    /// Ends the run: pads it and seals all of it. A run of nothing leaves nothing, unless it is the last one.
    pub(super) fn end_run(&mut self, flag: Flag, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let length = self.sealed.saturating_add(self.held() as u64);
        if length == 0 && flag == Flag::More {
            return Ok(());
        }
        let mut rest = self.rest();
        while !self.end_segment(&mut rest, flag, out)? {}
        Ok(())
    }

    /// Data and padding with which the present run has to be ended, in bytes.
    pub(super) fn rest(&self) -> u64 {
        let length = self.sealed.saturating_add(self.held() as u64);
        self.padding.padded(length).saturating_sub(self.sealed)
    }

    /// Seals the next segment of `rest`, and counts it off; `flag` is the last one's. Whether that was the last.
    pub(super) fn end_segment(
        &mut self,
        rest: &mut u64,
        flag: Flag,
        out: &mut Vec<u8>,
    ) -> Result<bool, WriteError> {
        let size = usize::try_from(*rest).unwrap_or(CAPACITY).min(CAPACITY);
        *rest = rest.saturating_sub(size as u64);
        let last = *rest == 0;
        self.seal(size.saturating_sub(self.held()), if last { flag } else { Flag::More }, out)?;
        if last {
            self.sealed = 0;
        }
        Ok(last)
    }

    /// One segment of exactly `size` bytes of data and padding, apart from runs. `data` has at most that many.
    pub(super) fn record(&mut self, data: &[u8], size: usize, out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.hold(data);
        self.seal(size.saturating_sub(data.len()), Flag::More, out)?;
        self.sealed = 0;
        Ok(())
    }

    pub(super) fn take_digest(&mut self) -> Option<[u8; 32]> {
        self.segments.take_digest()
    }

    fn held(&self) -> usize {
        self.pending.len().saturating_sub(FRAME)
    }

    fn hold(&mut self, data: &[u8]) {
        if self.pending.is_empty() {
            // A run that filled a segment will likely fill another: one allocation instead of several.
            let room = if self.sealed > 0 { CAPACITY } else { data.len() };
            self.pending.reserve(room.saturating_add(OVERHEAD));
            self.pending.resize(FRAME, 0);
        }
        self.pending.extend_from_slice(data);
    }

    /// A full segment of data that stands together goes from there to where it is sent, with no copy between.
    fn seal_full(&mut self, data: &[u8], ahead: usize, out: &mut Vec<u8>) -> Result<(), WriteError> {
        let segments = ahead.div_ceil(CAPACITY);
        out.reserve(ahead.saturating_add(segments.saturating_mul(OVERHEAD)));
        self.sealed = self.sealed.saturating_add(data.len() as u64);
        self.segments.seal_from(data, Flag::More, out)
    }

    fn seal(&mut self, padding: usize, flag: Flag, out: &mut Vec<u8>) -> Result<(), WriteError> {
        self.sealed = self.sealed.saturating_add(self.held() as u64).saturating_add(padding as u64);
        self.hold(&[]);
        self.segments.seal(&mut self.pending, 0, padding, flag)?;
        // No copy; the caller's empty buffer serves for the next segment. A large one is worth more where it is.
        if out.is_empty() && out.capacity() <= CAPACITY.saturating_mul(2) {
            std::mem::swap(out, &mut self.pending);
        } else {
            out.extend_from_slice(&self.pending);
        }
        self.pending.clear();
        Ok(())
    }
}

#[cfg(test)]
mod tests;
