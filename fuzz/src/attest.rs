//! Parsers and verifiers of `core/attest`.

use std::sync::LazyLock;

use privatemode_attest::signature::PublicKey;
use privatemode_attest::x509::{Certificate, Crl};
use privatemode_attest::{UnixTime, azure, encoding, gpu, snp, tdx};

const NOW: UnixTime = UnixTime(1_760_000_000);

static GPU_ROOTS: LazyLock<gpu::Roots> = LazyLock::new(gpu::Roots::embedded);
static TDX_ROOTS: LazyLock<tdx::Roots> = LazyLock::new(tdx::Roots::embedded);

pub(crate) fn certificate(data: &[u8]) {
    if let Ok(certificate) = Certificate::parse(data) {
        let _ = certificate.check_valid_at(NOW);
        let _ = certificate.check_issued_by(&certificate, &[]);
        assert!(!gpu::ocsp::answers(data, &certificate, &certificate));
    }
    let _ = Certificate::parse_pem_chain(data, 4);
}

pub(crate) fn crl(data: &[u8]) {
    if let Ok(crl) = Crl::parse(data) {
        let _ = crl.revocation_of(&[1]);
    }
}

pub(crate) fn public_key(data: &[u8]) {
    let _ = PublicKey::parse_spki(data);
}

pub(crate) fn snp_report(data: &[u8]) {
    if let Ok(report) = snp::Report::parse(data) {
        let _ = snp::Needs::of(&report);
    }
}

pub(crate) fn snp_evidence(data: &[u8]) {
    if let Ok(evidence) = encoding::sevsnp::decode(data) {
        let again = encoding::sevsnp::encode(&evidence).expect("what was decoded encodes");
        let same = encoding::sevsnp::decode(&again).expect("what was encoded decodes");
        assert_eq!(same.report, evidence.report);
    }
}

pub(crate) fn tdx_quote(data: &[u8]) {
    let _ = tdx::Quote::parse(data);
    let _ = tdx::Needs::of_unverified_quote(data);
}

pub(crate) fn tdx_evidence(data: &[u8]) {
    let _ = encoding::tdx::decode(data);
}

pub(crate) fn tdx_collateral(data: &[u8]) {
    if let Ok(collateral) = tdx::Collateral::from_json(data) {
        let _ = collateral.verify(&TDX_ROOTS, NOW);
    }
}

pub(crate) fn gpu_report(data: &[u8]) {
    let _ = gpu::Report::parse(data);
}

pub(crate) fn gpu_bundle(data: &[u8]) {
    let _ = gpu::Bundle::from_nvidia_list(data);
    if let Ok(bundle) = gpu::Bundle::parse(data) {
        assert_eq!(gpu::Bundle::parse(bundle.to_json().as_bytes()).ok(), Some(bundle));
    }
}

pub(crate) fn rim(data: &[u8]) {
    let _ = gpu::rim::verify(data, &GPU_ROOTS, NOW);
}

pub(crate) fn ocsp(data: &[u8]) {
    let root = GPU_ROOTS.device();
    let sent = gpu::ocsp::SentNonce::None;
    assert!(gpu::ocsp::verify(data, root, root, sent, 0, NOW).is_err());
}

pub(crate) fn azure(data: &[u8]) {
    let (hcl_report, rest) = data.split_at(data.len().min(2600));
    let (quote, signature) = rest.split_at(rest.len().saturating_sub(256));
    let _ = azure::HclReport::parse(data);
    let evidence = azure::Evidence { hcl_report, quote, signature, pcrs: &[[0; 32]; 24] };
    if let Ok(nonce) = azure::Nonce::try_from(&b"challenge"[..]) {
        let _ = azure::verify(&evidence, &nonce);
    }
}
