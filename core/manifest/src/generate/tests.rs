use privatemode_attest::snp::Product;
use privatemode_attest::tdx::TcbStatus;

use super::*;
use crate::Manifest;
use crate::reference::{
    SimulatedReference, SnpGuestPolicy, SnpPlatformInfo, SnpReference, SnpTcb, TdxReference, ToleratedStatus,
};

const ENTRIES: [Entry<'static>; 2] = [
    Entry {
        policy: b"coordinator",
        sans: &["coordinator"],
        workload_secret_id: None,
        role: Role::Coordinator,
    },
    Entry {
        policy: b"secrets",
        sans: &["secret-service", "127.0.0.1"],
        workload_secret_id: Some("secret-service"),
        role: Role::Workload,
    },
];

#[cfg(feature = "simulated")]
#[test]
fn what_is_generated_parses_to_what_was_meant() {
    let manifest = Manifest::parse(&simulated(&ENTRIES)).unwrap();
    assert!(manifest.is_simulated());
    assert!(manifest.is_immutable());
    assert_eq!(manifest.protocols(), ["fields/1", "sealed-body/1"]);
    assert!(manifest.unknown_members().is_empty());
    assert!(manifest.expected_missing().is_empty());
    for entry in ENTRIES {
        let parsed = manifest.policy(&PolicyHash::of(entry.policy)).unwrap();
        assert_eq!(parsed.sans, entry.sans);
        assert_eq!(parsed.workload_secret_id.as_deref(), entry.workload_secret_id);
        assert_eq!(parsed.role, entry.role);
    }
    assert_eq!(manifest.policies().count(), 2);
}

fn genoa() -> SnpReference {
    SnpReference {
        product_name: Some(Product::Genoa),
        trusted_measurement: Some([0x3e; 48]),
        minimum_tcb: SnpTcb {
            fmc: None,
            bootloader: Some(4),
            tee: Some(0),
            snp: Some(24),
            microcode: Some(219),
        },
        guest_policy: SnpGuestPolicy { abi_minor: 31, smt: true, ..SnpGuestPolicy::default() },
        platform_info: SnpPlatformInfo { ecc_enabled: true, ..SnpPlatformInfo::default() },
        minimum_mitigation_vector: 3,
        allowed_chip_ids: vec![[0xc5; 64]],
        require_id_block: true,
        ..SnpReference::default()
    }
}

#[cfg(feature = "simulated")]
#[test]
fn reference_values_of_hardware_come_back_as_they_were() {
    let manifest = Manifest::parse(&snp(&ENTRIES, &genoa())).unwrap();
    assert_eq!(manifest.reference_values().snp, [genoa()]);
    assert!(!manifest.is_simulated());
    assert!(manifest.unknown_members().is_empty());
    assert!(manifest.expected_missing().is_empty());
    assert_eq!(manifest.policies().count(), 2);

    let incomplete = SnpReference { product_name: Some(Product::Genoa), ..SnpReference::default() };
    let manifest = Manifest::parse(&snp(&ENTRIES, &incomplete)).unwrap();
    assert_eq!(manifest.expected_missing().len(), 5, "{:?}", manifest.expected_missing());
}

#[cfg(feature = "simulated")]
#[test]
fn the_same_entries_give_the_same_bytes() {
    let [first, second] = ENTRIES;
    assert_eq!(simulated(&ENTRIES), simulated(&[second, first]));
    assert!(simulated(&ENTRIES).ends_with(b"}\n"));
}

fn tdx() -> TdxReference {
    TdxReference {
        mr_td: Some([1; 48]),
        mr_seam: Some([2; 48]),
        rtmrs: Some([[3; 48], [4; 48], [5; 48], [6; 48]]),
        xfam: Some([7; 8]),
        min_tcb_evaluation_data_number: Some(21),
        allowed_piids: vec![[8; 16], [9; 16]],
        memory_integrity: true,
        smt_disabled: false,
        static_platform: true,
        tolerated_tcb_status: vec![ToleratedStatus {
            status: TcbStatus::SwHardeningNeeded,
            advisories: vec!["INTEL-SA-00837".to_owned()],
        }],
        mr_owner: [10; 48],
        mr_owner_config: [0; 48],
        cpus: Some(4),
        platform: Some("Metal-QEMU-TDX".to_owned()),
    }
}

