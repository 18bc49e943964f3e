use privatemode_test_pki::intel::{self, Body, Encoded, IsvLevel, SGX_EXTENSION, body, pem, qe};
use privatemode_test_pki::{Extension, Key};

use super::*;
use crate::ReportData;
use crate::signature::SignatureError;
use crate::tdx::fakes::{NOW, collateral, good, judged, judged_with, refused, roots, verified, with};
use crate::tdx::{
    Advisories, ChainError, CollateralError, Document, Freshness, Grace, PckCa, PckExtensionError,
    QuoteError, SeamAttributes, Step,
};
use crate::x509::{IssueError, PathError, ValidityError};

#[test]
fn good_sets_of_every_kind() {
    for (version, body) in [(4, Body::Tdx10), (5, Body::Tdx10), (5, Body::Tdx15)] {
        let evidence = judged(&intel::Evidence::new(version, body).encode()).unwrap();
        assert_eq!(evidence.quote_version, version);
        assert_eq!(evidence.tcb_status, TcbStatus::UpToDate);
        assert_eq!(evidence.evaluation_number, 20);
        assert_eq!(evidence.pck_ca, PckCa::Platform);
        assert!(matches!(evidence.freshness, Freshness::Current { .. }));
        assert!(evidence.bound_to(&ReportData::from([0xda; 64])).is_ok());
    }
}

#[test]
fn step_1_structure() {
    let mut set = good();
    set.quote[0] = 6;
    let error = refused!(judged(&set), VerifyError::Quote { source: QuoteError::Version { version: 6 } });
    assert_eq!(error.step(), Step::Structure);
}

#[test]
fn step_1_padding() {
    assert!(judged(&with(|set| set.quote.padding = vec![0; 70])).is_ok());
    let error =
        refused!(judged(&with(|set| set.quote.padding = b"\0\0x".to_vec())), VerifyError::Padding { at: 2 });
    assert_eq!(error.step(), Step::Structure);
}

#[test]
fn step_2_collateral_is_asked_again() {
    let set = good();
    let later = UnixTime(NOW.as_secs() + 30 * 86_400);
    let error = verify(&set.quote, &verified(&set), &Tolerance::strict(), later).unwrap_err();
    assert_eq!(error.step(), Step::Collateral);
    let VerifyError::Collateral { source } = error else { panic!("{error:?}") };
    assert!(matches!(*source, CollateralError::Stale { document: Document::TcbInfo, .. }), "{source:?}");
}

#[test]
fn step_2_grace_shows() {
    let set = good();
    let later = UnixTime(NOW.as_secs() + 21 * 86_400);
    let grace = Grace::seconds(86_400 * 2).unwrap();
    let collateral = collateral(&set).verify_with_grace(&roots(&set), grace, later).unwrap();
    let evidence = verify(&set.quote, &collateral, &Tolerance::strict(), later).unwrap();
    // both revocation lists ended after 20 days, TCB info after 20, QE identity after 21
    assert!(
        matches!(evidence.freshness, Freshness::Grace { overdue: 86_400, .. }),
        "{:?}",
        evidence.freshness
    );
}

fn with_chain(chain: &[u8]) -> Encoded {
    let set = intel::Evidence::new(4, Body::Tdx10);
    Encoded { quote: set.quote.encode(chain), ..set.encode() }
}

fn ders() -> (intel::Evidence, [Vec<u8>; 3]) {
    let set = intel::Evidence::new(4, Body::Tdx10);
    let ders = [set.pck_der(), set.pck_ca.der(), set.root.der()];
    (set, ders)
}

