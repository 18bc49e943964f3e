//! `attest snp|tdx --manifest`: evidence under a test root, judged by the entries of a manifest.

use privatemode_test_pki::amd::{self, Product, Signer};
use privatemode_test_pki::intel::{self, Body, body};
use serde_json::{Value, json};

use crate::support::{Flags, Run, step, warned};
use crate::{snp, tdx};

/// The host data of the test reports; MRCONFIGID of the test quotes is set to it.
const POLICY: [u8; 32] = [0x40; 32];

fn snp_entry() -> Value {
    json!({
        "ProductName": "Genoa",
        "TrustedMeasurement": "3e".repeat(48),
        "MinimumTCB": {"BootloaderVersion": 4, "TEEVersion": 1, "SNPVersion": 24, "MicrocodeVersion": 219},
        "GuestPolicy": {"ABIMinor": 31, "SMT": true},
        "PlatformInfo": {"SMTEnabled": true, "ECCEnabled": true, "AliasCheckComplete": true},
    })
}

fn tdx_entry() -> Value {
    let rtmrs = ["01", "02", "03", "04"].map(|byte| byte.repeat(48));
    json!({
        "MrTd": "7d".repeat(48),
        "MrSeam": "5e".repeat(48),
        "Rtmrs": rtmrs,
        "Xfam": "e700060000000000",
        "MinTCBEvaluationDataNumber": 20,
    })
}

/// An entry with another value at a JSON pointer.
pub(crate) fn with(mut entry: Value, pointer: &str, value: Value) -> Value {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    entry.pointer_mut(parent).unwrap()[name] = value;
    entry
}

pub(crate) fn manifest(policy: [u8; 32], reference_values: &Value) -> Vec<u8> {
    let policies = json!({
        hex::encode(policy): {"SANs": ["coordinator", "*"], "Role": "coordinator", "WorkloadSecretID": "apps"},
    });
    json!({"Policies": policies, "ReferenceValues": reference_values}).to_string().into_bytes()
}

fn judged(flags: Flags, manifest: &[u8]) -> Flags {
    let path = flags.folder().file("manifest.json", manifest);
    flags.with(&format!("--manifest={path}"))
}

fn genoa() -> amd::Evidence {
    amd::Evidence::new(Product::Genoa, Signer::Vcek)
}

/// A report under these entries.
fn snp_under(evidence: &amd::Evidence, entries: &[Value]) -> Flags {
    let flags = snp::flags_of(evidence, Signer::Vcek);
    judged(flags, &manifest(POLICY, &json!({"snp": entries})))
        .with(&format!("--expect=report_data={}", "d0".repeat(64)))
}

fn trust_domain() -> intel::Evidence {
    let mut evidence = intel::Evidence::new(5, Body::Tdx15);
    evidence.quote.body[body::MR_CONFIG_ID..][..32].copy_from_slice(&POLICY);
    evidence
}

/// A quote under these entries.
fn tdx_under(evidence: &intel::Evidence, entries: &[Value]) -> Flags {
    judged(tdx::flags(evidence), &manifest(POLICY, &json!({"tdx": entries})))
        .with(&format!("--expect=report_data={}", "da".repeat(64)))
}

/// Refused by the only entry, at this step and no other.
fn refused_by_entry(run: &Run, name: &str, label: &str) -> Value {
    let json = run.refused_at(name);
    assert_eq!(step(&json, name)["entry"], label, "{json:#}");
    let why = json["refusal"]["why"][0].as_str().unwrap();
    assert!(why.starts_with(&format!("{label}: ")), "{why}");
    assert_eq!(json["manifest"]["entries"][0]["accepted"], false);
    assert_eq!(json["manifest"]["policy"], Value::Null);
    assert_eq!(json["manifest"]["workload"], Value::Null);
    json
}

fn names(json: &Value) -> Vec<&str> {
    let after = |step: &&Value| step["name"] == "platform_allowed";
    let steps = json["steps"].as_array().unwrap();
    let from = steps.iter().position(|step| after(&step)).unwrap();
    steps[from..].iter().map(|step| step["name"].as_str().unwrap()).collect()
}

