use super::*;

fn every_key() -> Vec<Key> {
    let tcb = AmdTcb { fmc: None, bootloader: 3, tee: 0, snp: 8, microcode: 115 };
    vec![
        Key::AmdVcek { product: AmdProduct::Milan, chip_id: ChipId([0xab; 64]), tcb },
        Key::AmdVcek {
            product: AmdProduct::Turin,
            chip_id: ChipId([1; 64]),
            tcb: AmdTcb { fmc: Some(1), ..tcb },
        },
        Key::AmdCertChain { product: AmdProduct::Genoa, signer: AmdSigner::Vlek },
        Key::AmdCrl { product: AmdProduct::Genoa, signer: AmdSigner::Vcek },
        Key::IntelTcbInfo { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]) },
        Key::IntelQeIdentity,
        Key::IntelPckCrl { ca: PckCa::Processor },
        Key::IntelRootCrl,
        Key::NvidiaRim { id: RimId::new("NV_GPU_DRIVER_GH100_550.90.07").unwrap() },
        Key::NvidiaOcsp { request: [7; 32] },
    ]
}

#[test]
fn every_key_is_read_back_from_its_text() {
    for key in every_key() {
        assert_eq!(Key::parse(key.kind().as_str(), &key.identity()), Ok(key));
    }
    let kinds: Vec<Kind> = every_key().iter().map(Key::kind).collect();
    assert!(Kind::ALL.iter().all(|kind| kinds.contains(kind)), "a kind without a key in this test");
}

#[test]
fn other_spellings_name_nothing() {
    let chip = "ab".repeat(64);
    let cases = [
        ("amd-vcek", format!("Milan/{}/bl=3,tee=0,snp=8,ucode=115", chip.to_uppercase())),
        ("amd-vcek", format!("Milan/{chip}/bl=03,tee=0,snp=8,ucode=115")),
        ("amd-vcek", format!("Milan/{chip}/tee=0,bl=3,snp=8,ucode=115")),
        ("amd-vcek", format!("Milan/{chip}/bl=3,tee=0,snp=8")),
        ("amd-vcek", format!("Milan/{chip}/bl=3,tee=0,snp=8,ucode=256")),
        ("amd-vcek", "Milan/ab/bl=3,tee=0,snp=8,ucode=115".to_owned()),
        ("amd-crl", "milan/vcek".to_owned()),
        ("amd-crl", "Milan".to_owned()),
        ("intel-tcb-info", "B0C06F000000".to_owned()),
        ("intel-qe-identity", "qe".to_owned()),
        ("nvidia-rim", "../../etc/passwd".to_owned()),
        ("nvidia-ocsp", "07".to_owned()),
    ];
    for (name, identity) in cases {
        let kind = Kind::ALL.iter().copied().find(|kind| kind.as_str() == name).unwrap();
        assert_eq!(Key::parse(name, &identity), Err(InvalidKey::Identity { kind }), "{identity}");
    }
    assert_eq!(Key::parse("amd-vcek2", "x"), Err(InvalidKey::Kind));
}

#[test]
fn a_manifests_name_cannot_leave_its_place_in_a_url() {
    for name in ["", ".", "..", "a/b", "a?b", "a b", "a%2e", "ü", &"x".repeat(129)] {
        assert_eq!(RimId::new(name), Err(InvalidRimId), "{name}");
    }
    assert_eq!(RimId::new("NV_GPU_VBIOS_1010_0200_882_96009F0001").unwrap().as_str().len(), 37);
}

#[test]
fn names_are_those_of_the_verifier() {
    use privatemode_attest::snp::{Product, Signer, Tcb};
    for product in Product::ALL {
        assert_eq!(AmdProduct::from(product).as_str(), product.name());
    }
    assert_eq!(AmdSigner::from(Signer::Vcek), AmdSigner::Vcek);
    assert_eq!(AmdSigner::from(Signer::Vlek), AmdSigner::Vlek);
    let tcb = Tcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 5 };
    assert_eq!(AmdTcb::from(tcb), AmdTcb { fmc: Some(1), bootloader: 2, tee: 3, snp: 4, microcode: 5 });
}
