//! Real TDX quotes and collateral, each with exactly its expected verdict at its stated times.
//!
//! The evidence is not part of the repository. Where it is missing the tests say so and prove nothing.

mod tdx_cases;

use privatemode_attest::tdx::{
    Advisories, ChainError, CollateralError, Document, DocumentError, Freshness, Grace, Needs, PckCa, Quote,
    QuoteError, Roots, Step, TcbStatus, Tolerance, VerifyError,
};
use privatemode_attest::x509::Certificate;
use privatemode_attest::{CarriesReportData as _, ReportData, UnixTime};
use tdx_cases::{Case, VALID, at, folder, read};

fn case(name: &str) -> Option<Case> {
    folder().map(|_| Case::read(name))
}

#[test]
fn valid_cases() {
    for (name, time) in VALID {
        let Some(case) = case(name) else { return };
        let evidence = case.verify(at(time)).unwrap_or_else(|error| panic!("{name}: {error:?}"));
        assert_eq!(evidence.tcb_status, TcbStatus::UpToDate, "{name}");
        assert!(!evidence.tolerated);
        assert_eq!(evidence.advisories, Vec::<String>::new(), "{name}");
        assert!(matches!(evidence.freshness, Freshness::Current { .. }));
        assert_eq!(evidence.body.td_attributes.to_bytes(), [0, 0, 0, 0x10, 0, 0, 0, 0], "{name}");
        assert!(!evidence.body.td_attributes.debug());
        let said = *evidence.report_data();
        assert!(evidence.clone().bound_to(&said).is_ok());
        assert!(evidence.bound_to(&ReportData::from([0xee; 64])).is_err());
    }
}

#[test]
fn values_are_those_of_the_facts() {
    let Some(case) = case("v5-90c06f-uptodate") else { return };
    let evidence = case.verify(at("2026-02-25T00:00:00Z")).unwrap();
    assert_eq!(evidence.quote_version, 5);
    assert_eq!(hex::encode(evidence.body.tee_tcb_svn), "0b010400000000000000000000000000");
    assert_eq!(
        hex::encode(evidence.body.v1_5.as_ref().unwrap().tee_tcb_svn_2),
        "0d010400000000000000000000000000"
    );
    assert_eq!(&hex::encode(evidence.body.mr_td)[..16], "7348651a34b2d2d3");
    assert_eq!(&hex::encode(evidence.body.rtmrs[2])[..16], "6369b9c9a3b791eb");
    assert_eq!(hex::encode(evidence.body.xfam.to_bytes()), "e702060000000000");
    assert_eq!(hex::encode(evidence.pck.fmspc), "90c06f000000");
    assert_eq!((evidence.pck.pce_id, evidence.pck.pce_svn), ([0, 0], 13));
    assert_eq!(evidence.pck.components, [4, 4, 2, 2, 4, 1, 0, 5, 0, 0, 0, 0, 0, 0, 0, 0]);
    assert_eq!(hex::encode(evidence.pck.platform_instance.unwrap()), "056d0350250988808a9d09103f3e54d5");
    assert_eq!(
        (evidence.pck.dynamic_platform, evidence.pck.cached_keys, evidence.pck.smt_enabled),
        (Some(true), Some(true), Some(true))
    );
    assert_eq!(evidence.pck_ca, PckCa::Platform);
    assert_eq!(evidence.tcb_date, at("2024-11-13T00:00:00Z"));
    assert_eq!(evidence.evaluation_number, 18);
    assert_eq!(evidence.qe_report.isv_svn, 7);
    assert_eq!(evidence.tdx_module.as_ref().map(|module| module.status), Some(TcbStatus::UpToDate));
    assert_eq!(evidence.freshness, Freshness::Current { until: at("2026-03-03T14:49:26Z") });
}

