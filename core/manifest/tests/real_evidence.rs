//! Real evidence of AMD's and Intel's hardware under manifests that are made for it: accepted as it is, and refused with the
//! exact reason after any one value of the manifest was changed.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "a test; what was skipped must be seen")]

use std::path::PathBuf;

use privatemode_attest::encoding::{sevsnp, tdx as tdx_encoding};
use privatemode_attest::snp::{self, Report, TcbPart};
use privatemode_attest::tdx::{PcsDocuments, Quote, TdReport};
use privatemode_attest::{EvidenceKind, ReportData, UnixTime};
use privatemode_manifest::appraise::snp::{PlatformBit, PolicyBit, SnpRefusal, TcbOf};
use privatemode_manifest::appraise::tdx::{Register, TdxRefusal};
use privatemode_manifest::appraise::{Refusal, Refusals};
use privatemode_manifest::{
    AppraiseError, Collateral, Manifest, Needs, TdxCollateral, VerifyOptions, Workload, appraise_workload,
    needs,
};
use serde_json::{Value, json};

fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: there is no evidence at {}; nothing was tested", folder.display());
    None
}

fn at(date: &str) -> UnixTime {
    UnixTime::parse_rfc3339(date).unwrap()
}

/// A case with the one entry of the manifest that accepts it.
struct Case {
    kind: EvidenceKind,
    evidence: Vec<u8>,
    policy: [u8; 32],
    data: ReportData,
    entry: Value,
    options: VerifyOptions,
    now: UnixTime,
}

impl Case {
    fn manifest(&self, entry: &Value) -> Manifest {
        let policies = json!({hex::encode(self.policy): {"SANs": ["coordinator"], "Role": "coordinator"}});
        let values = json!({self.kind.name(): [entry]});
        let json = json!({"Policies": policies, "ReferenceValues": values});
        Manifest::parse(json.to_string().as_bytes()).unwrap()
    }

    fn appraise(&self, entry: &Value) -> Result<Workload, AppraiseError> {
        let manifest = self.manifest(entry);
        appraise_workload(&manifest, self.kind, &self.evidence, &self.data, &self.options, self.now)
    }

    fn accept(&self) {
        let workload = self.appraise(&self.entry).unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(workload.policy_hash.as_bytes(), &self.policy);
        let other = ReportData::from([0x55; 64]);
        let manifest = self.manifest(&self.entry);
        let refused =
            appraise_workload(&manifest, self.kind, &self.evidence, &other, &self.options, self.now);
        assert!(matches!(refused, Err(AppraiseError::ReportDataMismatch)));
    }

    /// The refusal after the entry's value at `pointer` was replaced.
    fn refuse(&self, pointer: &str, value: Value) -> Refusal {
        let mut entry = self.entry.clone();
        match pointer.rsplit_once('/') {
            Some((parent, last)) if entry.pointer(pointer).is_none() => {
                entry.pointer_mut(parent).unwrap()[last] = value;
            }
            _ => *entry.pointer_mut(pointer).unwrap() = value,
        }
        match self.appraise(&entry) {
            Err(AppraiseError::NotAccepted { refusals: Refusals(refusals), .. }) => {
                refusals[0].refusal.clone()
            }
            other => panic!("{pointer}: {other:?}"),
        }
    }
}

/// Genuine at the time; `None` where there is no evidence.
fn snp_case(name: &str, date: &str) -> Option<(Case, Report)> {
    let folder = folder()?.join("snp").join(name);
    let read = |file: &str| {
        std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}"))
    };
    let bytes: [u8; 1184] = read("report.bin").try_into().unwrap();
    let report = Report::parse(&bytes).unwrap();
    let mut carried = sevsnp::SnpEvidence::of_report(bytes);
    let crl = folder.join("amd_crl.der");
    carried.crl = crl.exists().then(|| read("amd_crl.der"));
    let by_chip = report.signer == snp::Signer::Vcek;
    if by_chip {
        carried.vcek = Some(read("vcek.der"));
    } else {
        carried.vlek = Some(read("vlek.der"));
    }
    let product = if name.starts_with("genoa") { "Genoa" } else { "Milan" };
    // the least of what step 12 compares
    let least = [report.reported_tcb, report.committed_tcb, report.launch_tcb]
        .into_iter()
        .reduce(|one, other| snp::Tcb {
            fmc: None,
            bootloader: one.bootloader.min(other.bootloader),
            tee: one.tee.min(other.tee),
            snp: one.snp.min(other.snp),
            microcode: one.microcode.min(other.microcode),
        })
        .unwrap();
    let (policy, info) = (report.policy, report.platform_info);
    let entry = json!({
        "ProductName": product,
        "TrustedMeasurement": hex::encode(report.measurement),
        "MinimumTCB": {
            "BootloaderVersion": least.bootloader, "TEEVersion": least.tee,
            "SNPVersion": least.snp, "MicrocodeVersion": least.microcode,
        },
        "GuestPolicy": {
            "ABIMinor": policy.abi_minor(), "ABIMajor": policy.abi_major(), "SMT": policy.smt_allowed(),
            "Debug": policy.debug_allowed(),
        },
        "PlatformInfo": {
            "SMTEnabled": info.smt_enabled(), "TSMEEnabled": info.tsme_enabled(), "ECCEnabled": info.ecc_enabled(),
            "AliasCheckComplete": info.alias_check_complete(),
        },
        "AllowedChipIDs": [hex::encode(report.chip_id)],
        "AllowVLEK": !by_chip,
        "AllowedClouds": if by_chip { json!([]) } else { json!(["CN=cc-us-east-2.amazonaws.com"]) },
    });
    let case = Case {
        kind: EvidenceKind::Snp,
        evidence: sevsnp::encode(&carried).unwrap(),
        policy: report.host_data,
        data: report.report_data,
        entry,
        options: VerifyOptions { require_crl: carried.crl.is_some(), ..VerifyOptions::default() },
        now: at(date),
    };
    Some((case, report))
}

