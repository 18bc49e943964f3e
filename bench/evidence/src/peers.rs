//! The second implementations, each behind one function: does it accept these bytes?

use ::sev::certs::snp::{Certificate, Chain, Verifiable as _, ca};
use ::sev::firmware::guest::AttestationReport;
use ::sev::parser::ByteParser as _;
use dcap_qvl::QuoteCollateralV3;
use dcap_qvl::configs::RustCryptoConfig;
use dcap_qvl::verify::QuoteVerifier;

use crate::{SnpCase, TdxCase};

/// `sev` 8: report parsed, ARK → ASK → VEK → report verified. It checks signatures only: no dates, lists, extensions.
pub fn sev(case: &SnpCase) -> bool {
    let read = |bytes: &[u8]| match bytes.first() {
        Some(0x30) => Certificate::from_der(bytes),
        _ => Certificate::from_pem(bytes),
    };
    let (Ok(ark), Ok(ask), Ok(vek)) = (read(&case.ark), read(&case.ask), read(&case.vek)) else {
        return false;
    };
    let Ok(report) = AttestationReport::from_bytes(&case.report) else { return false };
    let chain = Chain { ca: ca::Chain { ark, ask }, vek };
    (&chain, &report).verify().is_ok()
}

/// `dcap-qvl` 0.7 with RustCrypto behind it: genuine and up to date. Its strict policy would also demand static platforms without
/// hyperthreads, which the manifest decides here.
pub fn dcap_qvl(case: &TdxCase) -> bool {
    let ours = &case.collateral;
    let collateral = QuoteCollateralV3 {
        pck_crl_issuer_chain: ours.pck_crl_issuer_chain.clone(),
        root_ca_crl: ours.root_ca_crl.clone(),
        pck_crl: ours.pck_crl.clone(),
        tcb_info_issuer_chain: ours.tcb_info_issuer_chain.clone(),
        tcb_info: ours.tcb_info.clone(),
        tcb_info_signature: ours.tcb_info_signature.to_vec(),
        qe_identity_issuer_chain: ours.qe_identity_issuer_chain.clone(),
        qe_identity: ours.qe_identity.clone(),
        qe_identity_signature: ours.qe_identity_signature.to_vec(),
        pck_certificate_chain: None,
    };
    QuoteVerifier::<RustCryptoConfig>::new_prod()
        .verify(&case.quote, &collateral, case.at.as_secs())
        .is_ok_and(|report| report.status == "UpToDate")
}
