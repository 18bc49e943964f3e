//! Structurally genuine evidence under a test root, as this module's types.

use privatemode_test_pki::intel::{self, Body, Encoded};

use super::{Collateral, PcsDocuments, Roots, Tolerance, VerifiedCollateral, VerifyError, verify};
use crate::{Genuine, UnixTime};

pub(super) const NOW: UnixTime = UnixTime(intel::NOW);

/// Version 4 with one thing changed before it is signed.
pub(super) fn with(change: impl FnOnce(&mut intel::Evidence)) -> Encoded {
    let mut evidence = intel::Evidence::new(4, Body::Tdx10);
    change(&mut evidence);
    evidence.encode()
}

pub(super) fn good() -> Encoded {
    with(|_| {})
}

pub(super) fn roots(set: &Encoded) -> Roots {
    Roots::danger_test(&set.root).unwrap()
}

pub(super) fn collateral(set: &Encoded) -> Collateral {
    Collateral::assemble(&PcsDocuments {
        tcb_info: &set.tcb_info,
        tcb_info_issuer_chain: &set.tcb_signing_chain,
        qe_identity: &set.qe_identity,
        qe_identity_issuer_chain: &set.tcb_signing_chain,
        pck_crl: &set.pck_crl,
        pck_crl_issuer_chain: &set.pck_crl_issuer_chain,
        root_ca_crl: &set.root_ca_crl,
    })
    .unwrap()
}

pub(super) fn verified(set: &Encoded) -> VerifiedCollateral {
    collateral(set).verify(&roots(set), NOW).unwrap()
}

pub(super) fn judged(set: &Encoded) -> Result<Genuine<super::Evidence>, VerifyError> {
    judged_with(set, &Tolerance::strict())
}

pub(super) fn judged_with(
    set: &Encoded,
    tolerance: &Tolerance,
) -> Result<Genuine<super::Evidence>, VerifyError> {
    verify(&set.quote, &verified(set), tolerance, NOW)
}

/// Asserts which error it is.
macro_rules! refused {
    ($result:expr, $pattern:pat $(if $guard:expr)?) => {{
        let error = $result.unwrap_err();
        assert!(matches!(error, $pattern $(if $guard)?), "{error:?}");
        error
    }};
}
pub(super) use refused;
