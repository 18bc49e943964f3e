//! How long a body looks: `off`, `bucket` or `constant`.
//!
//! The unit is a **run**: what is written between two flushes. A request is one run, its head included, because requests are
//! never flushed. The last segment of a response (its trailer) is a run of its own. For a run of `n` bytes:
//!
//! ```text
//! off        P = n
//! bucket     P = Padmé(max(n, 256)), rounded up to a multiple of 256
//! constant   P = bucket's, rounded up to whole records
//! ```
//!
//! and the run is sent as ⌈P / 65534⌉ segments, all full but the last: full ones go out while the run still grows, so
//! its length need not be known beforehand, and yet the number of bytes on the wire follows from P alone. In `constant`
//! mode the body of a response is no run: it is cut into records of one size, sent at the caller's cadence, full or not.
//!
//! Padmé: Nikitin et al., "Reducing Metadata Leakage from Encrypted Files and Communication with PURBs", 2019. protocol.md,
//! section 9.

use std::fmt;
use std::str::FromStr;

/// Shortest padded run and finest step, in bytes. Padmé alone has steps of 16 bytes from 256 bytes on, where the events of a
/// stream are: `bench/leakage` told a topic by them.
pub const FLOOR: u64 = 256;
/// Data and padding of one full segment, in bytes.
pub(super) const CAPACITY: u64 = 65_534;
/// Bytes on the wire that one segment adds: length, flag, nonce, length of padding, tag.
const OVERHEAD: u64 = 35;
/// The length of padding within a record.
const PADDING_LENGTH: u32 = 2;

/// What the client picks, the worker obeys, and the head says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Padding {
    /// Exact lengths are visible.
    Off,
    /// Lengths are rounded up to a multiple of 256 bytes, and by at most 12 % where that is more.
    #[default]
    Bucket,
    /// Records of one size at a fixed cadence.
    Constant(Records),
}

/// Size and cadence of [`Padding::Constant`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Records {
    size: u32,
    interval_millis: u32,
}

/// Not a padding mode.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PaddingError {
    /// Not `off`, `bucket` or `constant/SIZE/INTERVAL`.
    #[error("padding is `off`, `bucket` or `constant/BYTES/MILLISECONDS`")]
    Unknown,
    /// Record size out of range.
    #[error("records have {} to {} bytes", Records::MIN_SIZE, Records::MAX_SIZE)]
    Size,
    /// Interval out of range.
    #[error("records are sent every {} to {} ms", Records::MIN_INTERVAL, Records::MAX_INTERVAL)]
    Interval,
}

impl Records {
    /// Smallest record, in bytes.
    pub const MIN_SIZE: u32 = 256;
    /// Largest record, in bytes: one segment.
    pub const MAX_SIZE: u32 = 65_536;
    /// Fastest cadence, in milliseconds.
    pub const MIN_INTERVAL: u32 = 5;
    /// Slowest cadence, in milliseconds.
    pub const MAX_INTERVAL: u32 = 10_000;

    /// Records of `size` bytes (data, padding and its length), one each `interval_millis`.
    pub fn new(size: u32, interval_millis: u32) -> Result<Records, PaddingError> {
        if !(Records::MIN_SIZE..=Records::MAX_SIZE).contains(&size) {
            return Err(PaddingError::Size);
        }
        if !(Records::MIN_INTERVAL..=Records::MAX_INTERVAL).contains(&interval_millis) {
            return Err(PaddingError::Interval);
        }
        Ok(Records { size, interval_millis })
    }

    /// Milliseconds between two records.
    pub fn interval_millis(self) -> u32 {
        self.interval_millis
    }

    /// Data that one record carries at most, in bytes.
    pub fn capacity(self) -> u32 {
        self.size.saturating_sub(PADDING_LENGTH)
    }
}

impl Padding {
    /// Data and padding of a run of that many bytes.
    pub fn padded(self, length: u64) -> u64 {
        match self {
            Padding::Off => length,
            Padding::Bucket => bucket(length),
            Padding::Constant(records) => bucket(length)
                .div_ceil(u64::from(records.capacity()))
                .saturating_mul(u64::from(records.capacity())),
        }
    }

    /// Bytes on the wire of a whole body that is one run of that many bytes (a request with its head).
    pub fn wire_length(self, length: u64) -> u64 {
        let padded = self.padded(length);
        // Even nothing is sent as one segment: the last one.
        let segments = padded.div_ceil(CAPACITY).max(1);
        padded.saturating_add(segments.saturating_mul(OVERHEAD))
    }

    /// The estimate of tokens for the outer header: a token counts as 4 bytes of the **padded** body with its head, so that
    /// it says no more than the body's length.
    pub fn length_tokens(self, length: u64) -> u64 {
        self.padded(length).div_ceil(4)
    }
}

fn bucket(length: u64) -> u64 {
    let padded = padme(length.max(FLOOR));
    padded.checked_next_multiple_of(FLOOR).unwrap_or(padded)
}

/// Rounds up so that only the topmost ⌊log2 ⌊log2 L⌋⌋ + 1 bits below the leading one may be set.
fn padme(length: u64) -> u64 {
    let exponent = length.checked_ilog2().unwrap_or(0);
    let kept = exponent.checked_ilog2().unwrap_or(0).saturating_add(1);
    let mask = 1u64.checked_shl(exponent.saturating_sub(kept)).unwrap_or(0).saturating_sub(1);
    length.saturating_add(mask) & !mask
}

impl fmt::Display for Padding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Padding::Off => f.write_str("off"),
            Padding::Bucket => f.write_str("bucket"),
            Padding::Constant(Records { size, interval_millis }) => {
                write!(f, "constant/{size}/{interval_millis}")
            }
        }
    }
}

impl FromStr for Padding {
    type Err = PaddingError;

    fn from_str(text: &str) -> Result<Padding, PaddingError> {
        match text {
            "off" => return Ok(Padding::Off),
            "bucket" => return Ok(Padding::Bucket),
            _ => {}
        }
        let rest = text.strip_prefix("constant/").ok_or(PaddingError::Unknown)?;
        let (size, interval) = rest.split_once('/').ok_or(PaddingError::Unknown)?;
        let size = decimal(size).ok_or(PaddingError::Size)?;
        let interval = decimal(interval).ok_or(PaddingError::Interval)?;
        Records::new(size, interval).map(Padding::Constant)
    }
}

/// One spelling only: no sign, no leading zero.
fn decimal(text: &str) -> Option<u32> {
    super::outer::parse_count(text).and_then(|count| u32::try_from(count).ok())
}

#[cfg(test)]
mod tests;