#[test]
fn step_3_the_chain_is_three_certificates_in_pem() {
    let (_, [pck, ca, root]) = ders();
    let error = refused!(
        judged(&with_chain(&pem(&[&pck, &root]))),
        VerifyError::PckChain { source: ChainError::Length { found: 2, expected: 3 } }
    );
    assert_eq!(error.step(), Step::PckChain);
    refused!(
        judged(&with_chain(&pem(&[&pck, &ca, &root, &root]))),
        VerifyError::PckChain { source: ChainError::Length { found: 4, expected: 3 } }
    );
    let text = pem(&[&pck, &ca, &root]);
    for appended in [&b"\x0b"[..], b" ", b"\n ", b"\0\0"] {
        refused!(
            judged(&with_chain(&[&text, appended].concat())),
            VerifyError::PckChain { source: ChainError::Text }
        );
    }
    refused!(judged(&with_chain(&text[1..])), VerifyError::PckChain { source: ChainError::Text });
    refused!(
        judged(&with_chain(&text[28..])),
        VerifyError::PckChain { source: ChainError::Certificate { .. } }
    );
    assert!(judged(&with_chain(&[&text, &b"\0"[..]].concat())).is_ok());
}

#[test]
fn step_3_the_chain_ends_at_the_pinned_key() {
    let (mut set, [pck, ca, root]) = ders();
    // the right name and another key
    let other = Key::p256("another root");
    (set.root.key, set.root.signed_by) = (other.clone(), other.clone());
    let false_root = set.root.der();
    refused!(
        judged(&with_chain(&pem(&[&pck, &ca, &false_root]))),
        VerifyError::PckChain { source: ChainError::OtherRoot }
    );
    // the right key in a certificate that it did not sign
    let (mut set, _) = ders();
    (set.root.serial, set.root.signed_by) = (vec![1], other);
    refused!(
        judged(&with_chain(&pem(&[&pck, &ca, &set.root.der()]))),
        VerifyError::PckChain {
            source: ChainError::RootSignature {
                source: IssueError::Signature { source: SignatureError::Wrong }
            }
        }
    );
    // a renewed root certificate is the same root
    let (mut set, _) = ders();
    set.root.serial = vec![1];
    assert!(judged(&with_chain(&pem(&[&pck, &ca, &set.root.der()]))).is_ok());
    refused!(
        judged(&with_chain(&pem(&[&ca, &pck, &root]))),
        VerifyError::PckChain { source: ChainError::Path { .. } }
    );
}

#[test]
fn step_3_each_link_is_signed() {
    let other = Key::p256("nobody");
    refused!(
        judged(&with(|set| set.pck.signed_by = other.clone())),
        VerifyError::PckChain {
            source: ChainError::Path {
                source: PathError::Issue { index: 0, source: IssueError::Signature { .. } }
            }
        }
    );
    let (mut set, [pck, _, root]) = ders();
    (set.pck_ca.serial, set.pck_ca.signed_by) = (vec![1], other);
    refused!(
        judged(&with_chain(&pem(&[&pck, &set.pck_ca.der(), &root]))),
        VerifyError::PckChain {
            source: ChainError::Path {
                source: PathError::Issue { index: 1, source: IssueError::Signature { .. } }
            }
        }
    );
}

#[test]
fn step_3_validity() {
    refused!(
        judged(&with(|set| set.pck.not_after = intel::NOW - 1)),
        VerifyError::PckChain {
            source: ChainError::Path {
                source: PathError::Validity { index: 0, source: ValidityError::Expired { .. } }
            }
        }
    );
    refused!(
        judged(&with(|set| set.pck.not_before = intel::NOW + 1)),
        VerifyError::PckChain {
            source: ChainError::Path {
                source: PathError::Validity { index: 0, source: ValidityError::NotYetValid { .. } }
            }
        }
    );
}

#[test]
fn step_3_names() {
    refused!(
        judged(&with(|set| set.pck.subject = intel::name("Intel SGX Something"))),
        VerifyError::PckChain { source: ChainError::Name { place: "leaf", .. } }
    );
    refused!(
        judged(&with(|set| {
            set.pck.without("2.5.29.19");
            set.pck.extensions.push(Extension::authority(None));
        })),
        VerifyError::PckChain { source: ChainError::Name { place: "leaf", .. } }
    );
}

