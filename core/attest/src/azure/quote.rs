//! TPMS_ATTEST of a TPM2_Quote (TPM 2.0 library, part 2, §10.12).

use thiserror::Error;

use crate::cursor::Cursor;

/// TPM_GENERATED_VALUE: a TPM's restricted key signs nothing from outside that begins like this, so what does was made
/// inside.
const GENERATED: u32 = 0xff54_4347;
/// TPM_ST_ATTEST_QUOTE.
const QUOTE: u16 = 0x8018;
/// TPM_ALG_SHA256.
const SHA256: u16 = 0x000b;
/// clock, resetCount, restartCount, safe, firmwareVersion.
const CLOCK_AND_FIRMWARE: usize = 8 + 4 + 4 + 1 + 8;

/// Longest quote that is read; one with a PCR bank has about 160 bytes.
pub(super) const MAX_QUOTE: usize = 1024;

/// A quote, taken apart; nothing in it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Quote<'a> {
    /// What the asker sent: the nonce.
    pub(super) extra_data: &'a [u8],
    /// A bit for each PCR.
    pub(super) selection: [u8; 3],
    /// The digest over their values.
    pub(super) pcr_digest: &'a [u8; 32],
}

/// Why bytes are no TPM quote.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum QuoteError {
    /// Refused before anything is looked at.
    #[error("the TPM quote has {len} bytes, more than {max}")]
    TooLong {
        /// Its length.
        len: usize,
        /// The most that is read.
        max: usize,
    },
    /// Ends too early.
    #[error("the TPM quote is cut off")]
    Truncated,
    /// Not made inside a TPM: its key signs other things as well.
    #[error("the TPM quote begins with {value:#010x} instead of the mark of what a TPM made itself")]
    Magic {
        /// What it begins with.
        value: u32,
    },
    /// Another kind of attestation.
    #[error("the TPM's statement is of type {value:#06x}, which is no quote")]
    Type {
        /// Its type.
        value: u16,
    },
    /// Not exactly one selection of SHA-256 PCRs with at least one in it.
    #[error("the TPM quote does not cover PCRs of the SHA-256 bank, and of that alone")]
    Selection,
    /// A digest that is not SHA-256.
    #[error("the TPM quote's PCR digest has {len} bytes, SHA-256 has 32")]
    PcrDigest {
        /// Its length.
        len: usize,
    },
    /// Something follows.
    #[error("the TPM quote goes on after its end")]
    Trailing,
}

impl<'a> Quote<'a> {
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, QuoteError> {
        if bytes.len() > MAX_QUOTE {
            return Err(QuoteError::TooLong { len: bytes.len(), max: MAX_QUOTE });
        }
        let mut cursor = Cursor::new(bytes);
        match cursor.u32_be().ok_or(QuoteError::Truncated)? {
            GENERATED => {}
            value => return Err(QuoteError::Magic { value }),
        }
        match cursor.u16_be().ok_or(QuoteError::Truncated)? {
            QUOTE => {}
            value => return Err(QuoteError::Type { value }),
        }
        let _signer = cursor.sized().ok_or(QuoteError::Truncated)?;
        let extra_data = cursor.sized().ok_or(QuoteError::Truncated)?;
        cursor.take(CLOCK_AND_FIRMWARE).ok_or(QuoteError::Truncated)?;
        let selection = selection(&mut cursor)?;
        let digest = cursor.sized().ok_or(QuoteError::Truncated)?;
        let pcr_digest = digest.try_into().map_err(|_| QuoteError::PcrDigest { len: digest.len() })?;
        if !cursor.is_empty() {
            return Err(QuoteError::Trailing);
        }
        Ok(Self { extra_data, selection, pcr_digest })
    }
}

/// TPML_PCR_SELECTION with one member: the SHA-256 bank, three bytes of bits.
fn selection(cursor: &mut Cursor<'_>) -> Result<[u8; 3], QuoteError> {
    let banks = cursor.u32_be().ok_or(QuoteError::Truncated)?;
    let hash = cursor.u16_be().ok_or(QuoteError::Truncated)?;
    let [size] = *cursor.array().ok_or(QuoteError::Truncated)?;
    if (banks, hash, size) != (1, SHA256, 3) {
        return Err(QuoteError::Selection);
    }
    match *cursor.array().ok_or(QuoteError::Truncated)? {
        [0, 0, 0] => Err(QuoteError::Selection),
        selection => Ok(selection),
    }
}

#[cfg(test)]
mod tests;
