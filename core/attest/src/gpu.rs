//! NVIDIA GPUs (Hopper, Blackwell) and NVSwitch LS10: is a device genuine, and does it run what NVIDIA published?
//!
//! One device: [`verify_device`] (steps 1 to 4), then [`appraise()`] with reference values and revocation states (steps 5 to 8). All
//! devices of a machine: [`Fleet::check`] (step 9), then [`ReadyPermit`], without which no GPU may be set ready (step 10). A whole
//! machine from one file: [`Bundle::verify`]; signed by the workload that collected it: [`SignedBundle`]. Fetches nothing, reads no clock. Specification: `attestation.md` §5.
//!
//! What is verified has a type that only its verification makes: [`VerifiedDevice`], [`rim::VerifiedRim`], [`AppraisedDevice`],
//! [`AppraisedFleet`], [`ReadyPermit`].

mod appraise;
mod bytes;
mod chain;
mod der;
mod evidence;
mod fleet;
mod fwid;
pub mod measurements;
pub mod nonce;
pub mod ocsp;
mod opaque;
mod policy;
mod ready;
pub mod rim;
mod rim_id;
mod roots;
mod signed;
mod spdm;
mod status;
mod step;
mod verify;

pub use appraise::{
    AppraisalError, AppraisedDevice, Collateral, Component, ComponentState, Unanswered, answered_for,
    appraise, appraise_with, required_rims,
};
pub use chain::{ChainError, VerifiedChain};
pub use evidence::{Bundle, BundleError, DeviceEvidence, MAX_BUNDLE, MachineError};
pub use fleet::{AppraisedFleet, Fleet, FleetError, NonceRule};
pub use opaque::{Feature, Opaque, OpaqueError, RawField, SwitchId, Toggle};
pub use policy::{OcspPolicy, Policy, Versions};
pub use ready::{CcState, MultiGpu, NotReady, ReadyPermit};
pub use rim_id::RimId;
pub use roots::Roots;
pub use signed::{SignedBundle, SignedBundleError, Statement};
pub use spdm::{DIGEST_LEN, MAX_REPORT, Measurement, Nonce, REQUEST_LEN, Report, ReportError, SIGNATURE_LEN};
pub use status::{GpuStatus, State};
pub use step::Step;
pub use verify::{Architecture, VerifiedDevice, VerifyError, verify_device};
