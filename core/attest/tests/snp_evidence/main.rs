//! Real SEV-SNP evidence from `../shared/evidence`: every case gets its expected verdict, at its time and for its reason.
//! Skipped, loudly, where the evidence is not there.

mod bits;
mod case;

use privatemode_attest::ReportData;
use privatemode_attest::signature::SignatureError;
use privatemode_attest::snp::{
    Chain, ChainParts, ChipBinding, CrlState, Link, Product, Report, ReportError, Roots, Signer, Tcb,
    VerifyError,
};
use privatemode_attest::x509::{Certificate, IssueError, ValidityError};
use privatemode_test_pki::{Key, amd};

use crate::case::{at, case, der, root, valid};

fn wrong_signature() -> VerifyError {
    VerifyError::Signature { source: SignatureError::Wrong }
}

#[test]
fn every_report_is_read() {
    let Some(root) = root() else { return };
    for (case, version, product, signer) in [
        ("milan-v2-coco", 2, None, Signer::Vcek),
        ("milan-v2-gcp-debug-policy", 2, None, Signer::Vcek),
        ("milan-v2-azure-vtpm", 2, None, Signer::Vcek),
        ("milan-v2-virtee", 2, None, Signer::Vcek),
        ("milan-v3-azure-vtpm", 3, Some(Product::Milan), Signer::Vcek),
        ("milan-v3-vlek-aws", 3, Some(Product::Milan), Signer::Vlek),
        ("milan-v3-gcp-release", 3, Some(Product::Milan), Signer::Vcek),
        ("milan-v3-gcp-cb", 3, Some(Product::Milan), Signer::Vcek),
        ("milan-v3-dstack", 3, Some(Product::Milan), Signer::Vcek),
        ("milan-v4-gcp-no-vcek", 4, Some(Product::Milan), Signer::Vcek),
        ("genoa-v3-azure-vtpm", 3, Some(Product::Genoa), Signer::Vcek),
    ] {
        let report = Report::parse(&std::fs::read(root.join(case).join("report.bin")).unwrap()).expect(case);
        assert_eq!((report.version, report.product(), report.signer), (version, product, signer), "{case}");
        assert!(report.policy.reserved_bits_hold(), "{case}");
        assert_eq!(report.platform_info.unknown_bits(), 0, "{case}");
        assert_eq!(report.policy.debug_allowed(), case == "milan-v2-gcp-debug-policy", "{case}");
        assert_eq!(report.chip_id_is_masked(), signer == Signer::Vlek, "{case}");
        assert_eq!(report.vmpl, u32::from(signer == Signer::Vlek), "{case}");
    }
}

#[test]
fn every_genuine_case_is_genuine() {
    for case in valid() {
        let evidence = case.verify().unwrap_or_else(|error| panic!("{}: {error:?}", case.name));
        let product = if case.name.starts_with("genoa") { Product::Genoa } else { Product::Milan };
        assert_eq!(evidence.product, product, "{}", case.name);
        let cloud = case.name == "milan-v3-vlek-aws";
        let (signer, chip) = if cloud {
            (Signer::Vlek, ChipBinding::CloudKey)
        } else {
            (Signer::Vcek, ChipBinding::Certified)
        };
        assert_eq!((evidence.signer, evidence.chip), (signer, chip), "{}", case.name);
        assert_eq!(evidence.cloud.as_deref(), cloud.then_some("CN=cc-us-east-2.amazonaws.com"));
        assert_eq!(evidence.crl == CrlState::NotGiven, case.crl.is_none(), "{}", case.name);
        // step 6
        let said = evidence.report.report_data;
        let mut other = *said.as_bytes();
        other[0] ^= 8;
        assert!(evidence.clone().bound_to(&said).is_ok(), "{}", case.name);
        assert!(evidence.bound_to(&ReportData::from(other)).is_err(), "{}", case.name);
    }
}

#[test]
fn what_is_built_in_is_enough() {
    for case in valid() {
        let built_in = case.with(|case| {
            case.ask.clear();
            case.ark.clear();
        });
        assert_eq!(built_in, case.verify(), "{}", case.name);
    }
}

#[test]
fn pem_is_read_too() {
    let Some(root) = root() else { return };
    let case = case(&root, "milan-v2-coco", "2024-06-01T00:00:00Z");
    let read = |name: &str| std::fs::read(root.join("milan-v2-coco").join(name)).unwrap();
    let pem = case.with(|case| (case.ask, case.ark) = (read("ask.pem"), read("ark.pem")));
    assert_eq!(pem, case.verify());
}

