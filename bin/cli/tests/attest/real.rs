//! Real evidence: the verdict that is stated for each case and time, for the stated reason.
//!
//! The evidence is no part of the repository; without it these tests say that they were skipped.

use std::collections::HashSet;
use std::path::Path;

use serde_json::Value;

use privatemode_attest::tdx::{Collateral, PcsDocuments};

use crate::support::{Folder, attest, real_evidence, step, warned};

/// One line of `index.json` as flags.
struct Case {
    name: &'static str,
    /// Which of the case's expectations.
    nth: usize,
    /// Flags; `@` before a file's name is the case's folder, `@@` the one with all cases.
    flags: &'static str,
    /// The step that refuses; `None` where the evidence is verified.
    refused_at: Option<&'static str>,
}

const fn case(name: &'static str, nth: usize, flags: &'static str, refused_at: Option<&'static str>) -> Case {
    Case { name, nth, flags, refused_at }
}

const VCEK: &str = "snp --report=@report.bin --vcek=@vcek.der --ask=@ask.pem --ark=@ark.pem";
const VLEK: &str = "snp --report=@report.bin --vlek=@vlek.der --ask=@asvk.pem --ark=@ark.pem";

const SNP: &[Case] = &[
    case("snp/milan-v2-coco", 0, VCEK, None),
    case("snp/milan-v2-coco", 1, VCEK, Some("endorsement_key")),
    case("snp/milan-v2-coco", 2, "VCEK --vcek=@wrong_vcek_legacy.der", Some("endorsement_key")),
    case("snp/milan-v2-coco", 2, "VCEK --vcek=@wrong_vcek_new.der", Some("endorsement_key")),
    case("snp/milan-v2-gcp-debug-policy", 0, "VCEK --expect=policy=b0000", None),
    case("snp/milan-v2-gcp-debug-policy", 1, VCEK, Some("guest_policy")),
    case(
        "snp/milan-v2-gcp-debug-policy",
        2,
        "VCEK --expect=policy=b0000 --expect=min_tcb.snp=8 --expect=min_tcb.microcode=73",
        Some("minimum_tcb"),
    ),
    case("snp/milan-v3-azure-vtpm", 0, "VCEK --crl=@amd_crl.der", None),
    case("snp/milan-v3-azure-vtpm", 1, "VCEK --crl=@amd_crl.der", Some("revocation_list")),
    case("snp/milan-v3-azure-vtpm", 1, VCEK, None),
    case("snp/milan-v2-azure-vtpm", 0, VCEK, None),
    case("snp/genoa-v3-azure-vtpm", 0, "VCEK --crl=@amd_crl.der", None),
    case("snp/genoa-v3-azure-vtpm", 1, "VCEK --crl=@amd_crl.der", Some("revocation_list")),
    case("snp/genoa-v3-azure-vtpm", 1, VCEK, None),
    case(
        "snp/genoa-v3-azure-vtpm",
        2,
        "VCEK --ask=@@snp/amd-roots/milan_ask.pem --ark=@@snp/amd-roots/milan_ark.pem",
        Some("endorsement_key"),
    ),
    case("snp/milan-v3-vlek-aws", 0, VLEK, None),
    case("snp/milan-v3-vlek-aws", 1, VLEK, Some("endorsement_key")),
    case("snp/milan-v3-vlek-aws", 2, "VLEK --expect=vmpl=0", Some("vmpl")),
    case("snp/milan-v3-gcp-release", 0, VCEK, None),
    case("snp/milan-v3-gcp-release", 1, "VCEK --expect=measurement=MEASUREMENT", Some("measurement")),
    case("snp/milan-v4-gcp-no-vcek", 1, "VCEK --vcek=@@snp/milan-v2-coco/vcek.der", Some("tcb")),
    case("snp/milan-v4-gcp-no-vcek", 1, "VCEK --vcek=@@snp/milan-v3-gcp-release/vcek.der", Some("tcb")),
    case("snp/milan-v3-gcp-cb", 0, VCEK, None),
    case("snp/milan-v3-dstack", 0, VCEK, None),
    case("snp/milan-v3-dstack", 1, VCEK, Some("endorsement_key")),
    case("snp/milan-v2-virtee", 0, VCEK, None),
];

