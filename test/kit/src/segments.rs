//! Changes to sealed bodies as a bad gateway makes them: whole segments, and single bytes of their parts.
//!
//! Knows the frame (length, flag, nonce, ciphertext, tag) and no key.

use bytes::Bytes;

/// A sealed body, each segment with its length before it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Segments(Vec<Vec<u8>>);

/// What a byte of a segment belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// The length before it.
    Length,
    /// More, or last.
    Flag,
    /// The nonce's first byte.
    Nonce,
    /// The first byte that is encrypted.
    Ciphertext,
    /// The last byte.
    Tag,
}

impl Segments {
    /// Splits a body.
    ///
    /// # Panics
    /// When it is not made of whole segments: a test that tampers with something else tests nothing.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        let (mut rest, mut segments) = (body, Vec::new());
        while !rest.is_empty() {
            let length = rest.first_chunk::<4>().expect("a length");
            let whole = 4 + u32::from_be_bytes(*length) as usize;
            let (segment, behind) = rest.split_at_checked(whole).expect("a whole segment");
            segments.push(segment.to_vec());
            rest = behind;
        }
        Self(segments)
    }

    /// The body again.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.concat().into()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Flips a bit. Of a length its lowest one, so that it stays a possible length.
    ///
    /// # Panics
    /// When there is no such segment.
    pub fn flip(&mut self, segment: usize, place: Place) {
        let bytes = &mut self.0[segment];
        let at = match place {
            Place::Length => 3,
            Place::Flag => 4,
            Place::Nonce => 5,
            Place::Ciphertext => 17,
            Place::Tag => bytes.len() - 1,
        };
        bytes[at] ^= 1;
    }

    /// Drops one.
    pub fn drop_segment(&mut self, segment: usize) {
        self.0.remove(segment);
    }

    /// Exchanges two.
    pub fn swap(&mut self, one: usize, other: usize) {
        self.0.swap(one, other);
    }

    /// Sends one twice.
    pub fn repeat(&mut self, segment: usize) {
        let again = self.0[segment].clone();
        self.0.insert(segment, again);
    }

    /// Puts one of another body in the place of one of this.
    pub fn play_in(&mut self, segment: usize, other: &Segments) {
        self.0[segment].clone_from(&other.0[segment.min(other.count() - 1)]);
    }

    /// Keeps the first `count`.
    pub fn truncate(&mut self, count: usize) {
        self.0.truncate(count);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_body_is_split_and_joined_again() {
        let body = [&[0, 0, 0, 20][..], &[1; 20], &[0, 0, 0, 18], &[2; 18]].concat();
        let segments = Segments::parse(&body);
        assert_eq!((segments.count(), segments.to_bytes()), (2, Bytes::from(body)));
        let mut changed = segments.clone();
        changed.flip(1, Place::Tag);
        changed.repeat(0);
        changed.swap(0, 2);
        changed.drop_segment(1);
        changed.play_in(1, &segments);
        assert_eq!(changed.count(), 2);
        assert_ne!(changed, segments);
    }
}
