use proptest::prelude::*;
use serde_json::{Value, json};

use super::Severity::{Neutral, Stronger, Weaker};
use super::*;

const COORDINATOR: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const SECRETS: &str = "2222222222222222222222222222222222222222222222222222222222222222";
const NEWER: &str = "3333333333333333333333333333333333333333333333333333333333333333";

fn base() -> Value {
    json!({
        "Policies": {
            COORDINATOR: {"SANs": ["coordinator"], "Role": "coordinator"},
            SECRETS: {"SANs": ["secret-service", "10.0.0.1"], "WorkloadSecretID": "secrets"},
        },
        "ReferenceValues": {
            "snp": [{
                "ProductName": "Genoa",
                "TrustedMeasurement": "aa".repeat(48),
                "MinimumTCB": {"BootloaderVersion": 10, "TEEVersion": 0, "SNPVersion": 28, "MicrocodeVersion": 88},
                "GuestPolicy": {"SMT": true, "PageSwapDisable": true, "ABIMinor": 31},
                "PlatformInfo": {"ECCEnabled": true},
                "MinimumMitigationVector": 0b110,
                "CPUs": 1,
            }],
            "tdx": [{
                "MrTd": "01".repeat(48), "MrSeam": "02".repeat(48), "Xfam": "e702060000000000",
                "Rtmrs": ["03".repeat(48), "04".repeat(48), "05".repeat(48), "06".repeat(48)],
                "MinTCBEvaluationDataNumber": 21,
                "AllowedPIIDs": ["0c".repeat(16)],
                "ToleratedTCBStatus": [{"Status": "OutOfDate", "Advisories": ["INTEL-SA-1"]}],
            }],
        },
        "WorkloadOwnerPubKeys": ["0102"],
        "SeedshareOwnerPubKeys": ["0a", "0b"],
        "Protocols": ["fields/1", "sealed-body/1"],
    })
}

fn parse(json: &Value) -> Manifest {
    Manifest::parse(json.to_string().as_bytes()).unwrap()
}

/// Severity and place of each change that `change` makes; the reverse is checked as well.
fn changed(change: impl FnOnce(&mut Value)) -> Vec<(Severity, String)> {
    let (old, mut new) = (parse(&base()), base());
    change(&mut new);
    let new = parse(&new);
    let changes = diff(&old, &new);
    assert!(changes.iter().all(|change| !change.what.is_empty()));
    assert_reversed(&changes, &diff(&new, &old));
    changes.into_iter().map(|change| (change.severity, change.place)).collect()
}

fn assert_reversed(there: &[Change], back: &[Change]) {
    let mut there: Vec<_> = there.iter().map(|change| (&change.place, change.severity.reversed())).collect();
    let mut back: Vec<_> = back.iter().map(|change| (&change.place, change.severity)).collect();
    there.sort();
    back.sort();
    assert_eq!(there, back);
}

/// The member at `pointer` becomes `value`, and that is one change.
#[track_caller]
fn one(pointer: &str, value: Value, severity: Severity, place: &str) {
    let changes = changed(|json| set(json, pointer, value));
    assert_eq!(changes, [(severity, place.to_owned())], "{pointer}");
}

fn set(json: &mut Value, pointer: &str, value: Value) {
    let (parent, name) = pointer.rsplit_once('/').unwrap();
    json.pointer_mut(parent).unwrap()[name] = value;
}

#[test]
fn the_same_bytes_have_no_changes() {
    assert_eq!(diff(&parse(&base()), &parse(&base())), []);
}

#[test]
fn the_same_content_in_other_bytes_is_said() {
    let (old, new) = (parse(&base()), Manifest::parse(format!("{:#}", base()).as_bytes()).unwrap());
    let [Change { severity: Neutral, place, what }] = &diff(&old, &new)[..] else { panic!() };
    assert!(place.is_empty() && what.contains("written differently"));
}

