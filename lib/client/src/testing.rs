//! A simulated deployment in memory: coordinator, mesh CA and secret service with real keys, over the real formats. For
//! tests; nothing of it is in a build without the feature `testing`.

#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a fake that cannot be made is a failed test"
)]

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use privatemode_attest::{EvidenceKind, SimulatedAllowed, UnixTime, simulated};
use privatemode_manifest::{
    AttestationDocument, PolicyHash, Role, VerifyOptions, generate,
    history::{report_data, transition},
};
use privatemode_wire::{
    exchange::{ExchangeReply, ServerExchange, parse_request},
    secret::{Secret, SecretId},
};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, SigningKey as _, date_time_ymd,
};

use crate::{Clock, Entropy, Nonce, SystemEntropy};

/// A clock that a test sets.
#[derive(Debug)]
pub struct ManualClock(AtomicU64);

impl ManualClock {
    /// Stands at `seconds`.
    #[must_use]
    pub fn at(seconds: u64) -> Arc<Self> {
        Arc::new(Self(AtomicU64::new(seconds)))
    }

    /// Jumps forward, as it does while a machine sleeps.
    pub fn advance(&self, seconds: u64) {
        self.0.fetch_add(seconds, SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> UnixTime {
        UnixTime(self.0.load(SeqCst))
    }
}

/// A mesh CA.
pub struct Ca {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate.
    pub pem: Vec<u8>,
}

/// A workload's mesh key and certificate.
pub struct Signer {
    key: KeyPair,
    certificate: Vec<u8>,
}

fn params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2045, 1, 1);
    params
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

impl Ca {
    /// A self-signed one.
    #[must_use]
    pub fn new(name: &str) -> Self {
        let mut params = params(name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        let key = key();
        let pem = params.self_signed(&key).unwrap().pem().into_bytes();
        Self { params, key, pem }
    }

    /// A workload of this mesh.
    #[must_use]
    pub fn workload(&self, name: &str) -> Signer {
        let mut params = params(name);
        params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = key();
        let issuer = Issuer::from_params(&self.params, &self.key);
        let certificate = params.signed_by(&key, &issuer).unwrap().der().to_vec();
        Signer { key, certificate }
    }
}

impl Signer {
    /// Its certificate, DER.
    #[must_use]
    pub fn certificate(&self) -> &[u8] {
        &self.certificate
    }

    /// An ASN.1 signature over the SHA-256 of `message`.
    #[must_use]
    pub fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).unwrap()
    }
}

/// The deployment.
pub struct Deployment {
    /// What it enforces.
    pub manifest: Vec<u8>,
    /// Its mesh.
    pub mesh_ca: Ca,
    root_ca: Ca,
    policies: Vec<Vec<u8>>,
    coordinator: [u8; 32],
    secret_service: Signer,
    /// What a worker signs receipts with.
    pub worker: Signer,
    secrets: Mutex<BTreeMap<SecretId, Arc<Secret>>>,
}

impl Deployment {
    /// A deployment of its own keys that speaks sealed fields; `version` makes its manifest differ from others.
    #[must_use]
    pub fn new(version: &str) -> Self {
        Self::speaking(version, &[crate::FIELDS])
    }

    /// The same with these protocols.
    #[must_use]
    pub fn speaking(version: &str, protocols: &[&str]) -> Self {
        let policies: Vec<Vec<u8>> = ["coordinator", "secret-service", "inference-proxy"]
            .iter()
            .map(|name| format!("policy of {name}, {version}").into_bytes())
            .collect();
        let entry = |index: usize, sans, role| generate::Entry {
            policy: &policies[index],
            sans,
            workload_secret_id: None,
            role,
        };
        let manifest = generate::simulated(&[
            entry(0, &["coordinator"], Role::Coordinator),
            entry(1, &["secret-service"], Role::Workload),
            entry(2, &["inference-proxy"], Role::Workload),
        ]);
        let mut manifest: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
        manifest["Protocols"] = protocols.into();
        let manifest = manifest.to_string().into_bytes();
        let coordinator = *PolicyHash::of(&policies[0]).as_bytes();
        let mesh_ca = Ca::new("system:coordinator:intermediate");
        let secret_service = mesh_ca.workload("secret-service");
        Self {
            manifest,
            root_ca: Ca::new("system:coordinator:root"),
            policies,
            coordinator,
            secret_service,
            worker: mesh_ca.workload("inference-proxy"),
            secrets: Mutex::default(),
            mesh_ca,
        }
    }

    /// Accepts simulated evidence.
    #[must_use]
    pub fn options() -> VerifyOptions {
        VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        }
    }

    /// The coordinator's answer.
    #[must_use]
    pub fn attest(&self, nonce: Nonce) -> Vec<u8> {
        let manifests = vec![self.manifest.clone()];
        let bound =
            report_data(&nonce.0, &transition(&manifests).unwrap(), &self.root_ca.pem, &self.mesh_ca.pem);
        AttestationDocument {
            version: "test".to_owned(),
            raw_attestation_doc: simulated::issue(&bound, self.coordinator),
            attestation_type: Some(EvidenceKind::Simulated),
            manifests,
            policies: self.policies.clone(),
            root_ca: self.root_ca.pem.clone(),
            mesh_ca: self.mesh_ca.pem.clone(),
        }
        .to_json()
    }

    /// The secret service's answer.
    #[must_use]
    pub fn exchange(&self, request: &str) -> Vec<u8> {
        self.exchange_signed_by(request, &self.secret_service)
    }

    /// The same with another signer.
    #[must_use]
    pub fn exchange_signed_by(&self, request: &str, signer: &Signer) -> Vec<u8> {
        let public_key = parse_request(request.as_bytes()).unwrap();
        let exchange = ServerExchange::accept(public_key.as_slice(), &mut *SystemEntropy.rng()).unwrap();
        let signed = [public_key.as_slice(), exchange.encapsulated_key.as_slice()].concat();
        let reply = ExchangeReply {
            encapsulated_key: exchange.encapsulated_key.to_vec(),
            // ECDSA over SHA-256 of the message: the same as over the digest
            signature: signer.key.sign(&signed).unwrap(),
            mesh_cert: signer.certificate.clone(),
        };
        self.secrets().insert(exchange.secret_id, Arc::new(exchange.secret));
        reply.to_json().into_bytes()
    }

    /// A secret that was exchanged and is not forgotten.
    #[must_use]
    pub fn secret(&self, id: &SecretId) -> Option<Arc<Secret>> {
        self.secrets().get(id).cloned()
    }

    /// Loses all secrets, as a store does that starts afresh.
    pub fn forget(&self) {
        self.secrets().clear();
    }

    fn secrets(&self) -> std::sync::MutexGuard<'_, BTreeMap<SecretId, Arc<Secret>>> {
        self.secrets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
