//! GPU attestation step by step: a good set from a test PKI, one thing broken, signed again, and the exact error.

#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "gpu_steps/device.rs"]
mod device;
#[path = "gpu_steps/fleet.rs"]
mod fleet;
#[path = "gpu_steps/ocsp.rs"]
mod ocsp;
#[path = "gpu_steps/rims.rs"]
mod rims;
#[path = "gpu_steps/set.rs"]
mod set;
