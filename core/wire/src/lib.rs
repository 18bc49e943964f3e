//! The bytes between client and server: what is sealed, how, and in which order (protocol.md, sections 2 to 7 and 9).
//!
//! Pure: no sockets, files, clock or operating-system randomness; whoever needs randomness passes it in. Builds
//! for wasm32.
//!
//! Without the feature `cipher` nothing in this crate can hold a secret or open a body: that is what the gateway
//! is built with. With it:
//!
//! ```text
//! client   RequestSealer ──finish──▶ ResponseOpener ──into_stream──▶ StreamOpener
//! server   RequestOpener ──finish──▶ ResponseSealer ──into_stream──▶ StreamSealer
//! ```
//!
//! is the field cipher ([`message`]); [`stream`] is the sealed body, with types of its own.

pub mod error_body;
pub mod header;
pub mod json;
pub mod models;
pub mod multipart;
pub mod profile;
pub mod shard_key;
pub mod sse;
pub mod stream;
pub mod usage;

#[cfg(feature = "cipher")]
pub mod admit;
#[cfg(feature = "cipher")]
mod aead;
#[cfg(feature = "cipher")]
pub mod exchange;
#[cfg(feature = "cipher")]
mod field;
#[cfg(feature = "cipher")]
pub mod message;
#[cfg(feature = "cipher")]
pub mod ocsp;
#[cfg(feature = "cipher")]
pub mod receipt;
#[cfg(feature = "cipher")]
pub mod replay;
#[cfg(feature = "cipher")]
pub mod salt;
#[cfg(feature = "cipher")]
pub mod secret;

pub use profile::Endpoint;
#[cfg(feature = "cipher")]
pub use secret::{Secret, SecretId};

#[cfg(all(test, feature = "cipher"))]
mod test_rng;
