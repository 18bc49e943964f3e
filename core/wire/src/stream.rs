//! Sealed bodies: one authenticated stream per direction. Nothing in it can be read, changed, moved, repeated or cut off
//! unnoticed, and its length says little.
//!
//! ```text
//! client   RequestWriter ──finish──▶ (request digest)        PendingResponse ──open(salt)──▶ ResponseReader
//! worker   RequestReader ──finish──▶ Responder ──begin──▶ ResponseWriter ──close──▶ ResponseEnd ──finish──▶ done
//!                        └─refuse──▶ Responder, for errors only
//! ```
//!
//! Readers take bytes in pieces of any size and hold one segment; writers append sealed bytes to the caller's buffer and
//! hold one segment. Does not send anything; does not remember requests ([`crate::replay`]); does not decide when a
//! stream is flushed. What stands outside the body is in [`outer`], and is all that is there without the feature
//! `cipher`. protocol.md, section 9.
//!
//! Unknown members of heads and trailers are refused, and so is any spelling but the canonical one: the manifest names the
//! version that both sides speak, and a member that one side relies on and the other ignores would be a silent downgrade.
//!
//! Nothing can be written behind the end:
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::stream::RequestWriter;
//! # fn send(mut request: RequestWriter, out: &mut Vec<u8>) {
//! request.finish(out);
//! request.write(b"more", out); // moved
//! # }
//! ```
//!
//! A worker answers only what arrived whole, and a response cannot be opened without its salt:
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::stream::RequestReader;
//! # fn read(mut request: RequestReader, mut more: &[u8]) {
//! let responder = request.finish();
//! request.next(&mut more); // moved
//! # }
//! ```
//!
//! ```compile_fail,E0599
//! # use privatemode_wire::stream::PendingResponse;
//! # fn open(mut response: PendingResponse, mut bytes: &[u8]) {
//! response.next(&mut bytes); // no salt yet
//! # }
//! ```
//!
//! Nothing can follow the trailer, and the trailer comes after the body:
//!
//! ```compile_fail,E0382
//! # use privatemode_wire::stream::ResponseWriter;
//! # fn answer(mut response: ResponseWriter, out: &mut Vec<u8>) {
//! let end = response.close(out);
//! response.write(b"more", out); // moved
//! # }
//! ```

pub mod outer;
pub mod padding;

mod canonical;
mod time;

#[cfg(feature = "cipher")]
mod error;
#[cfg(feature = "cipher")]
mod head;
#[cfg(feature = "cipher")]
mod key;
#[cfg(feature = "cipher")]
mod reader;
#[cfg(feature = "cipher")]
mod request;
#[cfg(feature = "cipher")]
mod response;
#[cfg(feature = "cipher")]
mod run;
#[cfg(feature = "cipher")]
mod segment;
#[cfg(feature = "cipher")]
mod trailer;

pub use canonical::CanonicalError;
pub use padding::{Padding, PaddingError};
pub use time::UnixMillis;

pub(crate) use canonical::{from_canonical, to_canonical};

#[cfg(feature = "cipher")]
pub(crate) use outer::WireUsage;

#[cfg(feature = "cipher")]
pub use error::{ReadError, WriteError};
#[cfg(feature = "cipher")]
pub use head::{
    BodyFields, ClockSkew, HeadError, HeadField, HeadMismatch, ManifestDigest, Outer, RequestHead, RequestId,
    ResponseHead,
};
#[cfg(feature = "cipher")]
pub use request::{RequestEnd, RequestPart, RequestReader, RequestWriter};
#[cfg(feature = "cipher")]
pub use response::{PendingResponse, Responder, ResponseEnd, ResponsePart, ResponseReader, ResponseWriter};
#[cfg(feature = "cipher")]
pub use trailer::{Outcome, Trailer, TrailerError};

#[cfg(feature = "cipher")]
#[cfg(test)]
mod tests;
