//! The types that say "this was checked".

use std::ops::Deref;

use thiserror::Error;

use crate::ReportData;

/// A value whose every signature, chain and binding was checked.
///
/// Only this crate makes one, next to the check. It has no `Default` and no `Deserialize`, so that no other code can claim the verdict.
///
/// ```compile_fail
/// let forged: privatemode_attest::Verified<u8> = privatemode_attest::Verified(7);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified<T>(T);

/// Evidence whose signatures and chains hold: genuine hardware said this, but nobody asked yet whether it said it to *us*.
/// [`Genuine::bound_to`] does, and only what it returns can be appraised: a replayed quote gets no further than this.
///
/// ```compile_fail
/// let forged: privatemode_attest::Genuine<u8> = privatemode_attest::Genuine(7);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Genuine<T>(T);

/// Evidence that carries 64 bytes of the asker's choice.
pub trait CarriesReportData {
    /// The bytes that the hardware signed.
    fn report_data(&self) -> &ReportData;
}

/// Genuine evidence that was made for something else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error(
    "the evidence was made for another nonce or key than ours: it is replayed, or something was exchanged on the way"
)]
pub struct ReportDataMismatch;

impl<T> Verified<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Gives the value up; the caller no longer holds the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Genuine<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(value)
    }

    /// Gives the value up; the caller no longer holds the proof.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T: CarriesReportData> Genuine<T> {
    /// Checks that the evidence was made for `expected`, all 64 bytes of it, in constant time.
    ///
    /// # Errors
    /// [`ReportDataMismatch`].
    pub fn bound_to(self, expected: &ReportData) -> Result<Verified<T>, ReportDataMismatch> {
        if self.0.report_data().matches(expected) {
            Ok(Verified::new(self.0))
        } else {
            Err(ReportDataMismatch)
        }
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Deref for Genuine<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Said(ReportData);

    impl CarriesReportData for Said {
        fn report_data(&self) -> &ReportData {
            &self.0
        }
    }

    #[test]
    fn only_what_was_said_to_us_is_verified() {
        let said = ReportData::from([7; 64]);
        assert!(Genuine(Said(said)).bound_to(&said).is_ok());
        for place in [0, 31, 63] {
            let mut other = [7; 64];
            other[place] ^= 1;
            let refused = Genuine(Said(said)).bound_to(&ReportData::from(other));
            assert_eq!(refused.err(), Some(ReportDataMismatch));
        }
    }
}
