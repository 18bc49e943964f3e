//! A small coordinator on the simulated platform with a PKI of its own. It appraises workloads as the real one does, and
//! can be told to do one thing wrong.

use std::{
    collections::VecDeque,
    convert::Infallible,
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::{Duration, SystemTime},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use privatemode_attest::{EvidenceKind, ReportData, SimulatedAllowed, UnixTime, simulated};
use privatemode_manifest::{
    AttestationDocument, Manifest, PolicyHash, Role, VerifyOptions, appraise_workload,
    generate::{self, Entry},
    history,
};
use privatemode_mesh::{
    MeshArgs, MeshIdentity, PlatformName, join,
    messages::{ATTEST_PATH, CHALLENGE_PATH, Challenge, JOIN_PATH, JoinReply, JoinRequest},
};
use privatemode_service::{BoxBody, Limits, Shutdown, body, listen, serve};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData, SubjectPublicKeyInfo,
    date_time_ymd,
};

const HOUR: u64 = 3600;

/// What the coordinator does wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Wrong {
    #[default]
    Nothing,
    /// Evidence over another nonce than was sent.
    Nonce,
    /// A certificate of another CA than the attested one.
    Ca,
    /// A certificate for another key than was sent.
    Key,
    /// No certificate at all.
    Chain,
}

/// One CA.
pub(crate) struct Ca {
    key: KeyPair,
    params: CertificateParams,
    pub(crate) pem: String,
}

impl Ca {
    pub(crate) fn new(name: &str) -> Self {
        let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        validity(&mut params, (now() - HOUR, now() + 100 * HOUR));
        let pem = params.self_signed(&key).unwrap().pem();
        Self { key, params, pem }
    }

    /// A leaf for a workload, valid for these seconds since the epoch.
    pub(crate) fn issue(
        &self,
        sans: &[String],
        key: &impl PublicKeyData,
        valid: (u64, u64),
    ) -> rcgen::Certificate {
        let mut params = CertificateParams::new(sans.to_vec()).unwrap();
        params.distinguished_name.push(DnType::CommonName, sans[0].clone());
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages =
            vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        validity(&mut params, valid);
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap()
    }
}

fn validity(params: &mut CertificateParams, (from, to): (u64, u64)) {
    let epoch = date_time_ymd(1970, 1, 1);
    params.not_before = epoch + Duration::from_secs(from);
    params.not_after = epoch + Duration::from_secs(to);
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}

/// A deployment: one manifest, some workloads, one coordinator. Ends with the value.
pub(crate) struct Fake {
    pub(crate) address: SocketAddr,
    pub(crate) inner: Arc<Inner>,
    folder: tempfile::TempDir,
    shutdown: Shutdown,
}

pub(crate) struct Inner {
    manifest: Manifest,
    policies: Vec<Vec<u8>>,
    root: Ca,
    pub(crate) mesh: Mutex<Arc<Ca>>,
    pub(crate) wrong: Mutex<Wrong>,
    /// Statuses that are answered before anything else.
    pub(crate) refusals: Mutex<VecDeque<u16>>,
    nonce: Mutex<[u8; 32]>,
}

impl Drop for Fake {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

const WORKLOADS: [&str; 4] = ["coordinator", "gateway", "secret-service", "inference-proxy"];

impl Fake {
    pub(crate) fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let both = ["gateway", "inference-proxy"];
        let single: Vec<[&str; 1]> = WORKLOADS.iter().map(|name| [*name]).collect();
        let mut entries: Vec<Entry<'_>> = WORKLOADS
            .iter()
            .zip(&single)
            .map(|(name, sans)| {
                let role = if *name == "coordinator" { Role::Coordinator } else { Role::Workload };
                Entry { policy: name.as_bytes(), sans, workload_secret_id: None, role }
            })
            .collect();
        entries.push(Entry { policy: b"both", sans: &both, workload_secret_id: None, role: Role::Workload });
        let policies: Vec<Vec<u8>> = entries.iter().map(|entry| entry.policy.to_vec()).collect();
        let raw = generate::simulated(&entries);
        std::fs::write(folder.path().join("manifest.json"), &raw).unwrap();
        for policy in &policies {
            std::fs::write(folder.path().join(std::str::from_utf8(policy).unwrap()), policy).unwrap();
        }
        let inner = Arc::new(Inner {
            manifest: Manifest::parse(&raw).unwrap(),
            policies,
            root: Ca::new("system:coordinator:root"),
            mesh: Mutex::new(Arc::new(Ca::new("system:coordinator:intermediate"))),
            wrong: Mutex::default(),
            refusals: Mutex::default(),
            nonce: Mutex::new([7; 32]),
        });
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let service = Arc::clone(&inner);
        let service = service_fn(move |request| {
            let inner = Arc::clone(&service);
            async move { Ok::<_, Infallible>(inner.answer(request).await) }
        });
        tokio::spawn(serve(listener, None, service, Limits::default(), shutdown.clone()));
        Self { address, inner, folder, shutdown }
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// What a workload is started with.
    pub(crate) fn args(&self, workload: &str) -> MeshArgs {
        MeshArgs {
            coordinator_mesh: vec![format!("http://{}", self.address)],
            coordinator: vec![format!("http://{}", self.address)],
            expected_manifest: Some(self.path("manifest.json")),
            platform: Some(PlatformName::Simulated),
            workload_policy: Some(self.path(workload)),
            danger_simulated: true,
            ..Default::default()
        }
    }

