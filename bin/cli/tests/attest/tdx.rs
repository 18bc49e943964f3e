//! `attest tdx` with evidence under a test root.

use privatemode_attest::tdx::{Collateral, PcsDocuments};
use privatemode_test_pki::Key;
use privatemode_test_pki::intel::{Body, Evidence, NOW, body};

use crate::support::{Flags, Folder, step, time, warned};

fn evidence() -> Evidence {
    Evidence::new(5, Body::Tdx15)
}

/// All files; the root of the set in Intel's place.
pub(crate) fn flags(evidence: &Evidence) -> Flags {
    let folder = Folder::new();
    let encoded = evidence.encode();
    let collateral = Collateral::assemble(&PcsDocuments {
        tcb_info: &encoded.tcb_info,
        tcb_info_issuer_chain: &encoded.tcb_signing_chain,
        qe_identity: &encoded.qe_identity,
        qe_identity_issuer_chain: &encoded.tcb_signing_chain,
        pck_crl: &encoded.pck_crl,
        pck_crl_issuer_chain: &encoded.pck_crl_issuer_chain,
        root_ca_crl: &encoded.root_ca_crl,
    });
    let collateral = collateral.unwrap().to_json().unwrap();
    let arguments = vec![
        "tdx".to_owned(),
        format!("--at={}", time(NOW)),
        format!("--quote={}", folder.file("quote.bin", &encoded.quote)),
        format!("--collateral={}", folder.file("collateral.json", collateral.as_bytes())),
        format!("--danger-root={}", folder.file("root.der", &encoded.root)),
    ];
    Flags::new(folder, arguments)
}

#[test]
fn both_versions_verify() {
    for (version, kind) in [(4, Body::Tdx10), (5, Body::Tdx10), (5, Body::Tdx15)] {
        let json = flags(&Evidence::new(version, kind)).json().verdict(0);
        assert_eq!(step(&json, "structure")["values"]["version"], version);
        assert_eq!(step(&json, "tcb_status")["values"]["status"], "UpToDate");
        assert!(warned(&json, "report data: NOT COMPARED (replay possible)"));
        let steps = json["steps"].as_array().unwrap();
        let numbers: Vec<u64> = steps.iter().map(|step| step["number"].as_u64().unwrap()).collect();
        assert_eq!(numbers, [1, 2, 3, 4, 5, 6, 7, 2, 8, 8, 8, 8, 8, 8, 9]);
    }
}

#[test]
fn every_name_of_the_quote_can_be_expected() {
    let equal = [
        ("report_data", "da".repeat(64)),
        ("mr_td", "7d".repeat(48)),
        ("rtmr_0", "01".repeat(48)),
        ("rtmr_1", "02".repeat(48)),
        ("rtmr_2", "03".repeat(48)),
        ("rtmr_3", "04".repeat(48)),
        ("mr_config_id", "00".repeat(48)),
        ("mr_owner", "00".repeat(48)),
        ("mr_owner_config", "00".repeat(48)),
        ("mr_seam", "5e".repeat(48)),
        ("mr_signer_seam", "00".repeat(48)),
        ("mr_service_td", "00".repeat(48)),
        ("seam_attributes", "00".repeat(8)),
        ("td_attributes", "0000001000000000".to_owned()),
        ("xfam", "e700060000000000".to_owned()),
        ("tee_tcb_svn", "05010500000000000000000000000000".to_owned()),
        ("tee_tcb_svn_2", "00".repeat(16)),
        ("min_tee_tcb_svn", "05010500000000000000000000000000".to_owned()),
        ("min_tcb_evaluation_number", "14".to_owned()),
        ("fmspc", "90c06f000000".to_owned()),
        ("pce_id", "0000".to_owned()),
        ("platform_instance_id", "1d".repeat(16)),
    ];
    let all: Vec<String> = equal.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let json = flags(&evidence()).with(&format!("--expect={}", all.join(","))).json().verdict(0);
    assert!(json["steps"].as_array().unwrap().iter().all(|step| step["verdict"] == "passed"), "{json:#}");
    assert_eq!(json["warnings"], serde_json::json!([]));
    for (name, value) in &equal {
        let (rest, last) = value.split_at(value.len() - 1);
        let last = u8::from_str_radix(last, 16).unwrap() + 1;
        let json = flags(&evidence()).with(&format!("--expect={name}={rest}{last:x}")).json().verdict(1);
        let why = json["refusal"]["why"][0].as_str().unwrap();
        assert!(why.starts_with(name) && why.contains("expected"), "{why}");
    }
    // a number, and the bytes that it stands for
    flags(&evidence()).with("--expect=td_attributes=0x10000000,xfam=0x600e7").json().verdict(0);
    // fields of TDX 1.5 that a report of 1.0 does not have
    let json = flags(&Evidence::new(4, Body::Tdx10))
        .with(&format!("--expect=mr_service_td={}", "00".repeat(48)))
        .json()
        .refused_at("configuration");
    assert!(json["refusal"]["why"][0].as_str().unwrap().contains("no such field"));
}

