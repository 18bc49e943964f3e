//! Keeps the manifest of a deployment and its history, attests them to whoever asks, and issues mesh certificates to the
//! workloads that the manifest names.
//!
//! Several coordinators of one deployment share a history in a store that none of them trusts, and a seed that is in their
//! memories only. Specification: `attestation.md` §2, `protocol.md` §8.
//!
//! Decisions are in files without `async`: [`deployment`] (what can be enforced), [`state`] (which manifest is in force, who
//! may change that, who may recover it), [`history`] (what the store must hold), [`seed`], [`keygen`] and [`shares`] (keys
//! that last), [`authority`] (certificates), [`challenge`] (nonces). [`reader`] reads the store, [`coordinator`] acts,
//! [`api`] speaks HTTP, [`server`] listens.

pub mod api;
pub mod authority;
pub mod challenge;
pub mod config;
pub mod coordinator;
pub mod deployment;
mod der;
mod files;
pub mod history;
pub mod initializer;
pub mod keygen;
pub mod mesh_api;
mod mesh_peers;
mod names;
pub mod peers;
pub mod place;
pub mod reader;
pub mod seed;
pub mod server;
pub mod shares;
pub mod state;
mod user_port;

pub use config::Config;
pub use coordinator::{Clock, Coordinator};
pub use server::run;