#[test]
fn a_report_that_an_entry_accepts() {
    let run = snp_under(&genoa(), &[snp_entry()]).json();
    let json = run.verdict(0);
    assert_eq!(
        names(&json),
        [
            "platform_allowed",
            "product_allowed",
            "signer_allowed",
            "chip_named",
            "measurement",
            "vmpl",
            "guest_policy",
            "platform_info",
            "minimum_tcb",
            "mitigations",
            "chip_allowed",
            "id_block",
            "policy"
        ]
    );
    assert_eq!(step(&json, "report_data")["verdict"], "passed");
    assert_eq!(step(&json, "measurement")["entry"], "Genoa entry 1");
    assert_eq!(step(&json, "id_block")["verdict"], "not_compared");
    let policy = &step(&json, "policy")["values"];
    assert_eq!(policy["policy_hash"], hex::encode(POLICY));
    assert_eq!(policy["role"], "coordinator");
    assert_eq!(policy["sans"], json!(["coordinator", "*"]));
    let judged = &json["manifest"];
    assert_eq!(judged["digest"].as_str().unwrap().len(), 64);
    assert_eq!(judged["policy"], hex::encode(POLICY));
    let workload = json!({"role": "coordinator", "sans": ["coordinator", "*"], "workload_secret_id": "apps"});
    assert_eq!(judged["workload"], workload);
    assert_eq!(judged["entries"][0]["steps"].as_array().unwrap().len(), 11);
    assert_eq!(json["warnings"], json!([]));
}

#[test]
fn a_quote_that_an_entry_accepts() {
    let json = tdx_under(&trust_domain(), &[tdx_entry()]).json().verdict(0);
    assert_eq!(names(&json)[..3], ["platform_allowed", "evaluation_number", "tcb_tolerated"]);
    assert_eq!(names(&json).len(), 17);
    assert_eq!(step(&json, "mr_td")["entry"], "TDX entry 1");
    assert_eq!(step(&json, "policy")["values"]["policy_hash"], hex::encode(POLICY));
    assert_eq!(json["manifest"]["workload"]["role"], "coordinator");
}

#[test]
fn report_data_must_be_expected() {
    for flags in [snp_under(&genoa(), &[snp_entry()]), tdx_under(&trust_domain(), &[tdx_entry()])] {
        let flags = flags.without("--expect");
        let run = flags.run();
        assert!(run.unusable().contains("a replayed report would pass"), "{}", run.err);
        let json = flags.json().verdict(2);
        assert_eq!(json["steps"], json!([]));
    }
}

#[test]
fn evidence_for_somebody_else_is_not_held_against_the_manifest() {
    for (flags, steps) in
        [(snp_under(&genoa(), &[snp_entry()]), 13), (tdx_under(&trust_domain(), &[tdx_entry()]), 17)]
    {
        let json = flags
            .without("--expect")
            .with(&format!("--expect=report_data={}", "ab".repeat(64)))
            .json()
            .refused_at("report_data");
        assert_eq!(names(&json).len(), steps);
        for name in names(&json) {
            assert_eq!(step(&json, name)["verdict"], "not_reached", "{name}");
        }
        assert_eq!(json["manifest"]["entries"], json!([]));
    }
}

#[test]
fn evidence_that_is_not_genuine_is_not_held_against_the_manifest() {
    let mut evidence = genoa();
    evidence.report_signed_by = privatemode_test_pki::Key::p384("somebody else's");
    let json = snp_under(&evidence, &[snp_entry()]).json().refused_at("signature");
    assert!(names(&json).iter().all(|name| step(&json, name)["verdict"] == "not_reached"), "{json:#}");
    let mut evidence = trust_domain();
    evidence.tcb_info.levels[0].status = "Revoked".to_owned();
    let json = tdx_under(&evidence, &[tdx_entry()]).json().refused_at("tcb_status");
    assert!(names(&json).iter().all(|name| step(&json, name)["verdict"] == "not_reached"), "{json:#}");
}

