//! Real NVIDIA evidence: every case gets its documented verdict at its documented time, for the documented reason.
//!
//! Reads the evidence folder beside the repository; without it each test says that it was skipped.

#![allow(clippy::print_stderr, reason = "a skipped test must be loud, and a run by hand prints its figures")]
#![allow(clippy::unwrap_used, reason = "all of it is a test")]

#[path = "gpu_evidence/case.rs"]
mod case;
#[path = "gpu_evidence/flips.rs"]
mod flips;
#[path = "gpu_evidence/machine.rs"]
mod machine;
#[path = "gpu_evidence/mutations.rs"]
mod mutations;
#[path = "gpu_evidence/verdicts.rs"]
mod verdicts;