#[test]
fn floors_of_amd() {
    let tcb = "/ReferenceValues/snp/0/MinimumTCB";
    let place = "ReferenceValues.snp[Genoa, 1 CPUs].MinimumTCB";
    for name in ["BootloaderVersion", "SNPVersion", "MicrocodeVersion"] {
        one(&format!("{tcb}/{name}"), json!(9), Weaker, &format!("{place}.{name}"));
        one(&format!("{tcb}/{name}"), json!(200), Stronger, &format!("{place}.{name}"));
        one(&format!("{tcb}/{name}"), json!(null), Neutral, &format!("{place}.{name}"));
    }
    one(&format!("{tcb}/TEEVersion"), json!(1), Stronger, &format!("{place}.TEEVersion"));
    one(&format!("{tcb}/FMCVersion"), json!(0), Stronger, &format!("{place}.FMCVersion"));
    let vector = "/ReferenceValues/snp/0/MinimumMitigationVector";
    let place = "ReferenceValues.snp[Genoa, 1 CPUs].MinimumMitigationVector";
    one(vector, json!(0b111), Stronger, place);
    one(vector, json!(0b100), Weaker, place);
    let both = changed(|json| set(json, vector, json!(0b101)));
    assert_eq!(both, [(Weaker, place.to_owned()), (Stronger, place.to_owned())]);
}

#[test]
fn bits_of_amd() {
    let place = "ReferenceValues.snp[Genoa, 1 CPUs]";
    for (group, name, when_set) in [
        ("GuestPolicy", "Debug", Weaker),
        ("GuestPolicy", "MigrateMA", Weaker),
        ("GuestPolicy", "CXLAllowed", Weaker),
        ("GuestPolicy", "SingleSocket", Stronger),
        ("GuestPolicy", "MemAES256XTS", Stronger),
        ("GuestPolicy", "RAPLDis", Stronger),
        ("GuestPolicy", "CipherTextHidingDRAM", Stronger),
        ("PlatformInfo", "SMTEnabled", Weaker),
        ("PlatformInfo", "TSMEEnabled", Weaker),
        ("PlatformInfo", "TIOEnabled", Weaker),
        ("PlatformInfo", "RAPLDisabled", Stronger),
        ("PlatformInfo", "CiphertextHidingDRAMEnabled", Stronger),
        ("PlatformInfo", "AliasCheckComplete", Stronger),
    ] {
        let pointer = format!("/ReferenceValues/snp/0/{group}/{name}");
        one(&pointer, json!(true), when_set, &format!("{place}.{group}.{name}"));
    }
    for (pointer, severity) in [
        ("GuestPolicy/SMT", Stronger),
        ("GuestPolicy/PageSwapDisable", Weaker),
        ("PlatformInfo/ECCEnabled", Weaker),
    ] {
        let name = pointer.replace('/', ".");
        one(&format!("/ReferenceValues/snp/0/{pointer}"), json!(false), severity, &format!("{place}.{name}"));
    }
    one("/ReferenceValues/snp/0/GuestPolicy/ABIMinor", json!(0), Weaker, &format!("{place}.GuestPolicy.ABI"));
    one(
        "/ReferenceValues/snp/0/AllowMaskedChipID",
        json!(true),
        Weaker,
        &format!("{place}.AllowMaskedChipID"),
    );
    one("/ReferenceValues/snp/0/RequireIDBlock", json!(true), Stronger, &format!("{place}.RequireIDBlock"));
    one("/ReferenceValues/snp/0/AllowVLEK", json!(true), Weaker, &format!("{place}.AllowVLEK"));
    one("/ReferenceValues/snp/0/Platform", json!("Metal"), Neutral, &format!("{place}.Platform"));
    let chips = json!(["00".repeat(64)]);
    one("/ReferenceValues/snp/0/AllowedChipIDs", chips, Stronger, &format!("{place}.AllowedChipIDs"));
}

#[test]
fn a_measurement_goes_and_another_comes() {
    let place = "ReferenceValues.snp[Genoa, 1 CPUs].TrustedMeasurement";
    let changes =
        changed(|json| set(json, "/ReferenceValues/snp/0/TrustedMeasurement", json!("bb".repeat(48))));
    let expected = [
        (Weaker, format!("{place}.{}", "bb".repeat(48))),
        (Stronger, format!("{place}.{}", "aa".repeat(48))),
    ];
    assert_eq!(changes, expected);
    // beside the old one
    let changes = changed(|json| {
        let mut second = json["ReferenceValues"]["snp"][0].clone();
        second["TrustedMeasurement"] = json!("bb".repeat(48));
        json["ReferenceValues"]["snp"].as_array_mut().unwrap().push(second);
    });
    let expected = format!("ReferenceValues.snp[Genoa, 1 CPUs].{}", "bb".repeat(48));
    assert_eq!(changes, [(Weaker, expected)]);
    // once more the same lets nobody in
    let changes = changed(|json| {
        let second = json["ReferenceValues"]["snp"][0].clone();
        json["ReferenceValues"]["snp"].as_array_mut().unwrap().push(second);
    });
    assert_eq!(changes, [(Neutral, String::new())]);
}

