//! Collects the evidence of a machine's GPUs, for one question (`attestation.md` §5).
//!
//! [`GpuQuoter`] is the driver: NVIDIA's library, loaded at run time, or a test's. [`collect()`] asks it, and refuses a
//! machine whose GPUs are not in confidential-compute mode. [`admit()`] has the evidence verified by `privatemode-attest`, and
//! only with the permit that comes out of that sets the GPUs ready. It fetches no collateral.

mod admit;
mod collect;
mod config;
mod error;
#[cfg(test)]
mod fake;
mod gpu;
#[cfg(feature = "nvml")]
mod nvml;
mod run;

pub use admit::{AdmitError, Requirements, admit};
pub use collect::{Collected, collect};
pub use config::Config;
pub use error::{Cause, GpuError};
pub use gpu::{Architecture, Device, GpuQuoter, RawEvidence, System};
#[cfg(feature = "nvml")]
pub use nvml::NvmlQuoter;
pub use run::run;