#[test]
fn a_report_that_its_entry_refuses() {
    let refused = |evidence: &amd::Evidence, pointer: &str, value: Value, step: &str| {
        let run = snp_under(evidence, &[with(snp_entry(), pointer, value)]).json();
        refused_by_entry(&run, step, "Genoa entry 1");
    };
    refused(&genoa(), "/TrustedMeasurement", json!("3f".repeat(48)), "measurement");
    refused(&genoa(), "/MinimumTCB/SNPVersion", json!(25), "minimum_tcb");
    refused(&genoa(), "/MinimumTCB/MicrocodeVersion", json!(220), "minimum_tcb");
    refused(&genoa(), "/PlatformInfo/RAPLDisabled", json!(true), "platform_info");
    refused(&genoa(), "/AllowedChipIDs", json!(["00".repeat(64)]), "chip_allowed");
    refused(&genoa(), "/RequireIDBlock", json!(true), "id_block");
    let mut low = genoa();
    low.report[0x30] = 1;
    refused(&low, "/ProductName", json!("Genoa"), "vmpl");
    // the other product line
    let run = snp_under(&genoa(), &[with(snp_entry(), "/ProductName", json!("Milan"))]).json();
    refused_by_entry(&run, "product_allowed", "Milan entry 1");
    // a cloud's key
    let cloud = amd::Evidence::new(Product::Genoa, Signer::Vlek);
    let flags = |entry: Value| {
        judged(snp::flags_of(&cloud, Signer::Vlek), &manifest(POLICY, &json!({"snp": [entry]})))
            .with(&format!("--expect=report_data={}", "d0".repeat(64)))
            .json()
    };
    refused_by_entry(&flags(snp_entry()), "signer_allowed", "Genoa entry 1");
    let vlek =
        |clouds: Value| flags(with(with(snp_entry(), "/AllowVLEK", json!(true)), "/AllowedClouds", clouds));
    refused_by_entry(&vlek(json!(["CN=cc-other.example.com"])), "signer_allowed", "Genoa entry 1");
    vlek(json!(["CN=cc-test.example.com"])).verdict(0);
}

#[test]
fn a_guest_that_may_be_debugged_only_if_the_manifest_says_so() {
    let mut debug = genoa();
    debug.report[8 + 2] |= 8;
    let run = snp_under(&debug, &[snp_entry()]).json();
    refused_by_entry(&run, "guest_policy", "Genoa entry 1");
    // the exact policy is expected, and the manifest refuses it all the same
    let run = snp_under(&debug, &[snp_entry()]).with("--expect=policy=0xb001f").json();
    assert_eq!(run.verdict(1)["refusal"]["step"], 10);
    let json = snp_under(&debug, &[with(snp_entry(), "/GuestPolicy/Debug", json!(true))]).json().verdict(0);
    assert!(warned(&json, "guest policy: the guest may be debugged"), "{json:#}");

    let mut debug = trust_domain();
    debug.quote.body[body::TD_ATTRIBUTES] = 1;
    refused_by_entry(&tdx_under(&debug, &[tdx_entry()]).json(), "td_attributes", "TDX entry 1");
}