#[test]
fn facts_of_the_cloud_key() {
    let Some(root) = root() else { return };
    let evidence = case(&root, "milan-v3-vlek-aws", "2025-06-01T00:00:00Z").verify().unwrap();
    let tcb = |microcode| Tcb { fmc: None, bootloader: 4, tee: 0, snp: 24, microcode };
    assert_eq!((evidence.vek_tcb, evidence.report.launch_tcb), (tcb(0xd9), tcb(0xdb)));
    assert!(evidence.report.reported_tcb.check_at_least(&evidence.report.launch_tcb).is_err());
}

#[test]
fn each_case_at_its_other_times() {
    let Some(root) = root() else { return };
    let expired =
        |link, until| VerifyError::NotValid { link, source: ValidityError::Expired { until: at(until) } };
    for (name, time, error) in [
        ("milan-v2-coco", "2031-01-01T00:00:00Z", expired(Link::Vek, "2030-01-24T17:58:26Z")),
        ("milan-v3-vlek-aws", "2026-06-01T00:00:00Z", expired(Link::Vek, "2025-12-10T22:14:21Z")),
        (
            "milan-v3-dstack",
            "2026-06-01T00:00:00Z",
            VerifyError::NotValid {
                link: Link::Vek,
                source: ValidityError::NotYetValid { from: at("2026-06-17T01:05:04Z") },
            },
        ),
        (
            "milan-v3-azure-vtpm",
            "2026-06-01T00:00:00Z",
            VerifyError::CrlStale { next_update: at("2026-05-12T00:00:00Z"), grace: 0 },
        ),
        (
            "genoa-v3-azure-vtpm",
            "2026-01-01T00:00:00Z",
            VerifyError::CrlStale { next_update: at("2025-11-03T01:00:00Z"), grace: 0 },
        ),
        (
            "genoa-v3-azure-vtpm",
            "2024-10-23T04:36:23Z",
            VerifyError::CrlNotYetValid { this_update: at("2024-10-23T04:36:24Z") },
        ),
    ] {
        assert_eq!(case(&root, name, time).verify().map(|_| ()), Err(error), "{name} at {time}");
    }
}

#[test]
fn a_stale_list_is_tolerated_only_for_its_grace() {
    let Some(root) = root() else { return };
    let case = case(&root, "milan-v3-azure-vtpm", "2026-06-01T00:00:00Z");
    let ended = at("2026-05-12T00:00:00Z");
    let twenty_days = 20 * 86_400;
    let grace = CrlState::Grace { ended, until: case.at };
    assert_eq!(case.verify_with(twenty_days).unwrap().crl, grace);
    assert_eq!(
        case.verify_with(twenty_days - 1).map(|_| ()),
        Err(VerifyError::CrlStale { next_update: ended, grace: twenty_days - 1 })
    );
    assert_eq!(case.with(|case| case.crl = None).unwrap().crl, CrlState::NotGiven);
}

#[test]
fn before_and_after_every_validity() {
    for case in valid() {
        let vek = Certificate::parse(&case.vek).unwrap();
        let (from, until) = (vek.not_before(), vek.not_after());
        for (time, source) in [
            (from.saturating_sub(1), ValidityError::NotYetValid { from }),
            (until.saturating_add(1), ValidityError::Expired { until }),
        ] {
            let error = VerifyError::NotValid { link: Link::Vek, source };
            case.refused(&error, |case| (case.at, case.crl) = (time, None));
        }
        for time in [from, until] {
            assert!(case.with(|case| (case.at, case.crl) = (time, None)).is_ok(), "{}", case.name);
        }
    }
}

#[test]
fn a_report_without_its_certificate_is_not_accepted() {
    let Some(root) = root() else { return };
    let report = std::fs::read(root.join("milan-v4-gcp-no-vcek/report.bin")).unwrap();
    for case in valid().iter().filter(|case| case.name.starts_with("milan") && !case.name.contains("vlek")) {
        // the TCB is another one in every case, which is found first
        let error = case.with(|case| case.report.clone_from(&report)).map(|_| ()).unwrap_err();
        assert!(matches!(error, VerifyError::TcbMismatch { .. }), "{}: {error:?}", case.name);
    }
    let cloud = case(&root, "milan-v3-vlek-aws", "2025-06-01T00:00:00Z");
    let role = VerifyError::EndorsementKeyRole { report: Signer::Vcek, chain: Signer::Vlek };
    cloud.refused(&role, |case| case.report = report);
}

