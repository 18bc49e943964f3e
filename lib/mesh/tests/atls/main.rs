//! Attested TLS over TCP, on the simulated platform and on fake SEV-SNP evidence: who is let in, and everybody else refused
//! by name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod forge;
mod honest;
mod refused;
mod stand;
