//! The 64 bytes that tie evidence to a nonce and a key.

use std::fmt;

use sha2::{Digest, Sha512};
use subtle::ConstantTimeEq;
use thiserror::Error;

/// What the evidence must say it was made for: exactly 64 bytes, never padded or cut.
///
/// It has no default and there is no "any": an expectation that is missing cannot be written down.
///
/// ```compile_fail
/// let nothing = privatemode_attest::ReportData::default();
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct ReportData([u8; 64]);

/// Report data of a wrong length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("report data has {len} bytes, but the hardware signs exactly 64")]
pub struct ReportDataLength {
    /// The length that came.
    pub len: usize,
}

impl ReportData {
    /// Length in bytes.
    pub const LEN: usize = 64;

    /// What a workload proves to the coordinator when it joins: SHA-512(SubjectPublicKeyInfo DER ‖ nonce), so that the
    /// evidence counts for this key and this challenge only (`attestation.md` §2).
    pub fn of_public_key(spki_der: &[u8], nonce: &[u8; 32]) -> Self {
        Self(Sha512::new().chain_update(spki_der).chain_update(nonce).finalize().into())
    }

    /// A 32-byte digest followed by 32 zero bytes, as the coordinator's attestation has it (`protocol.md` §8).
    pub fn of_digest(digest: &[u8; 32]) -> Self {
        let mut bytes = [0; Self::LEN];
        let (head, _zeros) = bytes.split_at_mut(digest.len());
        head.copy_from_slice(digest);
        Self(bytes)
    }

    /// The bytes.
    pub fn as_bytes(&self) -> &[u8; 64] {
        &self.0
    }

    /// Compares all 64 bytes in constant time.
    pub fn matches(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl From<[u8; 64]> for ReportData {
    fn from(bytes: [u8; 64]) -> Self {
        Self(bytes)
    }
}

impl TryFrom<&[u8]> for ReportData {
    type Error = ReportDataLength;

    fn try_from(bytes: &[u8]) -> Result<Self, ReportDataLength> {
        bytes.try_into().map(Self).map_err(|_| ReportDataLength { len: bytes.len() })
    }
}

impl fmt::Debug for ReportData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ReportData({})", hex::encode(self.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_64_bytes_are_report_data() {
        for len in [0, 1, 32, 63, 65, 128] {
            assert_eq!(ReportData::try_from(&vec![0; len][..]), Err(ReportDataLength { len }));
        }
        assert_eq!(ReportData::try_from(&[7; 64][..]), Ok(ReportData([7; 64])));
    }

    #[test]
    fn a_digest_is_followed_by_zeros() {
        let data = ReportData::of_digest(&[9; 32]);
        assert_eq!(data.as_bytes()[..32], [9; 32]);
        assert_eq!(data.as_bytes()[32..], [0; 32]);
    }

    #[test]
    fn key_binding_depends_on_key_and_nonce() {
        let base = ReportData::of_public_key(b"key", &[1; 32]);
        assert_ne!(base, ReportData::of_public_key(b"kez", &[1; 32]));
        assert_ne!(base, ReportData::of_public_key(b"key", &[2; 32]));
    }

    #[test]
    fn matches_looks_at_every_byte() {
        let base = ReportData([3; 64]);
        assert!(base.matches(&base));
        for place in 0..64 {
            let mut bytes = [3; 64];
            bytes[place] ^= 1;
            assert!(!base.matches(&ReportData(bytes)), "byte {place}");
        }
    }
}
