//! A thin client of etcd's v3 API: the calls that our stores need, over several endpoints, with mesh certificates.
//!
//! [`Etcd`] goes to the next endpoint when one does not answer in time; it never repeats a write that may have been done,
//! unless the caller says that doing it twice is doing it once. Messages are written by hand (`messages`), because
//! building needs no protoc. Knows nothing of what is stored. Specification: etcd 3.4, `etcdserverpb`, `mvccpb`, `authpb`.
//!
//! Values may be secrets: our own copies are wiped when dropped, and no message prints one. The buffers of HTTP/2 and
//! TLS below cannot be wiped from here.

mod auth;
mod channel;
mod client;
mod error;
pub mod messages;
mod tls;
mod url;
mod watch;

pub use auth::{AuthError, ReadOnly};
pub use channel::EtcdTimeouts;
pub use client::Etcd;
pub use error::EtcdError;
pub use url::{EtcdUrl, EtcdUrlError};
pub use watch::{Watch, WatchBatch};

/// The end of the range of all keys that begin with `prefix`.
///
/// ```
/// # use privatemode_store::etcd::prefix_end;
/// assert_eq!(prefix_end(b"inference-secrets/"), b"inference-secrets0");
/// assert_eq!(prefix_end(b"a\xff"), b"b");
/// assert_eq!(prefix_end(b""), b"\0", "every key");
/// ```
#[must_use]
pub fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            return end;
        }
    }
    // etcd's own word for "to the end of all keys"
    vec![0]
}
