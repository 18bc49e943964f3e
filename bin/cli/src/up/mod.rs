//! `privatemode up`: the whole stack in one process tree.
//!
//! ```text
//! privatemode up ── coordinator · secret-service · engine · inference-proxy · gateway · proxy
//! ```
//!
//! Each part is this program again, in a process of its own, holding only what its trust domain may hold. A part
//! announces its addresses on standard output and stops when its standard input closes, so that nothing is left behind
//! however this process ends.

pub(crate) mod component;
mod deployment;
mod flags;
mod part;
mod platform;
mod ready;
mod stack;

pub(crate) use ready::Running;
pub(crate) use stack::run;
