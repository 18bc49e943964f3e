//! `attest snp` with evidence under a test root.

use privatemode_test_pki::amd::{Evidence, NOW, Product, Signer};

use crate::support::{Flags, Folder, step, time, warned};

/// All files; the root of the set in AMD's place.
pub(crate) fn flags_of(evidence: &Evidence, signer: Signer) -> Flags {
    let folder = Folder::new();
    let encoded = evidence.encode();
    let vek = if signer == Signer::Vcek { "--vcek" } else { "--vlek" };
    let files = [
        ("--report", "report.bin", &encoded.report),
        (vek, "vek.der", &encoded.vek),
        ("--ask", "ask.der", &encoded.ask),
        ("--ark", "ark.der", &encoded.ark),
        ("--crl", "crl.der", &encoded.crl),
        ("--danger-root", "root.der", &encoded.ark),
    ];
    let arguments = ["snp".to_owned(), format!("--at={}", time(NOW))]
        .into_iter()
        .chain(files.map(|(flag, name, bytes)| format!("{flag}={}", folder.file(name, bytes))))
        .collect();
    Flags::new(folder, arguments)
}

fn genoa() -> Evidence {
    Evidence::new(Product::Genoa, Signer::Vcek)
}

fn flags(evidence: &Evidence) -> Flags {
    flags_of(evidence, Signer::Vcek)
}

#[test]
fn each_line_of_processors_verifies_with_either_key() {
    for product in [Product::Milan, Product::Genoa, Product::Turin] {
        for signer in [Signer::Vcek, Signer::Vlek] {
            let json = flags_of(&Evidence::new(product, signer), signer).json().verdict(0);
            assert_eq!(step(&json, "product")["values"]["product"], format!("{product:?}"));
            assert_eq!(json["platform"], "snp");
            assert_eq!(json["at"], "2026-01-01T00:00:00Z");
        }
    }
}

#[test]
fn numbers_of_the_steps_are_those_of_the_specification() {
    let json = flags(&genoa()).json().verdict(0);
    let numbers: Vec<u64> =
        json["steps"].as_array().unwrap().iter().map(|step| step["number"].as_u64().unwrap()).collect();
    assert_eq!(numbers, [1, 2, 2, 2, 2, 3, 4, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15]);
}

#[test]
fn what_nobody_expects_is_said_to_be_not_compared() {
    let json = flags(&genoa()).json().verdict(0);
    assert!(warned(&json, "report data: NOT COMPARED (replay possible)"));
    assert_eq!(step(&json, "report_data")["verdict"], "not_compared");
    assert_eq!(step(&json, "report_data")["values"]["report_data"], "d0".repeat(64));
    assert!(!warned(&json, "revocation"));

    let json = flags(&genoa()).without("--crl").json().verdict(0);
    assert!(warned(&json, "revocation: NOT CHECKED"));
    assert_eq!(step(&json, "revocation_list")["verdict"], "not_compared");

    let data = format!("--expect=report_data={}", "d0".repeat(64));
    let json = flags(&genoa()).with(&data).json().verdict(0);
    assert!(!warned(&json, "report data"));
    assert_eq!(step(&json, "report_data")["verdict"], "passed");
}

