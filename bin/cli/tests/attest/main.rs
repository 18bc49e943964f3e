//! `privatemode attest` as people and scripts run it: the real binary, its exit codes and its JSON.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test")]

mod inputs;
mod manifest;
mod nvidia;
mod real;
mod real_manifest;
mod snp;
mod support;
mod tdx;
