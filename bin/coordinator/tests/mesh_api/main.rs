//! The mesh API over attested TLS on free ports, before a real coordinator; and the initializer's process, which uses it.
#![cfg(feature = "simulated")]
#![allow(clippy::unwrap_used, reason = "a test")]

mod calls;
mod initializer;
mod limits;
mod stand;
