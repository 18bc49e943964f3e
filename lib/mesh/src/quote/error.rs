//! Why there is no quote.

use std::{io, path::PathBuf};

use privatemode_attest::{EvidenceKind, encoding::EncodeError};
use thiserror::Error;

/// Why there is no quote.
#[derive(Debug, Error)]
pub enum QuoteError {
    /// The platform is not here, or we cannot use it.
    #[error("no {platform} evidence can be made here: {why}; {next}")]
    NoHardware {
        /// What was asked for.
        platform: EvidenceKind,
        /// What is missing.
        why: String,
        /// What to do.
        next: &'static str,
    },
    /// The platform is here, but this time it gave nothing.
    #[error("the platform made no {platform} evidence: cannot {action} `{path}`; {next}")]
    Device {
        /// What was asked for.
        platform: EvidenceKind,
        /// What did not work.
        action: &'static str,
        /// On which file.
        path: PathBuf,
        /// What to do.
        next: &'static str,
        /// Why.
        source: io::Error,
    },
    /// More bytes than a report has.
    #[error("`{path}` has more than {max} bytes, which is no report")]
    TooLong {
        /// The file.
        path: PathBuf,
        /// The most that is read.
        max: usize,
    },
    /// Somebody else wrote to our request between its making and its reading.
    #[error("the report request `{path}` was changed by another process while it was ours; try again")]
    Raced {
        /// Its folder.
        path: PathBuf,
    },
    /// The report is for other bytes than ours.
    #[error("the platform made {platform} evidence for other report data than ours")]
    OtherReportData {
        /// What was asked for.
        platform: EvidenceKind,
    },
    /// The report does not have the layout of its platform.
    #[error(
        "the platform made {platform} evidence of a form that this version does not know; a newer one may"
    )]
    Form {
        /// What was asked for.
        platform: EvidenceKind,
        /// Why.
        source: EncodeError,
    },
}
