//! A coordinator in this process, on free ports, asked over HTTP as a client and as a workload would.
#![cfg(feature = "simulated")]
#![allow(clippy::unwrap_used, reason = "a test")]

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::simulated::issue;
use privatemode_attest::{ReportData, SimulatedAllowed, UnixTime};
use privatemode_coordinator::challenge;
use privatemode_coordinator::server::{Listeners, open, serve};
use privatemode_coordinator::{Clock, Config};
use privatemode_manifest::generate::{Entry, simulated};
use privatemode_manifest::{
    AttestationDocument, Manifest, PolicyHash, Role, VerifiedDeployment, VerifyOptions, verify_deployment,
};
use privatemode_mesh::PlatformName;
use privatemode_service::{Process, Shutdown, listen};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ED25519, PublicKeyData as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::task::JoinHandle;

const START: u64 = 1_800_000_000;
const COORDINATOR: &[u8] = b"policy of the coordinator";
const SECRETS: &[u8] = b"policy of the secret service";
const OID: [u64; 5] = [1, 3, 9901, 2, 3];

/// A coordinator with a clock that the test moves.
struct Stand {
    folder: TempDir,
    manifest: Manifest,
    clock: Arc<AtomicU64>,
    addresses: std::collections::BTreeMap<String, String>,
    shutdown: Shutdown,
    running: JoinHandle<anyhow::Result<()>>,
}

impl Stand {
    async fn start(start: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let config = write_files(folder.path());
        let clock = Arc::new(AtomicU64::new(start));
        let coordinator = open(&config, read(&clock)).await.unwrap();
        let any = || listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let listeners = Listeners { http: any(), user: any(), mesh: any(), join: any(), probe: any() };
        let shutdown = Shutdown::new();
        let (process, announced) = Process::embedded("coordinator", shutdown.clone());
        let running = tokio::spawn(serve(coordinator, listeners, process));
        let addresses = announced.await.unwrap().addresses;
        let manifest = Manifest::parse(&std::fs::read(folder.path().join("manifest.json")).unwrap()).unwrap();
        Self { folder, manifest, clock, addresses, shutdown, running }
    }

    async fn stop(self) {
        self.shutdown.trigger();
        self.running.await.unwrap().unwrap();
    }

    fn later(&self, seconds: u64) {
        self.clock.fetch_add(seconds, Ordering::SeqCst);
    }

    fn now(&self) -> UnixTime {
        UnixTime(self.clock.load(Ordering::SeqCst))
    }

    fn address(&self, name: &str) -> SocketAddr {
        self.addresses[name].parse().unwrap()
    }

    async fn post(&self, name: &str, path: &str, body: &Value) -> (u16, Value) {
        let answer =
            send(self.address(name), "POST", path, "application/json", body.to_string().as_bytes()).await;
        (answer.0, serde_json::from_str(&answer.1).unwrap())
    }

    async fn attest(&self, nonce: &[u8; 32]) -> AttestationDocument {
        let body = json!({"Nonce": STANDARD.encode(nonce)});
        let (status, document) = self.post("http", "/attest", &body).await;
        assert_eq!(status, 200, "{document}");
        AttestationDocument::parse(document.to_string().as_bytes()).unwrap()
    }

    async fn verified(&self) -> VerifiedDeployment {
        let nonce = [7; 32];
        verify_deployment(&self.attest(&nonce).await, &nonce, &self.manifest, &allowed(), self.now()).unwrap()
    }

    async fn challenge(&self) -> [u8; 32] {
        let (status, answer) = self.post("join", "/mesh/v1/challenge", &json!({})).await;
        assert_eq!(status, 200, "{answer}");
        STANDARD.decode(answer["Nonce"].as_str().unwrap()).unwrap().try_into().unwrap()
    }

    async fn join(&self, application: &Value) -> (u16, Value) {
        self.post("join", "/mesh/v1/join", application).await
    }

