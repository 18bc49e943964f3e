//! One fuzzer for every parser of untrusted bytes; `PRIVATEMODE_FUZZ_TARGET` says which (`cargo xtask fuzz` sets it).
//!
//! One program instead of one for each target: the crates are instrumented and linked once. The crates under test are built as
//! they are released: no `cfg(fuzzing)` that would leave checks out, and overflow checks on top.

#![no_main]

mod attest;
mod manifest;
mod target;
mod wire;

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;

static CHOSEN: LazyLock<target::Run> = LazyLock::new(target::chosen);

// chosen before the fuzzer takes over, so that a list of the targets can be had by leaving
fuzz_target!(
    init: {
        LazyLock::force(&CHOSEN);
    },
    |data: &[u8]| CHOSEN(data)
);
