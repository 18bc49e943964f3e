//! `manifest set` and `manifest history` against a real coordinator, in a process of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;
use std::time::Duration;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_manifest::Manifest;
use privatemode_manifest::history::Transition;
use privatemode_test_kit::{ChildGuard, Reply, StubUpstream};
use rcgen::PublicKeyData as _;
use serde_json::{Value, json};

use crate::support::{COORDINATOR, Folder, Run, SECRETS, simulated};

const LIMIT: Duration = Duration::from_secs(60);

/// A coordinator with its history in a directory, and a folder to work in. Nobody has set a manifest yet.
pub(crate) struct Coordinator {
    pub(crate) folder: Folder,
    url: String,
    user: String,
    process: ChildGuard,
}

impl Coordinator {
    pub(crate) async fn start() -> Self {
        let folder = Folder::new();
        folder.write("policies/coordinator", COORDINATOR).write("policies/secrets", SECRETS);
        let (process, url, user) = spawn(&folder).await;
        Self { folder, url, user, process }
    }

    /// The process dies, and with it the seed; another one finds the history.
    pub(crate) async fn restart(&mut self) {
        self.process.kill().unwrap();
        (self.process, self.url, self.user) = spawn(&self.folder).await;
    }

    /// What the process that runs has written so far.
    pub(crate) fn logs(&self) -> String {
        self.process.stdout() + &self.process.stderr()
    }

    /// `manifest recover MANIFEST ARGUMENTS`, from the workspace `work`.
    pub(crate) fn recover(&self, manifest: &str, arguments: &[&str]) -> Run {
        let recover = ["recover", manifest, "--coordinator", &self.user, "--workspace", "work"];
        self.folder.run(&[&recover, arguments].concat())
    }

    /// `manifest set MANIFEST ARGUMENTS`, with all policies, into the workspace `work`.
    pub(crate) fn set(&self, manifest: &str, arguments: &[&str]) -> Run {
        let set =
            ["set", manifest, "--coordinator", &self.url, "--policies", "policies", "--workspace", "work"];
        self.folder.run(&[&set, arguments].concat())
    }

    pub(crate) fn manifest(&self, name: &str, change: impl FnOnce(&mut Value)) -> Manifest {
        let mut json = simulated();
        change(&mut json);
        let text = json.to_string();
        self.folder.write(name, &text);
        Manifest::parse(text.as_bytes()).unwrap()
    }
}

async fn spawn(folder: &Folder) -> (ChildGuard, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_privatemode"));
    command
        .args(["service", "coordinator", "--announce", "--danger-simulated", "--platform", "simulated"])
        .args(["--http-listen", "127.0.0.1:0", "--mesh-listen", "127.0.0.1:0"])
        .args(["--user-listen", "127.0.0.1:0", "--join-listen", "127.0.0.1:0"])
        // one of these tests looks for what must not be logged
        .args(["--log-level", "trace", "--probe-listen", "127.0.0.1:0", "--own-policy"])
        .arg(folder.at("policies/coordinator"))
        .args(["--state", &format!("directory:{}", folder.at("state").display())])
        .env_clear();
    let mut process = ChildGuard::spawn(&mut command).unwrap();
    let announced = process.announced(LIMIT).await.unwrap();
    let address = |name: &str| announced["addresses"][name].as_str().unwrap().to_owned();
    (process, format!("http://{}", address("http")), address("user"))
}

pub(crate) fn owned(json: &mut Value, owner: &rcgen::KeyPair, shares: &[u8]) {
    json["WorkloadOwnerPubKeys"] = json!([hex::encode(owner.subject_public_key_info())]);
    json["SeedshareOwnerPubKeys"] = json!([hex::encode(shares)]);
}

/// PKCS #1 of an RSA key.
pub(crate) fn pkcs1(key: &rcgen::KeyPair) -> Vec<u8> {
    key.subject_public_key_info()[24..].to_vec()
}

