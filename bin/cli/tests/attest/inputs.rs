//! Input that gives nothing to verify: exit code 2, and the flag is named.

use privatemode_test_pki::amd::{Evidence, Product, Signer};

use crate::snp::flags_of;
use crate::support::{Flags, attest};

fn flags() -> Flags {
    flags_of(&Evidence::new(Product::Genoa, Signer::Vcek), Signer::Vcek)
}

#[test]
fn files_that_are_not_there_or_nothing_or_too_much() {
    let folder = flags();
    let missing = folder.folder().path().join("missing").to_str().unwrap().to_owned();
    let directory = folder.folder().path().to_str().unwrap().to_owned();
    let empty = folder.folder().file("empty", b"");
    let huge = folder.folder().file("huge", &vec![0; 5 << 20]);
    for flag in ["--report", "--vcek", "--ask", "--ark", "--crl", "--danger-root"] {
        for (path, says) in
            [(&missing, "cannot read"), (&directory, "a directory"), (&empty, "empty"), (&huge, "more than")]
        {
            let run = flags().set(flag, path).run();
            let said = run.unusable();
            assert!(said.contains(flag) && said.contains(says), "{said}");
            assert_eq!(run.out, "");
        }
    }
}

#[test]
fn json_is_json_whatever_the_fault() {
    let json = flags().set("--report", "/nowhere").json().verdict(2);
    assert!(json["refusal"]["what"].as_str().unwrap().contains("--report"), "{json}");
    assert!(json["refusal"]["why"][0].as_str().unwrap().contains("No such file"), "{json}");
    assert_eq!(json["steps"], serde_json::json!([]));
}

#[test]
fn exchanged_files_are_recognised() {
    let given = flags();
    let path = |name: &str| given.folder().path().join(name).to_str().unwrap().to_owned();
    let run = flags().set("--report", &path("vek.der")).run();
    assert!(run.unusable().contains("looks like a certificate"), "{}", run.err);
    let run = flags().set("--vcek", &path("report.bin")).run();
    assert!(run.unusable().contains("looks like an SEV-SNP report"), "{}", run.err);
    let run = flags().set("--ask", &path("crl.der")).run();
    assert!(run.unusable().contains("--ask"), "{}", run.err);
    let run = flags().set("--crl", &path("ask.der")).run();
    assert!(run.unusable().contains("--crl"), "{}", run.err);
    // certificates of the right form in the wrong places do not hold
    flags().set("--ask", &path("ark.der")).json().refused_at("signing_key");
    let run = flags().set("--ark", &path("ask.der")).json();
    run.refused_at("root");
}

#[test]
fn a_report_of_another_length_or_version_is_none() {
    let given = flags();
    let report = std::fs::read(given.folder().path().join("report.bin")).unwrap();
    for length in [1, 1183, 1185, 2368] {
        let mut bytes = report.clone();
        bytes.resize(length, 0);
        let path = given.folder().file("cut.bin", &bytes);
        let run = flags().set("--report", &path).run();
        assert!(run.unusable().contains("1184 bytes"), "{}", run.err);
    }
    // of the right length, and of no layout that is known
    let path = given.folder().file("other.bin", &[0x41; 1184]);
    let run = flags().set("--report", &path).run();
    assert!(run.unusable().contains("version 1094795585"), "{}", run.err);
}

#[test]
fn flags_that_mean_nothing() {
    for (flag, value, says) in [
        ("--at", "yesterday", "2026-01-31T12:00:00Z"),
        ("--at", "2026-01-01", "2026-01-31T12:00:00Z"),
        ("--at", "1960-01-01T00:00:00Z", "before 1970"),
        ("--expect", "measurement=zz", "hexadecimal"),
        ("--expect", "measurement=00", "48 bytes"),
        ("--expect", "measurement", "NAME=VALUE"),
        ("--expect", "measurment=00", "did you mean `measurement`?"),
        ("--expect", "vmpl=0,vmpl=1", "twice"),
        ("--expect", "", "NAME=VALUE"),
        ("--colour", "red", "--colour"),
    ] {
        let flags =
            if flag == "--at" { flags().set(flag, value) } else { flags().with(&format!("{flag}={value}")) };
        let run = flags.run();
        assert!(run.unusable().contains(says), "{says}: {}", run.err);
    }
    for missing in ["--report", "--vcek", "--ask", "--ark", "--at"] {
        assert!(flags().without(missing).run().unusable().contains(missing));
    }
    // either of them, not both
    assert!(flags().with("--vlek=/dev/null").run().unusable().contains("--vlek"));
    assert_eq!(attest(&["toaster"], None).code, 2);
}

#[test]
fn standard_input_is_read_once() {
    let given = flags();
    let report = std::fs::read(given.folder().path().join("report.bin")).unwrap();
    let given = given.set("--report", "-").with("--json");
    given.run_with(&report).verdict(0);
    let run = given.set("--crl", "-").run_with(&report);
    assert!(run.unusable().contains("--report and --crl"), "{}", run.err);
}