#[test]
fn collateral_out_of_its_time() {
    for (name, time) in [
        ("emr-b0c06f-uptodate", "2025-08-01T00:00:00Z"),
        ("azure-90c06f-2026-06", "2026-08-01T00:00:00Z"),
        ("spr-50806f-debug-td", "2024-01-01T00:00:00Z"),
        ("gcp-00806f-ccel", "2025-07-15T00:00:00Z"),
        ("gcp-00806f-2025-12", "2026-03-01T00:00:00Z"),
        ("v5-90c06f-uptodate", "2026-03-10T00:00:00Z"),
    ] {
        let Some(case) = case(name) else { return };
        let error = case.collateral().verify(&Roots::embedded(), at(time)).unwrap_err();
        assert!(
            matches!(error, CollateralError::Stale { document: Document::TcbInfo, .. }),
            "{name}: {error:?}"
        );
        assert_eq!(error.step(), Step::Collateral);
    }
    let Some(case) = case("emr-b0c06f-uptodate") else { return };
    let error = case.collateral().verify(&Roots::embedded(), at("2025-06-01T00:00:00Z")).unwrap_err();
    assert!(matches!(error, CollateralError::NotYetIssued { document: Document::TcbInfo, .. }), "{error:?}");
}

#[test]
fn each_document_has_its_own_time() {
    // nextUpdate of QE identity, PCK list and root list of this case differ from each other and from TCB info's
    let Some(case) = case("spr-50806f-debug-td") else { return };
    let collateral = case.collateral();
    for (last, document) in [
        ("2023-07-08T07:24:58Z", Document::QeIdentity),
        ("2023-07-08T07:27:51Z", Document::PckCrl),
        ("2023-07-18T08:42:57Z", Document::TcbInfo),
    ] {
        let grace = Grace::seconds(Grace::MAX_SECONDS).unwrap();
        let verified = collateral.verify_with_grace(&Roots::embedded(), grace, at(last)).unwrap();
        let end = UnixTime(at(last).as_secs() + 1);
        match verified.check_current(end).unwrap() {
            Freshness::Grace { since, overdue } => assert_eq!(since.as_secs() + overdue, end.as_secs()),
            Freshness::Current { .. } => panic!("{document} is overdue"),
        }
    }
    let at_the_end = at("2023-07-08T07:24:59Z");
    let error = collateral.verify(&Roots::embedded(), at_the_end).unwrap_err();
    assert!(matches!(error, CollateralError::Stale { document: Document::QeIdentity, .. }), "{error:?}");
}

#[test]
fn grace_is_bounded_and_shows() {
    let Some(case) = case("emr-b0c06f-uptodate") else { return };
    let overdue_by_a_day = at("2025-07-20T10:00:35Z");
    let day = Grace::seconds(24 * 3600 + 1).unwrap();
    let verified = case.collateral().verify_with_grace(&Roots::embedded(), day, overdue_by_a_day).unwrap();
    let evidence =
        privatemode_attest::tdx::verify(&case.quote, &verified, &Tolerance::strict(), overdue_by_a_day)
            .unwrap();
    let since = at("2025-07-19T10:00:35Z");
    assert_eq!(evidence.freshness, Freshness::Grace { since, overdue: 24 * 3600 });
    let later = at("2025-07-21T10:00:35Z");
    let error =
        privatemode_attest::tdx::verify(&case.quote, &verified, &Tolerance::strict(), later).unwrap_err();
    let VerifyError::Collateral { source } = error else { panic!("{error:?}") };
    assert!(matches!(*source, CollateralError::Stale { document: Document::TcbInfo, .. }), "{source:?}");
}

#[test]
fn a_debug_domain_is_genuine_and_says_so() {
    let Some(case) = case("spr-50806f-debug-td") else { return };
    let evidence = case.verify(at("2023-06-20T00:00:00Z")).unwrap();
    assert_eq!(evidence.tcb_status, TcbStatus::UpToDate);
    assert!(evidence.body.td_attributes.debug());
    assert_eq!(evidence.tdx_module, None);
}