#[test]
fn platforms_of_intel() {
    let place = "ReferenceValues.tdx[]";
    let entry = "/ReferenceValues/tdx/0";
    let number = "MinTCBEvaluationDataNumber";
    one(&format!("{entry}/{number}"), json!(20), Weaker, &format!("{place}.{number}"));
    one(&format!("{entry}/AllowedPIIDs"), json!([]), Weaker, &format!("{place}.AllowedPIIDs"));
    for name in ["MemoryIntegrity", "SMTDisabled", "StaticPlatform"] {
        one(&format!("{entry}/{name}"), json!(true), Stronger, &format!("{place}.{name}"));
    }
    one(&format!("{entry}/MrOwner"), json!("01".repeat(48)), Neutral, &format!("{place}.MrOwner"));
    let tolerated = format!("{entry}/ToleratedTCBStatus");
    let advisories = json!([{"Status": "OutOfDate", "Advisories": ["INTEL-SA-1", "INTEL-SA-2"]}]);
    one(&tolerated, advisories, Weaker, &format!("{place}.ToleratedTCBStatus.OutOfDate with INTEL-SA-2"));
    let none = changed(|json| set(json, &tolerated, json!([])));
    assert!(none.len() == 2 && none.iter().all(|(severity, _)| *severity == Stronger), "{none:?}");
    let module = changed(|json| set(json, &format!("{entry}/MrSeam"), json!("07".repeat(48))));
    assert_eq!(module[0], (Weaker, format!("{place}.MrSeam.{}", "07".repeat(48))));
    assert_eq!(module[1], (Stronger, format!("{place}.MrSeam.{}", "02".repeat(48))));
    let gone = changed(|json| set(json, "/ReferenceValues/tdx", json!([])));
    assert_eq!(gone, [(Stronger, format!("{place}.{}", "01".repeat(48)))]);
}

#[test]
fn simulated_evidence_is_the_one_thing_that_counts() {
    let simulated = json!({"simulated": [{"HostData": COORDINATOR}]});
    one("/ReferenceValues", simulated.clone(), Weaker, "ReferenceValues");
    let with = |hash: &str| {
        let mut json = base();
        json["ReferenceValues"] = json!({"simulated": [{"HostData": COORDINATOR}, {"HostData": hash}]});
        parse(&json)
    };
    let changes = diff(&with(SECRETS), &with(NEWER));
    let found: Vec<_> = changes.iter().map(|change| (change.severity, change.place.as_str())).collect();
    let place = |hash| format!("ReferenceValues.simulated.{hash}");
    assert_eq!(found, [(Weaker, place(NEWER).as_str()), (Stronger, place(SECRETS).as_str())]);
}

#[test]
fn policies() {
    let added = json!({"SANs": ["gateway"]});
    one(&format!("/Policies/{NEWER}"), added, Weaker, &format!("Policies.{NEWER}"));
    let removed = changed(|json| {
        json["Policies"].as_object_mut().unwrap().remove(SECRETS);
    });
    assert_eq!(removed, [(Stronger, format!("Policies.{SECRETS}"))]);
    let replaced = changed(|json| {
        let policies = json["Policies"].as_object_mut().unwrap();
        let entry = policies.remove(SECRETS).unwrap();
        policies.insert(NEWER.to_owned(), entry);
    });
    assert_eq!(replaced, [(Neutral, "Policies of `secret-service`".to_owned())]);
    let entry = format!("/Policies/{SECRETS}");
    let place = format!("Policies.{SECRETS}");
    one(&format!("{entry}/Role"), json!("coordinator"), Weaker, &format!("{place}.Role"));
    one(&format!("{entry}/WorkloadSecretID"), json!(null), Stronger, &format!("{place}.WorkloadSecretID"));
    one(&format!("{entry}/WorkloadSecretID"), json!("x"), Neutral, &format!("{place}.WorkloadSecretID"));
    let sans = json!(["secret-service", "10.0.0.1", "*"]);
    one(&format!("{entry}/SANs"), sans, Weaker, &format!("{place}.SANs.*"));
    one(&format!("{entry}/SANs"), json!(["secret-service"]), Stronger, &format!("{place}.SANs.10.0.0.1"));
    let renamed = changed(|json| set(json, &format!("{entry}/SANs"), json!(["10.0.0.1", "secret-service"])));
    assert_eq!(renamed, [(Neutral, format!("{place}.SANs"))]);
}

