//! A machine that is an AMD Genoa in everything but its root: a folder, from which the stack makes its reports.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::ReportData;
use privatemode_manifest::PolicyHash;
use privatemode_mesh::messages::{CHALLENGE_PATH, JOIN_PATH};
use privatemode_mesh::{FakeSnpQuoter, Quoter};
use privatemode_test_kit::ChildGuard;
use privatemode_test_kit::vendor::VendorServer;
use privatemode_test_pki::amd::{self, Extras};
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::harness::{PRIVATEMODE, Up};

pub(crate) const DAY: u64 = 86_400;

/// The folder, and what it is made from.
pub(crate) struct Machine {
    folder: tempfile::TempDir,
    pki: amd::Evidence,
    extras: Extras,
}

impl Machine {
    /// A good one, as of now.
    pub(crate) fn genoa(extras: Extras) -> Self {
        let pki = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).made_at(now());
        let machine = Self { folder: tempfile::tempdir().unwrap(), pki, extras };
        machine.recovers();
        machine
    }

    /// From its next report on it is what `change` makes of the good one.
    pub(crate) fn becomes(&self, change: impl FnOnce(&mut amd::Evidence)) {
        let mut pki = self.pki.clone();
        change(&mut pki);
        pki.write_machine(self.folder.path(), self.extras).unwrap();
    }

    /// The good one, whose evidence brings `extras` along.
    pub(crate) fn brings(&self, extras: Extras) {
        self.pki.write_machine(self.folder.path(), extras).unwrap();
    }

    /// It is good again.
    pub(crate) fn recovers(&self) {
        self.becomes(|_| ());
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// For command lines.
    pub(crate) fn text(&self) -> String {
        self.path().to_str().unwrap().to_owned()
    }

    pub(crate) fn root(&self) -> String {
        self.path().join("ark.der").to_str().unwrap().to_owned()
    }

    /// Has `vendor` publish what AMD would about it, with the list that `change` makes of the good one.
    pub(crate) fn publish(&self, vendor: &VendorServer, change: impl FnOnce(&mut amd::Evidence)) {
        let mut pki = self.pki.clone();
        change(&mut pki);
        let encoded = pki.encode();
        let query = "blSPL=04&teeSPL=01&snpSPL=24&ucodeSPL=219";
        vendor.amd_vcek("Genoa", &"c5".repeat(64), query, &encoded.vek);
        vendor.amd_cert_chain("vcek", "Genoa", &pki.chain_pem());
        vendor.amd_crl("Genoa", &encoded.crl);
    }

    /// Asks the coordinator of `up` for a certificate with a report of this machine, as somebody would who skips the checks
    /// of a workload. `bind` chooses the report data from the one that is right.
    pub(crate) async fn join(
        &self,
        up: &Up,
        policy: PolicyHash,
        bind: impl FnOnce(ReportData) -> ReportData,
    ) -> (u16, Value) {
        let mesh = up.flag_of("gateway", "--coordinator-mesh").unwrap();
        let challenge = post(&format!("{mesh}{CHALLENGE_PATH}"), json!({})).await.1;
        let nonce = STANDARD.decode(challenge["Nonce"].as_str().unwrap()).unwrap();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let spki = key.subject_public_key_info();
        let bound = bind(ReportData::of_public_key(&spki, nonce.as_slice().try_into().unwrap()));
        let quoter = FakeSnpQuoter::open(self.path(), policy).unwrap();
        let request = json!({
            "Nonce": STANDARD.encode(nonce),
            "PublicKey": STANDARD.encode(spki),
            "EvidenceType": quoter.kind().oid(),
            "Evidence": STANDARD.encode(quoter.quote(&bound).unwrap()),
        });
        post(&format!("{mesh}{JOIN_PATH}"), request).await
    }

    /// A secret service on this machine, beside that of `up`, with the policy of it.
    pub(crate) fn workload(&self, up: &Up, arguments: &[&str]) -> ChildGuard {
        let mesh = |flag: &str| up.flag_of("gateway", flag).unwrap();
        let mut command = quiet("secret-service");
        command.args(["--platform", "snp", "--danger-fake-snp", &self.text()]);
        command.args(["--listen", "127.0.0.1:0", "--health-listen", "127.0.0.1:0"]);
        for flag in ["--coordinator", "--coordinator-mesh", "--expected-manifest"] {
            command.args([flag, &mesh(flag)]);
        }
        let policy = up.directory().join("deployment/policies/secret-service.json");
        command.arg("--workload-policy").arg(policy);
        ChildGuard::spawn(command.args(arguments)).unwrap()
    }
}

/// A client proxy of its own, as a hospital has it, before the gateway of an [`Up`].
pub(crate) struct Client {
    proxy: ChildGuard,
    address: String,
    key: String,
    workspace: tempfile::TempDir,
}

impl Client {
    pub(crate) async fn start(up: &Up, arguments: &[&str]) -> Self {
        let workspace = tempfile::tempdir().unwrap();
        let gateway = up.ready["gateway"].as_str().unwrap().trim_start_matches("https://").to_owned();
        let mut command = quiet("proxy");
        command.args(["--port", "0", "--apiEndpoint", &gateway, "--workspace"]).arg(workspace.path());
        command.arg("--manifestPath").arg(up.directory().join("deployment/manifest.json"));
        command.arg("--apiKey").arg(format!("@{}", up.directory().join("api-key").display()));
        command.env("SSL_CERT_FILE", up.directory().join("gateway/tls-certificate.pem"));
        let mut proxy = ChildGuard::spawn(command.args(arguments)).unwrap();
        let announced = proxy.announced(Duration::from_secs(60)).await.unwrap();
        let address = announced["addresses"]["http"].as_str().unwrap().to_owned();
        Self { proxy, address, key: up.api_key().to_owned(), workspace }
    }

    /// `/readyz`: its status and text.
    pub(crate) async fn ready(&self) -> (u16, String) {
        let response = self.get("/readyz").await;
        (response.status().as_u16(), response.text().await.unwrap())
    }

    /// `/readyz`, once the first verification has come to an end.
    pub(crate) async fn settled(&self) -> (u16, String) {
        let limit = Duration::from_secs(90);
        let under_way = async || self.ready().await.1.contains("the deployment is being verified");
        privatemode_test_kit::wait_until("a verification", limit, async || !under_way().await).await;
        self.ready().await
    }

    pub(crate) async fn get(&self, path: &str) -> reqwest::Response {
        Up::client().get(format!("http://{}{path}", self.address)).send().await.unwrap()
    }

    pub(crate) async fn chat(&self, body: &Value) -> reqwest::Response {
        let url = format!("http://{}/v1/chat/completions", self.address);
        Up::client().post(url).bearer_auth(&self.key).json(body).send().await.unwrap()
    }

    pub(crate) fn workspace(&self) -> &Path {
        self.workspace.path()
    }

    pub(crate) fn log(&self) -> String {
        self.proxy.stderr()
    }
}

/// One part, without the settings of the developer's shell.
fn quiet(part: &str) -> Command {
    let mut command = Command::new(PRIVATEMODE);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("PRIVATEMODE") {
            command.env_remove(name);
        }
    }
    command.args(["service", part, "--announce"]);
    command
}

async fn post(url: &str, body: Value) -> (u16, Value) {
    let response = Up::client().post(url).json(&body).send().await.unwrap();
    (response.status().as_u16(), response.json().await.unwrap())
}

pub(crate) fn now() -> u64 {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs()
}
