//! Evidence in, verdict out.
//!
//! Decides whether evidence and certificates are *genuine*: signatures, chains, bindings. Whether genuine evidence is
//! also *acceptable* is decided by `privatemode-manifest`. Does no IO, reads no clock, makes no randomness: time is an
//! argument, and nothing is fetched. Specification: `attestation.md` §2 (mesh certificates, attested TLS), `protocol.md` §8
//! (evidence encodings).
//!
//! Nonces, report data and key bindings are arguments without a default: there is no way to leave a check out.

#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used, clippy::panic)
)]

pub mod atls;
pub mod azure;
mod cursor;
pub mod encoding;
pub mod gpu;
mod kind;
pub mod mesh;
mod report_data;
pub mod signature;
pub mod simulated;
pub mod snp;
pub mod tdx;
mod time;
mod verified;
pub mod x509;

pub use kind::{EvidenceKind, UnknownEvidenceKind};
pub use report_data::{ReportData, ReportDataLength};
pub use simulated::SimulatedAllowed;
pub use time::UnixTime;
pub use verified::{CarriesReportData, Genuine, ReportDataMismatch, Verified};
