//! `attest … --manifest` over real evidence: accepted by a manifest that is made of the evidence's own values, and refused after
//! each single change of it, with the exact words.
//!
//! The evidence is no part of the repository; without it these tests say that they were skipped.

use privatemode_attest::snp::Report;
use privatemode_attest::tdx::Quote;
use serde_json::{Value, json};

use crate::manifest::{manifest, with};
use crate::real::collateral;
use crate::support::{Folder, Run, attest, real_evidence};

const CHANGED: &str = "eeeeeeeeeeeeeeee…";
const MR_TD: &str = "another firmware than the manifest was made for";
const MR_SEAM: &str = "another TDX module than the manifest was made for; was the host updated?";
const RTMR: &str = "another image, configuration or number of CPUs than the manifest was made for";
const MR_OWNER: &str = "somebody else configured the trust domain";

/// Evidence, its only entry, and how the entry is called.
struct Case {
    arguments: Vec<String>,
    files: Folder,
    kind: &'static str,
    policy: [u8; 32],
    entry: Value,
    label: String,
}

impl Case {
    fn run(&self, entry: &Value) -> Run {
        let manifest = manifest(self.policy, &json!({self.kind: [entry]}));
        let path = self.files.file("manifest.json", &manifest);
        let mut arguments = self.arguments.clone();
        arguments.extend([format!("--manifest={path}"), "--json".to_owned()]);
        attest(&arguments, None)
    }

    fn accept(&self) {
        let json = self.run(&self.entry).verdict(0);
        assert_eq!(json["manifest"]["policy"], hex::encode(self.policy), "{json:#}");
        assert_eq!(json["manifest"]["entries"][0]["accepted"], true);
    }

    /// The words after the value at `pointer` was replaced.
    fn refuse(&self, pointer: &str, value: Value, words: &str) {
        let json = self.run(&with(self.entry.clone(), pointer, value)).verdict(1);
        let why = json["refusal"]["why"][0].as_str().unwrap();
        assert_eq!(why, format!("{}: {words}", self.label), "{pointer}");
        assert_eq!(json["manifest"]["policy"], Value::Null);
    }
}

fn short(bytes: &[u8]) -> String {
    format!("{}…", hex::encode(&bytes[..8]))
}

/// Reports whose certificates and revocation list are at hand.
const SNP: [(&str, &str, &str); 2] = [
    ("milan-v3-azure-vtpm", "Milan", "2026-01-15T00:00:00Z"),
    ("genoa-v3-azure-vtpm", "Genoa", "2025-09-01T00:00:00Z"),
];

fn snp((name, product, at): (&str, &str, &str)) -> Option<(Case, Report)> {
    let folder = real_evidence()?.join("snp").join(name);
    let bytes = std::fs::read(folder.join("report.bin")).unwrap();
    let report = Report::parse(&bytes).unwrap();
    let (policy, info) = (report.policy, report.platform_info);
    let tcb = report.reported_tcb;
    let entry = json!({
        "ProductName": product,
        "TrustedMeasurement": hex::encode(report.measurement),
        "MinimumTCB": {
            "BootloaderVersion": tcb.bootloader, "TEEVersion": tcb.tee, "SNPVersion": tcb.snp,
            "MicrocodeVersion": tcb.microcode,
        },
        "GuestPolicy": {"ABIMinor": policy.abi_minor(), "ABIMajor": policy.abi_major(), "SMT": policy.smt_allowed()},
        "PlatformInfo": {
            "SMTEnabled": info.smt_enabled(), "TSMEEnabled": info.tsme_enabled(), "ECCEnabled": info.ecc_enabled(),
            "AliasCheckComplete": info.alias_check_complete(),
        },
        "AllowedChipIDs": [hex::encode(report.chip_id)],
    });
    let file = |flag: &str, file: &str| format!("--{flag}={}", folder.join(file).display());
    let arguments = vec![
        "snp".to_owned(),
        file("report", "report.bin"),
        file("vcek", "vcek.der"),
        file("ask", "ask.pem"),
        file("ark", "ark.pem"),
        file("crl", "amd_crl.der"),
        format!("--at={at}"),
        format!("--expect=report_data={}", hex::encode(report.report_data.as_bytes())),
    ];
    let case = Case {
        arguments,
        files: Folder::new(),
        kind: "snp",
        policy: report.host_data,
        entry,
        label: format!("{product} entry 1"),
    };
    Some((case, report))
}

