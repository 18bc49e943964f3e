//! Opens sealed requests and seals the answers of one inference engine, inside a worker's confidential VM.
//!
//! ```text
//! gateway ──mesh TLS, sealed──▶ Worker ──loopback or Unix socket, plain──▶ engine
//!                                 └── SecretCache ──▶ SecretSource (secret service, or etcd)
//!                                          ▲───────── SecretWatch (etcd)
//! ```
//!
//! The order of checks is in the modules `handler` (sealed fields) and `sealed` (sealed bodies). Holds no keys of users, keeps no bodies and logs none.
//! Specification: `protocol.md` §2, §3, §6, §9.

mod arrival;
mod budget;
mod claims;
mod config;
mod engine;
mod failure;
mod handler;
mod mesh_client;
mod metrics;
mod ocsp;
mod request;
mod run;
mod running;
mod sealed;
mod secrets;
mod stream;
mod tasks;

pub use claims::{ClaimError, Claims, LocalClaims, MeshClaims};
pub use config::{ClaimsPlace, Config};
pub use engine::{Engine, EngineError, EngineTarget, EngineTargetError, EngineTimeouts};
pub use handler::{Limits, Worker};
pub use metrics::Metrics;
pub use ocsp::{GpuStatus, GpuStatusError};
pub use run::run;
pub use sealed::{ReceiptSigner, Sealing};
pub use secrets::{Found, LookupError, MeshSource, SecretCache, SecretSource, SecretWatch, StoreSource};
pub use tasks::{ModelTasks, Tasks, TasksError};
