use p384::SecretKey;
use privatemode_attest::signature::PublicKey;
use privatemode_manifest::{PolicyEntry, Role};

use super::*;
use crate::authority::Authority;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn authority(root: u8, mesh: u8) -> Authority {
    let secret = |byte| SecretKey::from_slice(&[byte; 48]).unwrap();
    Authority::with_key(&secret(root), secret(mesh), NOW).unwrap()
}

fn new(authority: &Authority, key: &MeshKey) -> NewCertificate {
    let sans = vec!["gateway".to_owned()];
    let entry = PolicyEntry { sans, workload_secret_id: None, role: Role::Workload };
    let key = PublicKey::parse_spki(key.spki()).unwrap();
    NewCertificate {
        mesh_ca: authority.mesh_ca().pem().to_owned(),
        cert_chain: authority.issue(&entry, &key, NOW).unwrap(),
        root_ca: authority.root_pem().to_owned(),
        workload_secret: None,
    }
}

fn refuse(new: NewCertificate, key: &MeshKey) -> EnrolError {
    check(new, key, NOW).err().expect("refused")
}

#[test]
fn what_fits_together_is_used_for_two_thirds_of_its_life() {
    let key = MeshKey::generate().unwrap();
    let enrolled = check(new(&authority(1, 2), &key), &key, NOW).unwrap();
    let life = enrolled.not_after.as_secs() - NOW.as_secs();
    assert_eq!(enrolled.renew_at.as_secs() - NOW.as_secs(), life / 3 * 2);
}

#[test]
fn each_part_is_checked() {
    let (key, other) = (MeshKey::generate().unwrap(), MeshKey::generate().unwrap());
    let (ours, theirs) = (authority(1, 2), authority(1, 3));
    let good = || new(&ours, &key);

    let error = refuse(NewCertificate { mesh_ca: "none".into(), ..good() }, &key);
    assert!(matches!(error, EnrolError::MeshCa { .. }), "{error:?}");
    let error = refuse(NewCertificate { root_ca: good().cert_chain, ..good() }, &key);
    assert!(matches!(error, EnrolError::RootCa { source: MeshCaError::NotOneCertificate }), "{error:?}");
    let error = refuse(NewCertificate { cert_chain: "none".into(), ..good() }, &key);
    assert!(matches!(error, EnrolError::Chain { source: Some(_) }), "{error:?}");
    let end = "-----END CERTIFICATE-----\n";
    let leaf = good().cert_chain.split_inclusive(end).next().unwrap().to_owned();
    let error = refuse(NewCertificate { cert_chain: leaf.clone(), ..good() }, &key);
    assert!(matches!(error, EnrolError::Chain { source: None }), "{error:?}");

    // the same names, another key
    let error = refuse(NewCertificate { mesh_ca: theirs.mesh_ca().pem().to_owned(), ..good() }, &key);
    assert!(matches!(error, EnrolError::Leaf { source: LeafError::Signature { .. } }), "{error:?}");
    let error = refuse(good(), &other);
    assert!(matches!(error, EnrolError::ForeignKey { source: SignatureError::Wrong }), "{error:?}");
    let error = refuse(NewCertificate { root_ca: authority(4, 2).root_pem().to_owned(), ..good() }, &key);
    assert!(matches!(error, EnrolError::Intermediate { source: IssueError::Signature { .. } }), "{error:?}");
    let foreign = new(&theirs, &key).cert_chain.split_inclusive(end).nth(1).unwrap().to_owned();
    let error = refuse(NewCertificate { cert_chain: leaf + &foreign, ..good() }, &key);
    assert!(matches!(error, EnrolError::IntermediateKey), "{error:?}");

    let late = UnixTime(NOW.as_secs() + 366 * 86_400);
    let error = check(good(), &key, late).err().expect("refused");
    assert!(matches!(error, EnrolError::Leaf { source: LeafError::Expired { .. } }), "{error:?}");
}
