//! What a deployment is trusted to be.
//!
//! Reads manifests and attestation documents, and decides whether genuine evidence is *acceptable*: does it belong to the
//! expected manifest, and which workload is it? Whether evidence is *genuine* is decided by `privatemode-attest`. Does no
//! IO and reads no clock. Specification: `attestation.md` §1 and §2, `protocol.md` §8.
//!
//! Everything that matters for security works on a manifest's raw bytes: nothing here writes a parsed manifest out again.

#![warn(missing_docs)]
#![cfg_attr(
    not(test),
    warn(clippy::indexing_slicing, clippy::arithmetic_side_effects, clippy::expect_used, clippy::panic)
)]

pub mod appraise;
pub mod diff;
mod digest;
mod document;
pub mod generate;
pub mod history;
mod json;
mod model;
pub mod needs;
pub mod options;
mod parse;
pub mod reference;
mod review;
pub mod verify;
pub mod workload;

pub use appraise::{AppraiseError, Workload, appraise_workload, appraise_workload_report};
pub use digest::{HashError, ManifestDigest, PolicyHash};
pub use document::{AttestationDocument, DocumentError};
pub use model::{Manifest, ManifestError, PolicyEntry, Role};
pub use needs::{Needs, NeedsError, needs};
pub use options::{Collateral, Roots, SnpCollateral, TdxCollateral, VerifyOptions};
pub use review::review;
pub use verify::{
    Platform, VerifiedDeployment, VerifyError, document_needs, verify_deployment, verify_deployment_report,
};
