//! The initializer as a process of its own.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::time::Duration;

use privatemode_attest::mesh::MeshCa;
use privatemode_attest::x509::Certificate;
use privatemode_manifest::PolicyHash;
use rcgen::{KeyPair, PublicKeyData as _};
use tokio::process::{Child, Command};

use crate::stand::{COORDINATOR, One, Platform, Stand};

/// No test waits longer; none should come near.
const LONGEST: Duration = Duration::from_secs(120);

enum Expect {
    Manifest,
    Pinned,
}

fn command(stand: &Stand, one: &One, workload: &str, expect: &Expect) -> Command {
    let folder = stand.folder.path();
    let mut command = Command::new(env!("CARGO_BIN_EXE_privatemode-initializer"));
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    command.arg("--coordinator").arg(one.address.to_string());
    command.arg("--output").arg(folder.join("out")).args(["--log-level", "trace"]);
    command.arg("--workload-policy").arg(folder.join(workload));
    match stand.platform {
        Platform::Simulated => command.args(["--platform", "simulated", "--danger-simulated"]),
        Platform::Snp => command
            .args(["--platform", "snp", "--offline-collateral", "--danger-fake-snp"])
            .arg(folder.join("machine"))
            .arg("--danger-amd-root")
            .arg(folder.join("machine/ark.der")),
    };
    match expect {
        Expect::Manifest => command.arg("--expected-manifest").arg(folder.join("manifest.json")),
        Expect::Pinned => command
            .arg("--coordinator-policy")
            .arg(PolicyHash::of(COORDINATOR).to_string())
            .arg("--reference-values")
            .arg(folder.join("values.json")),
    };
    command
}

async fn finished(child: Child) -> Output {
    tokio::time::timeout(LONGEST, child.wait_with_output()).await.unwrap().unwrap()
}

fn log(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout)
}

struct Files {
    folder: PathBuf,
}

impl Files {
    fn of(stand: &Stand) -> Self {
        Self { folder: stand.folder.path().join("out") }
    }

    fn text(&self, name: &str) -> String {
        std::fs::read_to_string(self.folder.join(name)).unwrap()
    }

    fn mode(&self, name: &str) -> u32 {
        std::fs::metadata(self.folder.join(name)).unwrap().permissions().mode() & 0o7777
    }

    /// The certificate's name, if everything fits together.
    fn check(&self, one: &One) -> String {
        let ca = MeshCa::parse_pem(self.text("tls-config/mesh-ca.pem")).unwrap();
        assert_eq!(ca.pem(), one.coordinator.in_force().unwrap().authority().mesh_ca().pem());
        let chain =
            Certificate::parse_pem_chain(self.text("tls-config/certChain.pem").as_bytes(), 2).unwrap();
        let leaf = ca.verify_leaf(chain[0].der(), one.coordinator.now()).unwrap();
        let key = KeyPair::from_pem(&self.text("tls-config/key.pem")).unwrap();
        assert_eq!(leaf.public_key().spki_der(), key.subject_public_key_info());
        let root = Certificate::parse(self.text("tls-config/coordinator-root-ca.pem").as_bytes()).unwrap();
        chain[1].check_issued_by(&root, &[]).unwrap();
        chain[0].common_name().unwrap().to_owned()
    }
}

fn visible(folder: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

#[tokio::test]
async fn files_are_written_with_their_permissions_and_nothing_of_them_is_logged() {
    for (platform, expect) in [
        (Platform::Simulated, Expect::Manifest),
        (Platform::Simulated, Expect::Pinned),
        (Platform::Snp, Expect::Manifest),
        (Platform::Snp, Expect::Pinned),
    ] {
        let stand = Stand::new(platform);
        let one = stand.set().await;
        let output = finished(command(&stand, &one, "secrets", &expect).spawn().unwrap()).await;
        let log = log(&output);
        assert!(output.status.success(), "{log}");
        let files = Files::of(&stand);
        assert_eq!(files.check(&one), "secret-service");
        assert_eq!(visible(&files.folder), ["secrets", "tls-config"]);
        assert_eq!(
            visible(&files.folder.join("tls-config")),
            ["certChain.pem", "coordinator-root-ca.pem", "key.pem", "mesh-ca.pem"]
        );
        assert_eq!(visible(&files.folder.join("secrets")), ["workload-secret-seed"]);
        for (name, mode) in [
            ("tls-config/mesh-ca.pem", 0o444),
            ("tls-config/certChain.pem", 0o444),
            ("tls-config/key.pem", 0o400),
            ("tls-config/coordinator-root-ca.pem", 0o444),
            ("secrets/workload-secret-seed", 0o400),
        ] {
            assert_eq!(files.mode(name), mode, "{name}");
        }
        let secret = one.coordinator.in_force().unwrap().seed().workload_secret("the secret").unwrap();
        let secret: String = secret.iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(files.text("secrets/workload-secret-seed"), secret);

        assert!(log.contains("mesh certificate written"), "{log}");
        let key = files.text("tls-config/key.pem");
        let key: Vec<&str> = key.lines().filter(|line| !line.starts_with("-----")).collect();
        for hidden in key.iter().copied().chain([&secret[..32], &secret[96..], "PRIVATE KEY"]) {
            assert!(!log.contains(hidden), "`{hidden}` is in the log:\n{log}");
        }
        one.stop().await;
    }
}

#[tokio::test]
async fn a_workload_without_a_secret_gets_no_file_and_loses_an_old_one() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.set().await;
    let secrets = stand.folder.path().join("out/secrets");
    std::fs::create_dir_all(&secrets).unwrap();
    std::fs::write(secrets.join("workload-secret-seed"), "old").unwrap();
    let output = finished(command(&stand, &one, "gateway", &Expect::Manifest).spawn().unwrap()).await;
    assert!(output.status.success(), "{}", log(&output));
    assert_eq!(Files::of(&stand).check(&one), "gateway");
    assert!(visible(&secrets).is_empty());
    one.stop().await;
}