    /// The status and code of a refusal.
    async fn refused(&self, application: &Value) -> (u16, String) {
        let (status, answer) = self.join(application).await;
        assert_eq!(answer["version"], privatemode_service::version());
        assert!(answer["error"].as_str().is_some_and(|text| !text.is_empty()), "{answer}");
        (status, answer["code"].as_str().unwrap().to_owned())
    }
}

fn allowed() -> VerifyOptions {
    VerifyOptions { simulated: Some(SimulatedAllowed::danger_accept_simulated()), ..VerifyOptions::default() }
}

fn read(clock: &Arc<AtomicU64>) -> Clock {
    let clock = Arc::clone(clock);
    Arc::new(move || UnixTime(clock.load(Ordering::SeqCst)))
}

fn write_files(folder: &Path) -> Config {
    let entry = |policy, sans, id, role| Entry { policy, sans, workload_secret_id: id, role };
    let manifest = simulated(&[
        entry(COORDINATOR, &["coordinator"], None, Role::Coordinator),
        entry(SECRETS, &["secret-service", "127.0.0.1"], Some("secret-service"), Role::Workload),
    ]);
    let path = |name: &str| folder.join(name);
    std::fs::write(path("manifest.json"), manifest).unwrap();
    std::fs::create_dir(path("policies")).unwrap();
    std::fs::write(path("policies/coordinator"), COORDINATOR).unwrap();
    std::fs::write(path("policies/secrets"), SECRETS).unwrap();
    Config {
        manifest: Some(path("manifest.json")),
        policies: Some(path("policies")),
        state: privatemode_coordinator::place::StatePlace::Memory,
        own_policy: path("policies/coordinator"),
        platform: PlatformName::Simulated,
        danger_simulated: true,
        danger_fake_snp: None,
        collateral: Default::default(),
        http_listen: "127.0.0.1:0".parse().unwrap(),
        user_listen: "127.0.0.1:0".parse().unwrap(),
        mesh_listen: "127.0.0.1:0".parse().unwrap(),
        join_listen: "127.0.0.1:0".parse().unwrap(),
        peer: Vec::new(),
        probe_listen: "127.0.0.1:0".parse().unwrap(),
    }
}

/// One HTTP/1.1 request, written by hand so that it can be wrong in any way.
async fn send(to: SocketAddr, method: &str, path: &str, content_type: &str, body: &[u8]) -> (u16, String) {
    send_announced(to, method, path, content_type, body.len(), body).await
}

/// As [`send`], with another length announced than is sent: a server that refuses by the announcement would otherwise close
/// a connection with unread bytes, and the kernel may then drop its answer.
async fn send_announced(
    to: SocketAddr,
    method: &str,
    path: &str,
    content_type: &str,
    length: usize,
    body: &[u8],
) -> (u16, String) {
    let mut stream = TcpStream::connect(to).await.unwrap();
    let kind =
        if content_type.is_empty() { String::new() } else { format!("Content-Type: {content_type}\r\n") };
    let head = format!(
        "{method} {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n{kind}Content-Length: {length}\r\n\r\n"
    );
    stream.write_all(&[head.as_bytes(), body].concat()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    let answer = String::from_utf8(answer).unwrap();
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_owned())
}

fn spki() -> Vec<u8> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().subject_public_key_info()
}

/// An application as an honest workload with `policy` makes it.
fn application(nonce: &[u8; 32], policy: &[u8]) -> Value {
    let spki = spki();
    let evidence = issue(&ReportData::of_public_key(&spki, nonce), *PolicyHash::of(policy).as_bytes());
    json!({
        "Nonce": STANDARD.encode(nonce),
        "PublicKey": STANDARD.encode(spki),
        "EvidenceType": OID,
        "Evidence": STANDARD.encode(evidence),
    })
}

fn leaf_der(chain: &str) -> Vec<u8> {
    use rustls_pki_types::pem::PemObject as _;
    rustls_pki_types::CertificateDer::from_pem_slice(chain.as_bytes()).unwrap().to_vec()
}

// --- what works ---