#[test]
fn owners() {
    let place = "WorkloadOwnerPubKeys";
    let changes = changed(|json| json[place] = json!(["0102", "0304"]));
    assert!(matches!(&changes[..], [(Weaker, found)] if found.starts_with("WorkloadOwnerPubKeys.")));
    one(&format!("/{place}"), json!([]), Stronger, place);
    // the same key by its digest is the same owner
    let digest = hex::encode(<sha2::Sha256 as sha2::Digest>::digest([1, 2]));
    let changes = changed(|json| {
        json[place] = json!([]);
        json["WorkloadOwnerKeyDigests"] = json!([digest]);
    });
    assert_eq!(changes, [(Neutral, String::new())]);
    let place = "SeedshareOwnerPubKeys";
    one(&format!("/{place}"), json!(["0b", "0a"]), Neutral, place);
    let changes = changed(|json| json[place] = json!(["0a"]));
    assert!(matches!(&changes[..], [(Stronger, found)] if found.starts_with("SeedshareOwnerPubKeys.")));
}

#[test]
fn protocols_and_what_is_unknown() {
    one("/Protocols", json!(null), Weaker, "Protocols.sealed-body/1");
    one("/Protocols", json!(["sealed-body/1"]), Neutral, "Protocols.fields/1");
    one("/MinimumAPIVersion", json!("v1"), Neutral, "MinimumAPIVersion");
    one("/ReferenceValues/sgx", json!([]), Neutral, "ReferenceValues.sgx");
}

fn subset(values: &'static [&'static str]) -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(values, 0..=values.len())
}

prop_compose! {
    fn policy()(
        sans in subset(&["a", "b", "*"]),
        coordinator in any::<bool>(),
        secret in proptest::option::of(0..2_u8),
    ) -> Value {
        let role = if coordinator { "coordinator" } else { "" };
        json!({"SANs": sans, "Role": role, "WorkloadSecretID": secret.map(|id| id.to_string())})
    }
}

prop_compose! {
    fn snp_entry()(
        (product, measurement) in (proptest::option::of(0..2_usize), proptest::option::of(0..2_u8)),
        tcb in proptest::collection::vec(proptest::option::of(0..3_u8), 5),
        bits in proptest::collection::vec(any::<bool>(), 19),
        (vector, abi) in (0..4_u8, 0..2_u8),
        chips in subset(&["00", "11"]),
        clouds in subset(&["CN=a", "CN=b"]),
        cpus in proptest::option::of(1..3_u8),
    ) -> Value {
        let measurement = measurement.map(|byte| hex::encode([byte; 48]));
        json!({
            "ProductName": product.map(|product| ["Genoa", "Milan"][product]),
            "TrustedMeasurement": measurement,
            "MinimumTCB": {
                "FMCVersion": tcb[0], "BootloaderVersion": tcb[1], "TEEVersion": tcb[2],
                "SNPVersion": tcb[3], "MicrocodeVersion": tcb[4],
            },
            "GuestPolicy": {
                "ABIMinor": abi, "SMT": bits[0], "MigrateMA": bits[1], "Debug": bits[2], "SingleSocket": bits[3],
                "CXLAllowed": bits[4], "MemAES256XTS": bits[5], "RAPLDis": bits[6],
                "CipherTextHidingDRAM": bits[7], "PageSwapDisable": bits[8],
            },
            "PlatformInfo": {
                "SMTEnabled": bits[9], "TSMEEnabled": bits[10], "ECCEnabled": bits[11], "RAPLDisabled": bits[12],
                "CiphertextHidingDRAMEnabled": bits[13], "AliasCheckComplete": bits[14], "TIOEnabled": bits[15],
            },
            "MinimumMitigationVector": vector,
            "AllowedChipIDs": chips.iter().map(|byte| byte.repeat(64)).collect::<Vec<_>>(),
            "AllowVLEK": bits[16], "AllowedClouds": clouds,
            "AllowMaskedChipID": bits[17], "RequireIDBlock": bits[18],
            "CPUs": cpus,
        })
    }
}