const TDX: &str = "tdx --quote=@quote.bin --collateral=COLLATERAL";

const TDX_CASES: &[Case] = &[
    case("tdx/emr-b0c06f-uptodate", 0, TDX, None),
    case("tdx/emr-b0c06f-uptodate", 0, "TDX --collateral=@collateral/original.json", None),
    case("tdx/emr-b0c06f-uptodate", 1, TDX, Some("collateral")),
    case("tdx/emr-b0c06f-uptodate", 2, TDX, Some("collateral")),
    case("tdx/azure-90c06f-2026-06", 0, TDX, None),
    case("tdx/azure-90c06f-2026-06", 1, TDX, Some("collateral")),
    case("tdx/spr-50806f-debug-td", 0, TDX, Some("td_attributes")),
    case("tdx/spr-50806f-debug-td", 1, "TDX --expect=td_attributes=0100001000000000", None),
    case("tdx/spr-50806f-debug-td", 2, TDX, Some("collateral")),
    case("tdx/spr-50806f-no-tcb-level", 0, TDX, Some("tcb_level")),
    case("tdx/gcp-00806f-ccel", 0, TDX, None),
    case("tdx/gcp-00806f-ccel", 1, TDX, Some("collateral")),
    case("tdx/v5-90c06f-no-tcb-level", 0, TDX, Some("tcb_level")),
    case("tdx/not-tdx-sgx-quote", 0, "TDX --collateral=@collateral/original.json", Some("structure")),
    case("tdx/untrusted-root-intel-sample", 0, "TDX --quote=@quote.dat", Some("collateral")),
    case("tdx/gcp-00806f-2025-12", 0, TDX, None),
    case("tdx/gcp-00806f-2025-12", 1, TDX, Some("collateral")),
    case("tdx/v5-90c06f-uptodate", 0, TDX, None),
    case("tdx/v5-90c06f-uptodate", 1, TDX, Some("collateral")),
];

const GPU: &str = "nvidia --evidence=@evidence.bin --chain=@device_chain.pem --nonce=SAMPLE";

const H100: &str = "GPU --driver-rim=@rims/NV_GPU_DRIVER_GH100_550.90.07.xml --vbios-rim=@rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";

const NVIDIA_CASES: &[Case] = &[
    // no single clock makes all seven responses fresh
    case("nvidia/h100-550.90.07-complete", 0, "H100 --ocsp=@ocsp --require-ocsp=unknown", None),
    case("nvidia/h100-550.90.07-complete", 1, "H100 --ocsp=@ocsp --require-ocsp=unknown", None),
    case("nvidia/h100-550.90.07-complete", 2, "H100 ", None),
    case("nvidia/h100-550.90.07-complete", 3, "H100 ", Some("rims")),
    case("nvidia/h100-550.90.07-complete", 4, "H100 --nonce=OTHER", Some("nonce")),
    case("nvidia/h100-550.90.07-complete", 5, "H100 --chain=@bad_chain_root_only.pem", Some("chain")),
    case("nvidia/h100-550.90.07-complete", 5, "H100 --chain=@bad_chain_leaf_missing.pem", Some("chain")),
    case(
        "nvidia/h100-550.90.07-complete",
        5,
        "H100 --chain=@bad_chain_Provisioner_ICA_missing.pem",
        Some("chain"),
    ),
    case(
        "nvidia/h100-580.159.03",
        0,
        "GPU --nonce=5bb22e377702d4e1e8215a903ba094826b9ac7f731dee1fe8102958bf2840aca",
        None,
    ),
    case(
        "nvidia/h100-580.159.03",
        1,
        "GPU --nonce=5bb22e377702d4e1e8215a903ba094826b9ac7f731dee1fe8102958bf2840aca --vbios-rim=@rims/NV_GPU_VBIOS_1010_0205_862_9600740020_2023.xml",
        Some("measurements"),
    ),
    case("nvidia/h100-560.00-bad-signature", 0, "GPU ", Some("signature")),
    case("nvidia/blackwell-575.32", 0, "GPU ", None),
    case("nvidia/ls10-switch", 0, "GPU --vbios-rim=@rims/NV_SWITCH_BIOS_5612_0002_890_9610550001.xml", None),
    case(
        "nvidia/ls10-switch",
        1,
        "GPU --vbios-rim=@rims/NV_SWITCH_BIOS_5612_0002_890_9610550001.xml",
        Some("rims"),
    ),
    case(
        "nvidia/rim-samples",
        1,
        "H100 --evidence=@@nvidia/h100-550.90.07-complete/evidence.bin --chain=@@nvidia/h100-550.90.07-complete/device_chain.pem --driver-rim=@rims/incorrect_cert_chain_driver_rim.xml --vbios-rim=@@nvidia/h100-550.90.07-complete/rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml",
        Some("rims"),
    ),
    case(
        "nvidia/rim-samples",
        2,
        "H100 --evidence=@@nvidia/h100-550.90.07-complete/evidence.bin --chain=@@nvidia/h100-550.90.07-complete/device_chain.pem --driver-rim=@rims/incorrect_signature_driver_rim.xml --vbios-rim=@@nvidia/h100-550.90.07-complete/rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml",
        Some("rims"),
    ),
    case(
        "nvidia/vbios-rims-2023",
        1,
        "GPU --evidence=@@nvidia/h100-580.159.03/evidence.bin --chain=@@nvidia/h100-580.159.03/device_chain.pem --nonce=5bb22e377702d4e1e8215a903ba094826b9ac7f731dee1fe8102958bf2840aca --vbios-rim=@rims/1010_0205_862_9600740020_PROD.swidtag",
        Some("rims"),
    ),
    case("nvidia/h100-590.12-eight-ppcie", 0, "nvidia --evidence=@evidence.json --nonce=EIGHT", None),
    case("nvidia/ls10-switch-four", 0, "nvidia --evidence=@evidence.json --nonce=EIGHT", None),
];

