use privatemode_attest::mesh::San;
use privatemode_manifest::Role;
use rcgen::{PKCS_ECDSA_P256_SHA256, PublicKeyData as _};

use super::*;

const NOW: UnixTime = UnixTime(1_800_000_000);

fn entry(sans: &[&str], id: Option<&str>) -> PolicyEntry {
    let sans = sans.iter().map(|san| (*san).to_owned()).collect();
    PolicyEntry { sans, workload_secret_id: id.map(str::to_owned), role: Role::Workload }
}

fn key() -> PublicKey {
    let pair = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    PublicKey::parse_spki(&pair.subject_public_key_info()).unwrap()
}

fn root() -> SecretKey {
    crate::keygen::p384_key(&[7; 64]).unwrap()
}

/// The certificates in a PEM chain, as DER.
fn ders(chain: &str) -> Vec<Vec<u8>> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::pem_slice_iter(chain.as_bytes())
        .map(|certificate| certificate.unwrap().to_vec())
        .collect()
}

#[test]
fn a_leaf_has_the_names_of_the_manifest_and_the_key_of_the_workload() {
    let authority = Authority::create(&root(), NOW).unwrap();
    let sans = ["secret-service", "127.0.0.1", "spiffe://mesh/secret", "*.example.org"];
    let key = key();
    let chain = authority.issue(&entry(&sans, Some("the-id")), &key, NOW).unwrap();
    let leaf = authority.mesh_ca().verify_leaf(&ders(&chain)[0], NOW).unwrap();
    assert_eq!(
        leaf.sans(),
        [
            San::Dns("secret-service".into()),
            San::Ip("127.0.0.1".parse().unwrap()),
            San::Uri("spiffe://mesh/secret".into()),
            San::Dns("*.example.org".into()),
        ]
    );
    assert_eq!(leaf.workload_secret_id(), Some("the-id"));
    assert_eq!(leaf.public_key(), &key);
    assert_eq!(leaf.not_before(), NOW.saturating_sub(BACKDATED));
    assert_eq!(leaf.not_after(), NOW.saturating_add(LEAF_LIFETIME));
}

#[test]
fn the_common_name_is_the_first_san_and_the_issuer_is_the_intermediate() {
    let authority = Authority::create(&root(), NOW).unwrap();
    let chain = authority.issue(&entry(&["gateway", "other"], None), &key(), NOW).unwrap();
    let ders = ders(&chain);
    assert_eq!(ders.len(), 2);
    let subject = |der: &[u8]| {
        let params = x509_parser(der);
        (params.0, params.1)
    };
    assert_eq!(subject(&ders[0]), ("CN=gateway".into(), format!("CN={MESH_NAME}")));
    assert_eq!(subject(&ders[1]), (format!("CN={MESH_NAME}"), format!("CN={ROOT_NAME}")));
}

/// Subject and issuer, read by another library than the one that wrote them.
fn x509_parser(der: &[u8]) -> (String, String) {
    let (rest, certificate) = x509_parser::parse_x509_certificate(der).unwrap();
    assert!(rest.is_empty());
    (certificate.subject().to_string(), certificate.issuer().to_string())
}

#[test]
fn the_chain_leads_to_the_root_as_well() {
    let authority = Authority::create(&root(), NOW).unwrap();
    let chain = authority.issue(&entry(&["gateway"], None), &key(), NOW).unwrap();
    let ders = ders(&chain);
    let root = MeshCa::parse_pem(authority.root_pem()).unwrap();
    let parse = |der| x509_parser::parse_x509_certificate(der).unwrap().1;
    let (leaf, intermediate, root) = (parse(&ders[0]), parse(&ders[1]), parse(root.der()));
    leaf.verify_signature(Some(intermediate.public_key())).unwrap();
    intermediate.verify_signature(Some(root.public_key())).unwrap();
    // the mesh CA is the same key under the same name, signed by itself
    let mesh = parse(authority.mesh_ca().der());
    assert_eq!(mesh.public_key().raw, intermediate.public_key().raw);
    assert_eq!(mesh.subject(), intermediate.subject());
    assert_ne!(mesh.raw_serial(), intermediate.raw_serial());
}

#[test]
fn every_certificate_has_its_own_number() {
    let authority = Authority::create(&root(), NOW).unwrap();
    let (entry, key) = (entry(&["gateway"], None), key());
    let first = ders(&authority.issue(&entry, &key, NOW).unwrap());
    let second = ders(&authority.issue(&entry, &key, NOW).unwrap());
    let serial = |der| x509_parser::parse_x509_certificate(der).unwrap().1.raw_serial().to_vec();
    assert_ne!(serial(&first[0]), serial(&second[0]));
}