#[test]
fn step_3_revocation() {
    let since = intel::NOW - 100;
    refused!(
        judged(&with(|set| set.pck_crl.revoked.push((set.pck.serial.clone(), since)))),
        VerifyError::PckChain { source: ChainError::Revoked { place: "leaf", since: UnixTime(when) } }
            if when == since
    );
    // the quote's authority has another certificate than the collateral's, and that one is revoked
    let (mut set, [pck, _, root]) = ders();
    set.root_crl.revoked.push((vec![7], since));
    let mut ca = set.pck_ca.clone();
    ca.serial = vec![7];
    let quote = set.quote.encode(&pem(&[&pck, &ca.der(), &root]));
    refused!(
        judged(&Encoded { quote, ..set.encode() }),
        VerifyError::PckChain { source: ChainError::Revoked { place: "issuer", .. } }
    );
}

#[test]
fn step_3_a_list_of_another_authority_tells_nothing() {
    let (mut set, [pck, ca, root]) = ders();
    let quote = set.quote.encode(&pem(&[&pck, &ca, &root]));
    let processor = intel::name("Intel SGX PCK Processor CA");
    let key = Key::p256("Intel PCK Processor CA");
    (set.pck_ca.subject, set.pck_ca.key) = (processor.clone(), key.clone());
    (set.pck_crl.issuer, set.pck_crl.signed_by) = (processor, key);
    refused!(
        judged(&Encoded { quote, ..set.encode() }),
        VerifyError::OtherPckCa { quote: Some(_), collateral: PckCa::Processor }
    );
}

/// The authority is who has both the name and the key: a list that is for one of them knows nothing of the other's certificates.
#[test]
fn step_3_an_authority_of_the_same_name_or_key() {
    let name = intel::name("Intel SGX PCK Processor CA");
    let key = Key::p256("another PCK CA");
    for (other_name, other_key) in [(Some(name), None), (None, Some(key))] {
        let (mut set, [pck, ca, root]) = ders();
        let quote = set.quote.encode(&pem(&[&pck, &ca, &root]));
        if let Some(name) = other_name {
            (set.pck_ca.subject, set.pck_crl.issuer) = (name.clone(), name);
        }
        if let Some(key) = other_key {
            (set.pck_ca.key, set.pck_crl.signed_by) = (key.clone(), key);
        }
        refused!(judged(&Encoded { quote, ..set.encode() }), VerifyError::OtherPckCa { .. });
    }
}

#[test]
fn step_3_the_extension_describes_the_platform() {
    refused!(judged(&with(|set| set.pck.without(SGX_EXTENSION))), VerifyError::NoPckExtension);
    refused!(
        judged(&with(|set| set.pck.extension(SGX_EXTENSION).value = vec![0x30, 0])),
        VerifyError::PckExtension { source: PckExtensionError::Missing { field: "PPID" } }
    );
    refused!(
        judged(&with(|set| set.platform.sgx_type = 3)),
        VerifyError::PckExtension { source: PckExtensionError::OutOfRange { field: "SGX type" } }
    );
}

#[test]
fn step_4_the_platform_signs_the_enclave() {
    let error = refused!(
        judged(&with(|set| set.quote.qe_report_signed_by = Key::p256("nobody"))),
        VerifyError::QeReportSignature { source: SignatureError::Wrong }
    );
    assert_eq!(error.step(), Step::QuotingEnclave);
}

#[test]
fn step_4_the_enclave_names_the_key() {
    for place in [0, 31, 32, 63] {
        let set = with(|set| {
            let key = set.quote.signed_by.spki();
            let bound = Sha256::new()
                .chain_update(key.last_chunk::<64>().unwrap())
                .chain_update(&set.quote.auth_data)
                .finalize();
            set.quote.qe_report[qe::REPORT_DATA..][..32].copy_from_slice(&bound);
            set.quote.qe_report[qe::REPORT_DATA + place] ^= 1;
        });
        refused!(judged(&set), VerifyError::AttestationKeyBinding);
    }
    // an attestation key of the attacker's, with the genuine enclave's report
    let set = with(|set| {
        let key = set.quote.signed_by.spki();
        let bound = Sha256::new().chain_update(key.last_chunk::<64>().unwrap()).chain_update([1]).finalize();
        set.quote.auth_data = vec![1];
        set.quote.qe_report[qe::REPORT_DATA..][..32].copy_from_slice(&bound);
        set.quote.signed_by = Key::p256("attacker");
    });
    refused!(judged(&set), VerifyError::AttestationKeyBinding);
}