const SNP: [(&str, &str); 9] = [
    ("milan-v2-coco", "2024-06-01T00:00:00Z"),
    ("milan-v2-gcp-debug-policy", "2024-06-01T00:00:00Z"),
    ("milan-v3-azure-vtpm", "2026-01-15T00:00:00Z"),
    ("milan-v2-azure-vtpm", "2024-06-01T00:00:00Z"),
    ("genoa-v3-azure-vtpm", "2025-09-01T00:00:00Z"),
    ("milan-v3-gcp-release", "2025-09-01T00:00:00Z"),
    ("milan-v3-gcp-cb", "2025-09-01T00:00:00Z"),
    ("milan-v3-dstack", "2026-09-01T00:00:00Z"),
    ("milan-v2-virtee", "2024-06-01T00:00:00Z"),
];

#[test]
fn amd_accepted_by_a_manifest_that_is_made_for_it() {
    for (name, date) in SNP {
        let Some((case, _)) = snp_case(name, date) else { return };
        case.accept();
    }
}

#[test]
fn amd_refused_after_each_change() {
    for (name, date) in SNP {
        let Some((case, report)) = snp_case(name, date) else { return };
        check_amd_refusals(&case, &report);
    }
}

fn check_amd_refusals(case: &Case, report: &Report) {
    let refuse = |pointer: &str, value: Value| match case.refuse(pointer, value) {
        Refusal::Snp(refusal) => refusal,
        Refusal::Tdx(refusal) => panic!("{refusal:?}"),
    };
    // step 3
    let refused = refuse("/ProductName", json!("Turin"));
    assert!(matches!(refused, SnpRefusal::Product { expected: Some(snp::Product::Turin), .. }));
    // step 7
    let (expected, got) = (Some(Box::new([0xee; 48])), Box::new(report.measurement));
    let refused = refuse("/TrustedMeasurement", json!("ee".repeat(48)));
    assert_eq!(refused, SnpRefusal::Measurement { expected, got });
    // step 10
    if report.policy.debug_allowed() {
        let refused = refuse("/GuestPolicy/Debug", json!(false));
        assert_eq!(refused, SnpRefusal::PolicyAllows { bits: vec![PolicyBit::Debug] });
    }
    if report.policy.smt_allowed() {
        let refused = refuse("/GuestPolicy/SMT", json!(false));
        assert_eq!(refused, SnpRefusal::PolicyAllows { bits: vec![PolicyBit::Smt] });
    }
    let refused = refuse("/GuestPolicy/PageSwapDisable", json!(true));
    assert_eq!(refused, SnpRefusal::PolicyLacks { bits: vec![PolicyBit::PageSwapDisable] });
    let refused = refuse("/GuestPolicy/ABIMinor", json!(200));
    assert_eq!(refused, SnpRefusal::PolicyAbi { have: (0, report.policy.abi_minor()), need: (0, 200) });
    // step 11
    if report.platform_info.smt_enabled() {
        let refused = refuse("/PlatformInfo/SMTEnabled", json!(false));
        assert_eq!(refused, SnpRefusal::PlatformHas { bits: vec![PlatformBit::SmtEnabled] });
    }
    let refused = refuse("/PlatformInfo/RAPLDisabled", json!(true));
    assert_eq!(refused, SnpRefusal::PlatformLacks { bits: vec![PlatformBit::RaplDisabled] });
    // step 12
    for (member, part, have) in [
        ("BootloaderVersion", TcbPart::Bootloader, report.reported_tcb.bootloader),
        ("TEEVersion", TcbPart::Tee, report.reported_tcb.tee),
        ("SNPVersion", TcbPart::Snp, report.reported_tcb.snp),
        ("MicrocodeVersion", TcbPart::Microcode, report.reported_tcb.microcode),
    ] {
        let refused = refuse(&format!("/MinimumTCB/{member}"), json!(255));
        assert_eq!(refused, SnpRefusal::TcbBelow { of: TcbOf::Certificate, part, have, need: 255 });
    }
    // step 13: none of these writes version 5
    let refused = refuse("/MinimumMitigationVector", json!(15));
    assert_eq!(refused, SnpRefusal::MitigationsNotReported { need: 15, version: report.version });
    // step 14
    let refused = refuse("/AllowedChipIDs", json!(["01".repeat(64)]));
    assert_eq!(refused, SnpRefusal::ChipNotAllowed { chip: Box::new(report.chip_id) });
    // step 15: none of these clouds uses this kind of ID block
    let refused = refuse("/RequireIDBlock", json!(true));
    assert!(matches!(refused, SnpRefusal::IdKey { got, .. } if *got == report.id_key_digest));
}