#[test]
fn wrong_vceks() {
    let Some(root) = root() else { return };
    let case = case(&root, "milan-v2-coco", "2024-06-01T00:00:00Z");
    // these two have AMD's names and claims of a chip, but AMD signed neither
    let error = VerifyError::EndorsementKeyNotIssued {
        source: IssueError::Signature { source: SignatureError::Wrong },
    };
    for name in ["wrong_vcek_legacy.der", "wrong_vcek_new.der"] {
        let wrong = der(&root.join("milan-v2-coco").join(name));
        case.refused(&error, |case| case.vek = wrong);
    }
    // the same TCB, another chip
    let other = der(&root.join("milan-v2-virtee/vcek.der"));
    case.refused(&VerifyError::ChipMismatch, |case| case.vek = other);
}

#[test]
fn every_vcek_is_for_its_own_report_only() {
    let cases = valid();
    for case in &cases {
        for other in cases.iter().filter(|other| other.name != case.name) {
            let verdict = case.with(|case| (case.vek, case.at) = (other.vek.clone(), other.at));
            let error = verdict.map(|_| ()).unwrap_err();
            let expected = match &error {
                VerifyError::EndorsementKeyNotIssued { source: IssueError::OtherIssuer } => {
                    Certificate::parse(&case.vek).unwrap().issuer_der()
                        != Certificate::parse(&other.vek).unwrap().issuer_der()
                }
                VerifyError::TcbMismatch { certificate, report } => certificate != report,
                VerifyError::ChipMismatch
                | VerifyError::CrlStale { .. }
                | VerifyError::CrlNotYetValid { .. } => true,
                _ => false,
            };
            assert!(expected, "{} with {}: {error:?}", case.name, other.name);
        }
    }
}

#[test]
fn chains_of_another_line() {
    let Some(root) = root() else { return };
    let milan = case(&root, "milan-v3-gcp-cb", "2025-09-01T00:00:00Z");
    let genoa = case(&root, "genoa-v3-azure-vtpm", "2025-09-01T00:00:00Z");
    let other = VerifyError::EndorsementKeyNotIssued { source: IssueError::OtherIssuer };
    milan.refused(&other, |case| (case.ask, case.ark) = (genoa.ask.clone(), genoa.ark.clone()));
    genoa.refused(&other, |case| {
        (case.ask, case.ark, case.crl) = (milan.ask.clone(), milan.ark.clone(), None);
    });
    let ask = VerifyError::SigningKeyNotIssued { source: IssueError::OtherIssuer };
    milan.refused(&ask, |case| case.ark.clone_from(&genoa.ark));
    milan.refused(&ask, |case| case.ask.clone_from(&genoa.ask));
}

#[test]
fn ask_and_asvk_exchanged() {
    let Some(root) = root() else { return };
    let other = VerifyError::EndorsementKeyNotIssued { source: IssueError::OtherIssuer };
    let vcek = case(&root, "milan-v3-gcp-cb", "2025-09-01T00:00:00Z");
    vcek.refused(&other, |case| case.ask = der(&root.join("amd-roots/milan_asvk.pem")));
    let vlek = case(&root, "milan-v3-vlek-aws", "2025-06-01T00:00:00Z");
    vlek.refused(&other, |case| case.ask = der(&root.join("amd-roots/milan_ask.pem")));
}

#[test]
fn lists_that_do_not_count() {
    let Some(root) = root() else { return };
    let milan_list = std::fs::read(root.join("amd-roots/milan_crl.der")).unwrap();
    let genoa_list = std::fs::read(root.join("amd-roots/genoa_crl.der")).unwrap();
    let milan = case(&root, "milan-v3-azure-vtpm", "2025-10-01T00:00:00Z");
    let genoa = case(&root, "genoa-v3-azure-vtpm", "2025-10-01T00:00:00Z");
    for (case, own, other) in [(&milan, &milan_list, &genoa_list), (&genoa, &genoa_list, &milan_list)] {
        assert!(case.with(|case| case.crl = Some(own.clone())).is_ok(), "{}", case.name);
        case.refused(&VerifyError::CrlNotApplicable, |case| case.crl = Some(other.clone()));
        let flipped =
            VerifyError::CrlNotIssued { source: IssueError::Signature { source: SignatureError::Wrong } };
        case.refused(&flipped, |case| {
            let mut list = own.clone();
            *list.last_mut().unwrap() ^= 1;
            case.crl = Some(list);
        });
    }
}

