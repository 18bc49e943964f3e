//! The secret exchange: HPKE with X-Wing (KEM 0x647a), HKDF-SHA256, export-only, base mode, empty info.
//!
//! ```text
//! client                                         secret service
//! X-Wing key pair ──PublicKey──────────────────▶ Setup(PublicKey) → EncapsulatedKey
//!                 ◀─EncapsulatedKey, Signature── sign SHA-256(PublicKey ‖ EncapsulatedKey)
//! secret = Export("", 32)                        secret = Export("", 32)
//! ```
//!
//! Does not verify certificates or signatures: the caller passes the check to [`ClientExchange::finish`], and gets the
//! secret only if it succeeds. protocol.md, section 4.

mod client;
mod message;
mod server;

pub use client::{ClientExchange, FinishError, SignedExchange};
pub use message::{ExchangeMessageError, ExchangeReply, parse_request};
pub use server::{AcceptError, ServerExchange};

use sha2::{Digest, Sha256};

/// Length of an X-Wing public key.
pub const PUBLIC_KEY_LENGTH: usize = 1216;
/// Length of an X-Wing encapsulated key.
pub const ENCAPSULATED_KEY_LENGTH: usize = 1120;

type Kem = hpke::kem::XWing;
type Kdf = hpke::kdf::HkdfSha256;
type ExportOnly = hpke::aead::ExportOnlyAead;

/// What the secret service signs: SHA-256(PublicKey ‖ EncapsulatedKey).
pub fn signed_digest(public_key: &[u8], encapsulated_key: &[u8]) -> [u8; 32] {
    Sha256::new().chain_update(public_key).chain_update(encapsulated_key).finalize().into()
}

#[cfg(test)]
mod tests;