#[test]
fn a_cloud_key_from_below_the_guests_level() {
    let Some((case, _)) = snp_case("milan-v3-vlek-aws", "2025-06-01T00:00:00Z") else { return };
    let cloud = Some("CN=cc-us-east-2.amazonaws.com".to_owned());
    let refused = case.refuse("/AllowVLEK", json!(false));
    assert_eq!(refused, Refusal::Snp(SnpRefusal::VlekNotAllowed { cloud: cloud.clone() }));
    let refused = case.refuse("/AllowedClouds", json!(["CN=cc-us-east-1.amazonaws.com"]));
    assert_eq!(refused, Refusal::Snp(SnpRefusal::CloudNotAllowed { cloud }));
    // its reports are from level 1, which no manifest can allow
    let refused = case.refuse("/CPUs", json!(1));
    assert_eq!(refused, Refusal::Snp(SnpRefusal::Vmpl { got: 1 }));
}

#[test]
fn firmware_of_2022_under_a_minimum_of_2023() {
    let case = snp_case("milan-v2-gcp-debug-policy", "2024-06-01T00:00:00Z");
    let Some((case, _)) = case else { return };
    let minimum = json!({"BootloaderVersion": 2, "TEEVersion": 0, "SNPVersion": 8, "MicrocodeVersion": 115});
    let expected = SnpRefusal::TcbBelow { of: TcbOf::Certificate, part: TcbPart::Snp, have: 5, need: 8 };
    assert_eq!(case.refuse("/MinimumTCB", minimum), Refusal::Snp(expected));
}

#[test]
fn a_revocation_list_that_has_ended() {
    let Some((mut case, _)) = snp_case("milan-v3-azure-vtpm", "2026-06-01T00:00:00Z") else { return };
    let due = at("2026-05-12T00:00:00Z");
    let refused = case.appraise(&case.entry).unwrap_err();
    assert!(matches!(refused, AppraiseError::RevocationListStale { next_update, .. } if next_update == due));
    case.options.crl_grace = 30 * 86_400;
    case.accept();
}

