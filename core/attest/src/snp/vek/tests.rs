use privatemode_test_pki::amd::{self, Evidence, Product, amd_oid};
use privatemode_test_pki::{Extension, der};

use super::*;

fn evidence(product: Product, signer: amd::Signer) -> Evidence {
    Evidence::new(product, signer)
}

fn read(evidence: &Evidence) -> Result<VekClaims, VekError> {
    let vek = Certificate::parse_der(&evidence.vek.der()).unwrap();
    let signer = if vek.common_name() == Some("SEV-VLEK") { Signer::Vlek } else { Signer::Vcek };
    VekClaims::read(&vek, signer)
}

fn claims_with(end: &str, value: Vec<u8>) -> Result<VekClaims, VekError> {
    let mut evidence = evidence(Product::Milan, amd::Signer::Vcek);
    evidence.vek.extension(&amd_oid(end)).value = value;
    read(&evidence)
}

fn oid(end: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(&amd_oid(end))
}

const TCB: Tcb = Tcb { fmc: None, bootloader: 4, tee: 1, snp: 24, microcode: 219 };

#[test]
fn claims_of_each_kind() {
    assert_eq!(
        read(&evidence(Product::Milan, amd::Signer::Vcek)).unwrap(),
        VekClaims { product: "Milan-B0".into(), tcb: TCB, hardware_id: Some(vec![0xc5; 64]), cloud: None }
    );
    assert_eq!(
        read(&evidence(Product::Turin, amd::Signer::Vcek)).unwrap(),
        VekClaims {
            product: "Turin".into(),
            tcb: Tcb { fmc: Some(2), ..TCB },
            hardware_id: Some(vec![0xc5; 8]),
            cloud: None
        }
    );
    assert_eq!(
        read(&evidence(Product::Genoa, amd::Signer::Vlek)).unwrap(),
        VekClaims {
            product: "Genoa".into(),
            tcb: TCB,
            hardware_id: None,
            cloud: Some("CN=cc-test.example.com".into())
        }
    );
}

#[test]
fn every_claim_is_needed() {
    for end in ["2", "3.1", "3.2", "3.3", "3.8"] {
        let mut evidence = evidence(Product::Milan, amd::Signer::Vcek);
        evidence.vek.without(&amd_oid(end));
        assert_eq!(read(&evidence), Err(VekError::Missing { oid: oid(end) }));
    }
}

#[test]
fn claims_have_one_type() {
    let number = der::number(7);
    let too_high = der::number(256);
    let negative = der::tlv(2, &[0x80]);
    let not_shortest = der::tlv(2, &[0, 1]);
    for (end, value) in [
        ("2", number.clone()),
        ("2", der::utf8("Milan")),
        ("3.1", too_high.clone()),
        ("3.2", negative),
        ("3.3", not_shortest),
        ("3.8", der::octet_string(&[1])),
        ("3.4", too_high),
        ("4", vec![0; 63]),
        ("4", vec![0; 66]),
        ("4", der::octet_string(&[0; 32])),
        ("3.1", [number, vec![0]].concat()),
    ] {
        assert_eq!(claims_with(end, value), Err(VekError::Malformed { oid: oid(end) }), "{end}");
    }
}

#[test]
fn levels_of_unknown_components_are_refused() {
    for end in ["3.4", "3.5", "3.6", "3.7"] {
        assert_eq!(claims_with(end, der::number(1)), Err(VekError::UnknownLevel { oid: oid(end), level: 1 }));
        let mut evidence = evidence(Product::Milan, amd::Signer::Vcek);
        evidence.vek.without(&amd_oid(end));
        assert_eq!(read(&evidence).unwrap().tcb, TCB);
    }
}

#[test]
fn the_hardware_id_may_be_wrapped() {
    let wrapped = claims_with("4", der::octet_string(&[7; 64])).unwrap();
    assert_eq!(wrapped.hardware_id, Some(vec![7; 64]));
}

#[test]
fn a_vlek_names_its_cloud_in_text() {
    let mut evidence = evidence(Product::Milan, amd::Signer::Vlek);
    evidence.vek.without(&amd_oid("5"));
    assert_eq!(read(&evidence), Err(VekError::Missing { oid: oid("5") }));
    evidence.vek.extensions.push(Extension::new(&amd_oid("5"), der::null()));
    assert_eq!(read(&evidence), Err(VekError::Malformed { oid: oid("5") }));
}
