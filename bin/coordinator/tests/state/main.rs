//! Coordinators in this process over one store: setting, updating, recovery, and everything that can go wrong between.
#![cfg(feature = "simulated")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod crash;
mod http;
mod interleave;
mod recovery;
mod stand;
mod tampered;
mod update;