    pub(crate) async fn join(&self, workload: &str) -> Arc<MeshIdentity> {
        join(&self.args(workload)).await.unwrap()
    }

    pub(crate) fn ca(&self) -> Arc<Ca> {
        Arc::clone(&self.inner.mesh.lock().unwrap())
    }

    /// As a restart does.
    pub(crate) fn new_mesh_ca(&self) {
        *self.inner.mesh.lock().unwrap() = Arc::new(Ca::new("system:coordinator:intermediate"));
    }

    pub(crate) fn does_wrong(&self, wrong: Wrong) {
        *self.inner.wrong.lock().unwrap() = wrong;
    }
}

impl Inner {
    async fn answer(&self, request: Request<Incoming>) -> Response<BoxBody> {
        if let Some(status) = self.refusals.lock().unwrap().pop_front() {
            return Response::builder().status(status).body(body::full("not\nyet")).unwrap();
        }
        let path = request.uri().path().to_owned();
        let body = body::read_limited(request.into_body(), 64 * 1024).await.unwrap();
        let answer = match path.as_str() {
            ATTEST_PATH => self.attest(&body),
            CHALLENGE_PATH => json(&Challenge { nonce: STANDARD.encode(*self.nonce.lock().unwrap()) }),
            JOIN_PATH => self.join(&body),
            _ => panic!("unknown path {path}"),
        };
        Response::new(body::full(answer))
    }

    fn attest(&self, body: &[u8]) -> Bytes {
        let Challenge { nonce } = serde_json::from_slice(body).unwrap();
        let mut nonce: [u8; 32] = STANDARD.decode(nonce).unwrap().try_into().unwrap();
        if *self.wrong.lock().unwrap() == Wrong::Nonce {
            nonce[31] ^= 1;
        }
        let manifests = vec![self.manifest.raw().to_vec()];
        let transition = history::transition(&manifests).unwrap();
        let (root_ca, mesh_ca) =
            (self.root.pem.clone().into_bytes(), self.mesh.lock().unwrap().pem.clone().into_bytes());
        let bound = history::report_data(&nonce, &transition, &root_ca, &mesh_ca);
        let document = AttestationDocument {
            version: "v0.0.0".to_owned(),
            raw_attestation_doc: simulated::issue(&bound, *PolicyHash::of(b"coordinator").as_bytes()),
            attestation_type: Some(EvidenceKind::Simulated),
            manifests,
            policies: self.policies.clone(),
            root_ca,
            mesh_ca,
        };
        document.to_json().into()
    }

    fn join(&self, body: &[u8]) -> Bytes {
        let wrong = *self.wrong.lock().unwrap();
        let request: JoinRequest = serde_json::from_slice(body).unwrap();
        let kind = EvidenceKind::from_oid(&request.evidence_type).unwrap();
        let spki = STANDARD.decode(request.public_key).unwrap();
        let bound = ReportData::of_public_key(&spki, &self.nonce.lock().unwrap());
        let evidence = STANDARD.decode(request.evidence).unwrap();
        let options = VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        };
        let workload =
            appraise_workload(&self.manifest, kind, &evidence, &bound, &options, UnixTime(now())).unwrap();
        let sans = &workload.entry.sans;
        let valid = (now() - 60, now() + 24 * HOUR);
        let mesh = Arc::clone(&self.mesh.lock().unwrap());
        let key = SubjectPublicKeyInfo::from_der(&spki).unwrap();
        let leaf = match wrong {
            Wrong::Key => mesh.issue(sans, &KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap(), valid),
            Wrong::Ca => Ca::new("system:coordinator:intermediate").issue(sans, &key, valid),
            Wrong::Nothing | Wrong::Nonce | Wrong::Chain => mesh.issue(sans, &key, valid),
        };
        let cert_chain =
            if wrong == Wrong::Chain { "none".to_owned() } else { format!("{}{}", leaf.pem(), mesh.pem) };
        json(&JoinReply { cert_chain })
    }
}

fn json(message: &impl serde::Serialize) -> Bytes {
    serde_json::to_vec(message).unwrap().into()
}
