//! Joining a fake coordinator, and TLS between workloads: the right peer is let in, everybody else is refused by name.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

mod etcd;
mod fake;
mod join;
mod tls;
