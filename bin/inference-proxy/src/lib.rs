//! Opens sealed requests and seals the answers of one inference engine, inside a worker's confidential VM.
//!
//! ```text
//! gateway ──mesh TLS, sealed──▶ Worker ──loopback or Unix socket, plain──▶ engine
//!                                 └── SecretCache ──▶ SecretSource (secret service)
//! ```
//!
//! The order of checks is in [`Worker::handle`]'s module. Holds no keys of users, keeps no bodies and logs none.
//! Specification: `protocol.md` §2, §3, §6.

mod budget;
mod config;
mod engine;
mod failure;
mod handler;
mod metrics;
mod ocsp;
mod request;
mod run;
mod secrets;
mod stream;
mod tasks;

pub use config::Config;
pub use engine::{Engine, EngineError, EngineTarget, EngineTargetError, EngineTimeouts};
pub use handler::{Limits, Worker};
pub use metrics::Metrics;
pub use ocsp::{GpuStatus, GpuStatusError};
pub use run::run;
pub use secrets::{Found, LookupError, MeshSource, SecretCache, SecretSource, StoreSource};
pub use tasks::{ModelTasks, Tasks, TasksError};