/// What no flags of this command can express, and why.
const NOT_EXPRESSIBLE: &[(&str, usize, &str)] = &[
    ("snp/milan-v3-azure-vtpm", 2, "the nonce is the vTPM's"),
    ("snp/milan-v2-azure-vtpm", 1, "the quote is the vTPM's"),
    ("snp/milan-v4-gcp-no-vcek", 0, "without a certificate there is no command"),
    ("snp/amd-roots", 0, "certificates, no evidence"),
    ("tdx/intel-roots", 0, "certificates, no evidence"),
    ("nvidia/roots", 0, "certificates, no evidence"),
    ("nvidia/rim-samples", 0, "reference values of a driver that no evidence here has"),
    ("nvidia/vbios-rims-2023", 0, "reference values of which one is of a case here, and differs"),
];

/// A time at which all of this case's certificates are valid, where the index says "any".
fn any_time(case: &str) -> &'static str {
    match case {
        "snp/genoa-v3-azure-vtpm" | "snp/milan-v3-vlek-aws" => "2025-09-01T00:00:00Z",
        "nvidia/h100-550.90.07-complete" => "2025-09-01T00:00:00Z",
        "nvidia/rim-samples" => "2025-09-01T00:00:00Z",
        "tdx/untrusted-root-intel-sample" => "2025-01-01T00:00:00Z",
        _ => "2026-01-01T00:00:00Z",
    }
}

#[test]
fn snp() {
    check("snp/", SNP);
}

#[test]
fn tdx() {
    check("tdx/", TDX_CASES);
}

#[test]
fn nvidia() {
    check("nvidia/", NVIDIA_CASES);
}

