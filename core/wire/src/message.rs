//! Seals and opens whole bodies. The order of an exchange is in the types: what may not happen does not compile.
//!
//! ```text
//! client   RequestSealer ──finish──▶ ResponseOpener ──into_stream──▶ StreamOpener
//! server   RequestOpener ──finish──▶ ResponseSealer ──into_stream──▶ StreamSealer
//! ```
//!
//! One chain serves one exchange: it draws one nonce, counts its fields per direction from 0, and expands the key once.
//! An empty body passes. Does not send anything, and does not check what an opened request asks for ([`crate::admit`]).
//! protocol.md, section 3; the holes that remain are listed in section 10.
//!
//! Nothing can be sealed for a request after its response may have been opened:
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::{Endpoint, Secret, SecretId, message::RequestSealer};
//! # fn exchange(id: &SecretId, secret: &Secret, rng: &mut dyn rand_core::CryptoRng) {
//! let mut request = RequestSealer::new(id, secret, rng);
//! let response = request.finish();
//! request.seal(Endpoint::ChatCompletions, None, b"{}", rng); // moved
//! # }
//! ```
//!
//! A server answers only after it has closed the request, and a response is either unary or a stream:
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::{Endpoint, Secret, SecretId, message::RequestOpener};
//! # fn exchange(id: &SecretId, secret: &Secret, rng: &mut dyn rand_core::CryptoRng) {
//! let mut request = RequestOpener::new(id, secret);
//! let mut response = request.finish(rng);
//! request.open(Endpoint::ChatCompletions, None, b"{}"); // moved
//! # }
//! ```
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::{Endpoint, message::ResponseOpener};
//! # fn exchange(mut response: ResponseOpener) {
//! let stream = response.into_stream(Endpoint::ChatCompletions);
//! response.open(Endpoint::ChatCompletions, b"{}"); // moved
//! # }
//! ```
//!
//! The same as it is meant:
//!
//! ```
//! # use privatemode_wire::{Endpoint, Secret, SecretId, message::{RequestOpener, RequestSealer}};
//! # fn exchange(id: &SecretId, secret: &Secret, rng: &mut dyn rand_core::CryptoRng) -> Result<(), Box<dyn std::error::Error>> {
//! let mut request = RequestSealer::new(id, secret, rng);
//! let sealed = request.seal(Endpoint::ChatCompletions, None, br#"{"model":"m","messages":[]}"#, rng)?;
//! let mut response = request.finish();
//!
//! let mut server = RequestOpener::new(id, secret);
//! let opened = server.open(Endpoint::ChatCompletions, None, &sealed)?;
//! let sealed = server.finish(rng).seal(Endpoint::ChatCompletions, br#"{"id":"1","choices":[]}"#, rng)?;
//!
//! let answer = response.open(Endpoint::ChatCompletions, &sealed)?;
//! # Ok(())
//! # }
//! ```

mod client;
mod error;
mod layout;
mod server;
mod stream;
mod transform;

pub use client::{RequestSealer, ResponseOpener};
pub use error::{OpenError, SealError};
pub use server::{RequestOpener, ResponseSealer};
pub use stream::{StreamOpener, StreamSealer};

#[cfg(test)]
mod tests;
