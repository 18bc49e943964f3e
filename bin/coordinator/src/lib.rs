//! Keeps one manifest, attests it to whoever asks, and issues mesh certificates to the workloads that it names.
//!
//! One immutable manifest is set at start and checked together with every policy before anything else happens. All keys
//! are made then, and live in memory only: a restart is a new deployment, which clients notice and verify anew. Keeps no
//! state on disk, does not update manifests, recover or talk to peers. Specification: `attestation.md` §2,
//! `protocol.md` §8.
//!
//! Decisions are in files without `async`: [`deployment`] (what is enforced), [`authority`] (certificates),
//! [`challenge`] (nonces), [`coordinator`] (who gets what). [`api`] speaks HTTP, [`server`] listens.

pub mod api;
pub mod authority;
pub mod challenge;
pub mod config;
pub mod coordinator;
pub mod deployment;
mod files;
mod names;
pub mod server;

pub use config::Config;
pub use coordinator::{Clock, Coordinator};
pub use server::run;
