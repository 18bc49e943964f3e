//! `privatemode-proxy`: an OpenAI- and Anthropic-compatible endpoint on the user's machine. It proves by remote
//! attestation what runs on the other side, and only then seals each request end to end.
//!
//! ```text
//!  tool ──▶ route ▶ origin ▶ key ▶ body ▶ salt ▶ attested? ▶ seal ══▶ gateway … worker
//!  tool ◀── answer, or events as they come ◀── open ◀══════════════════════┘
//! ```
//!
//! Seals nothing itself (`privatemode-wire`), verifies nothing itself (`privatemode-client`). Specification: product.md
//! P1 to P13, protocol.md §2 to §8.

mod app;
mod config;
mod cors;
mod dump;
mod failure;
mod forward;
mod key;
mod manifest_log;
mod manifests;
mod page;
mod prepare;
mod receive;
mod roots;
mod route;
mod run;
mod status;
mod upstream;

pub use config::{Config, Settings};
pub use run::run;

/// Tests over loopback against a gateway that speaks the real protocol.
#[cfg(test)]
#[cfg(feature = "simulated")]
mod tests;