#[tokio::test]
async fn a_client_verifies_the_deployment_and_a_workload_joins_it() {
    let stand = Stand::start(START).await;
    let deployment = stand.verified().await;
    assert!(deployment.simulated());
    assert_eq!(deployment.coordinator_policy(), PolicyHash::of(COORDINATOR));

    let nonce = stand.challenge().await;
    let (status, answer) = stand.join(&application(&nonce, SECRETS)).await;
    assert_eq!(status, 200, "{answer}");
    let leaf = leaf_der(answer["CertChain"].as_str().unwrap());
    let leaf = deployment.mesh_ca().verify_leaf(&leaf, stand.now()).unwrap();
    assert!(leaf.has_name("secret-service") && leaf.has_name("127.0.0.1"));
    assert_eq!(leaf.workload_secret_id(), Some("secret-service"));
    stand.stop().await;
}

#[tokio::test]
async fn the_librarys_own_workload_joins() {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    let stand = Stand::start(now).await;
    let args = privatemode_mesh::MeshArgs {
        coordinator_mesh: vec![format!("http://{}", stand.addresses["join"])],
        coordinator: vec![format!("http://{}", stand.addresses["http"])],
        expected_manifest: Some(stand.folder.path().join("manifest.json")),
        platform: Some(PlatformName::Simulated),
        workload_policy: Some(stand.folder.path().join("policies/secrets")),
        danger_simulated: true,
        ..Default::default()
    };
    let identity = privatemode_mesh::join(&args).await.unwrap();
    let mesh_ca = stand.verified().await;
    let leaf = mesh_ca.mesh_ca().verify_leaf(&identity.leaf_der(), UnixTime(now)).unwrap();
    assert!(leaf.has_name("secret-service"));
    stand.stop().await;
}

#[tokio::test]
async fn the_document_answers_one_nonce() {
    let stand = Stand::start(START).await;
    let document = stand.attest(&[1; 32]).await;
    let refused =
        verify_deployment(&document, &[2; 32], &stand.manifest, &allowed(), stand.now()).unwrap_err();
    assert!(matches!(refused, privatemode_manifest::VerifyError::ReportDataMismatch));
    assert_eq!(document.version, privatemode_service::version());
    stand.stop().await;
}

#[tokio::test]
async fn both_spellings_of_the_nonce_are_read() {
    let stand = Stand::start(START).await;
    let (status, _) = stand.post("http", "/attest", &json!({"nonce": STANDARD.encode([1; 32])})).await;
    assert_eq!(status, 200);
    stand.stop().await;
}

#[tokio::test]
async fn manifests_and_policies_can_be_read() {
    let stand = Stand::start(START).await;
    let (status, body) = send(stand.address("http"), "GET", "/manifests", "", b"").await;
    assert_eq!(status, 200);
    let answer: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(answer["manifests"], json!([STANDARD.encode(stand.manifest.raw())]));
    assert_eq!(answer["policies"].as_array().unwrap().len(), 2);
    assert!(answer.get("mesh_ca").is_none());
    stand.stop().await;
}

#[tokio::test]
async fn probes_and_metrics() {
    let stand = Stand::start(START).await;
    stand.verified().await;
    let nonce = stand.challenge().await;
    assert_eq!(stand.join(&application(&nonce, SECRETS)).await.0, 200);
    assert_eq!(stand.join(&application(&[1; 32], SECRETS)).await.0, 403);
    for path in ["/startup", "/readiness", "/liveness"] {
        assert_eq!(send(stand.address("probe"), "GET", path, "", b"").await.0, 200, "{path}");
    }
    let (_, metrics) = send(stand.address("probe"), "GET", "/metrics", "", b"").await;
    for line in [
        "privatemode_coordinator_attest_total{outcome=\"attested\"} 1",
        "privatemode_coordinator_join_total{outcome=\"joined\"} 1",
        "privatemode_coordinator_join_total{outcome=\"nonce_unknown\"} 1",
    ] {
        assert!(metrics.contains(line), "{line} is not in:\n{metrics}");
    }
    stand.stop().await;
}

