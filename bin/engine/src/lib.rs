//! Embedded inference behind an OpenAI-shaped HTTP interface, as vLLM's is. A process of its own that holds no keys:
//! it sees plaintext, so it belongs on loopback or a Unix socket inside the same confidential machine as its caller.
//!
//! ```text
//! api ──jobs──▶ queue ──▶ worker thread: backend (decoder | encoder) ─▶ sampling ─▶ text ──events──▶ api
//! ```

mod api;
mod backend;
mod config;
mod error;
mod generate;
mod load;
mod metrics;
mod model;
mod queue;
mod run;
mod sampling;
mod source;
mod text;
mod threads;

#[cfg(test)]
mod fixture;

pub use config::{Config, Dtype, HubToken, Quantize};
pub use error::LoadError;
pub use run::run;
pub use source::demo::SERVED_NAME as DEMO_MODEL;
pub use source::hub::HubError;
pub use threads::settle_threads;
