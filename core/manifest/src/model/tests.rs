use serde_json::{Value, json};

use super::*;
use crate::reference::{SimulatedReference, SnpProduct};

const HASH: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "abababababababababababababababababababababababababababababababab";

fn valid() -> Value {
    json!({
        "Policies": {
            HASH: {"SANs": ["coordinator", "*"], "Role": "coordinator"},
            OTHER: {"SANs": ["secret-service"], "WorkloadSecretID": "apps/v1/secret"},
        },
        "ReferenceValues": {"simulated": [{"HostData": HASH}]},
    })
}

fn snp() -> Value {
    json!({
        "Platform": "Metal-QEMU-SNP-GPU",
        "ProductName": "Genoa",
        "TrustedMeasurement": "aa".repeat(48),
        "MinimumTCB": {"BootloaderVersion": 10, "TEEVersion": 0, "SNPVersion": 28, "MicrocodeVersion": 88},
        "GuestPolicy": {"SMT": true, "PageSwapDisable": true, "ABIMinor": 31},
        "PlatformInfo": {"ECCEnabled": true, "AliasCheckComplete": true},
        "MinimumMitigationVector": 15,
        "AllowedChipIDs": ["BB".repeat(64)],
        "CPUs": 1,
    })
}

fn tdx() -> Value {
    json!({
        "MrTd": "01".repeat(48),
        "MrSeam": "02".repeat(48),
        "Rtmrs": ["03".repeat(48), "04".repeat(48), "05".repeat(48), "06".repeat(48)],
        "Xfam": "e702060000000000",
        "MinTCBEvaluationDataNumber": 21,
        "AllowedPIIDs": ["0c47f6f7587ddb0cfbb0fed9e4537ea7"],
        "StaticPlatform": true,
    })
}

fn parse(value: &Value) -> Result<Manifest, ManifestError> {
    Manifest::parse(value.to_string().as_bytes())
}

/// The valid manifest with one thing changed.
fn with(change: impl FnOnce(&mut Value)) -> Result<Manifest, ManifestError> {
    let mut value = valid();
    change(&mut value);
    parse(&value)
}

fn real(name: &str, entry: impl Into<Value>) -> Result<Manifest, ManifestError> {
    let entry: Value = entry.into();
    with(|value| value["ReferenceValues"] = json!({name: [entry]}))
}

#[test]
fn a_manifest_says_what_it_says() {
    let manifest = parse(&valid()).unwrap();
    assert_eq!(manifest.raw(), valid().to_string().as_bytes());
    assert_eq!(manifest.digest(), ManifestDigest::of(manifest.raw()));
    let coordinators: Vec<_> = manifest.coordinator_policies().map(PolicyHash::to_string).collect();
    assert_eq!(coordinators, [HASH]);
    let entry = manifest.policy(&OTHER.parse().unwrap()).unwrap();
    assert_eq!(entry.sans, ["secret-service"]);
    assert_eq!(entry.workload_secret_id.as_deref(), Some("apps/v1/secret"));
    assert_eq!(entry.role, Role::Workload);
    assert!(manifest.is_simulated() && manifest.is_immutable());
    assert!(manifest.names_platform(EvidenceKind::Simulated) && !manifest.names_platform(EvidenceKind::Snp));
    let host_data = Some([0x11; 32]);
    assert_eq!(manifest.reference_values().simulated, [SimulatedReference { host_data }]);
    assert!(manifest.protocols().is_empty() && !manifest.speaks("fields/1"));
    assert_eq!(format!("{manifest:?}"), format!("Manifest({})", manifest.digest()));
}

#[test]
fn equal_means_the_same_bytes() {
    let (compact, spaced) = (valid().to_string(), format!("{:#}", valid()));
    let parse = |text: &str| Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(parse(&compact), parse(&compact));
    assert_ne!(parse(&compact), parse(&spaced));
    assert_ne!(parse(&compact).digest(), parse(&spaced).digest());
}

#[test]
fn names_are_read_in_any_case_and_null_is_absent() {
    let text = valid().to_string().replace("Policies", "pOLICIES").replace("HostData", "hostdata");
    let text = text.replace("\"Role\":\"coordinator\"", "\"ROLE\":\"coordinator\",\"WorkloadSecretID\":null");
    let manifest = Manifest::parse(text.as_bytes()).unwrap();
    assert_eq!(manifest.coordinator_policies().count(), 1);
    assert!(manifest.unknown_members().is_empty());
}

