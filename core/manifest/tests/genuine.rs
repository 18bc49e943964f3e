//! Whole verifications of evidence that is genuine in everything but the root: from the document that a coordinator sends to
//! the mesh CA, and each way of refusing it on the road.

#![allow(clippy::unwrap_used, reason = "a test")]

use privatemode_attest::encoding::{sevsnp, tdx as tdx_encoding};
use privatemode_attest::tdx::{PckCa, PcsDocuments, TcbStatus};
use privatemode_attest::{EvidenceKind, UnixTime, snp};
use privatemode_manifest::appraise::snp::SnpRefusal;
use privatemode_manifest::appraise::tdx::TdxRefusal;
use privatemode_manifest::appraise::{Refusal, Refusals, Verdict};
use privatemode_manifest::{
    AttestationDocument, Collateral, Manifest, Needs, NeedsError, PolicyHash, Roots, SnpCollateral,
    TdxCollateral, VerifyError, VerifyOptions, document_needs, history, needs, verify_deployment,
    verify_deployment_report,
};
use privatemode_test_pki::intel::{self, Body, body};
use privatemode_test_pki::{Certificate, amd};
use serde_json::{Value, json};

const NONCE: [u8; 32] = [9; 32];
const POLICY: &[u8] = b"policy of the coordinator";
const WORKLOAD: &[u8] = b"policy of another workload";
const DAY: u64 = 86_400;

fn policy() -> PolicyHash {
    PolicyHash::of(POLICY)
}