#[test]
fn reports_under_a_manifest_of_their_values() {
    let mut with_smt = 0;
    for line in SNP {
        let Some((case, report)) = snp(line) else { return };
        with_smt += usize::from(report.platform_info.smt_enabled());
        case.accept();
        let (product, other) = if line.1 == "Milan" { ("Milan", "Genoa") } else { ("Genoa", "Milan") };
        let label = format!("{other} entry 1");
        let of_other = Case {
            label,
            files: Folder::new(),
            arguments: case.arguments.clone(),
            entry: case.entry.clone(),
            ..case
        };
        of_other.refuse("/ProductName", json!(other), &format!("the processor is {product}, not {other}"));
        let case = Case { label: format!("{product} entry 1"), ..of_other };
        let measured = short(&report.measurement);
        case.refuse(
            "/TrustedMeasurement",
            json!("ee".repeat(48)),
            &format!(
                "the launch measurement is {measured}, not {CHANGED}: another image, firmware or number of CPUs than the manifest was made for"
            ),
        );
        let tcb = report.reported_tcb;
        for (member, part, have) in [
            ("BootloaderVersion", "bootloader", tcb.bootloader),
            ("TEEVersion", "TEE", tcb.tee),
            ("SNPVersion", "SNP firmware", tcb.snp),
            ("MicrocodeVersion", "microcode", tcb.microcode),
        ] {
            case.refuse(
                &format!("/MinimumTCB/{member}"),
                json!(have + 1),
                &format!(
                    "{part} {have} of the certificate's TCB is below {}: the host must update its firmware",
                    have + 1
                ),
            );
        }
        case.refuse(
            "/GuestPolicy/SMT",
            json!(false),
            "the guest policy allows SMT, which the manifest does not",
        );
        case.refuse(
            "/GuestPolicy/SingleSocket",
            json!(true),
            "the guest policy does not demand SingleSocket, which the manifest does",
        );
        // one of the two machines has it switched off
        if report.platform_info.smt_enabled() {
            case.refuse(
                "/PlatformInfo/SMTEnabled",
                json!(false),
                "the platform has SMTEnabled, which the manifest does not allow",
            );
        }
        case.refuse(
            "/AllowedChipIDs",
            json!(["ee".repeat(64)]),
            &format!("chip {} is not in `AllowedChipIDs`", short(&report.chip_id)),
        );
        case.refuse(
            "/MinimumMitigationVector",
            json!(1),
            &format!(
                "a report of version {} does not say which mitigations are in place, and the manifest demands 0x1; newer firmware writes version 5",
                report.version
            ),
        );
    }
    assert_eq!(with_smt, 1);
}

#[test]
fn a_complete_manifest_is_demanded() {
    let Some((case, _)) = snp(SNP[0]) else { return };
    let run = case.run(&with(case.entry.clone(), "/MinimumTCB/SNPVersion", json!(null)));
    let expected =
        "the manifest lacks required reference values: ReferenceValues.snp[0].MinimumTCB.SNPVersion";
    assert!(run.unusable().contains(expected), "{}", run.err);
    let Some((case, _)) = tdx(TDX[0]) else { return };
    let run = case.run(&with(case.entry.clone(), "/MinTCBEvaluationDataNumber", json!(null)));
    let expected =
        "the manifest lacks required reference values: ReferenceValues.tdx[0].MinTCBEvaluationDataNumber";
    assert!(run.unusable().contains(expected), "{}", run.err);
}

/// Quotes with their collateral, and the evaluation number that judged them.
const TDX: [(&str, &str, u32); 2] = [
    ("emr-b0c06f-uptodate", "2025-07-01T00:00:00Z", 17),
    ("azure-90c06f-2026-06", "2026-06-15T00:00:00Z", 19),
];

fn tdx((name, at, evaluation): (&str, &str, u32)) -> Option<(Case, privatemode_attest::tdx::TdReport)> {
    let folder = real_evidence()?.join("tdx").join(name);
    let bytes = std::fs::read(folder.join("quote.bin")).unwrap();
    let body = Quote::parse(&bytes).unwrap().body().clone();
    let files = Folder::new();
    let entry = json!({
        "MrTd": hex::encode(body.mr_td),
        "MrSeam": hex::encode(body.mr_seam),
        "Rtmrs": body.rtmrs.map(hex::encode),
        "Xfam": hex::encode(body.xfam.to_bytes()),
        "MinTCBEvaluationDataNumber": evaluation,
    });
    let arguments = vec![
        "tdx".to_owned(),
        format!("--quote={}", folder.join("quote.bin").display()),
        format!("--collateral={}", files.file("collateral.json", &collateral(&folder))),
        format!("--at={at}"),
        format!("--expect=report_data={}", hex::encode(body.report_data.as_bytes())),
    ];
    let policy = *body.mr_config_id.first_chunk().unwrap();
    let case = Case { arguments, files, kind: "tdx", policy, entry, label: "TDX entry 1".to_owned() };
    Some((case, body))
}

#[test]
fn quotes_under_a_manifest_of_their_values() {
    for line in TDX {
        let Some((case, body)) = tdx(line) else { return };
        case.accept();
        case.refuse(
            "/MinTCBEvaluationDataNumber",
            json!(line.2 + 1),
            &format!(
                "the platform was judged by evaluation {} of Intel's, the manifest demands at least {}; fetch newer collateral",
                line.2,
                line.2 + 1
            ),
        );
        for (pointer, register, got, meaning) in [
            ("/MrTd", "MRTD", &body.mr_td, MR_TD),
            ("/MrSeam", "MRSEAM", &body.mr_seam, MR_SEAM),
            ("/MrOwner", "MROWNER", &body.mr_owner, MR_OWNER),
            ("/MrOwnerConfig", "MROWNERCONFIG", &body.mr_owner_config, MR_OWNER),
        ] {
            let words = format!("{register} is {}, not {CHANGED}: {meaning}", short(got));
            case.refuse(pointer, json!("ee".repeat(48)), &words);
        }
        for (number, got) in body.rtmrs.iter().enumerate() {
            let mut rtmrs = body.rtmrs.map(hex::encode);
            rtmrs[number] = "ee".repeat(48);
            let words = format!("RTMR{number} is {}, not {CHANGED}: {}", short(got), RTMR);
            case.refuse("/Rtmrs", json!(rtmrs), &words);
        }
        let xfam = hex::encode(body.xfam.to_bytes());
        let changed = "ee".repeat(8);
        case.refuse(
            "/Xfam",
            json!(changed),
            &format!(
                "XFAM is {xfam}, not {changed}: another set of CPU features than the manifest was made for"
            ),
        );
        case.refuse(
            "/MemoryIntegrity",
            json!(true),
            "the platform's memory has no cryptographic integrity, and the manifest demands `MemoryIntegrity`",
        );
    }
}