#[tokio::test]
async fn a_deployment_is_set_updated_and_looked_at() {
    let coordinator = Coordinator::start().await;
    let folder = &coordinator.folder;
    let owner = folder.key("owner", &rcgen::PKCS_ECDSA_P384_SHA384);
    let recovery = folder.key("recovery", &rcgen::PKCS_RSA_SHA256);
    let shares = pkcs1(&recovery);
    let first = coordinator.manifest("first.json", |json| owned(json, &owner, &shares));

    // nothing is there yet
    folder.run(&["history", &coordinator.url]).refused("no_manifest");

    // evidence without hardware counts only where somebody says so; by then it is set, and the shares are safe
    let run = coordinator.set("first.json", &[]);
    run.refused("the manifest is set, but the coordinator did not prove that it enforces it");
    assert!(folder.at("work/seed-shares.json").exists() && !folder.at("work/latest-transition").exists());
    let kept: Value = serde_json::from_slice(&folder.read("work/seed-shares.json")).unwrap();
    assert_eq!(kept["seed_shares"][0]["public_key"], hex::encode(&shares));
    let mode = std::fs::metadata(folder.at("work/seed-shares.json")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);

    // the history says where it stands
    let one = Transition::first(first.raw());
    let history = folder.run(&["history", &coordinator.url, "--json"]).json();
    assert_eq!(history["latest_transition"], one.to_string());
    assert_eq!(history["manifests"][0]["manifest"], first.digest().to_string());

    // a first set again: the shares that are there stay; elsewhere the coordinator says no
    coordinator.set("first.json", &["--danger-simulated"]).unusable("an update needs --signature");
    let elsewhere = ["set", "first.json", "--coordinator", &coordinator.url, "--policies", "policies"];
    folder.run(&elsewhere).refused("permission_denied");

    // an update, signed for the transition of now
    let second = coordinator.manifest("second.json", |json| {
        owned(json, &owner, &shares);
        json["Protocols"] = json!(["sealed-body/1"]);
    });
    let previous = ["--previous", &one.to_string()];
    let sign = ["sign", "second.json", "--key", "owner.pem", "--output", "signature"];
    folder.run(&[&sign[..], &previous].concat()).done();
    let json =
        coordinator.set("second.json", &["--signature", "signature", "--danger-simulated", "--json"]).json();
    let two = one.then(second.raw());
    assert_eq!(json["verdict"], "in_force");
    assert_eq!((&json["latest_transition"], &json["simulated"]), (&json!(two.to_string()), &json!(true)));
    assert_eq!(json["seed_shares"], json!(null), "they come once");
    assert_eq!(folder.text("work/latest-transition").trim(), two.to_string());
    for name in ["work/coordinator-root-ca.pem", "work/mesh-ca.pem"] {
        assert!(folder.text(name).starts_with("-----BEGIN CERTIFICATE-----"), "{name}");
    }

    // the same once more, from the workspace: sign finds the transition, set sends it along
    coordinator.manifest("third.json", |json| owned(json, &owner, &shares));
    folder
        .run(&["sign", "third.json", "--key", "owner.pem", "--workspace", "work", "--output", "signature"])
        .done();
    let run = coordinator.set("third.json", &["--signature", "signature", "--danger-simulated"]);
    assert!(run.done().starts_with("SIMULATED | in force and proved: manifest "), "{run:?}");

    // signed for the past, or by nobody
    let run = coordinator.set("third.json", &["--signature", "signature", "--danger-simulated"]);
    run.refused("invalid_signature");
    folder.key("stranger", &rcgen::PKCS_ECDSA_P256_SHA256);
    folder
        .run(&["sign", "third.json", "--key", "stranger.pem", "--workspace", "work", "--output", "signature"])
        .done();
    coordinator
        .set("third.json", &["--signature", "signature", "--danger-simulated"])
        .refused("invalid_signature");

    // everything that was in force, byte for byte
    let table = folder.run(&["history", &coordinator.url, "--save", "saved"]);
    assert_eq!(table.done().lines().count(), 4, "{table:?}");
    assert!(table.err.contains("Not verified"));
    let saved = |place: &str, manifest: &Manifest| {
        folder.read(&format!("saved/manifest-{place}-{}.json", manifest.digest()))
    };
    assert_eq!(saved("001", &first), first.raw());
    assert_eq!(saved("002", &second), second.raw());
    assert_eq!(std::fs::read_dir(folder.at("saved/policies")).unwrap().count(), 2);
}

#[tokio::test]
async fn what_cannot_be_set_is_found_before_anybody_is_asked() {
    let folder = Folder::new();
    folder.write("manifest.json", simulated().to_string());
    folder.write("policies/coordinator", COORDINATOR).write("policies/secrets", SECRETS);
    folder.write("other", "another policy");
    let nobody = "http://127.0.0.1:1";
    let set = ["set", "manifest.json", "--coordinator", nobody, "--workspace", "work"];
    folder.run(&[&set[..], &["--policy", "policies/secrets"]].concat()).unusable("no file has the policy");
    let both = ["--policies", "policies", "--policy", "other"];
    folder.run(&[&set[..], &both].concat()).unusable("is not in the manifest");
    folder.run(&[&set[..], &["--policies", "nowhere"]].concat()).unusable("cannot list --policies");
    let mut incomplete = simulated();
    incomplete["ReferenceValues"]["simulated"] = json!([{}]);
    folder.write("incomplete.json", incomplete.to_string());
    folder.run(&["set", "incomplete.json", "--coordinator", nobody]).refused("required values are missing");
    folder.run(&[&set[..], &["--policies", "policies"]].concat()).refused("cannot be reached");
}