#[test]
fn a_quote_that_its_entry_refuses() {
    for (pointer, value, step) in [
        ("/MrTd", json!("7e".repeat(48)), "mr_td"),
        ("/MrSeam", json!("5f".repeat(48)), "mr_seam"),
        ("/Rtmrs/3", json!("05".repeat(48)), "rtmrs"),
        ("/Xfam", json!("e702060000000000"), "xfam"),
        ("/MrOwner", json!("01".repeat(48)), "mr_owner"),
        ("/MrOwnerConfig", json!("01".repeat(48)), "mr_owner"),
        ("/MinTCBEvaluationDataNumber", json!(21), "evaluation_number"),
        ("/AllowedPIIDs", json!(["00".repeat(16)]), "platform_instance"),
    ] {
        let entry = if let Some(place) = pointer.strip_prefix("/Rtmrs/") {
            let mut entry = tdx_entry();
            entry["Rtmrs"][place.parse::<usize>().unwrap()] = value;
            entry
        } else {
            with(tdx_entry(), pointer, value)
        };
        refused_by_entry(&tdx_under(&trust_domain(), &[entry]).json(), step, "TDX entry 1");
    }
    let mut config = trust_domain();
    config.quote.body[body::MR_CONFIG_ID + 32] = 1;
    refused_by_entry(&tdx_under(&config, &[tdx_entry()]).json(), "mr_config_id", "TDX entry 1");
}

#[test]
fn the_manifest_says_which_status_is_tolerated() {
    let mut evidence = trust_domain();
    evidence.tcb_info.levels[0].status = "SWHardeningNeeded".to_owned();
    evidence.tcb_info.levels[0].advisories = vec!["INTEL-SA-00001".to_owned()];
    tdx_under(&evidence, &[tdx_entry()]).json().refused_at("tcb_status");
    let tolerating = |advisory: &str| {
        let tolerated = json!([{"Status": "SWHardeningNeeded", "Advisories": [advisory]}]);
        with(tdx_entry(), "/ToleratedTCBStatus", tolerated)
    };
    let json = tdx_under(&evidence, &[tolerating("INTEL-SA-00001")]).json().verdict(0);
    assert!(warned(&json, "TCB status: SWHardeningNeeded, and not UpToDate"), "{json:#}");
    tdx_under(&evidence, &[tolerating("INTEL-SA-00002")]).json().refused_at("tcb_status");
    // what one entry tolerates, another need not: the first one must refuse, and the second another register
    let other = with(tolerating("INTEL-SA-00001"), "/MrTd", json!("00".repeat(48)));
    let json = tdx_under(&evidence, &[tdx_entry(), other]).json().verdict(1);
    assert_eq!(json["manifest"]["entries"][0]["steps"][1]["verdict"], "failed");
    assert_eq!(step(&json, "tcb_tolerated")["entry"], "TDX entry 1");
    assert_eq!(step(&json, "mr_td")["entry"], "TDX entry 2");
    // a flag cannot add to the manifest
    let run = tdx_under(&evidence, &[tdx_entry()]).with("--tolerate=SWHardeningNeeded").run();
    assert!(run.unusable().contains("ToleratedTCBStatus"), "{}", run.err);
}

#[test]
fn a_policy_that_is_not_in_the_manifest() {
    let other = [0x41; 32];
    let snp = judged(snp::flags_of(&genoa(), Signer::Vcek), &manifest(other, &json!({"snp": [snp_entry()]})))
        .with(&format!("--expect=report_data={}", "d0".repeat(64)));
    let tdx = judged(tdx::flags(&trust_domain()), &manifest(other, &json!({"tdx": [tdx_entry()]})))
        .with(&format!("--expect=report_data={}", "da".repeat(64)));
    for flags in [snp, tdx] {
        let json = flags.json().refused_at("policy");
        assert_eq!(json["refusal"]["step"], 8);
        assert_eq!(json["manifest"]["entries"][0]["accepted"], true);
        assert_eq!(json["manifest"]["policy"], hex::encode(POLICY));
        assert_eq!(json["manifest"]["workload"], Value::Null);
        assert!(json["refusal"]["why"][0].as_str().unwrap().contains(&hex::encode(POLICY)), "{json:#}");
    }
}