#[test]
fn step_4_identity() {
    let report = |place: usize, byte: u8| with(|set| set.quote.qe_report[place] = byte);
    refused!(judged(&report(qe::MR_SIGNER + 31, 0)), VerifyError::QeSigner { .. });
    refused!(judged(&report(qe::ISV_PROD_ID, 1)), VerifyError::QeProduct { found: 1, expected: 2 });
    refused!(judged(&report(qe::MISC_SELECT, 1)), VerifyError::QeMiscSelect { found: 1 });
    refused!(judged(&report(qe::ATTRIBUTES, 0x17)), VerifyError::QeDebug);
    refused!(judged(&report(qe::ATTRIBUTES, 0x35)), VerifyError::QeAttributes { .. });
    refused!(judged(&report(qe::ATTRIBUTES, 0x14)), VerifyError::QeAttributes { .. });
    refused!(judged(&report(qe::ISV_SVN, 1)), VerifyError::NoQeLevel { isv_svn: 1 });
    // bits outside the mask may be anything
    assert!(judged(&report(qe::ATTRIBUTES, 0x11)).is_ok());
    assert!(judged(&report(qe::ISV_SVN, 200)).is_ok());
}

#[test]
fn step_4_no_mask_allows_a_debug_enclave() {
    let set = with(|set| {
        set.qe_identity.attributes_mask = "00".repeat(16);
        set.qe_identity.attributes = "00".repeat(16);
        set.quote.qe_report[qe::ATTRIBUTES] = 0x17;
    });
    refused!(judged(&set), VerifyError::QeDebug);
}

#[test]
fn step_5_the_signature() {
    let mut set = good();
    set.quote[48 + body::MR_TD] ^= 1;
    let error = refused!(judged(&set), VerifyError::QuoteSignature { source: SignatureError::Wrong });
    assert_eq!(error.step(), Step::QuoteSignature);
    let mut set = good();
    // user data of the header
    set.quote[30] ^= 1;
    refused!(judged(&set), VerifyError::QuoteSignature { .. });
    refused!(
        judged(&with(|set| set.quote.attestation_key = Some([7; 64]))),
        VerifyError::AttestationKey { .. }
    );
}

#[test]
fn step_6_collateral_of_another_platform() {
    let error = refused!(
        judged(&with(|set| set.tcb_info.fmspc = "b0c06f000000".to_owned())),
        VerifyError::Fmspc { quote: [0x90, 0xc0, 0x6f, 0, 0, 0], collateral: [0xb0, 0xc0, 0x6f, 0, 0, 0] }
    );
    assert_eq!(error.step(), Step::TcbLevel);
    refused!(
        judged(&with(|set| set.platform.pce_id = [1, 0])),
        VerifyError::PceId { quote: [1, 0], collateral: [0, 0] }
    );
}

#[test]
fn step_6_below_every_level() {
    for place in [0, 7] {
        refused!(judged(&with(|set| set.platform.components[place] -= 1)), VerifyError::NoTcbLevel { .. });
    }
    refused!(judged(&with(|set| set.platform.pce_svn = 10)), VerifyError::NoTcbLevel { pce_svn: 10, .. });
    refused!(judged(&with(|set| set.quote.body[2] = 3)), VerifyError::NoTcbLevel { .. });
    refused!(judged(&with(|set| set.tcb_info.levels.clear())), VerifyError::NoTcbLevel { .. });
}

#[test]
fn step_6_components_0_and_1_count_for_old_modules_only() {
    // version 0: component 0 is compared with the level's, and 2 is below 3
    refused!(
        judged(&with(|set| set.quote.body[..2].copy_from_slice(&[2, 0]))),
        VerifyError::NoTcbLevel { .. }
    );
    let evidence = judged(&with(|set| set.quote.body[..2].copy_from_slice(&[5, 0]))).unwrap();
    assert_eq!(evidence.tdx_module, None);
    // version 3: not compared with the level's, but with its identity's
    let evidence = judged(&with(|set| set.quote.body[..2].copy_from_slice(&[3, 3]))).unwrap();
    assert_eq!(evidence.tdx_module.as_ref().unwrap().status, TcbStatus::UpToDate);
}