#[test]
fn a_debug_trust_domain_is_refused_unless_its_exact_attributes_are_expected() {
    for (at, bits, bytes, says) in [
        (0, 0x01, "0100001000000000", "debug mode"),
        (0, 0x20, "2000001000000000", "bits 1 to 7"),
        (3, 0x30, "0000003000000000", "bit 29"),
    ] {
        let mut evidence = evidence();
        evidence.quote.body[body::TD_ATTRIBUTES + at] = bits;
        let json = flags(&evidence).json().refused_at("td_attributes");
        assert!(json["refusal"]["why"][0].as_str().unwrap().contains(says), "{json:#}");
        let json = flags(&evidence).with(&format!("--expect=td_attributes={bytes}")).json().verdict(0);
        assert!(warned(&json, "TD attributes:"), "{json:#}");
    }
    // shown, and not refused
    let mut evidence = evidence();
    evidence.quote.body[body::TD_ATTRIBUTES + 3] = 0;
    assert!(warned(&flags(&evidence).json().verdict(0), "TD attributes: SEPT_VE_DISABLE"));
}

#[test]
fn another_status_counts_only_if_exactly_it_is_tolerated() {
    let mut evidence = evidence();
    evidence.tcb_info.levels[0].status = "SWHardeningNeeded".to_owned();
    evidence.tcb_info.levels[0].advisories = vec!["INTEL-SA-00001".to_owned(), "INTEL-SA-00002".to_owned()];
    flags(&evidence).json().refused_at("tcb_status");
    flags(&evidence).with("--tolerate=OutOfDate").json().refused_at("tcb_status");
    flags(&evidence).with("--tolerate=SWHardeningNeeded:INTEL-SA-00001").json().refused_at("tcb_status");
    let json =
        flags(&evidence).with("--tolerate=SWHardeningNeeded:INTEL-SA-00001,INTEL-SA-00002").json().verdict(0);
    let values = &step(&json, "tcb_status")["values"];
    assert_eq!(values["status"], "SWHardeningNeeded");
    assert_eq!(values["tolerated"], true);
    assert_eq!(values["advisories"], serde_json::json!(["INTEL-SA-00001", "INTEL-SA-00002"]));
    assert!(warned(&json, "TCB status: SWHardeningNeeded, and not UpToDate"));
    // a tolerance shows whether it was needed or not
    let json = flags(&self::evidence()).with("--tolerate=OutOfDate").json().verdict(0);
    assert!(warned(&json, "TCB status: OutOfDate is tolerated, with any advisory"));
    for (tolerance, says) in [("Revoked", "cannot be tolerated"), ("OutofDate", "did you mean `OutOfDate`")] {
        let run = flags(&evidence).with(&format!("--tolerate={tolerance}")).run();
        assert!(run.unusable().contains(says), "{}", run.err);
    }
}

#[test]
fn each_step_of_genuineness_can_refuse() {
    let refused = |change: &dyn Fn(&mut Evidence), step: &str| {
        let mut evidence = evidence();
        change(&mut evidence);
        flags(&evidence).json().refused_at(step);
    };
    let other = || Key::p256("somebody else's");
    refused(&|evidence| evidence.quote.header[4] = 0, "structure");
    refused(&|evidence| evidence.tcb_info_signed_by = other(), "collateral");
    refused(&|evidence| evidence.pck_crl.next_update = NOW - 1, "collateral");
    refused(&|evidence| evidence.pck.signed_by = other(), "pck_chain");
    refused(&|evidence| evidence.pck_crl.revoked.push((evidence.pck.serial.clone(), NOW - 1)), "pck_chain");
    refused(&|evidence| evidence.quote.qe_report_signed_by = other(), "quoting_enclave");
    refused(
        &|evidence| {
            let spki = evidence.quote.signed_by.spki();
            evidence.quote.attestation_key = spki.last_chunk().copied();
            evidence.quote.signed_by = other();
        },
        "quote_signature",
    );
    refused(&|evidence| evidence.platform.components[0] = 0, "tcb_level");
    refused(&|evidence| evidence.tcb_info.levels[0].status = "Revoked".to_owned(), "tcb_status");
    // Intel's root, which signed none of it
    flags(&evidence()).without("--danger-root").json().refused_at("collateral");
}

#[test]
fn a_test_root_shows_on_every_line() {
    let run = flags(&evidence()).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.lines().all(|line| line.starts_with("DANGER, TEST ROOT |")), "{}", run.out);
    let json = flags(&evidence()).json().verdict(0);
    assert!(json["steps"].as_array().unwrap().iter().all(|step| step["danger"] == json["danger"]));
}

#[test]
fn files_of_another_form_are_unusable() {
    let given = flags(&evidence());
    let quote = std::fs::read(given.folder().path().join("quote.bin")).unwrap();
    let file = |name: &str| given.folder().path().join(name).to_str().unwrap().to_owned();
    for (bytes, says) in [(&quote[..1000], "was cut"), (&quote[..20], "was cut")] {
        let path = given.folder().file("cut.bin", bytes);
        let run = flags(&evidence()).set("--quote", &path).run();
        assert!(run.unusable().contains(says), "{}", run.err);
    }
    let run = flags(&evidence()).set("--quote", &file("collateral.json")).run();
    assert!(run.unusable().contains("looks like JSON"), "{}", run.err);
    let run = flags(&evidence()).set("--collateral", &file("quote.bin")).run();
    assert!(run.unusable().contains("looks like an SGX or TDX quote"), "{}", run.err);
    let empty = given.folder().file("empty.json", b"{}");
    assert!(flags(&evidence()).set("--collateral", &empty).run().unusable().contains("--collateral"));
    let huge = given.folder().file("huge", &vec![b' '; 8 << 20]);
    for flag in ["--quote", "--collateral", "--danger-root"] {
        assert!(flags(&evidence()).set(flag, &huge).run().unusable().contains("more than"));
        assert!(flags(&evidence()).set(flag, "/nowhere").run().unusable().contains("cannot read"));
    }
}