prop_compose! {
    fn tdx_entry()(
        measurements in proptest::collection::vec(proptest::option::of(0..2_u8), 4),
        number in proptest::option::of(0..3_u8),
        piids in subset(&["00", "11"]),
        bits in proptest::collection::vec(any::<bool>(), 3),
        statuses in subset(&["OutOfDate", "ConfigurationNeeded"]),
        advisories in subset(&["INTEL-SA-1", "INTEL-SA-2"]),
        cpus in proptest::option::of(1..3_u8),
    ) -> Value {
        let measured = |place: usize| measurements[place].map(|byte| hex::encode([byte; 48]));
        let tolerated: Vec<_> =
            statuses.iter().map(|status| json!({"Status": status, "Advisories": advisories})).collect();
        json!({
            "MrTd": measured(0), "MrSeam": measured(1),
            "Rtmrs": measured(2).map(|rtmr| vec![rtmr; 4]),
            "Xfam": measurements[3].map(|byte| hex::encode([byte; 8])),
            "MinTCBEvaluationDataNumber": number,
            "AllowedPIIDs": piids.iter().map(|byte| byte.repeat(16)).collect::<Vec<_>>(),
            "MemoryIntegrity": bits[0], "SMTDisabled": bits[1], "StaticPlatform": bits[2],
            "ToleratedTCBStatus": tolerated,
            "CPUs": cpus,
        })
    }
}

prop_compose! {
    fn any_manifest()(
        policies in proptest::collection::vec(proptest::option::of(policy()), 3),
        snp in proptest::collection::vec(snp_entry(), 0..3),
        tdx in proptest::collection::vec(tdx_entry(), 0..3),
        hashes in subset(&[COORDINATOR, SECRETS, NEWER]),
        owners in subset(&["01", "0202020202020202020202020202020202020202020202020202020202020202", "03"]),
        shares in subset(&["0a", "0b"]),
        reverse in any::<bool>(),
        protocols in subset(&["fields/1", "sealed-body/1", "other/2"]),
        unknown in proptest::option::of(0..2_u8),
    ) -> Manifest {
        let mut json = json!({
            "Policies": {COORDINATOR: {"SANs": ["coordinator"], "Role": "coordinator"}},
            "WorkloadOwnerPubKeys": owners,
            "SeedshareOwnerPubKeys": if reverse { shares.iter().rev().collect() } else { shares.iter().collect::<Vec<_>>() },
            "Protocols": protocols,
        });
        for (number, policy) in policies.into_iter().enumerate() {
            if let Some(policy) = policy {
                json["Policies"][(number + 4).to_string().repeat(64)] = policy;
            }
        }
        if let Some(unknown) = unknown {
            json["Unknown"] = json!(unknown);
        }
        let simulated: Vec<_> = hashes.iter().map(|hash| json!({"HostData": hash})).collect();
        json["ReferenceValues"] = match (snp.is_empty() && tdx.is_empty(), simulated.is_empty()) {
            (true, true) => json!({"simulated": [{}]}),
            (true, false) => json!({"simulated": simulated}),
            (false, _) => json!({"snp": snp, "tdx": tdx}),
        };
        parse(&json)
    }
}

proptest! {
    #[test]
    fn equal_manifests_have_no_changes(manifest in any_manifest()) {
        prop_assert_eq!(diff(&manifest, &manifest), []);
    }

    #[test]
    fn the_way_back_is_the_reverse(one in any_manifest(), other in any_manifest()) {
        let there = diff(&one, &other);
        prop_assert_eq!(there.is_empty(), one == other);
        prop_assert!(there.is_sorted());
        assert_reversed(&there, &diff(&other, &one));
    }
}
