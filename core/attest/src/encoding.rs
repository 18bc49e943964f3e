//! Evidence as it travels (`protocol.md` §8), and back into the bytes that the hardware signed.
//!
//! The wire forms are protobuf messages that spell out every member of a report: the signature covers the binary form, so
//! decoding puts that together again byte for byte. It judges nothing: the report is as untrusted afterwards as before.
//!
//! The reader is ours and narrow instead of a general one. Ordinary protobuf lets the last of several equal fields win, skips
//! fields that it does not know, and takes a varint in many spellings, so two readers may see two different documents; here
//! each of these is an error. It borrows from its input, and allocates nothing whose size the input chose.

#[cfg(test)]
mod edit;
mod error;
mod layout;
pub mod sevsnp;
pub mod tdx;
mod wire;

pub use error::{DecodeError, EncodeError};
