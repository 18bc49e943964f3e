use serde_json::{Value, json};

use super::*;

const COORDINATOR: &str = "1111111111111111111111111111111111111111111111111111111111111111";
const OTHER: &str = "2222222222222222222222222222222222222222222222222222222222222222";

fn manifest(change: impl FnOnce(&mut Value)) -> Vec<String> {
    let mut json = json!({
        "Policies": {COORDINATOR: {"SANs": ["coordinator"], "Role": "coordinator"}},
        "ReferenceValues": {"snp": [{"AllowedChipIDs": ["00".repeat(64)]}]},
        "SeedshareOwnerPubKeys": ["01"],
        "Protocols": ["sealed-body/1"],
    });
    change(&mut json);
    review(&Manifest::parse(json.to_string().as_bytes()).unwrap())
}

#[test]
fn nothing_stands_out() {
    assert_eq!(manifest(|_| ()), Vec::<String>::new());
}

#[test]
fn each_remark_has_its_place() {
    let entry = "/ReferenceValues/snp/0";
    let cases: [(&str, Value, &str); 14] = [
        ("/ReferenceValues", json!({"simulated": [{"HostData": COORDINATOR}]}), "ReferenceValues: SIMULATED"),
        ("/", json!(null), ""),
        (entry, json!({}), "ReferenceValues.snp[0].AllowedChipIDs: any chip"),
        (
            "/ReferenceValues/snp/0/GuestPolicy",
            json!({"Debug": true}),
            "ReferenceValues.snp[0].GuestPolicy.Debug",
        ),
        ("/ReferenceValues/snp/0/GuestPolicy", json!({"MigrateMA": true}), ".MigrateMA"),
        ("/ReferenceValues/snp/0/AllowVLEK", json!(true), ".AllowVLEK"),
        ("/ReferenceValues/snp/0/AllowMaskedChipID", json!(true), ".AllowMaskedChipID"),
        (
            "/ReferenceValues/snp/0/Extra",
            json!(1),
            "ReferenceValues.snp[0].Extra: this version does not know it",
        ),
        ("/ReferenceValues", json!({"tdx": [{}]}), "ReferenceValues.tdx[0].AllowedPIIDs: any platform"),
        (
            "/ReferenceValues",
            json!({"tdx": [{"AllowedPIIDs": ["00".repeat(16)], "ToleratedTCBStatus": [{"Status": "OutOfDate"}]}]}),
            "a platform that is OutOfDate is accepted",
        ),
        (&format!("/Policies/{OTHER}"), json!({}), &format!("Policies.{OTHER}: no SANs")),
        (&format!("/Policies/{OTHER}"), json!({"SANs": ["coordinator"]}), "has the name `coordinator`, too"),
        ("/WorkloadOwnerPubKeys", json!(["00".repeat(32)]), "each of 1 owners can replace"),
        ("/Protocols", json!(["fields/1"]), "sealed bodies are not spoken"),
    ];
    for (place, value, remark) in cases {
        let remarks = manifest(|json| {
            let (parent, name) = place.rsplit_once('/').unwrap();
            if !name.is_empty() {
                match name.parse::<usize>() {
                    Ok(number) if parent.ends_with("snp") => {
                        json.pointer_mut(parent).unwrap()[number] = value;
                    }
                    _ => json.pointer_mut(parent).unwrap()[name] = value,
                }
            }
        });
        let expected = usize::from(!remark.is_empty());
        assert_eq!(remarks.len(), expected, "{place}: {remarks:?}");
        assert!(remarks.iter().all(|found| found.contains(remark)), "{remarks:?}");
    }
    let remarks = manifest(|json| json["WorkloadOwnerPubKeys"] = json!(["0102"]));
    assert!(remarks.iter().any(|remark| remark.contains("WorkloadOwnerPubKeys[0]: it is no ECDSA key")));
    let remarks = manifest(|json| json["SeedshareOwnerPubKeys"] = json!(null));
    assert!(matches!(&remarks[..], [remark] if remark.contains("nobody can recover")), "{remarks:?}");
}
