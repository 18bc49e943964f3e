//! Collects, verifies and admits a machine's GPUs (`attestation.md` §5), and keeps what is known about their certificates
//! current.
//!
//! [`GpuQuoter`] is the driver: NVIDIA's library, loaded at run time, or a test's. [`collect()`] asks it, and refuses a
//! machine whose GPUs are not in confidential-compute mode. [`fetch()`] gets NVIDIA's reference values and the states of
//! certificates. [`admit()`] has all of it verified by `privatemode-attest`, and only with the permit that comes out of that
//! sets the GPUs ready. [`Agent`] does these in their order, tells the result in files, and begins again before the
//! certificates' states are out of date.

mod admit;
mod agent;
mod collect;
mod config;
mod error;
#[cfg(test)]
mod fake;
mod fetch;
mod gpu;
#[cfg(feature = "nvml")]
mod nvml;
mod run;
mod tell;

pub use admit::{AdmitError, Requirements, admit};
pub use agent::Agent;
pub use collect::{Collected, collect};
pub use config::{Config, Plan};
pub use error::{Cause, GpuError};
pub use fetch::{Fetched, fetch};
pub use gpu::{Architecture, Device, GpuQuoter, RawEvidence, System};
#[cfg(feature = "nvml")]
pub use nvml::NvmlQuoter;
pub use run::run;
pub use tell::{Tell, TellError};