#[test]
fn a_report_without_its_certificate_says_what_to_fetch() {
    let Some((case, report)) = snp_case("milan-v3-dstack", "2026-09-01T00:00:00Z") else { return };
    let bare = sevsnp::decode(&case.evidence).unwrap().report;
    let bare = sevsnp::encode(&sevsnp::SnpEvidence::of_report(*bare)).unwrap();
    match needs(case.kind, &bare, &case.manifest(&case.entry)).unwrap() {
        Needs::Snp(needs) => {
            assert!(needs.vek && needs.crl);
            assert_eq!(needs.candidates.len(), 1);
            assert_eq!(needs.candidates[0].chip_id.as_deref(), Some(&report.chip_id[..]));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_report_of_version_2_is_looked_for_where_the_manifest_says() {
    let Some((case, _)) = snp_case("milan-v2-coco", "2024-06-01T00:00:00Z") else { return };
    match needs(case.kind, &case.evidence, &case.manifest(&case.entry)).unwrap() {
        Needs::Snp(needs) => {
            let lines: Vec<_> = needs.candidates.iter().map(|each| each.product).collect();
            assert_eq!(lines, [snp::Product::Milan]);
            assert!(!needs.vek && needs.crl);
        }
        other => panic!("{other:?}"),
    }
}

fn tdx_case(name: &str, date: &str) -> Option<(Case, TdReport)> {
    let folder = folder()?.join("tdx").join(name);
    let read = |file: &str| {
        std::fs::read(folder.join(file)).unwrap_or_else(|error| panic!("{name}/{file}: {error}"))
    };
    let quote = read("quote.bin");
    let body = Quote::parse(&quote).unwrap().body().clone();
    let signing = read("collateral/tcb_signing_chain.pem");
    let collateral = TdxCollateral::assemble(&PcsDocuments {
        tcb_info: &read("collateral/tcb_info.json"),
        tcb_info_issuer_chain: &signing,
        qe_identity: &read("collateral/qe_identity.json"),
        qe_identity_issuer_chain: &signing,
        pck_crl: &read("collateral/pck_crl.der"),
        pck_crl_issuer_chain: &read("collateral/pck_crl_issuer_chain.pem"),
        root_ca_crl: &read("collateral/root_ca_crl.der"),
    })
    .unwrap();
    let entry = json!({
        "MrTd": hex::encode(body.mr_td),
        "MrSeam": hex::encode(body.mr_seam),
        "Rtmrs": body.rtmrs.map(hex::encode),
        "Xfam": hex::encode(body.xfam.to_bytes()),
        "MinTCBEvaluationDataNumber": 1,
        "ToleratedTCBStatus": [],
    });
    let case = Case {
        kind: EvidenceKind::Tdx,
        evidence: tdx_encoding::encode(&quote).unwrap(),
        policy: *body.mr_config_id.first_chunk().unwrap(),
        data: body.report_data,
        entry,
        options: VerifyOptions {
            collateral: Collateral { snp: None, tdx: Some(collateral.into()) },
            ..VerifyOptions::default()
        },
        now: at(date),
    };
    Some((case, body))
}

const TDX: [(&str, &str); 5] = [
    ("emr-b0c06f-uptodate", "2025-07-01T00:00:00Z"),
    ("azure-90c06f-2026-06", "2026-06-15T00:00:00Z"),
    ("gcp-00806f-ccel", "2025-06-10T00:00:00Z"),
    ("gcp-00806f-2025-12", "2026-02-01T00:00:00Z"),
    ("v5-90c06f-uptodate", "2026-02-25T00:00:00Z"),
];

#[test]
fn intel_accepted_by_a_manifest_that_is_made_for_it() {
    for (name, date) in TDX {
        let Some((case, _)) = tdx_case(name, date) else { return };
        case.accept();
    }
}

#[test]
fn intel_refused_after_each_change() {
    for (name, date) in TDX {
        let Some((case, body)) = tdx_case(name, date) else { return };
        check_intel_refusals(&case, &body);
    }
}

fn check_intel_refusals(case: &Case, body: &TdReport) {
    let refuse = |pointer: &str, value: Value| match case.refuse(pointer, value) {
        Refusal::Tdx(refusal) => refusal,
        Refusal::Snp(refusal) => panic!("{refusal:?}"),
    };
    let other = || json!("ee".repeat(48));
    // step 2
    let refused = refuse("/MinTCBEvaluationDataNumber", json!(9000));
    assert!(matches!(refused, TdxRefusal::EvaluationNumber { need: 9000, .. }));
    // step 8
    for (pointer, of, got) in [
        ("/MrTd", Register::MrTd, &body.mr_td),
        ("/MrSeam", Register::MrSeam, &body.mr_seam),
        ("/MrOwner", Register::MrOwner, &body.mr_owner),
        ("/MrOwnerConfig", Register::MrOwnerConfig, &body.mr_owner_config),
        ("/Rtmrs/0", Register::Rtmr0, &body.rtmrs[0]),
        ("/Rtmrs/3", Register::Rtmr3, &body.rtmrs[3]),
    ] {
        let expected = Some(Box::new([0xee; 48]));
        let got = Box::new(*got);
        assert_eq!(refuse(pointer, other()), TdxRefusal::Register { of, expected, got }, "{pointer}");
    }
    let (expected, got) = (Some([0xee; 8]), body.xfam.to_bytes());
    assert_eq!(refuse("/Xfam", json!("ee".repeat(8))), TdxRefusal::Xfam { expected, got });
    // step 9
    let refused = refuse("/AllowedPIIDs", json!(["ee".repeat(16)]));
    assert!(matches!(refused, TdxRefusal::PlatformNotAllowed { .. }));
    let refused = refuse("/MemoryIntegrity", json!(true));
    assert_eq!(refused, TdxRefusal::NoMemoryIntegrity);
}

#[test]
fn a_debug_domain_of_real_hardware() {
    let Some((case, _)) = tdx_case("spr-50806f-debug-td", "2023-06-20T00:00:00Z") else { return };
    let refused = case.refuse("/CPUs", json!(1));
    assert_eq!(refused, Refusal::Tdx(TdxRefusal::Debug { got: 0x1000_0001 }));
}
