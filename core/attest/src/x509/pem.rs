//! PEM (RFC 7468): text blocks with base64 between two lines.

use thiserror::Error;
use x509_cert::der::Document;

/// Why text is no PEM that we read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PemError {
    /// No block at all.
    #[error("there is no PEM block (-----BEGIN …-----) in it")]
    Empty,
    /// More blocks than allowed.
    #[error("there are more than {max} PEM blocks in it")]
    TooMany {
        /// Most blocks.
        max: usize,
    },
    /// Longer than so many blocks ever are.
    #[error("the PEM text has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Something between the blocks, or a block that is damaged.
    #[error("PEM block number {block} is damaged, or something else stands around it")]
    Malformed {
        /// Which, counted from 1.
        block: usize,
    },
    /// A block of another kind.
    #[error("PEM block number {block} is a {label}")]
    OtherLabel {
        /// Which, counted from 1.
        block: usize,
        /// What it says that it is.
        label: String,
    },
}

/// The contents of one to `max` blocks with this label; nothing but white space may stand between them.
pub(super) fn blocks(
    text: &[u8],
    label: &str,
    max: usize,
    max_content: usize,
) -> Result<Vec<Vec<u8>>, PemError> {
    // base64 and line ends add less than a half
    let max_len = max_content.saturating_mul(3).saturating_mul(max) / 2;
    if text.len() > max_len {
        return Err(PemError::TooLong { len: text.len(), max: max_len });
    }
    let text = std::str::from_utf8(text).map_err(|_| PemError::Malformed { block: 1 })?;
    let mut contents = Vec::new();
    let mut rest = text.trim();
    while !rest.is_empty() {
        let block = contents.len().saturating_add(1);
        if !rest.starts_with("-----BEGIN ") {
            return Err(if block == 1 { PemError::Empty } else { PemError::Malformed { block } });
        }
        if block > max {
            return Err(PemError::TooMany { max });
        }
        let end = rest.find("-----END ").ok_or(PemError::Malformed { block })?;
        let (_, after) = rest.split_at(end);
        let line = after.lines().next().unwrap_or_default();
        let (this, next) = rest.split_at(end.saturating_add(line.len()));
        let (found, content) = Document::from_pem(this).map_err(|_| PemError::Malformed { block })?;
        if found != label {
            return Err(PemError::OtherLabel { block, label: found.to_owned() });
        }
        contents.push(content.as_bytes().to_vec());
        rest = next.trim_start();
    }
    if contents.is_empty() { Err(PemError::Empty) } else { Ok(contents) }
}