#[test]
fn a_manifest_for_another_platform() {
    let snp =
        judged(snp::flags_of(&genoa(), Signer::Vcek), &manifest(POLICY, &json!({"tdx": [tdx_entry()]})))
            .with(&format!("--expect=report_data={}", "d0".repeat(64)));
    let tdx = judged(tdx::flags(&trust_domain()), &manifest(POLICY, &json!({"snp": [snp_entry()]})))
        .with(&format!("--expect=report_data={}", "da".repeat(64)));
    let simulated = judged(
        snp::flags_of(&genoa(), Signer::Vcek),
        &manifest(POLICY, &json!({"simulated": [{"HostData": hex::encode(POLICY)}]})),
    )
    .with(&format!("--expect=report_data={}", "d0".repeat(64)));
    for flags in [snp, tdx, simulated] {
        let json = flags.json().refused_at("platform_allowed");
        assert_eq!(json["manifest"]["entries"], json!([]));
    }
}

#[test]
fn one_of_several_entries_suffices() {
    let wrong = with(snp_entry(), "/TrustedMeasurement", json!("00".repeat(48)));
    let milan = with(snp_entry(), "/ProductName", json!("Milan"));
    let json = snp_under(&genoa(), &[milan.clone(), wrong.clone(), snp_entry()]).json().verdict(0);
    assert_eq!(step(&json, "measurement")["entry"], "Genoa entry 3");
    let entries = json["manifest"]["entries"].as_array().unwrap();
    let accepted: Vec<bool> = entries.iter().map(|entry| entry["accepted"].as_bool().unwrap()).collect();
    assert_eq!(accepted, [false, false, true]);
    assert!(entries[1]["reason"].as_str().unwrap().contains("launch measurement"));

    // none of them: the first failing step of each, the closest first
    let flags = snp_under(&genoa(), &[milan, wrong]);
    let run = flags.run();
    assert_eq!(run.code, 1);
    assert!(run.out.contains("✗ FAILED        measurement (Genoa entry 2)"), "{}", run.out);
    assert!(run.out.contains("✗ FAILED        product allowed (Milan entry 1)"), "{}", run.out);
    let json = flags.json().refused_at("measurement");
    assert_eq!(names(&json), ["platform_allowed", "measurement", "product_allowed"]);
    let why: Vec<&str> =
        json["refusal"]["why"].as_array().unwrap().iter().map(|why| why.as_str().unwrap()).collect();
    assert!(why[0].starts_with("Genoa entry 2: ") && why[1].starts_with("Milan entry 1: "), "{why:?}");
}

#[test]
fn what_is_expected_must_hold_besides() {
    let json = snp_under(&genoa(), &[snp_entry()]).with("--expect=min_tcb.snp=19").json().verdict(1);
    assert_eq!(json["refusal"]["step"], 12);
    assert_eq!(step(&json, "minimum_tcb")["entry"], Value::Null);
    assert_eq!(json["manifest"]["entries"][0]["accepted"], true);
    let json = snp_under(&genoa(), &[snp_entry()]).with("--expect=min_tcb.snp=18").json().verdict(0);
    assert_eq!(step(&json, "minimum_tcb")["verdict"], "passed");
}

#[test]
fn files_that_are_no_usable_manifest() {
    let run = |bytes: &[u8]| {
        judged(snp::flags_of(&genoa(), Signer::Vcek), bytes)
            .with(&format!("--expect=report_data={}", "d0".repeat(64)))
            .run()
    };
    let mut incomplete = snp_entry();
    incomplete.as_object_mut().unwrap().remove("TrustedMeasurement");
    for (bytes, says) in [
        (&b"{}"[..], "is not a manifest"),
        (b"<?xml", "looks like XML"),
        (&manifest(POLICY, &json!({"snp": [incomplete]})), "ReferenceValues.snp[0].TrustedMeasurement"),
        (&vec![b' '; 2 << 20], "more than"),
    ] {
        let run = run(bytes);
        let said = run.unusable();
        assert!(said.contains("--manifest") && said.contains(says), "{said}");
    }
    // a member that nobody knows is no reason to refuse
    let unknown = with(snp_entry(), "/Colour", json!("red"));
    let json = snp_under(&genoa(), &[unknown]).json().verdict(0);
    assert!(warned(
        &json,
        "manifest: members that this version does not know: ReferenceValues.snp[0].Colour"
    ));
}