#[test]
fn hashes_are_read_in_any_case_but_only_once() {
    let upper = OTHER.to_uppercase();
    let manifest = Manifest::parse(valid().to_string().replace(OTHER, &upper).as_bytes()).unwrap();
    assert!(manifest.policy(&OTHER.parse().unwrap()).is_some());
    match with(|value| value["Policies"][&upper] = json!({})) {
        Err(ManifestError::DuplicateMember { path }) => {
            assert!(path.eq_ignore_ascii_case(&format!("Policies.{OTHER}")));
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn unknown_members_are_ignored_and_reported() {
    let manifest = with(|value| {
        value["MinimumAPIVersion"] = json!("v1");
        value["Policies"][HASH]["Colour"] = json!(["blue"]);
        value["ReferenceValues"]["sgx"] = json!([]);
        value["ReferenceValues"]["simulated"][0]["Extra"] = json!(1);
    })
    .unwrap();
    let mut unknown = manifest.unknown_members().to_vec();
    unknown.sort();
    let colour = format!("Policies.{HASH}.Colour");
    assert_eq!(
        unknown,
        ["MinimumAPIVersion", &colour, "ReferenceValues.sgx", "ReferenceValues.simulated[0].Extra"]
    );
}

#[test]
fn owners_make_it_mutable() {
    for name in ["WorkloadOwnerPubKeys", "WorkloadOwnerKeyDigests"] {
        let manifest = with(|value| value[name] = json!(["c0ffee"])).unwrap();
        assert!(!manifest.is_immutable());
        assert_eq!(manifest.workload_owners(), [[0xc0, 0xff, 0xee]]);
    }
    let manifest = with(|value| value["SeedshareOwnerPubKeys"] = json!(["01"])).unwrap();
    assert!(manifest.is_immutable());
    assert_eq!(manifest.seedshare_owners(), [[1]]);
}

#[test]
fn protocols() {
    let manifest = with(|value| value["Protocols"] = json!(["fields/1", "sealed-body/1"])).unwrap();
    assert!(manifest.speaks("sealed-body/1") && !manifest.speaks("sealed-body"));
}

#[test]
fn snp_reference_values() {
    let manifest = real("snp", snp()).unwrap();
    assert!(manifest.expected_missing().is_empty() && manifest.unknown_members().is_empty());
    let reference = &manifest.reference_values().snp[0];
    assert_eq!(reference.product_name, Some(SnpProduct::Genoa));
    assert_eq!(reference.trusted_measurement, Some([0xaa; 48]));
    let tcb = reference.minimum_tcb;
    assert_eq!((tcb.bootloader, tcb.tee, tcb.snp, tcb.microcode), (Some(10), Some(0), Some(28), Some(88)));
    let policy = reference.guest_policy;
    assert!(policy.smt && policy.page_swap_disable && !policy.debug && !policy.migrate_ma);
    assert_eq!((policy.abi_major, policy.abi_minor), (0, 31));
    assert!(reference.platform_info.ecc_enabled && !reference.platform_info.smt_enabled);
    assert_eq!(reference.minimum_mitigation_vector, 15);
    assert_eq!(reference.allowed_chip_ids, [[0xbb; 64]]);
    assert_eq!(reference.cpus, Some(1));
    assert_eq!(reference.platform.as_deref(), Some("Metal-QEMU-SNP-GPU"));
}

#[test]
fn tdx_reference_values() {
    let manifest = real("tdx", tdx()).unwrap();
    assert!(manifest.expected_missing().is_empty() && manifest.unknown_members().is_empty());
    let reference = &manifest.reference_values().tdx[0];
    assert_eq!((reference.mr_td, reference.mr_seam), (Some([1; 48]), Some([2; 48])));
    assert_eq!(reference.rtmrs, Some([[3; 48], [4; 48], [5; 48], [6; 48]]));
    assert_eq!(reference.xfam, Some([0xe7, 2, 6, 0, 0, 0, 0, 0]));
    assert_eq!(reference.min_tcb_evaluation_data_number, Some(21));
    assert_eq!(reference.allowed_piids.len(), 1);
    assert!(reference.static_platform && !reference.smt_disabled && !reference.memory_integrity);
}

#[test]
fn what_a_generator_left_out_is_named() {
    let manifest = real(
        "snp",
        json!({"ProductName": "Milan", "TrustedMeasurement": "", "MinimumTCB": {"TEEVersion": 0}}),
    )
    .unwrap();
    let entry = "ReferenceValues.snp[0]";
    let expected = [
        format!("{entry}.TrustedMeasurement"),
        format!("{entry}.MinimumTCB.BootloaderVersion"),
        format!("{entry}.MinimumTCB.SNPVersion"),
        format!("{entry}.MinimumTCB.MicrocodeVersion"),
    ];
    assert_eq!(manifest.expected_missing(), expected);
    let manifest = real("tdx", json!({})).unwrap();
    let entry = "ReferenceValues.tdx[0]";
    let expected = ["MrTd", "MrSeam", "Rtmrs", "Xfam", "MinTCBEvaluationDataNumber"];
    assert_eq!(manifest.expected_missing(), expected.map(|name| format!("{entry}.{name}")));
    // an explicit 0 is a choice
    let mut any = tdx();
    any["MinTCBEvaluationDataNumber"] = json!(0);
    assert!(real("tdx", any).unwrap().expected_missing().is_empty());
    let mut vlek = snp();
    vlek["AllowVLEK"] = json!(true);
    for clouds in [json!(null), json!([])] {
        vlek["AllowedClouds"] = clouds;
        let manifest = real("snp", vlek.clone()).unwrap();
        assert_eq!(manifest.expected_missing(), ["ReferenceValues.snp[0].AllowedClouds"]);
    }
    let manifest = real("simulated", json!({})).unwrap();
    assert_eq!(manifest.expected_missing(), ["ReferenceValues.simulated[0].HostData"]);
}

// --- one test for each error ---

#[test]
fn too_long() {
    let raw = vec![b' '; Manifest::MAX_LEN + 1];
    let refused = Manifest::parse(&raw).unwrap_err();
    assert!(matches!(refused, ManifestError::TooLong { len: 1_048_577, max: 1_048_576 }));
}

#[test]
fn not_json() {
    for bad in [&b""[..], b"{", b"{} x", b"\xef\xbb\xbf{}", b"{\"a\":\xff}"] {
        assert!(matches!(Manifest::parse(bad), Err(ManifestError::Json { .. })), "{bad:?}");
    }
}

#[test]
fn a_member_twice() {
    let text = valid().to_string().replacen('{', "{\"policies\":{},", 1);
    match Manifest::parse(text.as_bytes()) {
        Err(ManifestError::DuplicateMember { path }) => assert!(path.eq_ignore_ascii_case("Policies")),
        other => panic!("{other:?}"),
    }
}

#[test]
fn wrong_types() {
    let wrong = |change: fn(&mut Value)| match with(change) {
        Err(ManifestError::WrongType { path, .. }) => path,
        other => panic!("{other:?}"),
    };
    assert_eq!(wrong(|value| *value = json!([])), "the document");
    assert_eq!(wrong(|value| value["Policies"] = json!([])), "Policies");
    assert_eq!(wrong(|value| value["Policies"][HASH] = json!(1)), format!("Policies.{HASH}"));
    assert_eq!(wrong(|value| value["Policies"][HASH]["SANs"] = json!("x")), format!("Policies.{HASH}.SANs"));
    assert_eq!(
        wrong(|value| value["Policies"][HASH]["SANs"] = json!([1])),
        format!("Policies.{HASH}.SANs[0]")
    );
    assert_eq!(wrong(|value| value["Policies"][HASH]["Role"] = json!(1)), format!("Policies.{HASH}.Role"));
    assert_eq!(wrong(|value| value["ReferenceValues"] = json!(1)), "ReferenceValues");
    assert_eq!(wrong(|value| value["ReferenceValues"]["simulated"] = json!({})), "ReferenceValues.simulated");
    assert_eq!(wrong(|value| value["Protocols"] = json!([null])), "Protocols[0]");
    assert_eq!(wrong(|value| value["WorkloadOwnerPubKeys"] = json!(["xy"])), "WorkloadOwnerPubKeys[0]");
    assert_eq!(wrong(|value| value["WorkloadOwnerPubKeys"] = json!([""])), "WorkloadOwnerPubKeys[0]");
    for number in [json!(256), json!(-1), json!(1.5), json!("1"), json!(1e300)] {
        let mut entry = snp();
        entry["MinimumTCB"]["SNPVersion"] = number;
        match real("snp", entry) {
            Err(ManifestError::WrongType { path, .. }) => {
                assert_eq!(path, "ReferenceValues.snp[0].MinimumTCB.SNPVersion");
            }
            other => panic!("{other:?}"),
        }
    }
    let mut entry = tdx();
    entry["Rtmrs"] = json!(["03".repeat(48)]);
    assert!(
        matches!(real("tdx", entry), Err(ManifestError::WrongType { path, .. }) if path == "ReferenceValues.tdx[0].Rtmrs")
    );
    let mut entry = tdx();
    entry["SMTDisabled"] = json!("no");
    assert!(
        matches!(real("tdx", entry), Err(ManifestError::WrongType { path, .. }) if path == "ReferenceValues.tdx[0].SMTDisabled")
    );
}

#[test]
fn wrong_hexadecimal() {
    for bad in ["a", "zz", &"0".repeat(62), &"0".repeat(66)] {
        match with(|value| value["ReferenceValues"]["simulated"][0]["HostData"] = json!(bad)) {
            Err(ManifestError::Hex { path, bytes: 32 }) => {
                assert_eq!(path, "ReferenceValues.simulated[0].HostData");
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn unknown_values() {
    match with(|value| value["Policies"][HASH]["Role"] = json!("Coordinator")) {
        Err(ManifestError::UnknownValue { value, .. }) => assert_eq!(value, "Coordinator"),
        other => panic!("{other:?}"),
    }
    let mut entry = snp();
    entry["ProductName"] = json!("Rome");
    assert!(matches!(real("snp", entry), Err(ManifestError::UnknownValue { value, .. }) if value == "Rome"));
}

#[test]
fn too_many() {
    let many = vec!["name"; 65];
    assert!(matches!(
        with(|value| value["Policies"][HASH]["SANs"] = json!(many)),
        Err(ManifestError::TooMany { max: 64, .. })
    ));
    let policies: serde_json::Map<_, _> =
        (0..1025).map(|number| (format!("{number:064x}"), json!({}))).collect();
    assert!(matches!(
        with(|value| value["Policies"] = policies.into()),
        Err(ManifestError::TooMany { path, max: 1024 }) if path == "Policies"
    ));
}

#[test]
fn a_policy_that_is_no_hash() {
    for key in ["", "coordinator", &HASH[1..], &"x".repeat(1000)] {
        match with(|value| value["Policies"][key] = json!({})) {
            Err(ManifestError::PolicyHash { key: named }) => {
                assert_eq!(named, key.chars().take(80).collect::<String>());
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn no_coordinator() {
    let role = |value: &mut Value| value["Policies"][HASH]["Role"] = json!("");
    assert!(matches!(with(role), Err(ManifestError::NoCoordinator)));
    let none = |value: &mut Value| value["Policies"] = json!(null);
    assert!(matches!(with(none), Err(ManifestError::NoCoordinator)));
}

#[test]
fn no_reference_values() {
    for values in [json!(null), json!({}), json!({"snp": []}), json!({"sgx": [{}]})] {
        assert!(matches!(
            with(|value| value["ReferenceValues"] = values),
            Err(ManifestError::NoReferenceValues)
        ));
    }
}

#[test]
fn simulated_beside_real() {
    for (name, entry) in [("snp", snp()), ("tdx", tdx())] {
        let mixed = |value: &mut Value| value["ReferenceValues"][name] = json!([entry]);
        assert!(matches!(with(mixed), Err(ManifestError::MixedPlatforms)));
    }
    assert!(with(|value| value["ReferenceValues"] = json!({"snp": [snp()], "tdx": [tdx()]})).is_ok());
}

#[test]
fn no_truncation_panics() {
    let text = valid().to_string();
    for end in 0..text.len() {
        assert!(Manifest::parse(&text.as_bytes()[..end]).is_err(), "{end}");
    }
}

#[test]
fn members_of_ours_in_reference_values() {
    let mut entry = snp();
    entry["AllowVLEK"] = json!(true);
    entry["AllowedClouds"] = json!(["CN=cc-test.example.com"]);
    entry["AllowMaskedChipID"] = json!(true);
    entry["RequireIDBlock"] = json!(true);
    entry["MinimumTCB"]["FMCVersion"] = json!(2);
    let manifest = real("snp", entry).unwrap();
    let parsed = &manifest.reference_values().snp[0];
    assert!(parsed.allow_vlek && parsed.allow_masked_chip_id && parsed.require_id_block);
    assert_eq!(parsed.allowed_clouds, ["CN=cc-test.example.com"]);
    assert_eq!(parsed.minimum_tcb.fmc, Some(2));
    let mut entry = tdx();
    entry["ToleratedTCBStatus"] = json!([{"Status": "OutOfDate", "Advisories": ["INTEL-SA-1"]}]);
    entry["MrOwner"] = json!("07".repeat(48));
    let manifest = real("tdx", entry).unwrap();
    let parsed = &manifest.reference_values().tdx[0];
    assert_eq!(parsed.tolerated_tcb_status[0].advisories, ["INTEL-SA-1"]);
    assert_eq!((parsed.mr_owner, parsed.mr_owner_config), ([7; 48], [0; 48]));
    assert!(manifest.unknown_members().is_empty());
    let absent = real("snp", snp()).unwrap();
    let absent = &absent.reference_values().snp[0];
    assert!(!absent.allow_vlek && !absent.allow_masked_chip_id && !absent.require_id_block);
}

#[test]
fn a_revoked_or_unknown_status_cannot_be_tolerated() {
    for status in ["Revoked", "UpToDateEnough", ""] {
        let mut entry = tdx();
        entry["ToleratedTCBStatus"] = json!([{"Status": status}]);
        match real("tdx", entry) {
            Err(ManifestError::UnknownValue { path, value, .. }) => {
                assert_eq!(path, "ReferenceValues.tdx[0].ToleratedTCBStatus[0].Status");
                assert_eq!(value, status);
            }
            other => panic!("{other:?}"),
        }
    }
}