// --- attestation: every refusal ---

/// Sends `body` to `/attest` and returns status and code of the refusal.
async fn attest_refused(stand: &Stand, content_type: &str, body: &[u8]) -> (u16, String) {
    let (status, text) = send(stand.address("http"), "POST", "/attest", content_type, body).await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    (status, answer["code"].as_str().unwrap().to_owned())
}

fn refusal(status: u16, code: &str) -> (u16, String) {
    (status, code.to_owned())
}

#[tokio::test]
async fn attest_with_a_nonce_of_a_wrong_length() {
    let stand = Stand::start(START).await;
    for length in [0, 31, 33, 64] {
        let body = json!({"Nonce": STANDARD.encode(vec![1; length])}).to_string();
        let refused = attest_refused(&stand, "application/json", body.as_bytes()).await;
        assert_eq!(refused, refusal(400, "nonce_length"));
    }
    stand.stop().await;
}

#[tokio::test]
async fn attest_with_a_wrong_content_type() {
    let stand = Stand::start(START).await;
    for kind in ["", "text/plain", "application/x-www-form-urlencoded"] {
        assert_eq!(attest_refused(&stand, kind, b"").await, refusal(415, "content_type"), "{kind}");
    }
    let twice = "application/json\r\nContent-Type: application/json";
    assert_eq!(attest_refused(&stand, twice, b"").await, refusal(415, "content_type"));
    stand.stop().await;
}

#[tokio::test]
async fn attest_with_a_body_that_is_too_large() {
    let stand = Stand::start(START).await;
    let nonce = STANDARD.encode([1; 32]);
    let fits = format!("{{\"Nonce\":\"{nonce}\"}}{}", " ".repeat(1024));
    let (status, _) =
        send(stand.address("http"), "POST", "/attest", "application/json", &fits.as_bytes()[..1024]).await;
    assert_eq!(status, 200);
    let (http, kind) = (stand.address("http"), "application/json");
    let (status, text) = send_announced(http, "POST", "/attest", kind, 1025, b"").await;
    let answer: Value = serde_json::from_str(&text).unwrap();
    assert_eq!((status, answer["code"].as_str()), (413, Some("body_too_large")));
    stand.stop().await;
}

#[tokio::test]
async fn attest_with_something_else_than_the_request() {
    let stand = Stand::start(START).await;
    for body in [&b""[..], b"{", b"[]", b"{}", b"{\"Nonce\":1}", b"{\"Nonce\":\"\",\"nonce\":\"\"}"] {
        assert_eq!(attest_refused(&stand, "application/json", body).await, refusal(400, "invalid_json"));
    }
    let refused = attest_refused(&stand, "application/json", b"{\"Nonce\":\"?\"}").await;
    assert_eq!(refused, refusal(400, "invalid_base64"));
    stand.stop().await;
}

#[tokio::test]
async fn unknown_paths_and_methods() {
    let stand = Stand::start(START).await;
    for (name, method, path, expected) in [
        ("http", "GET", "/", refusal(404, "not_found")),
        ("http", "GET", "/attest", refusal(405, "method_not_allowed")),
        // the two ports do not answer for each other
        ("http", "POST", "/mesh/v1/join", refusal(404, "not_found")),
        ("join", "POST", "/attest", refusal(404, "not_found")),
        ("join", "GET", "/mesh/v1/challenge", refusal(405, "method_not_allowed")),
    ] {
        let (status, text) = send(stand.address(name), method, path, "", b"").await;
        let answer: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((status, answer["code"].as_str().unwrap().to_owned()), expected, "{method} {path}");
    }
    stand.stop().await;
}

// --- joining: every refusal ---