fn manifest(reference_values: &Value) -> Manifest {
    let policies = json!({
        policy().to_string(): {"SANs": ["coordinator"], "Role": "coordinator"},
        PolicyHash::of(WORKLOAD).to_string(): {"SANs": ["workload"]},
    });
    let json = json!({"Policies": policies, "ReferenceValues": reference_values});
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

fn ca_pem() -> Vec<u8> {
    let mut params = rcgen::CertificateParams::default();
    params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    params.not_before = rcgen::date_time_ymd(2020, 1, 1);
    params.not_after = rcgen::date_time_ymd(2040, 1, 1);
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    params.self_signed(&key).unwrap().pem().into_bytes()
}

/// A document, and the report data that its evidence must have.
fn document(manifest: &Manifest, kind: EvidenceKind) -> (AttestationDocument, [u8; 64]) {
    let document = AttestationDocument {
        version: "v0.1.0".into(),
        raw_attestation_doc: Vec::new(),
        attestation_type: Some(kind),
        manifests: vec![manifest.raw().to_vec()],
        policies: vec![POLICY.to_vec(), WORKLOAD.to_vec()],
        root_ca: ca_pem(),
        mesh_ca: ca_pem(),
    };
    let transition = history::transition(&document.manifests).unwrap();
    let data = history::report_data(&NONCE, &transition, &document.root_ca, &document.mesh_ca);
    (document, *data.as_bytes())
}

/// A deployment, and what a client has to verify it.
struct Case {
    manifest: Manifest,
    document: AttestationDocument,
    options: VerifyOptions,
    now: UnixTime,
}

impl Case {
    fn refuse(&self) -> VerifyError {
        verify_deployment(&self.document, &NONCE, &self.manifest, &self.options, self.now).unwrap_err()
    }

    fn refusals(&self) -> Vec<Refusal> {
        match self.refuse() {
            VerifyError::NotAccepted { refusals: Refusals(refusals), .. } => {
                refusals.into_iter().map(|each| each.refusal).collect()
            }
            other => panic!("{other:?}"),
        }
    }

    /// Accepts it, and gives the report.
    fn accept(&self) -> privatemode_manifest::verify::Report {
        let (report, result) =
            verify_deployment_report(&self.document, &NONCE, &self.manifest, &self.options, self.now);
        let deployment = result.unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(deployment.coordinator_policy(), policy());
        assert_eq!(deployment.mesh_ca_pem().as_bytes(), self.document.mesh_ca);
        assert!(report.trusted);
        report
    }
}

fn snp_entry(product: amd::Product) -> Value {
    json!({
        "ProductName": format!("{product:?}"),
        "TrustedMeasurement": "3e".repeat(48),
        "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
        "GuestPolicy": {"SMT": true, "ABIMinor": 31},
        "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
    })
}

fn snp_with(
    product: amd::Product,
    signer: amd::Signer,
    entries: &Value,
    change: impl FnOnce(&mut amd::Evidence, &mut sevsnp::SnpEvidence),
) -> Case {
    let manifest = manifest(&json!({"snp": entries}));
    let (mut document, data) = document(&manifest, EvidenceKind::Snp);
    let mut pki = amd::Evidence::new(product, signer);
    pki.report[0x50..0x90].copy_from_slice(&data);
    pki.report[0xc0..0xe0].copy_from_slice(policy().as_bytes());
    let mut carried = sevsnp::SnpEvidence::of_report([0; 1184]);
    change(&mut pki, &mut carried);
    let encoded = pki.encode();
    *carried.report = encoded.report.try_into().unwrap();
    let slot = if signer == amd::Signer::Vcek { &mut carried.vcek } else { &mut carried.vlek };
    // a change that put a certificate there meant to leave it out
    *slot = if slot.is_some() { None } else { Some(encoded.vek.clone()) };
    carried.crl = if carried.crl.is_some() { None } else { Some(encoded.crl.clone()) };
    carried.ask = Some(encoded.ask.clone());
    carried.ark = Some(encoded.ark.clone());
    document.raw_attestation_doc = sevsnp::encode(&carried).unwrap();
    let line = snp::Product::from_name(&format!("{product:?}")).unwrap();
    let roots = Roots::danger_test_snp(line, &encoded.ark).unwrap();
    let options = VerifyOptions { roots, ..VerifyOptions::default() };
    Case { manifest, document, options, now: UnixTime(amd::NOW) }
}

fn genoa(change: impl FnOnce(&mut amd::Evidence, &mut sevsnp::SnpEvidence)) -> Case {
    snp_with(amd::Product::Genoa, amd::Signer::Vcek, &json!([snp_entry(amd::Product::Genoa)]), change)
}

#[test]
fn each_line_of_amd() {
    for product in [amd::Product::Milan, amd::Product::Genoa, amd::Product::Turin] {
        let case = snp_with(product, amd::Signer::Vcek, &json!([snp_entry(product)]), |_, _| ());
        let report = case.accept();
        let evidence = report.evidence.unwrap();
        assert!(!evidence.production_roots);
        assert!(evidence.genuine.iter().all(|step| step.verdict == Verdict::Passed));
        let numbers: Vec<u8> = evidence.genuine.iter().map(|step| step.number).collect();
        assert_eq!(numbers, [1, 2, 2, 2, 2, 3, 4, 4, 5, 6]);
        let entry = &evidence.entries[0];
        assert!(entry.accepted);
        assert_eq!(entry.label, format!("{product:?} entry 1"));
        let numbers: Vec<u8> = entry.steps.iter().map(|step| step.number).collect();
        assert_eq!(numbers, [3, 2, 4, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
        assert_eq!(evidence.policy, Some(policy().to_string()));
    }
}

#[test]
fn amds_own_roots_are_the_default() {
    let mut case = genoa(|_, _| ());
    case.options.roots = Roots::embedded();
    match case.refuse() {
        VerifyError::Evidence { kind: EvidenceKind::Snp, source } => {
            let source = source.downcast::<snp::VerifyError>().unwrap();
            assert!(matches!(*source, snp::VerifyError::SigningKeyNotIssued { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn several_entries_of_which_the_last_accepts() {
    let mut other = snp_entry(amd::Product::Genoa);
    other["TrustedMeasurement"] = json!("00".repeat(48));
    let entries = json!([snp_entry(amd::Product::Milan), other, snp_entry(amd::Product::Genoa)]);
    let case = snp_with(amd::Product::Genoa, amd::Signer::Vcek, &entries, |_, _| ());
    let evidence = case.accept().evidence.unwrap();
    let accepted: Vec<bool> = evidence.entries.iter().map(|entry| entry.accepted).collect();
    assert_eq!(accepted, [false, false, true]);
    let of_next = [evidence.entries[0].steps[0].verdict, evidence.entries[1].steps[3].verdict];
    assert_eq!(of_next, [Verdict::Failed; 2]);
}

#[test]
fn several_entries_of_which_none_accepts_the_closest_is_named_first() {
    let mut minimum = snp_entry(amd::Product::Genoa);
    minimum["MinimumTCB"]["SNPVersion"] = json!(28);
    let entries = json!([snp_entry(amd::Product::Milan), minimum]);
    let case = snp_with(amd::Product::Genoa, amd::Signer::Vcek, &entries, |_, _| ());
    let text = case.refuse().to_string();
    let expected = "no reference value of the manifest accepts it: Genoa entry 2: SNP firmware 24 of the certificate's TCB is below 28: the host must update its firmware; Milan entry 1: the processor is Genoa, not Milan";
    assert!(text.ends_with(expected), "{text}");
}

#[test]
fn a_debug_guest() {
    let case = genoa(|pki, _| pki.report[0x08 + 2] |= 1 << 3);
    let bits = vec![privatemode_manifest::appraise::snp::PolicyBit::Debug];
    assert_eq!(case.refusals(), [Refusal::Snp(SnpRefusal::PolicyAllows { bits })]);
}

#[test]
fn a_cloud_key_only_if_the_manifest_says_so() {
    let mut entry = snp_entry(amd::Product::Milan);
    let vlek = |entry: &Value| snp_with(amd::Product::Milan, amd::Signer::Vlek, &json!([entry]), |_, _| ());
    let cloud = Some("CN=cc-test.example.com".to_owned());
    assert_eq!(vlek(&entry).refusals(), [Refusal::Snp(SnpRefusal::VlekNotAllowed { cloud })]);
    entry["AllowVLEK"] = json!(true);
    entry["AllowedClouds"] = json!(["CN=cc-other.example.com"]);
    let cloud = Some("CN=cc-test.example.com".to_owned());
    assert_eq!(vlek(&entry).refusals(), [Refusal::Snp(SnpRefusal::CloudNotAllowed { cloud })]);
    entry["AllowedClouds"] = json!(["CN=cc-test.example.com"]);
    vlek(&entry).accept();
}

#[test]
fn evidence_without_certificates_takes_those_that_were_fetched() {
    let mut encoded = None;
    let mut case = genoa(|pki, carried| {
        encoded = Some(pki.encode());
        (carried.vcek, carried.crl) = (Some(Vec::new()), Some(Vec::new()));
    });
    let encoded = encoded.unwrap();
    let raw = &case.document.raw_attestation_doc;
    match needs(EvidenceKind::Snp, raw, &case.manifest).unwrap() {
        Needs::Snp(needs) => {
            assert!(needs.vek && needs.crl);
            let path = needs.candidates[0].kds_vcek_path().unwrap();
            assert!(path.starts_with(&format!("/vcek/v1/Genoa/{}?blSPL=04", "c5".repeat(64))), "{path}");
        }
        other => panic!("{other:?}"),
    }
    let refused = case.refuse();
    assert!(matches!(refused, VerifyError::CollateralMissing { kind: EvidenceKind::Snp, .. }), "{refused:?}");
    let mut fetched = SnpCollateral { vek: Some(encoded.vek), ..SnpCollateral::default() };
    case.options.collateral.snp = Some(fetched.clone().into());
    assert!(matches!(case.refuse(), VerifyError::RevocationListMissing));
    // an explicit downgrade, which the report shows
    case.options.require_crl = false;
    let notes = case.accept().evidence.unwrap().notes;
    assert_eq!(notes, ["revocations were not checked: there was no list"]);
    fetched.crl = Some(encoded.crl);
    case.options.collateral.snp = Some(fetched.into());
    case.options.require_crl = true;
    case.accept();
}

#[test]
fn the_newer_revocation_list_counts() {
    let revoking = |newer: u64| {
        let mut list = None;
        let mut case = genoa(|pki, _| {
            let mut crl = pki.crl.clone();
            crl.this_update = crl.this_update - DAY + newer;
            crl.revoked.push((pki.ask.serial.clone(), amd::NOW - DAY));
            list = Some(crl.der());
        });
        case.options.collateral.snp = Some(SnpCollateral { crl: list, ..SnpCollateral::default() }.into());
        case
    };
    // a list that the evidence's own follows is outdated
    revoking(0).accept();
    match revoking(2 * DAY).refuse() {
        VerifyError::Evidence { source, .. } => {
            let source = source.downcast::<snp::VerifyError>().unwrap();
            assert!(matches!(*source, snp::VerifyError::Revoked { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_forged_list_with_a_late_date_does_not_take_the_place_of_a_genuine_one() {
    let somebody = || privatemode_test_pki::Key::p384("somebody else");
    let case = |own_is_forged: bool, revokes: bool| {
        let mut fetched = None;
        let mut case = genoa(|pki, _| {
            let genuine = &mut pki.crl;
            if revokes {
                genuine.revoked.push((pki.ask.serial.clone(), amd::NOW - DAY));
            }
            let mut forged = genuine.clone();
            forged.this_update += DAY / 2;
            forged.revoked.clear();
            forged.signed_by = somebody();
            forged.algorithm = forged.signed_by.usual_algorithm();
            fetched = Some(if own_is_forged { genuine.der() } else { forged.der() });
            if own_is_forged {
                pki.crl = forged;
            }
        });
        let collateral = SnpCollateral { crl: fetched, ..SnpCollateral::default() };
        case.options.collateral.snp = Some(collateral.into());
        case
    };
    for own_is_forged in [true, false] {
        // nobody can be kept out by it
        case(own_is_forged, false).accept();
        // nor can a revocation be hidden behind it
        match case(own_is_forged, true).refuse() {
            VerifyError::Evidence { source, .. } => {
                let source = source.downcast::<snp::VerifyError>().unwrap();
                assert!(matches!(*source, snp::VerifyError::Revoked { .. }), "{source:?}");
            }
            other => panic!("{other:?}"),
        }
    }
    // alone it is refused for what it is
    let alone = genoa(|pki, _| {
        pki.crl.signed_by = somebody();
        pki.crl.algorithm = pki.crl.signed_by.usual_algorithm();
    });
    match alone.refuse() {
        VerifyError::Evidence { source, .. } => {
            let source = source.downcast::<snp::VerifyError>().unwrap();
            assert!(matches!(*source, snp::VerifyError::CrlNotIssued { .. }), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_stale_revocation_list_needs_a_grace() {
    let mut case = genoa(|_, _| ());
    case.now = UnixTime(amd::NOW + 301 * DAY);
    let refused = case.refuse();
    let next_update = UnixTime(amd::NOW + 300 * DAY);
    assert!(
        matches!(refused, VerifyError::RevocationListStale { next_update: due, grace: 0 } if due == next_update)
    );
    let text = refused.to_string();
    assert!(
        text.contains("was to be renewed on 2026-10-28T00:00:00Z: fetch a new one, or allow a grace"),
        "{text}"
    );
    case.options.crl_grace = 2 * DAY;
    let notes = case.accept().evidence.unwrap().notes;
    assert!(notes[0].contains("the grace covers it"), "{notes:?}");
    // no grace is so long that revocations would never arrive
    case.options.crl_grace = 31 * DAY;
    match case.refuse() {
        VerifyError::Evidence { kind: EvidenceKind::Snp, source } => {
            assert!(source.is::<privatemode_attest::tdx::GraceTooLong>(), "{source:?}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn replayed_evidence() {
    let case = genoa(|pki, _| pki.report[0x8f] ^= 1);
    let (report, result) =
        verify_deployment_report(&case.document, &NONCE, &case.manifest, &case.options, case.now);
    assert!(matches!(result, Err(VerifyError::ReportDataMismatch)));
    let evidence = report.evidence.unwrap();
    let last = evidence.genuine.last().unwrap();
    assert_eq!((last.number, last.verdict), (6, Verdict::Failed));
    assert!(evidence.entries.is_empty());
}

#[test]
fn another_workloads_evidence() {
    let case = genoa(|pki, _| pki.report[0xc0] ^= 1);
    assert!(matches!(case.refuse(), VerifyError::HostDataNotCoordinator { .. }));
    // one that the manifest names, in another role
    let workload = PolicyHash::of(WORKLOAD);
    let case = genoa(|pki, _| pki.report[0xc0..0xe0].copy_from_slice(workload.as_bytes()));
    assert!(matches!(case.refuse(), VerifyError::HostDataNotCoordinator { got } if got == workload));
}

#[test]
fn a_report_that_was_changed_names_the_step() {
    let mut case = genoa(|_, _| ());
    // the measurement is the only run of 48 times 3e
    let raw = &mut case.document.raw_attestation_doc;
    let at = raw.windows(48).position(|window| window == [0x3e; 48]).unwrap();
    raw[at] ^= 1;
    let (report, result) =
        verify_deployment_report(&case.document, &NONCE, &case.manifest, &case.options, case.now);
    assert!(matches!(result, Err(VerifyError::Evidence { kind: EvidenceKind::Snp, .. })));
    let evidence = report.evidence.unwrap();
    let verdicts: Vec<Verdict> = evidence.genuine.iter().map(|step| step.verdict).collect();
    assert_eq!(verdicts[..8], [Verdict::Passed; 8]);
    assert_eq!(verdicts[8..], [Verdict::Failed, Verdict::NotReached]);
}

/// Whoever is asked for a certificate learns which machine is verified.
#[test]
fn nobody_is_asked_about_evidence_that_the_manifest_refuses_in_any_case() {
    let bare = |entries: &Value| {
        snp_with(amd::Product::Genoa, amd::Signer::Vcek, entries, |_, carried| {
            (carried.vcek, carried.crl) = (Some(Vec::new()), Some(Vec::new()));
        })
    };
    let asked = |case: &Case| document_needs(&case.document, &case.manifest);
    let good = snp_entry(amd::Product::Genoa);
    assert!(matches!(asked(&bare(&json!([good]))), Needs::Snp(_)));

    let mut incomplete = good.clone();
    incomplete["MinimumTCB"]["SNPVersion"] = json!(null);
    let case = bare(&json!([incomplete]));
    assert_eq!(asked(&case), Needs::Nothing);
    let name = "ReferenceValues.snp[0].MinimumTCB.SNPVersion".to_owned();
    match case.refuse() {
        VerifyError::ReferenceValueMissing { names } => assert_eq!(names, [name]),
        other => panic!("{other:?}"),
    }

    let case = bare(&json!([snp_entry(amd::Product::Milan), snp_entry(amd::Product::Turin)]));
    assert_eq!(asked(&case), Needs::Nothing);
    let refused = case.refuse();
    let expected = "cannot trust this deployment: its evidence is of a Genoa processor, and no reference value of the manifest is for one";
    assert_eq!(refused.to_string(), expected);

    let (mut case, _) = tdx(4, &json!([tdx_entry()]), |_| ());
    assert!(matches!(asked(&case), Needs::Tdx(_)));
    case.manifest = {
        let mut json: Value = serde_json::from_slice(case.manifest.raw()).unwrap();
        json["ReferenceValues"]["tdx"][0]["MrSeam"] = json!("");
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    };
    case.document.manifests = vec![case.manifest.raw().to_vec()];
    assert_eq!(asked(&case), Needs::Nothing);
}

#[test]
fn not_evidence() {
    let mut case = genoa(|_, _| ());
    case.document.raw_attestation_doc = b"garbage".to_vec();
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Snp, .. }));
    let refused = needs(EvidenceKind::Snp, b"garbage", &case.manifest).unwrap_err();
    assert!(matches!(refused, NeedsError::Encoding { .. }));
    let refused = needs(EvidenceKind::Tdx, b"", &case.manifest).unwrap_err();
    assert_eq!(refused, NeedsError::PlatformNotInManifest { kind: EvidenceKind::Tdx });
}

#[test]
fn older_coordinators_do_not_say_what_they_send() {
    let mut case = genoa(|_, _| ());
    case.document.attestation_type = None;
    let report = case.accept();
    assert_eq!(report.steps[3].values.value("declared"), Some("false"));
    let (mut tdx, _) = tdx(4, &json!([tdx_entry()]), |_| ());
    tdx.document.attestation_type = None;
    tdx.accept();
    // what the manifest does not name is not guessed
    tdx.manifest = case.manifest;
    tdx.document.manifests = vec![tdx.manifest.raw().to_vec()];
    assert!(matches!(tdx.refuse(), VerifyError::EvidenceKindMissing));
}

#[test]
fn evidence_of_another_kind_than_declared() {
    let (mut case, _) = tdx(4, &json!([tdx_entry()]), |_| ());
    let both = json!({"snp": [snp_entry(amd::Product::Genoa)], "tdx": [tdx_entry()]});
    case.manifest = manifest(&both);
    case.document.manifests = vec![case.manifest.raw().to_vec()];
    case.document.attestation_type = Some(EvidenceKind::Snp);
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Snp, .. }));
}

fn tdx_entry() -> Value {
    let rtmrs: Vec<String> = (1..=4).map(|value| format!("{value:02}").repeat(48)).collect();
    json!({
        "MrTd": "7d".repeat(48), "MrSeam": "5e".repeat(48), "Rtmrs": rtmrs, "Xfam": "e700060000000000",
        "MinTCBEvaluationDataNumber": 20, "AllowedPIIDs": ["1d".repeat(16)],
    })
}

fn tdx(version: u16, entries: &Value, change: impl FnOnce(&mut intel::Evidence)) -> (Case, intel::Encoded) {
    let manifest = manifest(&json!({"tdx": entries}));
    let (mut document, data) = document(&manifest, EvidenceKind::Tdx);
    let mut pki = intel::Evidence::new(version, if version == 4 { Body::Tdx10 } else { Body::Tdx15 });
    pki.quote.body[body::REPORT_DATA..][..64].copy_from_slice(&data);
    pki.quote.body[body::MR_CONFIG_ID..][..32].copy_from_slice(policy().as_bytes());
    change(&mut pki);
    let encoded = pki.encode();
    document.raw_attestation_doc = tdx_encoding::encode(&encoded.quote).unwrap();
    let collateral = TdxCollateral::assemble(&PcsDocuments {
        tcb_info: &encoded.tcb_info,
        tcb_info_issuer_chain: &encoded.tcb_signing_chain,
        qe_identity: &encoded.qe_identity,
        qe_identity_issuer_chain: &encoded.tcb_signing_chain,
        pck_crl: &encoded.pck_crl,
        pck_crl_issuer_chain: &encoded.pck_crl_issuer_chain,
        root_ca_crl: &encoded.root_ca_crl,
    })
    .unwrap();
    let options = VerifyOptions {
        roots: Roots::danger_test_tdx(&encoded.root).unwrap(),
        collateral: Collateral { snp: None, tdx: Some(collateral.into()) },
        ..VerifyOptions::default()
    };
    (Case { manifest, document, options, now: UnixTime(intel::NOW) }, encoded)
}

#[test]
fn each_version_of_intels_quotes() {
    for version in [4, 5] {
        let (case, _) = tdx(version, &json!([tdx_entry()]), |_| ());
        let evidence = case.accept().evidence.unwrap();
        let numbers: Vec<u8> = evidence.genuine.iter().map(|step| step.number).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 8]);
        assert_eq!(evidence.entries[0].label, "TDX entry 1");
        assert_eq!(evidence.policy, Some(policy().to_string()));
    }
}

#[test]
fn a_quote_needs_collateral() {
    let (mut case, _) = tdx(4, &json!([tdx_entry()]), |_| ());
    match needs(EvidenceKind::Tdx, &case.document.raw_attestation_doc, &case.manifest).unwrap() {
        Needs::Tdx(needs) => {
            assert_eq!(needs.documents.fmspc, [0x90, 0xc0, 0x6f, 0, 0, 0]);
            assert_eq!((needs.documents.pck_ca, needs.min_evaluation_number), (PckCa::Platform, 20));
        }
        other => panic!("{other:?}"),
    }
    case.options.collateral = Collateral::default();
    assert!(matches!(case.refuse(), VerifyError::CollateralMissing { kind: EvidenceKind::Tdx, .. }));
}

#[test]
fn a_debug_domain() {
    let (case, _) = tdx(4, &json!([tdx_entry()]), |pki| pki.quote.body[body::TD_ATTRIBUTES] |= 1);
    assert_eq!(case.refusals(), [Refusal::Tdx(TdxRefusal::Debug { got: 0x1000_0001 })]);
}

#[test]
fn an_evaluation_number_below_the_manifests() {
    let mut entry = tdx_entry();
    entry["MinTCBEvaluationDataNumber"] = json!(21);
    let (case, _) = tdx(4, &json!([entry]), |_| ());
    assert_eq!(case.refusals(), [Refusal::Tdx(TdxRefusal::EvaluationNumber { got: 20, need: 21 })]);
}

#[test]
fn a_quote_for_something_else() {
    let (case, _) = tdx(4, &json!([tdx_entry()]), |pki| pki.quote.body[body::REPORT_DATA + 63] ^= 1);
    assert!(matches!(case.refuse(), VerifyError::ReportDataMismatch));
}

#[test]
fn collateral_that_has_ended_needs_a_grace() {
    let (mut case, _) = tdx(4, &json!([tdx_entry()]), |_| ());
    case.now = UnixTime(intel::NOW + 21 * DAY);
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Tdx, .. }));
    case.options.crl_grace = 2 * DAY;
    let notes = case.accept().evidence.unwrap().notes;
    assert!(notes[0].contains("the grace covers it"), "{notes:?}");
    // no grace is longer than Intel's own period
    case.options.crl_grace = 31 * DAY;
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Tdx, .. }));
}

#[test]
fn a_status_that_one_entry_tolerates_is_not_tolerated_by_another() {
    let behind = |pki: &mut intel::Evidence| {
        for level in &mut pki.tcb_info.levels {
            level.status = "SWHardeningNeeded".to_owned();
            level.advisories = vec!["INTEL-SA-1".to_owned()];
        }
    };
    let mut tolerant = tdx_entry();
    tolerant["ToleratedTCBStatus"] = json!([{"Status": "SWHardeningNeeded", "Advisories": ["INTEL-SA-1"]}]);
    let (case, _) = tdx(4, &json!([tdx_entry()]), behind);
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Tdx, .. }));
    let (case, _) = tdx(4, &json!([tdx_entry(), tolerant]), behind);
    let evidence = case.accept().evidence.unwrap();
    assert!(!evidence.entries[0].accepted && evidence.entries[1].accepted);
    assert!(evidence.notes[0].contains("SWHardeningNeeded"));
    // the tolerant entry is for another domain
    tolerant["MrTd"] = json!("00".repeat(48));
    let (case, _) = tdx(4, &json!([tdx_entry(), tolerant]), behind);
    let status = TcbStatus::SwHardeningNeeded;
    let refusals = case.refusals();
    assert!(matches!(refusals[0], Refusal::Tdx(TdxRefusal::Register { .. })));
    assert_eq!(refusals[1], Refusal::Tdx(TdxRefusal::TcbStatus { status }));
}

/// It comes with the evidence, and is another one than ours.
#[test]
fn the_evidences_root_is_never_believed() {
    let (mut case, other): (Case, Certificate) =
        (genoa(|_, _| ()), amd::Evidence::new(amd::Product::Milan, amd::Signer::Vcek).ark);
    case.options.roots = Roots::danger_test_snp(snp::Product::Genoa, &other.der()).unwrap();
    assert!(matches!(case.refuse(), VerifyError::Evidence { kind: EvidenceKind::Snp, .. }));
}
