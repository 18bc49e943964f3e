//! `privatemode manifest`: on files alone, with keys that OpenSSL signs with, and against a real coordinator.

#![allow(clippy::unwrap_used, reason = "a test")]

mod coordinator;
mod files;
mod generate;
mod keys;
mod secrets;
mod support;