#[test]
fn another_deployment_has_other_keys() {
    let (one, other) = (Authority::create(&root(), NOW).unwrap(), Authority::create(&root(), NOW).unwrap());
    let chain = one.issue(&entry(&["gateway"], None), &key(), NOW).unwrap();
    let refused = other.mesh_ca().verify_leaf(&ders(&chain)[0], NOW).unwrap_err();
    assert!(matches!(refused, LeafError::Signature { .. }));
}

#[test]
fn a_peer_shows_the_same_certificates_and_issues_under_them() {
    let one = Authority::create(&root(), NOW).unwrap();
    let later = NOW.saturating_add(100);
    let peer = || (one.mesh_key().clone(), one.certificates().clone());
    let (mesh, certificates) = peer();
    let other = Authority::of_peer(&root(), mesh, certificates, later).unwrap();
    assert_eq!(other.certificates(), one.certificates());
    let chain = other.issue(&entry(&["gateway"], None), &key(), later).unwrap();
    one.mesh_ca().verify_leaf(&ders(&chain)[0], later).unwrap();
    // a peer that sends the key alone
    let regenerated = Authority::with_key(&root(), one.mesh_key().clone(), later).unwrap();
    assert_ne!(regenerated.certificates(), one.certificates());
    let chain = regenerated.issue(&entry(&["gateway"], None), &key(), later).unwrap();
    one.mesh_ca().verify_leaf(&ders(&chain)[0], later).unwrap();
}

#[test]
fn a_peer_whose_certificates_are_of_other_keys_is_refused() {
    let (one, other) = (Authority::create(&root(), NOW).unwrap(), Authority::create(&root(), NOW).unwrap());
    let foreign_root = Authority::create(&crate::keygen::p384_key(&[8; 64]).unwrap(), NOW).unwrap();
    let of_peer = |certificates| Authority::of_peer(&root(), one.mesh_key().clone(), certificates, NOW);
    let refused = of_peer(other.certificates().clone()).err();
    assert!(matches!(refused, Some(AuthorityError::ForeignCertificate)), "{refused:?}");
    let root = foreign_root.certificates().root.clone();
    let refused = of_peer(Certificates { root, ..one.certificates().clone() }).err();
    assert!(matches!(refused, Some(AuthorityError::ForeignCertificate)), "{refused:?}");
    let broken = Certificates { mesh: "nothing".into(), ..one.certificates().clone() };
    assert!(matches!(of_peer(broken).err(), Some(AuthorityError::SelfCheck { .. })));
    let late = NOW.saturating_add(CA_LIFETIME).saturating_add(1);
    let refused = Authority::of_peer(&self::root(), one.mesh_key().clone(), one.certificates().clone(), late);
    assert!(matches!(
        refused.err(),
        Some(AuthorityError::PeerValidity { source: LeafError::CaExpired { .. } })
    ));
}

#[test]
fn a_workload_without_a_name_gets_nothing() {
    let authority = Authority::create(&root(), NOW).unwrap();
    assert!(matches!(authority.issue(&entry(&[], None), &key(), NOW), Err(IssueError::NoName)));
    let refused = authority.issue(&entry(&["a b"], None), &key(), NOW).unwrap_err();
    assert!(matches!(refused, IssueError::Name { source } if source.name == "a b"));
}

#[test]
fn what_peers_would_refuse_is_not_issued() {
    let authority = Authority::create(&root(), NOW).unwrap();
    let late = NOW.saturating_add(CA_LIFETIME).saturating_add(1);
    let refused = authority.issue(&entry(&["gateway"], None), &key(), late).unwrap_err();
    assert!(matches!(refused, IssueError::SelfCheck { source: LeafError::CaExpired { .. } }));
}

#[test]
fn long_secret_ids_are_encoded_correctly() {
    let authority = Authority::create(&root(), NOW).unwrap();
    for length in [1, 127, 128, 255, 256, 1000] {
        let id = "i".repeat(length);
        let chain = authority.issue(&entry(&["gateway"], Some(&id)), &key(), NOW).unwrap();
        let leaf = authority.mesh_ca().verify_leaf(&ders(&chain)[0], NOW).unwrap();
        assert_eq!(leaf.workload_secret_id(), Some(&*id));
    }
}