/// What answers is a coordinator that says one thing and proves nothing, or says nothing that makes sense.
#[tokio::test]
async fn a_coordinator_gone_bad() {
    let folder = Folder::new();
    folder.write("manifest.json", simulated().to_string());
    folder.write("policies/coordinator", COORDINATOR).write("policies/secrets", SECRETS);
    let stub = StubUpstream::start().await;
    let (url, folder) = (stub.url(), std::sync::Arc::new(folder));
    let set = async || {
        let (url, folder) = (url.clone(), std::sync::Arc::clone(&folder));
        let run = move || {
            let set = ["set", "manifest.json", "--coordinator", &url, "--policies", "policies"];
            folder.run(&[&set[..], &["--workspace", "work", "--danger-simulated"]].concat())
        };
        tokio::task::spawn_blocking(run).await.unwrap()
    };
    // unknown paths are answered by the stub's own error
    set().await.refused("refused");
    stub.on("/manifest", Reply::json(200, r#"{"version":"v1"}"#));
    set().await.refused("is no coordinator's");
    let reply = json!({
        "version": "v1", "root_ca": "UEVN", "mesh_ca": "UEVN", "latest_transition": "00".repeat(32),
        "seed_shares_doc": {"seed_shares": [], "salt": ""},
    });
    stub.on("/manifest", Reply::json(200, reply.to_string()));
    set().await.refused("did not prove that it enforces it");
    assert!(
        folder.at("work/seed-shares.json").exists(),
        "the shares come once, and are kept whatever follows"
    );
    assert!(!folder.at("work/mesh-ca.pem").exists());
    let mut wrong = reply;
    wrong["latest_transition"] = json!("none");
    std::fs::remove_file(folder.at("work/seed-shares.json")).unwrap();
    stub.on("/manifest", Reply::json(200, wrong.to_string()));
    set().await.refused("latest transition is none");

    let history = json!({"manifests": ["e30K"], "policies": [], "latest_transition": "11".repeat(32)});
    stub.on("/manifests", Reply::json(200, history.to_string()));
    let (url, at) = (url.clone(), std::sync::Arc::clone(&folder));
    let run = tokio::task::spawn_blocking(move || at.run(&["history", &url])).await.unwrap();
    run.refused("the coordinator's latest transition is not that of its manifests");
}

#[tokio::test]
async fn a_coordinator_that_lost_its_seed_is_recovered_by_an_owner() {
    let mut coordinator = Coordinator::start().await;
    let owner = coordinator.folder.key("owner", &rcgen::PKCS_ECDSA_P256_SHA256);
    let recovery = coordinator.folder.key("recovery", &rcgen::PKCS_RSA_SHA256);
    coordinator.folder.key("stranger", &rcgen::PKCS_RSA_SHA256);
    let manifest = coordinator.manifest("manifest.json", |json| owned(json, &owner, &pkcs1(&recovery)));
    coordinator.set("manifest.json", &["--danger-simulated"]).done();
    let (root, mesh) = (
        coordinator.folder.read("work/coordinator-root-ca.pem"),
        coordinator.folder.read("work/mesh-ca.pem"),
    );
    let key = ["--key", "recovery.pem"];
    let simulated = ["--key", "recovery.pem", "--danger-simulated"];
    coordinator.recover("manifest.json", &simulated).refused("already_recovered");

    coordinator.restart().await;
    coordinator.folder.run(&["history", &coordinator.url]).refused("needs_recovery");

    // who would not be believed gets no seed
    coordinator.recover("manifest.json", &key).refused("is refused");
    let other = coordinator.manifest("other.json", |json| {
        owned(json, &owner, &pkcs1(&recovery));
        json["Policies"] = json!({"11".repeat(32): {"SANs": ["coordinator"], "Role": "coordinator"}});
        json["ReferenceValues"]["simulated"] = json!([{"HostData": "11".repeat(32)}]);
    });
    assert_ne!(other.digest(), manifest.digest());
    coordinator.recover("other.json", &simulated).refused("is refused");

    // what is not the owner's, or not of this history
    let stranger = ["--key", "stranger.pem", "--danger-simulated"];
    coordinator.recover("manifest.json", &stranger).refused("not one of the manifest's seed-share owners");
    coordinator.recover("manifest.json", &["--key", "owner.pem"]).unusable("it is no RSA key");
    let earlier = "11".repeat(32);
    coordinator
        .recover("manifest.json", &[&simulated[..], &["--latest", &earlier]].concat())
        .refused("rolled_back");
    let shares = coordinator.folder.text("work/seed-shares.json");
    let mut changed: Value = serde_json::from_str(&shares).unwrap();
    changed["seed_shares"][0]["encrypted_seed"] = json!(STANDARD.encode([7; 256]));
    coordinator.folder.write("changed.json", changed.to_string()).write("html", "<html>");
    let with = |file| [&simulated[..], &["--seed-shares", file]].concat();
    coordinator.recover("manifest.json", &with("changed.json")).unusable("not encrypted to this key");
    changed["seed_shares"][0]["public_key"] = json!("00");
    coordinator.folder.write("changed.json", changed.to_string());
    coordinator.recover("manifest.json", &with("changed.json")).unusable("no share for this key");
    coordinator.recover("manifest.json", &with("html")).unusable("not a file of seed shares");

    // the seed of another deployment is refused by the coordinator
    if coordinator.folder.openssl(&["version"]).is_some() {
        foreign_shares(&coordinator.folder, &recovery, &shares);
        coordinator.recover("manifest.json", &with("foreign.json")).refused("wrong_seed");
        // the same with the key in its older form
        let traditional = ["rsa", "-in", "recovery.pem", "-traditional", "-out", "older.pem"];
        coordinator.folder.openssl(&traditional).unwrap();
        assert!(coordinator.folder.text("older.pem").starts_with("-----BEGIN RSA PRIVATE KEY-----"));
        let older = ["--key", "older.pem", "--danger-simulated", "--seed-shares", "foreign.json"];
        coordinator.recover("manifest.json", &older).refused("wrong_seed");
    }

    let json = coordinator.recover("manifest.json", &[&simulated[..], &["--json"]].concat()).json();
    assert_eq!((&json["verdict"], &json["by"]), (&json!("recovered"), &json!("owner")));
    let one = Transition::first(manifest.raw()).to_string();
    assert_eq!((&json["latest_transition"], &json["simulated"]), (&json!(one), &json!(true)));
    assert_eq!(
        coordinator.folder.run(&["history", &coordinator.url, "--json"]).json()["latest_transition"],
        one
    );
    let now = |name: &str| coordinator.folder.read(name);
    assert_ne!(now("work/mesh-ca.pem"), mesh, "a new one after an owner's recovery");
    assert!(now("work/coordinator-root-ca.pem").starts_with(&root[..20]));
    coordinator.recover("manifest.json", &simulated).refused("already_recovered");
    // and it goes on from there
    coordinator.manifest("next.json", |json| {
        owned(json, &owner, &pkcs1(&recovery));
        json["Protocols"] = json!(["sealed-body/1"]);
    });
    let sign = ["sign", "next.json", "--key", "owner.pem", "--workspace", "work", "--output", "signature"];
    coordinator.folder.run(&sign).done();
    coordinator.set("next.json", &["--signature", "signature", "--danger-simulated"]).done();
}

/// Another seed, encrypted to the same owner by OpenSSL.
fn foreign_shares(folder: &Folder, recovery: &rcgen::KeyPair, shares: &str) {
    folder.write("seed", [9; 64]).write("owner.pub", recovery.public_key_pem());
    let options = [
        "rsa_padding_mode:oaep",
        "rsa_oaep_md:sha256",
        "rsa_mgf1_md:sha256",
        "rsa_oaep_label:736565647368617265", // `seedshare`
    ];
    let mut arguments =
        vec!["pkeyutl", "-encrypt", "-pubin", "-inkey", "owner.pub", "-in", "seed", "-out", "share"];
    options.iter().for_each(|option| arguments.extend(["-pkeyopt", option]));
    folder.openssl(&arguments).unwrap();
    let mut foreign: Value = serde_json::from_str(shares).unwrap();
    foreign["seed_shares"][0]["encrypted_seed"] = json!(STANDARD.encode(folder.read("share")));
    folder.write("foreign.json", foreign.to_string());
}
