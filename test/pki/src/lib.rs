//! Vendor certificate chains and evidence that are genuine in everything but the root: same structure, same algorithms,
//! signed with keys of this process.
//!
//! A test takes a good set, breaks exactly one thing and signs again, so that no other check can be the one that refuses
//! it. Depends on none of our crates: what it builds cannot share a misunderstanding with what reads it.

#![warn(missing_docs)]

pub mod amd;
pub mod der;
pub mod intel;
mod key;
pub mod nvidia;
mod time;
mod x509;

pub use key::{Algorithm, Key};
pub use x509::{Certificate, Crl, Extension, Name};
