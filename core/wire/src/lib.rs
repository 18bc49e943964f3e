//! The bytes between client and server: what is sealed, how, and in which order (protocol.md, sections 2 to 7).
//!
//! Pure: no sockets, files, clock or operating-system randomness; whoever needs randomness passes it in. Builds
//! for wasm32. Sealed bodies (section 9) are not here yet.
//!
//! Without the feature `cipher` nothing in this crate can hold a secret or open a body: that is what the gateway
//! is built with. With it:
//!
//! ```text
//! client   RequestSealer ──finish──▶ ResponseOpener ──into_stream──▶ StreamOpener
//! server   RequestOpener ──finish──▶ ResponseSealer ──into_stream──▶ StreamSealer
//! ```

pub mod error_body;
pub mod header;
pub mod json;
pub mod models;
pub mod multipart;
pub mod profile;
pub mod shard_key;
pub mod sse;
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
pub mod salt;
#[cfg(feature = "cipher")]
pub mod secret;

pub use profile::Endpoint;
#[cfg(feature = "cipher")]
pub use secret::{Secret, SecretId};

#[cfg(all(test, feature = "cipher"))]
mod test_rng;
