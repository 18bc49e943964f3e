//! Reads a byte slice from the front, never past its end.

/// The unread part of a message.
pub(super) struct Bytes<'a>(&'a [u8]);

/// The message ends before `part` does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Short {
    pub(super) part: &'static str,
    pub(super) need: usize,
    pub(super) have: usize,
}

impl<'a> Bytes<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) fn take(&mut self, len: usize, part: &'static str) -> Result<&'a [u8], Short> {
        let (head, rest) =
            self.0.split_at_checked(len).ok_or(Short { part, need: len, have: self.0.len() })?;
        self.0 = rest;
        Ok(head)
    }

    pub(super) fn array<const N: usize>(&mut self, part: &'static str) -> Result<[u8; N], Short> {
        let (head, rest) = self.0.split_first_chunk().ok_or(Short { part, need: N, have: self.0.len() })?;
        self.0 = rest;
        Ok(*head)
    }

    pub(super) fn u8(&mut self, part: &'static str) -> Result<u8, Short> {
        let [byte] = self.array(part)?;
        Ok(byte)
    }

    pub(super) fn u16_le(&mut self, part: &'static str) -> Result<u16, Short> {
        Ok(u16::from_le_bytes(self.array(part)?))
    }

    pub(super) fn u24_le(&mut self, part: &'static str) -> Result<u32, Short> {
        let [low, middle, high] = self.array(part)?;
        Ok(u32::from_le_bytes([low, middle, high, 0]))
    }

    pub(super) fn rest(&self) -> &'a [u8] {
        self.0
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