#[tokio::test]
async fn it_waits_for_a_manifest() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.start(|coordinator| coordinator).await;
    let child = command(&stand, &one, "secrets", &Expect::Manifest).spawn().unwrap();
    let set = async {
        // whether it has asked before or asks after, it gets its certificate
        tokio::time::sleep(Duration::from_millis(300)).await;
        stand.set_manifest(&one, 1).await;
    };
    let (output, ()) = tokio::join!(finished(child), set);
    assert!(output.status.success(), "{}", log(&output));
    Files::of(&stand).check(&one);
    one.stop().await;
}

#[tokio::test]
async fn what_can_never_work_ends_at_once_and_writes_nothing() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.set().await;
    // not of this deployment
    let output = finished(command(&stand, &one, "foreign", &Expect::Manifest).spawn().unwrap()).await;
    let text = log(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("refused with PermissionDenied"), "{text}");
    // what answers is no coordinator that was expected
    let mut other = command(&stand, &one, "secrets", &Expect::Manifest);
    let manifest = String::from_utf8(stand.manifest(1)).unwrap();
    let moved =
        manifest.replace(&PolicyHash::of(COORDINATOR).to_string(), &PolicyHash::of(b"another").to_string());
    std::fs::write(stand.folder.path().join("manifest.json"), moved).unwrap();
    let output = finished(other.spawn().unwrap()).await;
    let text = log(&output);
    assert_eq!(output.status.code(), Some(1), "{text}");
    assert!(text.contains("the peer is refused"), "{text}");
    assert!(!stand.folder.path().join("out").exists());
    one.stop().await;
}

#[tokio::test]
async fn there_is_no_mode_without_an_expectation() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.start(|coordinator| coordinator).await;
    let folder = stand.folder.path().to_owned();
    let base = ["--platform", "simulated", "--danger-simulated", "--workload-policy"];
    let hash = PolicyHash::of(COORDINATOR).to_string();
    let (manifest, values) = (folder.join("manifest.json"), folder.join("values.json"));
    let (manifest, values) = (manifest.to_str().unwrap(), values.to_str().unwrap());
    for more in [
        vec![],
        vec!["--coordinator-policy", &hash],
        vec!["--reference-values", values],
        vec!["--expected-manifest", manifest, "--coordinator-policy", &hash],
        vec!["--expected-manifest", manifest, "--reference-values", values],
    ] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_privatemode-initializer"));
        command
            .env_clear()
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        command.args(base).arg(folder.join("secrets")).args(&more);
        let output = finished(command.spawn().unwrap()).await;
        let text = log(&output);
        assert_eq!(output.status.code(), Some(2), "{more:?}: {text}");
        assert!(text.contains("any coordinator could be believed"), "{more:?}: {text}");
    }
    one.stop().await;
}

#[tokio::test]
async fn another_mesh_ca_is_followed_with_the_same_key() {
    let stand = Stand::new(Platform::Simulated);
    let one = stand.set().await;
    let mut command = command(&stand, &one, "secrets", &Expect::Pinned);
    let child = command.args(["--renew", "--look-every", "1"]).spawn().unwrap();
    let files = Files::of(&stand);
    let ca = files.folder.join("tls-config/mesh-ca.pem");
    let until = async |other_than: &str| {
        for _ in 0..1200 {
            match std::fs::read_to_string(&ca) {
                Ok(text) if text != other_than => return text,
                _ => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
        panic!("the files did not change");
    };
    let first = until("").await;
    let key = files.text("tls-config/key.pem");
    stand.set_manifest(&one, 2).await;
    until(&first).await;
    assert_eq!(files.check(&one), "secret-service");
    assert_eq!(files.text("tls-config/key.pem"), key);
    assert_eq!(visible(&files.folder), ["secrets", "tls-config"]);
    drop(child);
    one.stop().await;
}
