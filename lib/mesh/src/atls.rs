//! Attested TLS: a TLS 1.3 connection whose ends show evidence in the handshake. Both ends of the coordinator's mesh API,
//! and its users who must know whom they talk to before they say anything.
//!
//! ```text
//! client                                                  server
//!  ClientHello: ALPN [atls:v1:nonce:<hex>, h2]  ───────▶
//!                                                          evidence over its key and the client's nonce
//!  ◀─────── [CertificateRequest: one CA, CN = base64(nonce)], Certificate with evidence, Finished
//!  evidence over its key and the server's nonce
//!  [Certificate with evidence], Finished        ───────▶
//!  Unverified ──verify──▶ Attested                         Unverified ──verify──▶ Attested
//! ```
//!
//! A connection is verified in two steps, because verifying needs the vendor's documents, fetching them takes a network, and
//! what TLS asks a verifier has to be answered at once. In the handshake: one certificate, its form, dates and
//! self-signature (`privatemode_attest::atls`), and that the peer holds its key. Then [`Unverified::verify`]: the evidence
//! is genuine, made for this key and this nonce, and of a policy that the manifest names, with the role that the caller
//! demands. Until then there is no way to read or write: [`Unverified`] is no stream. There is no resumption, no early data
//! and no TLS 1.2: each connection is attested anew.
//!
//! Quotes take the platform a while and block. The server learns the client's nonce from the ClientHello, before TLS needs
//! the certificate, and quotes on a thread that may block. The client learns the server's nonce in the middle of the
//! handshake, from a callback that must answer at once: a client that attests itself does its whole handshake on such a
//! thread. A client's evidence goes out before it has verified the server: it says what runs where, which is no secret,
//! and counts for this server's nonce only.
//!
//! The evidence is bound to the key and the nonce, not to the TLS session: whoever has the peer's key could relay. The key
//! never leaves the machine that the evidence is about. Specification: `attestation.md` §2.

mod appraise;
mod certificate;
mod client;
mod connection;
mod error;
mod nonce;
mod peer_leaf;
mod server;

use std::sync::Arc;

use privatemode_attest::UnixTime;

pub use appraise::{Appraiser, Demand};
pub use client::{Client, Identity};
pub use connection::{Attested, Peer, Refused, Stranger, Unverified};
pub use error::AtlsError;
pub use nonce::NonceFault;
pub use server::Server;

/// The only protocol inside.
const H2: &[u8] = b"h2";

/// What time it is. Injected, so that tests can move it.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// The machine's clock.
#[must_use]
pub fn wall_clock() -> Clock {
    Arc::new(crate::join::now)
}