#[test]
fn every_name_of_the_report_can_be_expected() {
    let equal = [
        ("report_data", "d0".repeat(64)),
        ("measurement", "3e".repeat(48)),
        ("host_data", "40".repeat(32)),
        ("id_key_digest", "00".repeat(48)),
        ("author_key_digest", "00".repeat(48)),
        ("family_id", "00".repeat(16)),
        ("image_id", "00".repeat(16)),
        ("report_id", "1d".repeat(32)),
        ("report_id_ma", "ff".repeat(32)),
        ("chip_id", format!("{}{}", "c5".repeat(8), "00".repeat(56))),
        ("current_tcb", "02040118000000db".to_owned()),
        ("reported_tcb", "02040118000000db".to_owned()),
        ("committed_tcb", "02040118000000db".to_owned()),
        ("launch_tcb", "02040118000000db".to_owned()),
        ("version", "5".to_owned()),
        ("guest_svn", "0".to_owned()),
        ("vmpl", "0".to_owned()),
        ("policy", "0x3001f".to_owned()),
        ("platform_info", "25".to_owned()),
        ("cpuid_fam_id", "1a".to_owned()),
        ("cpuid_mod_id", "02".to_owned()),
        ("cpuid_step", "1".to_owned()),
        ("launch_mit_vector", "3".to_owned()),
        ("current_mit_vector", "7".to_owned()),
        ("min_mit_vector", "3".to_owned()),
        ("min_tcb.fmc", "2".to_owned()),
        ("min_tcb.bootloader", "4".to_owned()),
        ("min_tcb.tee", "1".to_owned()),
        ("min_tcb.snp", "18".to_owned()),
        ("min_tcb.microcode", "db".to_owned()),
    ];
    let turin = Evidence::new(Product::Turin, Signer::Vcek);
    let all: Vec<String> = equal.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let json = flags(&turin).with(&format!("--expect={}", all.join(","))).json().verdict(0);
    assert!(json["steps"].as_array().unwrap().iter().all(|step| step["verdict"] == "passed"), "{json:#}");
    assert_eq!(json["warnings"], serde_json::json!([]));

    // each of them can fail: the last digit is another one, and higher
    for (name, value) in equal {
        let (rest, last) = value.split_at(value.len() - 1);
        let last = if last == "f" {
            "e".to_owned()
        } else {
            format!("{:x}", u8::from_str_radix(last, 16).unwrap() + 1)
        };
        let run = flags(&turin).with(&format!("--expect={name}={rest}{last}")).json();
        let json = run.verdict(1);
        assert!(json["refusal"]["why"][0].as_str().unwrap().starts_with(name), "{json:#}");
        assert!(json["refusal"]["why"][0].as_str().unwrap().contains("expected"), "{json:#}");
    }
}

#[test]
fn a_debug_guest_is_refused_unless_its_exact_policy_is_expected() {
    for (policy, bit) in
        [(0x000b_0000_u64, "bit 19"), (0x0007_001f, "bit 18"), (0x0001_001f, "reserved bits")]
    {
        let mut evidence = genoa();
        evidence.report[8..16].copy_from_slice(&policy.to_le_bytes());
        let json = flags(&evidence).json().refused_at("guest_policy");
        assert!(json["refusal"]["why"][0].as_str().unwrap().contains(bit), "{json:#}");
        flags(&evidence).with("--expect=policy=0x3001f").json().refused_at("guest_policy");
        let json = flags(&evidence).with(&format!("--expect=policy={policy:x}")).json().verdict(0);
        assert!(warned(&json, "guest policy:"), "{json:#}");
    }
}

#[test]
fn a_lower_privilege_level_is_shown_and_can_be_refused() {
    let mut evidence = genoa();
    evidence.report[0x30] = 1;
    let json = flags(&evidence).json().verdict(0);
    assert!(warned(&json, "VMPL: the report is from privilege level 1"));
    flags(&evidence).with("--expect=vmpl=0").json().refused_at("vmpl");
    let json = flags(&evidence).with("--expect=vmpl=1").json().verdict(0);
    assert!(!warned(&json, "VMPL"));
}

#[test]
fn a_current_tcb_below_the_committed_one_is_refused() {
    let mut evidence = genoa();
    evidence.report[0x38 + 7] -= 1;
    flags(&evidence).json().refused_at("minimum_tcb");
}

