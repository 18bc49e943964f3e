//! `privatemode-proxy`: an OpenAI- and Anthropic-compatible endpoint on the user's machine. It proves by remote
//! attestation what runs on the other side, and only then seals each request end to end.
//!
//! ```text
//!  tool ──▶ route ▶ origin ▶ key ▶ body ▶ salt ▶ attested? ▶ seal ══▶ gateway … worker
//!  tool ◀── answer, or events as they come ◀── open ◀══════════════════════┘
//! ```
//!
//! Two protocols stand side by side, one attempt each: sealed bodies (`sealed`) and the compatible sealed fields
//! (`fields`, `receive`); the attested manifest decides between them.
//!
//! Seals nothing itself (`privatemode-wire`), verifies nothing itself (`privatemode-client`). Specification: product.md
//! P1 to P13, protocol.md §2 to §9.

mod app;
mod config;
mod cors;
mod dump;
mod failure;
mod fields;
mod forward;
mod key;
mod manifest_log;
mod manifests;
mod page;
mod payload;
mod prepare;
mod receipts;
mod receive;
mod roots;
mod route;
mod run;
mod sealed;
mod status;
mod upstream;

pub use config::{Config, Settings};
pub use run::run;

/// Tests over loopback against a gateway that speaks the real protocol.
#[cfg(test)]
#[cfg(feature = "simulated")]
mod tests;