#[test]
fn general_mutations_of_the_report() {
    let unsupported = |version| VerifyError::Report { source: ReportError::Version { version } };
    let length = |len| VerifyError::Report { source: ReportError::Length { len } };
    for case in valid() {
        case.refused(&wrong_signature(), |case| case.report[0x50] ^= 8);
        for place in 0x90..0xc0 {
            case.refused(&wrong_signature(), |case| case.report[place] ^= 1 << (place % 8));
        }
        case.refused(&wrong_signature(), |case| case.report[0x0a] ^= 8);
        let algorithm = VerifyError::Report { source: ReportError::SignatureAlgorithm { algorithm: 2 } };
        case.refused(&algorithm, |case| case.report[0x34] = 2);
        case.refused(&unsupported(0), |case| case.report[0..4].fill(0));
        case.refused(&unsupported(u32::MAX), |case| case.report[0..4].fill(0xff));
        case.refused(&length(1183), |case| case.report.truncate(1183));
        case.refused(&length(1185), |case| case.report.push(0));
        for place in 0x2d0..0x2e8 {
            case.refused(&VerifyError::SignatureTooLong, |case| case.report[place] = 1);
        }
    }
}

#[test]
fn signatures_of_zero_and_of_the_curves_order() {
    const ORDER: &str = concat!(
        "ffffffffffffffffffffffffffffffffffffffffffffffff",
        "c7634d81f4372ddf581a0db248b0a77aecec196accc52973"
    );
    let order: Vec<u8> =
        (0..48).rev().map(|at| u8::from_str_radix(&ORDER[2 * at..2 * at + 2], 16).unwrap()).collect();
    for case in valid() {
        for at in [0x2a0, 0x2e8] {
            for value in [&[0; 48][..], &order] {
                let verdict = case.with(|case| case.report[at..at + 48].copy_from_slice(value)).map(|_| ());
                assert!(matches!(verdict, Err(VerifyError::Signature { .. })), "{}: {verdict:?}", case.name);
            }
        }
    }
}

#[test]
fn the_last_byte_of_the_vcek() {
    let error = VerifyError::EndorsementKeyNotIssued {
        source: IssueError::Signature { source: SignatureError::Wrong },
    };
    for case in valid() {
        case.refused(&error, |case| *case.vek.last_mut().unwrap() ^= 1);
    }
}

/// A chain with AMD's names, all of it made by somebody else, over a real report signed again.
#[test]
fn a_chain_with_amds_names() {
    let Some(root) = root() else { return };
    let real = case(&root, "milan-v3-gcp-cb", "2025-12-01T00:00:00Z");
    let mut made = amd::Evidence::new(amd::Product::Milan, amd::Signer::Vcek);
    made.report.copy_from_slice(&real.report);
    let parsed = Report::parse(&real.report).unwrap();
    made.vek.extension(&amd::amd_oid("4")).value = parsed.chip_id.to_vec();
    let made = made.encode();
    real.refused(&VerifyError::UntrustedRoot, |case| {
        (case.report, case.vek, case.ask, case.ark) =
            (made.report.clone(), made.vek.clone(), made.ask.clone(), made.ark.clone());
    });
    // the keys here are shorter than AMD's, and so are their signatures
    let not_issued = VerifyError::SigningKeyNotIssued {
        source: IssueError::Signature { source: SignatureError::Malformed },
    };
    real.refused(&not_issued, |case| {
        (case.report, case.vek, case.ask) = (made.report.clone(), made.vek.clone(), made.ask.clone());
        case.ark.clear();
    });
    let mut with_amds_key = amd::Evidence::new(amd::Product::Milan, amd::Signer::Vcek);
    with_amds_key.vek.signed_by = Key::rsa("somebody's ASK");
    real.refused(
        &VerifyError::EndorsementKeyNotIssued {
            source: IssueError::Signature { source: SignatureError::Malformed },
        },
        |case| case.vek = with_amds_key.vek.der(),
    );
}

#[test]
fn a_kept_chain_gives_the_same_verdicts() {
    for case in valid() {
        let parts = ChainParts { ask: &case.ask, ark: &case.ark, crl: case.crl.as_deref(), crl_grace: 0 };
        let chain = Chain::verify(&parts, &Roots::embedded(), case.at).unwrap();
        assert_eq!(chain.verify_report(&case.report, &case.vek, case.at), case.verify(), "{}", case.name);
    }
}