#[test]
fn the_downgrades_that_were_accepted_are_said() {
    let Some(root) = real_evidence() else { return };
    let name = "nvidia/h100-550.90.07-complete";
    let run =
        |flags: &'static str, at: &str| attest(&arguments(&root, &case(name, 0, flags, None), at), None);
    // fresh for the device, not yet valid for those who signed the RIMs
    let at = "2025-08-21T12:00:00Z";
    let json = run("H100 --ocsp=@ocsp --require-ocsp=unknown", at).verdict(0);
    assert_eq!(step(&json, "measurements")["values"]["equal"], 32);
    assert_eq!(step(&json, "revocation")["verdict"], "passed");
    assert!(warned(&json, "OCSP: certificate 0 of the VBIOS's chain is unknown"), "{json:#}");
    run("H100 --ocsp=@ocsp", at).refused_at("revocation");
    run("H100 --ocsp=@ocsp --require-ocsp=revoked-grace=48", at).refused_at("revocation");
    // responses that are demanded and not given
    run("H100 --require-ocsp=good", at).refused_at("revocation");
    // a demand that needs RIMs, without them
    run("GPU --ocsp=@ocsp --require-ocsp=unknown", at).refused_at("rims");
    let json = run("H100 ", at).verdict(0);
    assert!(warned(&json, "revocation: NOT CHECKED"), "{json:#}");
    let json = run("GPU ", at).verdict(0);
    assert!(warned(&json, "measurements: NOT COMPARED"), "{json:#}");
    let expected = "GPU --expect=driver=550.90.07,vbios=96.00.9f.00.01,architecture=hopper";
    assert_eq!(step(&run(expected, at).verdict(0), "versions")["verdict"], "passed");
    for expected in
        ["GPU --expect=driver=550.90", "GPU --expect=vbios=96.00.9F.00.02", "GPU --expect=architecture=LS10"]
    {
        run(expected, at).refused_at("versions");
    }
    // the right one in the place of the other, and another version
    let vbios = "H100 --driver-rim=@rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";
    run(vbios, at).refused_at("rims");
    let other = "H100 --driver-rim=@@nvidia/rim-samples/rims/NV_GPU_DRIVER_GH100_550.144.03.xml";
    run(other, "2025-09-01T00:00:00Z").refused_at("rims");
    // one of two
    run("GPU --driver-rim=@rims/NV_GPU_DRIVER_GH100_550.90.07.xml", at).refused_at("rims");
    run("GPU --vbios-rim=@rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml", at).refused_at("rims");
}

#[test]
fn a_list_of_devices_has_a_row_for_each() {
    let Some(root) = real_evidence() else { return };
    let eight =
        case("nvidia/h100-590.12-eight-ppcie", 0, "nvidia --evidence=@evidence.json --nonce=EIGHT", None);
    let json = attest(&arguments(&root, &eight, "2026-01-01T00:00:00Z"), None).verdict(0);
    let steps = json["steps"].as_array().unwrap();
    assert_eq!(steps.iter().filter(|step| step["name"] == "signature").count(), 8);
    assert_eq!(step(&json, "fleet")["values"], serde_json::json!({ "gpus": 8, "switches": 0 }));
    assert!(warned(&json, "machine: NOT COMPLETE"), "{json:#}");
    // one device twice
    let list = std::fs::read(root.join(eight.name).join("evidence.json")).unwrap();
    let mut list: Value = serde_json::from_slice(&list).unwrap();
    list[5] = list[2].clone();
    let files = Folder::new();
    let double = files.file("evidence.json", list.to_string().as_bytes());
    let mut twice = arguments(&root, &eight, "2026-01-01T00:00:00Z");
    twice[1] = format!("--evidence={double}");
    attest(&twice, None).refused_at("fleet");
}

fn check(platform: &str, cases: &[Case]) {
    let Some(root) = real_evidence() else { return };
    let index: Value = serde_json::from_slice(&std::fs::read(root.join("index.json")).unwrap()).unwrap();
    let mut seen: HashSet<(&str, usize)> = HashSet::new();
    for case in cases {
        seen.insert((case.name, case.nth));
        let entry = index.as_array().unwrap().iter().find(|entry| entry["case"] == case.name).unwrap();
        let expected = &entry["expected"][case.nth];
        check_case(&root, case, expected);
    }
    seen.extend(NOT_EXPRESSIBLE.iter().map(|(name, nth, _)| (*name, *nth)));
    for entry in index.as_array().unwrap() {
        let name = entry["case"].as_str().unwrap();
        for nth in 0..entry["expected"].as_array().unwrap().len() {
            let covered = !name.starts_with(platform) || seen.contains(&(name, nth));
            assert!(covered, "{name}: expectation {nth} of the index is neither checked nor explained");
        }
    }
}

