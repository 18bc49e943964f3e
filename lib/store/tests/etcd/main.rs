//! Against a real etcd. Without one these tests say so and pass.

#![allow(clippy::unwrap_used, reason = "a failed set-up is a failed test")]

mod auth;
mod claims;
mod client;
mod common;
mod failover;
mod secrets;
