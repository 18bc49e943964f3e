//! One sealed field, `"id:nonce:iv:ct"`, and the counter that orders the fields of one direction.
//!
//! Knows nothing of documents. protocol.md, section 3.

use crate::aead::{Aead, AeadError, IV_LENGTH, Key, TAG_LENGTH};
use crate::secret::{Secret, SecretId};

/// The 12 bytes that all fields of one exchange share.
pub(crate) type ExchangeNonce = [u8; 12];

/// The expanded key of an exchange with its identifier.
pub(crate) struct FieldCipher<K = Key> {
    key: K,
    id: SecretId,
}

/// AAD = nonce ‖ u32 little-endian sequence number.
fn aad(nonce: ExchangeNonce, sequence: u32) -> [u8; 16] {
    let mut aad = [0; 16];
    let (head, tail) = aad.split_at_mut(nonce.len());
    head.copy_from_slice(&nonce);
    tail.copy_from_slice(&sequence.to_le_bytes());
    aad
}

impl<K: Aead> FieldCipher<K> {
    pub(crate) fn new(id: &SecretId, secret: &Secret) -> FieldCipher<K> {
        FieldCipher { key: K::expand(secret), id: id.clone() }
    }

    pub(crate) fn id(&self) -> &SecretId {
        &self.id
    }

    /// Length of a sealed field for a plaintext of that length.
    pub(crate) fn sealed_length(&self, plaintext: usize) -> usize {
        self.id.as_str().len() + 2 * (12 + IV_LENGTH + plaintext + TAG_LENGTH) + 5
    }

    /// Appends the sealed field with its quotes. `iv` must be fresh: AES-GCM breaks when one is used twice under a key.
    pub(crate) fn seal(
        &self,
        (nonce, sequence, iv): (ExchangeNonce, u32, [u8; IV_LENGTH]),
        plaintext: &[u8],
        scratch: &mut Vec<u8>,
        out: &mut Vec<u8>,
    ) -> Result<(), AeadError> {
        scratch.clear();
        scratch.reserve(plaintext.len() + TAG_LENGTH);
        scratch.extend_from_slice(plaintext);
        self.key.seal(iv, &aad(nonce, sequence), scratch)?;
        out.push(b'"');
        out.extend_from_slice(self.id.as_str().as_bytes());
        for part in [nonce.as_slice(), &iv, scratch] {
            out.push(b':');
            push_hex(part, out);
        }
        out.push(b'"');
        Ok(())
    }

    /// Leaves the plaintext in `scratch`, or (if the tag does not fit) nothing.
    pub(crate) fn open(
        &self,
        field: &SealedField<'_>,
        nonce: ExchangeNonce,
        sequence: u32,
        scratch: &mut Vec<u8>,
    ) -> Result<(), OpenFault> {
        scratch.clear();
        decode_hex(field.ciphertext, scratch)?;
        self.key.open(field.iv, &aad(nonce, sequence), scratch).map_err(|AeadError| {
            scratch.clear();
            OpenFault::Tampered
        })
    }
}

/// Why a field cannot be opened.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OpenFault {
    Malformed,
    Tampered,
}

/// Why a raw value is not a sealed field.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum ParseFault {
    /// It does not look like one at all.
    NotSealed,
    /// It looks like one, but a part of it is not what it must be.
    Malformed,
}

/// The parts of a sealed field. Only its one canonical spelling is accepted (no JSON escapes, lower-case hex), so that equal
/// fields are equal texts.
#[derive(Debug)]
pub(crate) struct SealedField<'a> {
    pub(crate) id: &'a [u8],
    pub(crate) nonce: ExchangeNonce,
    pub(crate) iv: [u8; IV_LENGTH],
    ciphertext: &'a [u8],
}

impl<'a> SealedField<'a> {
    pub(crate) fn parse(raw: &'a [u8]) -> Result<SealedField<'a>, ParseFault> {
        let inner =
            raw.strip_prefix(b"\"").and_then(|raw| raw.strip_suffix(b"\"")).ok_or(ParseFault::NotSealed)?;
        let mut parts = inner.split(|b| *b == b':');
        let (Some(id), Some(nonce), Some(iv), Some(ciphertext), None) =
            (parts.next(), parts.next(), parts.next(), parts.next(), parts.next())
        else {
            return Err(ParseFault::NotSealed);
        };
        let twelve = |hex: &[u8]| -> Result<[u8; 12], ParseFault> {
            let mut bytes = Vec::with_capacity(12);
            if hex.len() == 24 {
                decode_hex(hex, &mut bytes).map_err(|_| ParseFault::Malformed)?;
            }
            bytes.try_into().map_err(|_| ParseFault::Malformed)
        };
        let (nonce, iv) = (twelve(nonce)?, twelve(iv)?);
        if ciphertext.len() < 2 * TAG_LENGTH || ciphertext.len() % 2 != 0 {
            return Err(ParseFault::Malformed);
        }
        Ok(SealedField { id, nonce, iv, ciphertext })
    }

    /// Length of the plaintext.
    pub(crate) fn plaintext_length(&self) -> usize {
        (self.ciphertext.len() / 2).saturating_sub(TAG_LENGTH)
    }
}

/// Lower-case hex. Without tables and branches: the compiler turns both directions into vector code, and a field's time does
/// not depend on what it holds. The strict half is why this is not the `hex` crate's: only lower case is canonical here.
fn push_hex(bytes: &[u8], out: &mut Vec<u8>) {
    let digit = |nibble: u8| nibble + b'0' + u8::from(nibble > 9) * (b'a' - b'9' - 1);
    let start = out.len();
    out.resize(start + 2 * bytes.len(), 0);
    let (pairs, _) = out.get_mut(start..).unwrap_or_default().as_chunks_mut();
    for ([high, low], byte) in pairs.iter_mut().zip(bytes) {
        (*high, *low) = (digit(byte >> 4), digit(byte & 15));
    }
}

fn decode_hex(hex: &[u8], out: &mut Vec<u8>) -> Result<(), OpenFault> {
    // The value of a digit, and a flag for all other bytes.
    let nibble = |digit: u8| {
        let (number, letter) = (digit.wrapping_sub(b'0'), digit.wrapping_sub(b'a'));
        let (is_number, is_letter) = (number < 10, letter < 6);
        let value = if is_number { number } else { letter.wrapping_add(10) };
        (value, u8::from(!(is_number | is_letter)))
    };
    let (pairs, odd) = hex.as_chunks();
    let start = out.len();
    out.resize(start + pairs.len(), 0);
    let mut strange = u8::from(!odd.is_empty());
    for (byte, [high, low]) in out.get_mut(start..).unwrap_or_default().iter_mut().zip(pairs) {
        let ((high, no_high), (low, no_low)) = (nibble(*high), nibble(*low));
        *byte = high << 4 | low & 15;
        strange |= no_high | no_low;
    }
    if strange == 0 { Ok(()) } else { Err(OpenFault::Malformed) }
}

/// The sequence numbers of one direction: counts from 0, never wraps.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sequence(u64);

impl Sequence {
    /// The number of the next field but `rank`; `None` when the counter is used up.
    pub(crate) fn at(self, rank: usize) -> Option<u32> {
        u32::try_from(self.0.checked_add(u64::try_from(rank).ok()?)?).ok()
    }

    /// Counts fields that were sealed or opened.
    pub(crate) fn advance(&mut self, fields: usize) {
        self.0 = self.0.saturating_add(u64::try_from(fields).unwrap_or(u64::MAX));
    }
}

#[cfg(test)]
mod tests;