#[test]
fn below_every_level() {
    for (name, time) in [
        ("spr-50806f-no-tcb-level", "2023-07-01T00:00:00Z"),
        ("v5-90c06f-no-tcb-level", "2025-06-10T00:00:00Z"),
    ] {
        let Some(case) = case(name) else { return };
        let error = case.verify(at(time)).unwrap_err();
        assert!(matches!(error, VerifyError::NoTcbLevel { .. }), "{name}: {error:?}");
        assert_eq!(error.step(), Step::TcbLevel);
        let every = TcbStatus::ALL.into_iter().filter(|status| *status != TcbStatus::Revoked);
        let tolerance = every
            .fold(Tolerance::strict(), |tolerance, status| tolerance.and(status, Advisories::Any).unwrap());
        let error = case.verify_tolerant(&tolerance, at(time)).unwrap_err();
        assert!(matches!(error, VerifyError::NoTcbLevel { .. }), "{name}: {error:?}");
    }
}

#[test]
fn an_sgx_quote() {
    let Some(quote) = read("not-tdx-sgx-quote/quote.bin") else { return };
    assert_eq!(Quote::parse(&quote).unwrap_err(), QuoteError::Sgx { version: 3 });
    let collateral = read("not-tdx-sgx-quote/collateral/original.json").unwrap();
    let collateral = privatemode_attest::tdx::Collateral::from_json(&collateral).unwrap();
    let error = collateral.verify(&Roots::embedded(), at("2025-07-01T00:00:00Z")).unwrap_err();
    assert!(
        matches!(
            &error,
            CollateralError::Content {
                document: Document::TcbInfo,
                source: DocumentError::Kind { found, expected: "TDX" }
            } if found == "SGX"
        ),
        "{error:?}"
    );
}

#[test]
fn a_root_of_intels_name_with_another_key() {
    let Some(collateral) = tdx_cases::intel_sample() else { return };
    let now = at("2025-01-01T00:00:00Z");
    let error = collateral.verify(&Roots::embedded(), now).unwrap_err();
    assert!(matches!(error, CollateralError::PckCaChain { source: ChainError::OtherRoot }), "{error:?}");
    // under its own root every signature holds; its numbers do not fit the bytes that they are compared with
    let root = read("untrusted-root-intel-sample/trustedRootCaCert.pem").unwrap();
    let root = Certificate::parse(&root).unwrap();
    let roots = Roots::danger_test(root.der()).unwrap();
    let error = collateral.verify(&roots, now).unwrap_err();
    assert!(
        matches!(
            error,
            CollateralError::Content { document: Document::TcbInfo, source: DocumentError::Json { .. } }
        ),
        "{error:?}"
    );
    // and genuine collateral does not count under it
    let Some(case) = case("emr-b0c06f-uptodate") else { return };
    let error = case.collateral().verify(&roots, at("2025-07-01T00:00:00Z")).unwrap_err();
    assert!(matches!(error, CollateralError::PckCaChain { source: ChainError::OtherRoot }), "{error:?}");
}

#[test]
fn needs_of_real_quotes() {
    for (name, fmspc) in [
        ("emr-b0c06f-uptodate", "B0C06F000000"),
        ("v5-90c06f-uptodate", "90C06F000000"),
        ("gcp-00806f-ccel", "00806F050000"),
    ] {
        let Some(case) = case(name) else { return };
        let needs = Needs::of_unverified_quote(&case.quote).unwrap();
        assert_eq!(needs.tcb_info_path(), format!("/tdx/certification/v4/tcb?fmspc={fmspc}"));
        assert_eq!(needs.pck_ca, PckCa::Platform);
    }
}

#[test]
fn one_file_and_many_are_the_same_collateral() {
    let Some(case) = case("emr-b0c06f-uptodate") else { return };
    let json = read("emr-b0c06f-uptodate/collateral/original.json").unwrap();
    let one = privatemode_attest::tdx::Collateral::from_json(&json).unwrap();
    assert_eq!(one, *case.collateral());
    assert_eq!(
        privatemode_attest::tdx::Collateral::from_json(one.to_json().unwrap().as_bytes()).unwrap(),
        one
    );
}
