//! Against a real etcd. Without one these tests say so and pass.

mod auth;
mod claims;
mod client;
mod common;
mod failover;
mod secrets;