/// Whoever shows captured evidence again gets a certificate for a key that it does not have.
#[tokio::test]
async fn evidence_that_is_shown_again_is_good_for_the_same_key_only() {
    let stand = Stand::start(START).await;
    let nonce = stand.challenge().await;
    let application = application(&nonce, SECRETS);
    let deployment = stand.verified().await;
    let (_, first) = stand.join(&application).await;
    let (_, again) = stand.join(&application).await;
    let leaf = |answer: &Value| leaf_der(answer["CertChain"].as_str().unwrap());
    let key = |der| deployment.mesh_ca().verify_leaf(der, stand.now()).unwrap().public_key().clone();
    assert_ne!(leaf(&first), leaf(&again));
    assert_eq!(key(&leaf(&first)), key(&leaf(&again)));
    let mut other = application.clone();
    other["PublicKey"] = json!(STANDARD.encode(spki()));
    assert_eq!(stand.refused(&other).await, refusal(403, "report_data_mismatch"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_a_nonce_that_expired() {
    let stand = Stand::start(START).await;
    let nonce = stand.challenge().await;
    stand.later(challenge::LIFETIME);
    let in_time = stand.challenge().await;
    assert_eq!(stand.join(&application(&nonce, SECRETS)).await.0, 200, "the last second counts");
    stand.later(challenge::LIFETIME + 1);
    assert_eq!(stand.refused(&application(&in_time, SECRETS)).await, refusal(403, "nonce_expired"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_a_made_up_nonce() {
    let stand = Stand::start(START).await;
    assert_eq!(stand.refused(&application(&[1; 32], SECRETS)).await, refusal(403, "nonce_unknown"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_a_nonce_of_a_wrong_length() {
    let stand = Stand::start(START).await;
    let mut application = application(&[1; 32], SECRETS);
    application["Nonce"] = json!(STANDARD.encode([1; 16]));
    assert_eq!(stand.refused(&application).await, refusal(400, "nonce_length"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_a_policy_that_is_not_in_the_manifest() {
    let stand = Stand::start(START).await;
    let nonce = stand.challenge().await;
    assert_eq!(stand.refused(&application(&nonce, b"foreign")).await, refusal(403, "host_data_not_allowed"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_evidence_for_another_key_or_nonce() {
    let stand = Stand::start(START).await;
    let nonce = stand.challenge().await;
    let mut other_key = application(&nonce, SECRETS);
    other_key["PublicKey"] = json!(STANDARD.encode(spki()));
    assert_eq!(stand.refused(&other_key).await, refusal(403, "report_data_mismatch"));

    let nonce = stand.challenge().await;
    let mut other_nonce = application(&[1; 32], SECRETS);
    other_nonce["Nonce"] = json!(STANDARD.encode(nonce));
    assert_eq!(stand.refused(&other_nonce).await, refusal(403, "report_data_mismatch"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_evidence_that_is_none() {
    let stand = Stand::start(START).await;
    let mut application = application(&stand.challenge().await, SECRETS);
    application["Evidence"] = json!(STANDARD.encode(b"{}"));
    assert_eq!(stand.refused(&application).await, refusal(403, "evidence_not_genuine"));
    stand.stop().await;
}

#[tokio::test]
async fn join_from_another_platform() {
    let stand = Stand::start(START).await;
    let mut hardware = application(&stand.challenge().await, SECRETS);
    hardware["EvidenceType"] = json!([1, 3, 9901, 2, 1]);
    assert_eq!(stand.refused(&hardware).await, refusal(403, "platform_not_in_manifest"));
    let mut unknown = application(&stand.challenge().await, SECRETS);
    unknown["EvidenceType"] = json!([1, 2, 3]);
    assert_eq!(stand.refused(&unknown).await, refusal(400, "evidence_type"));
    stand.stop().await;
}

#[tokio::test]
async fn join_with_a_key_that_the_mesh_does_not_use() {
    let stand = Stand::start(START).await;
    let ed25519 = KeyPair::generate_for(&PKCS_ED25519).unwrap().subject_public_key_info();
    for key in [&b"no key"[..], &ed25519] {
        let mut application = application(&stand.challenge().await, SECRETS);
        application["PublicKey"] = json!(STANDARD.encode(key));
        assert_eq!(stand.refused(&application).await, refusal(400, "public_key"));
    }
    stand.stop().await;
}

#[tokio::test]
async fn mesh_requests_are_capped_and_typed() {
    let stand = Stand::start(START).await;
    let mesh = stand.address("join");
    for (path, length) in [("/mesh/v1/challenge", 1025), ("/mesh/v1/join", 256 * 1024 + 1)] {
        let (status, text) = send_announced(mesh, "POST", path, "application/json", length, b"").await;
        assert_eq!(status, 413, "{path}: {text}");
        let (status, text) = send(mesh, "POST", path, "text/plain", b"").await;
        assert_eq!(status, 415, "{path}: {text}");
    }
    stand.stop().await;
}

// --- starting ---

/// A directory keeps the history over a restart; what is given at start does not replace it.
#[tokio::test]
async fn a_restart_over_a_directory_waits_for_its_recovery() {
    let folder = tempfile::tempdir().unwrap();
    let mut config = write_files(folder.path());
    config.state = format!("directory:{}", folder.path().join("state").display()).parse().unwrap();
    let clock: Clock = Arc::new(|| UnixTime(START));
    let first = open(&config, clock.clone()).await.unwrap();
    assert!(first.in_force().is_ok());
    drop(first);
    let again = open(&config, clock).await.unwrap();
    let reason = again.in_force().err().unwrap().to_string();
    assert!(reason.contains("must be recovered: it restarted and has no seed"), "{reason}");

    let any = || listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let shutdown = Shutdown::new();
    let (process, announced) = Process::embedded("coordinator", shutdown.clone());
    let running = tokio::spawn(serve(
        again,
        Listeners { http: any(), user: any(), mesh: any(), join: any(), probe: any() },
        process,
    ));
    let probe: SocketAddr = announced.await.unwrap().addresses["probe"].parse().unwrap();
    // alive, and not ready: a restart would not help
    assert_eq!(send(probe, "GET", "/liveness", "", b"").await.0, 200);
    let (status, reason) = send(probe, "GET", "/readiness", "", b"").await;
    assert!(status == 503 && reason.contains("must be recovered"), "{status} {reason}");
    shutdown.trigger();
    running.await.unwrap().unwrap();
}

async fn refuses_to_start(change: impl FnOnce(&mut Config, &Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let mut config = write_files(folder.path());
    change(&mut config, folder.path());
    let Err(error) = open(&config, Arc::new(|| UnixTime(START))).await else { panic!("it started") };
    format!("{error:#}")
}

#[tokio::test]
async fn nothing_starts_without_the_switch_for_simulated_evidence() {
    let text = refuses_to_start(|config, _| config.danger_simulated = false).await;
    assert!(text.contains("SIMULATED") && text.contains("--danger-simulated"), "{text}");
}

#[tokio::test]
async fn nothing_starts_with_fake_reports_of_another_platform() {
    let text = refuses_to_start(|config, folder| config.danger_fake_snp = Some(folder.to_owned())).await;
    assert_eq!(
        text,
        "--danger-fake-snp and --platform simulated contradict each other: fake reports are of --platform snp"
    );
}

#[tokio::test]
async fn nothing_starts_with_a_wrong_deployment() {
    let text =
        refuses_to_start(|_, folder| std::fs::write(folder.join("policies/more"), "more").unwrap()).await;
    assert!(text.contains("policies/more` (SHA-256 ") && text.contains("is not in the manifest"), "{text}");
    let text = refuses_to_start(|config, folder| config.own_policy = folder.join("policies/secrets")).await;
    assert!(text.contains("does not have the role `coordinator`"), "{text}");
    let text = refuses_to_start(|config, _| config.manifest = Some(PathBuf::from("/nowhere"))).await;
    assert!(text.contains("cannot read the manifest `/nowhere`"), "{text}");
    let text = refuses_to_start(|config, _| config.platform = PlatformName::Tdx).await;
    assert!(text.contains("no reference values for Intel TDX"), "{text}");
}
