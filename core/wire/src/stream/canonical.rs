//! Canonical JSON: one spelling for one value, so that it can be signed and compared.
//!
//! UTF-8; members in ascending byte order of their names, no name twice; no white space; absent members are left out,
//! never `null`; numbers are whole, 0 to 2^64 − 1, in decimal; strings escape `"`, `\`, and the control characters below
//! U+0020 (`\b \t \n \f \r`, else `\u00xx` in lower case), and nothing else. Fractions travel as strings.
//!
//! Knows nothing of the members' meaning. The rule is enforced by writing what was read and comparing bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Not the canonical JSON that was expected. Says nothing of the content.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CanonicalError {
    /// Longer than it may be.
    #[error("the JSON has {length} bytes, more than {max}")]
    TooLong {
        /// The length given.
        length: usize,
        /// The limit.
        max: usize,
    },
    /// Not JSON, a member unknown, missing or twice, or a value of the wrong kind.
    #[error("the JSON is not what is expected, at byte {column}")]
    Json {
        /// Where, counted from 1.
        column: usize,
    },
    /// Another spelling of the same value.
    #[error("the JSON is not in its canonical spelling")]
    NotCanonical,
}

/// Writes a value. Its type lists members in ascending order of their names and leaves absent ones out.
pub(crate) fn to_canonical(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("structures of strings and numbers serialise")
}

/// Reads a value of at most `max` bytes.
pub(crate) fn from_canonical<T: Serialize + DeserializeOwned>(
    json: &[u8],
    max: usize,
) -> Result<T, CanonicalError> {
    if json.len() > max {
        return Err(CanonicalError::TooLong { length: json.len(), max });
    }
    let value: T =
        serde_json::from_slice(json).map_err(|error| CanonicalError::Json { column: error.column() })?;
    if to_canonical(&value).as_bytes() == json { Ok(value) } else { Err(CanonicalError::NotCanonical) }
}