#[test]
fn steps_behind_a_failing_one_are_not_reached() {
    let mut evidence = genoa();
    evidence.report_signed_by = privatemode_test_pki::Key::p384("somebody else's");
    let json = flags(&evidence).with("--expect=vmpl=0").json().refused_at("signature");
    for each in json["steps"].as_array().unwrap() {
        let expected = match each["number"].as_u64().unwrap() {
            1..=4 => "passed",
            5 => "failed",
            _ => "not_reached",
        };
        assert_eq!(each["verdict"], expected, "{each}");
    }
    // nothing that was not proven is shown as if it were
    assert_eq!(step(&json, "measurement")["values"], serde_json::json!({}));
}

#[test]
fn each_step_of_genuineness_can_refuse() {
    let refused = |change: &dyn Fn(&mut Evidence), step: &str| {
        let mut evidence = genoa();
        change(&mut evidence);
        flags(&evidence).json().refused_at(step);
    };
    refused(&|evidence| evidence.report[0x34] = 2, "report");
    refused(&|evidence| evidence.ask.signed_by = privatemode_test_pki::Key::rsa("other"), "signing_key");
    refused(&|evidence| evidence.crl.next_update = NOW - 1, "revocation_list");
    refused(&|evidence| evidence.crl.revoked.push((evidence.ask.serial.clone(), NOW - 1)), "revocation_list");
    refused(&|evidence| evidence.vek.not_after = NOW - 1, "endorsement_key");
    refused(&|evidence| evidence.report[0x188] = 0x1a, "report");
    refused(&|evidence| evidence.report[0x189] = 1, "product");
    refused(&|evidence| evidence.report[0x180] -= 1, "tcb");
    refused(&|evidence| evidence.report[0x1a0] ^= 1, "chip");
    // AMD's root, which did not sign any of it
    flags(&genoa()).without("--danger-root").json().refused_at("root");
}

#[test]
fn a_test_root_shows_on_every_line() {
    let run = flags(&genoa()).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.lines().count() > 30);
    for line in run.out.lines() {
        assert!(line.starts_with("DANGER, TEST ROOT |"), "{line}");
    }
    let json = flags(&genoa()).json().verdict(0);
    for step in json["steps"].as_array().unwrap() {
        assert_eq!(step["danger"], json["danger"], "{step}");
    }
    assert_eq!(json["danger"].as_array().unwrap().len(), 1);
}

#[test]
fn text_needs_no_colour_and_no_marks() {
    let mut evidence = genoa();
    evidence.report[8 + 2] |= 8;
    let run = flags(&evidence).run();
    assert_eq!(run.code, 1, "{}", run.err);
    assert!(!run.out.contains('\u{1b}'));
    for words in ["passed", "FAILED", "not compared", "REFUSED: step 10, guest policy", "why:", "next:"] {
        assert!(run.out.contains(words), "{words}\n{}", run.out);
    }
}

#[test]
fn pem_counts_as_much_as_der() {
    let encoded = genoa().encode();
    let pem = |label: &str, der: &[u8]| {
        use base64::Engine as _;
        let text = base64::engine::general_purpose::STANDARD.encode(der);
        let lines: Vec<&str> =
            text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
        format!("-----BEGIN {label}-----\n{}\n-----END {label}-----\n", lines.join("\n")).into_bytes()
    };
    let flags = flags(&genoa());
    let vek = flags.folder().file("vek.pem", &pem("CERTIFICATE", &encoded.vek));
    let ask = flags.folder().file("ask.pem", &pem("CERTIFICATE", &encoded.ask));
    let ark = flags.folder().file("ark.pem", &pem("CERTIFICATE", &encoded.ark));
    let crl = flags.folder().file("crl.pem", &pem("X509 CRL", &encoded.crl));
    // signatures differ from those of the first encoding, the keys do not
    let root = ark.clone();
    let report = flags.folder().file("report2.bin", &encoded.report);
    flags
        .set("--report", &report)
        .set("--vcek", &vek)
        .set("--ask", &ask)
        .set("--ark", &ark)
        .set("--crl", &crl)
        .set("--danger-root", &root)
        .json()
        .verdict(0);
}
