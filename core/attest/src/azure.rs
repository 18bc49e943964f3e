//! Azure's confidential machines: a vTPM between us and the hardware's report.
//!
//! On Azure a paravisor (the HCL) asks the hardware for the report once, at boot, and puts into its report data the digest of
//! a document with the vTPM's attestation key. What is fresh, and ours, is a TPM quote by that key. So three things must fit
//! together:
//!
//! ```text
//! hardware report ──report data──▶ SHA-256(runtime data) ──contains──▶ AK ──signs──▶ quote ──▶ nonce, PCR digest
//! ```
//!
//! [`verify()`] checks all but the first link: the steps of [`Step`]. It returns an [`Unanchored`] statement, out of which
//! nothing can be read until [`Unanchored::anchored_in`] has tied it to a hardware report that [`crate::snp`] or
//! [`crate::tdx`] found genuine. It does not judge PCR values, and does not look at the AK's certificate, which the
//! hardware report makes unnecessary. Layouts: Microsoft's "attestation report format" of confidential VMs; TPM 2.0
//! library, part 2.

#[cfg(test)]
mod fake;
mod hcl;
mod jwk;
mod pcrs;
mod quote;
mod step;
mod verify;

pub use hcl::{HclError, HclReport, Platform};
pub use jwk::KeyError;
pub use pcrs::Pcrs;
pub use quote::QuoteError;
pub use step::Step;
pub use verify::{
    AnchorError, Evidence, Hardware, Nonce, NonceLength, Unanchored, VerifyError, VmConfiguration, Vtpm,
    verify,
};
