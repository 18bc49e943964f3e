//! Whole-stack tests: every process of the real path, on loopback, with simulated evidence or fake SEV-SNP reports.
//!
//! One binary, so that the stack is linked once. Each test starts what it needs on free ports and stops it by its
//! process ID.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

#[path = "stack/canary.rs"]
mod canary;
#[path = "stack/clients.rs"]
mod clients;
#[path = "stack/errors.rs"]
mod errors;
#[path = "stack/fidelity.rs"]
mod fidelity;
#[path = "stack/genoa.rs"]
mod genoa;
#[path = "stack/harness.rs"]
mod harness;
#[path = "stack/leaving.rs"]
mod leaving;
#[path = "stack/machine.rs"]
mod machine;
#[path = "stack/memory.rs"]
mod memory;
#[path = "stack/receipts.rs"]
mod receipts;
#[path = "stack/release.rs"]
mod release;
#[path = "stack/replays.rs"]
mod replays;
#[path = "stack/rogue.rs"]
mod rogue;
#[path = "stack/sealed.rs"]
mod sealed;
#[path = "stack/tampering.rs"]
mod tampering;
#[path = "stack/up.rs"]
mod up;
#[path = "stack/verify.rs"]
mod verify;
