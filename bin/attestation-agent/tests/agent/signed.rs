//! The evidence under the workload's mesh key.

use std::path::PathBuf;

use privatemode_attest::{
    gpu::{Fleet, NonceRule, SignedBundle},
    mesh::MeshCa,
};
use privatemode_attestation_agent::{AdmitError, Plan, TellError};
use rcgen::{
    BasicConstraints, CertificateParams, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PKCS_ECDSA_P256_SHA256,
};

use crate::{
    machine::{self, NOW},
    world::World,
};

const NAME: &str = "attestation-agent";

struct Mesh {
    ca: String,
    certificate: String,
    key: String,
}

fn mesh() -> Mesh {
    let pair = || KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let mut ca = CertificateParams::default();
    ca.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let (ca_key, key) = (pair(), pair());
    let mut leaf = CertificateParams::new([NAME.to_owned()]).unwrap();
    leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    let certificate = leaf.signed_by(&key, &Issuer::from_params(&ca, &ca_key)).unwrap().pem();
    Mesh { ca: ca.self_signed(&ca_key).unwrap().pem(), certificate, key: key.serialize_pem() }
}

impl World {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// As the workload's initializer leaves them.
    fn write(&self, key: &str, certificate: &str) -> impl FnOnce(&mut Plan) + use<> {
        std::fs::write(self.path("key.pem"), key).unwrap();
        std::fs::write(self.path("certChain.pem"), certificate).unwrap();
        let signed = (self.path("key.pem"), self.path("certChain.pem"), self.path("signed.json"));
        |plan| plan.tell.signed = Some(signed)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_reads_and_verifies_what_the_agent_signed() {
    let (world, mesh) = (World::new(2).await, mesh());
    world.run(world.write(&mesh.key, &mesh.certificate)).await.unwrap();
    let signed = SignedBundle::parse(&std::fs::read(world.path("signed.json")).unwrap()).unwrap();
    let statement = signed.open(&MeshCa::parse_pem(&mesh.ca).unwrap(), NAME, NOW).unwrap();
    assert_eq!((&statement.report_data, statement.verified_at), (&machine::question(), NOW));
    let fleet = Fleet { gpus: 2, switches: 0, nonces: NonceRule::Own };
    statement.verify(&fleet, &machine::policy(), &machine::roots(), NOW).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_signature_there_are_no_gpus() {
    let (world, one, other) = (World::new(1).await, mesh(), mesh());
    let told = |error: AdmitError| match error {
        AdmitError::Tell { source } => source,
        error => panic!("{error:?}"),
    };
    let error = told(world.run(world.write(&one.key, &other.certificate)).await.unwrap_err());
    assert!(matches!(error, TellError::OtherKey { .. }), "{error:?}");
    let error = told(world.run(world.write("none", &one.certificate)).await.unwrap_err());
    assert!(matches!(error, TellError::Key { .. }), "{error:?}");
    let error = told(world.run(world.write(&one.key, "none")).await.unwrap_err());
    assert!(matches!(error, TellError::Certificate { .. }), "{error:?}");
    let plan = world.write(&one.key, &one.certificate);
    std::fs::remove_file(world.path("key.pem")).unwrap();
    let error = told(world.run(plan).await.unwrap_err());
    assert!(matches!(error, TellError::Read { .. }), "{error:?}");
    assert!(!world.gpus.is_ready() && world.tells_nothing() && !world.path("signed.json").exists());
}
