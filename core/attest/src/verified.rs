//! The type that says "this was checked".

use std::ops::Deref;

/// A value whose every signature, chain and binding was checked.
///
/// Only this crate makes one, next to the check. It has no `Default` and no `Deserialize`, so that no other code can claim the verdict.
///
/// ```compile_fail
/// let forged: privatemode_attest::Verified<u8> = privatemode_attest::Verified(7);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    #[cfg_attr(
        not(feature = "simulated"),
        expect(dead_code, reason = "simulated evidence is the only kind that is verified so far")
    )]
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Gives the value up; the caller no longer holds the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}