fn check_case(root: &Path, case: &Case, expected: &Value) {
    let at = match expected["at"].as_str().unwrap() {
        "any" => any_time(case.name),
        at => at,
    };
    let files = Folder::new();
    let mut arguments = arguments(root, case, at);
    for argument in &mut arguments {
        if argument.ends_with("=COLLATERAL") {
            *argument =
                format!("--collateral={}", files.file("collateral.json", &collateral(&root.join(case.name))));
        }
    }
    let json = attest(&arguments, None);
    let what = format!("{} {nth} {arguments:?}", case.name, nth = case.nth);
    match case.refused_at {
        None => {
            assert_eq!(json.code, 0, "{what}\n{}{}", json.out, json.err);
            json.verdict(0);
        }
        Some(step) => {
            assert_eq!(json.code, 1, "{what}\n{}{}", json.out, json.err);
            json.refused_at(step);
        }
    }
    // what the index says, in so far as one word can say it; some are valid or not by the flags
    let verdict = expected["verdict"].as_str().unwrap();
    let depends = expected["reason"].as_str().unwrap().contains("else valid");
    let valid =
        verdict.starts_with("valid") || verdict.contains("valid,") || verdict == "cryptographically valid";
    assert!(depends || valid == case.refused_at.is_none(), "{what}: {verdict}");
}

/// Flags that are given again replace what the abbreviation has.
fn arguments(root: &Path, case: &Case, at: &str) -> Vec<String> {
    let folder = root.join(case.name);
    let flags = case.flags.replace("VCEK ", &format!("{VCEK} ")).replace("VLEK ", &format!("{VLEK} "));
    let sample = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";
    let eight = "4760e30534a0621357d458b1a7936551b5dc4cd1e69718adf7ed9fb0252a537e";
    let flags = flags.replace("H100 ", &format!("{H100} ")).replace("GPU ", &format!("{GPU} "));
    let flags = flags.replace("SAMPLE", sample).replace("EIGHT", eight).replace("OTHER", &"ab".repeat(32));
    let flags = flags.replace("TDX ", &format!("{TDX} ")).replace("MEASUREMENT", &"5a".repeat(48));
    let mut arguments: Vec<String> = vec![];
    for flag in flags.split(' ').filter(|flag| !flag.is_empty()) {
        let flag = flag
            .replace("=@@", &format!("={}/", root.display()))
            .replace("=@", &format!("={}/", folder.display()));
        let name = flag.split('=').next().unwrap();
        let again = name != "--expect" && name.starts_with("--");
        arguments.retain(|other| !again || other.split('=').next() != Some(name));
        arguments.push(flag);
    }
    arguments.extend([format!("--at={at}"), "--json".to_owned()]);
    arguments
}

/// The documents of a case as one JSON object.
pub(crate) fn collateral(case: &Path) -> Vec<u8> {
    let read = |name: &str| std::fs::read(case.join(name)).unwrap();
    let sample = case.ends_with("untrusted-root-intel-sample");
    let names = if sample {
        [
            "tcbInfo.json",
            "qeIdentity.json",
            "tcbSignChain.pem",
            "intermediateCaCrl.der",
            "pckSignChain.pem",
            "rootCaCrl.der",
        ]
    } else {
        [
            "collateral/tcb_info.json",
            "collateral/qe_identity.json",
            "collateral/tcb_signing_chain.pem",
            "collateral/pck_crl.der",
            "collateral/pck_crl_issuer_chain.pem",
            "collateral/root_ca_crl.der",
        ]
    };
    let [tcb_info, qe_identity, signing_chain, pck_crl, pck_crl_chain, root_ca_crl] = names.map(read);
    let documents = PcsDocuments {
        tcb_info: &tcb_info,
        tcb_info_issuer_chain: &in_order(&signing_chain, sample),
        qe_identity: &qe_identity,
        qe_identity_issuer_chain: &in_order(&signing_chain, sample),
        pck_crl: &pck_crl,
        pck_crl_issuer_chain: &in_order(&pck_crl_chain, sample),
        root_ca_crl: &root_ca_crl,
    };
    Collateral::assemble(&documents).unwrap().to_json().unwrap().into_bytes()
}

/// Leaf first: one sample has its chains the other way round.
fn in_order(pem: &[u8], turned: bool) -> Vec<u8> {
    let text = std::str::from_utf8(pem).unwrap();
    let end = "-----END CERTIFICATE-----\n";
    let mut blocks: Vec<&str> = text.split_inclusive(end).filter(|block| block.contains("BEGIN")).collect();
    if turned {
        blocks.reverse();
    }
    blocks.concat().into_bytes()
}