fn plan<'a>(reference_values: &'a ReferenceValues, owners: &'a [Vec<u8>]) -> Plan<'a> {
    let (workload_owners, seedshare_owners) = (owners, owners);
    Plan {
        entries: &ENTRIES,
        reference_values,
        workload_owners,
        seedshare_owners,
        protocols: &["sealed-body/1"],
    }
}

#[test]
fn everything_comes_back_as_it_was() {
    let values = ReferenceValues { snp: vec![genoa()], tdx: vec![tdx()], simulated: Vec::new() };
    let owners = [vec![1, 2, 3], vec![4]];
    let bytes = manifest(&plan(&values, &owners));
    let parsed = Manifest::parse(&bytes).unwrap();
    assert_eq!(parsed.reference_values(), &values);
    assert_eq!((parsed.workload_owners(), parsed.seedshare_owners()), (&owners[..], &owners[..]));
    assert_eq!(parsed.protocols(), ["sealed-body/1"]);
    assert!(parsed.unknown_members().is_empty() && parsed.expected_missing().is_empty());
    assert_eq!(parsed.policies().count(), 2);
    assert!(bytes.ends_with(b"}\n") && bytes.starts_with(b"{\n  \"Policies\": {\n    \""));
    let [first, second] = ENTRIES;
    let other = Plan { entries: &[second, first], ..plan(&values, &owners) };
    assert_eq!(manifest(&other), bytes, "the order of workloads does not count");
}

#[test]
fn members_stand_in_the_order_of_their_names() {
    let values = ReferenceValues { snp: vec![genoa()], tdx: vec![tdx()], simulated: Vec::new() };
    let text = String::from_utf8(manifest(&plan(&values, &[]))).unwrap();
    for names in [
        ["AllowedChipIDs", "GuestPolicy", "MinimumMitigationVector", "ProductName"],
        ["ABIMajor", "ABIMinor", "CXLAllowed", "SMT"],
        ["MrTd", "Rtmrs", "StaticPlatform", "Xfam"],
    ] {
        let places = names.map(|name| text.find(&format!("\"{name}\"")).unwrap());
        assert!(places.is_sorted(), "{names:?}: {places:?}");
    }
    let top = ["Policies", "ReferenceValues", "Protocols"];
    assert!(top.map(|name| text.find(&format!("\"{name}\"")).unwrap()).is_sorted());
    assert!(!text.contains("PubKeys"), "nobody owns it");
}

#[test]
fn what_is_missing_is_left_out_and_named() {
    let empty = TdxReference {
        mr_td: None,
        mr_seam: None,
        rtmrs: None,
        xfam: None,
        min_tcb_evaluation_data_number: None,
        ..tdx()
    };
    let values = ReferenceValues { tdx: vec![empty], ..ReferenceValues::default() };
    let parsed = Manifest::parse(&manifest(&plan(&values, &[]))).unwrap();
    let names = ["MrTd", "MrSeam", "Rtmrs", "Xfam", "MinTCBEvaluationDataNumber"];
    assert_eq!(parsed.expected_missing(), names.map(|name| format!("ReferenceValues.tdx[0].{name}")));
}

#[test]
fn simulated_ones_are_written_as_they_are_given() {
    let values = ReferenceValues {
        simulated: vec![SimulatedReference { host_data: Some([0x11; 32]) }],
        ..ReferenceValues::default()
    };
    let parsed = Manifest::parse(&manifest(&plan(&values, &[]))).unwrap();
    assert_eq!(parsed.reference_values(), &values);
    assert!(parsed.is_simulated() && parsed.is_immutable());
}

#[test]
fn reference_values_are_read_alone_with_what_was_mistyped() {
    let json = br#"{"snp": [{"ProductName": "Genoa", "TrustedMesurement": "00", "cpus": 2}]}"#;
    let (values, unknown) = read_reference_values(json).unwrap();
    assert_eq!(values.snp[0].cpus, Some(2), "in any case");
    assert_eq!(unknown, ["ReferenceValues.snp[0].TrustedMesurement"]);
    let wrong = read_reference_values(br#"{"tdx": [{"MrTd": "00"}]}"#).unwrap_err();
    assert!(matches!(wrong, ManifestError::Hex { path, bytes: 48 } if path == "ReferenceValues.tdx[0].MrTd"));
}
