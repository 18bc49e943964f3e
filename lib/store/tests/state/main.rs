//! Every backend of the coordinators' state, under the same cases; and what is each one's own.

#![allow(clippy::unwrap_used, reason = "a test")]

mod config_map;
mod directory;
mod etcd;
mod memory;
mod suite;