#[test]
fn step_6_the_module() {
    refused!(judged(&with(|set| set.quote.body[1] = 2)), VerifyError::ModuleUnknown { version: 2 });
    refused!(judged(&with(|set| set.tcb_info.modules.clear())), VerifyError::ModuleUnknown { version: 1 });
    refused!(
        judged(&with(|set| set.quote.body[0] = 1)),
        VerifyError::NoModuleLevel { version: 1, isv_svn: 1 }
    );
    for version in [0, 1] {
        let signer = with(|set| {
            set.quote.body[1] = version;
            set.quote.body[body::MR_SIGNER_SEAM] = 1;
        });
        refused!(judged(&signer), VerifyError::ModuleSigner { .. });
        let attributes = with(|set| {
            set.quote.body[1] = version;
            set.quote.body[body::SEAM_ATTRIBUTES] = 1;
        });
        refused!(judged(&attributes), VerifyError::ModuleAttributes { found: SeamAttributes(1) });
    }
}

fn out_of_date() -> Encoded {
    with(|set| set.quote.body[2] = 4)
}

#[test]
fn step_7_up_to_date_or_tolerated() {
    let error = refused!(
        judged(&out_of_date()),
        VerifyError::TcbStatus { status: TcbStatus::OutOfDate, ref advisories }
            if advisories == &["INTEL-SA-00001", "INTEL-SA-00002"]
    );
    assert_eq!(error.step(), Step::TcbStatus);
    let any = Tolerance::strict().and(TcbStatus::OutOfDate, Advisories::Any).unwrap();
    let evidence = judged_with(&out_of_date(), &any).unwrap();
    assert!(evidence.tolerated);
    assert_eq!(evidence.tcb_status, TcbStatus::OutOfDate);
    let one = Advisories::Listed(vec!["INTEL-SA-00001".to_owned()]);
    let one = Tolerance::strict().and(TcbStatus::OutOfDate, one).unwrap();
    refused!(
        judged_with(&out_of_date(), &one),
        VerifyError::AdvisoryNotTolerated { status: TcbStatus::OutOfDate, ref advisory }
            if advisory == "INTEL-SA-00002"
    );
    let other = Tolerance::strict().and(TcbStatus::SwHardeningNeeded, Advisories::Any).unwrap();
    refused!(
        judged_with(&out_of_date(), &other),
        VerifyError::TcbStatus { status: TcbStatus::OutOfDate, .. }
    );
}

#[test]
fn step_7_every_part_counts() {
    let enclave = with(|set| {
        set.quote.qe_report[qe::ISV_SVN] = 2;
        set.qe_identity.levels[1].advisories = vec!["INTEL-SA-00003".to_owned()];
    });
    refused!(
        judged(&enclave),
        VerifyError::TcbStatus { status: TcbStatus::OutOfDate, ref advisories }
            if advisories == &["INTEL-SA-00003"]
    );
    let module = with(|set| {
        set.quote.body[0] = 3;
        set.tcb_info.levels[0].status = "ConfigurationNeeded".to_owned();
    });
    refused!(judged(&module), VerifyError::TcbStatus { status: TcbStatus::OutOfDateConfigurationNeeded, .. });
}

#[test]
fn step_7_nobody_tolerates_revoked() {
    let every = TcbStatus::ALL.into_iter().filter(|status| *status != TcbStatus::Revoked);
    let every = every.fold(Tolerance::strict(), |all, status| all.and(status, Advisories::Any).unwrap());
    let revoked = "Revoked";
    for set in [
        with(|set| set.tcb_info.levels[0].status = revoked.to_owned()),
        with(|set| set.tcb_info.modules[1].2 = vec![IsvLevel::new(5, revoked)]),
        with(|set| set.qe_identity.levels = vec![IsvLevel::new(4, revoked)]),
    ] {
        refused!(judged_with(&set, &every), VerifyError::TcbRevoked { .. });
    }
}
