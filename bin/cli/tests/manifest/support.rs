//! Runs the binary, and makes what it reads.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use privatemode_manifest::PolicyHash;
use serde_json::{Value, json};

/// One run of `privatemode manifest`.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Run {
    /// Exit code 0; what was printed.
    #[track_caller]
    pub(crate) fn done(&self) -> &str {
        assert_eq!(self.code, 0, "{self:#?}");
        &self.out
    }

    /// Exit code 0; the JSON that was printed.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(self.done()).unwrap()
    }

    /// Exit code 1, and what was said has this in it.
    #[track_caller]
    pub(crate) fn refused(&self, text: &str) {
        assert_eq!(self.code, 1, "{self:#?}");
        assert!(self.err.contains(text) && self.err.contains("next: "), "{self:#?}");
    }

    /// Exit code 2, and what was said has this in it.
    #[track_caller]
    pub(crate) fn unusable(&self, text: &str) {
        assert_eq!(self.code, 2, "{self:#?}");
        assert!(self.err.contains(text), "no {text:?} in {self:#?}");
    }
}

/// A folder with files of one test, in which the binary runs.
pub(crate) struct Folder(tempfile::TempDir);

impl Folder {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    pub(crate) fn at(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) -> &Self {
        let path = self.at(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, bytes).unwrap();
        self
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.at(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
    }

    pub(crate) fn text(&self, name: &str) -> String {
        String::from_utf8(self.read(name)).unwrap()
    }

    /// `privatemode manifest ARGUMENTS` in this folder.
    pub(crate) fn run(&self, arguments: &[&str]) -> Run {
        let output = Command::new(env!("CARGO_BIN_EXE_privatemode"))
            .arg("manifest")
            .args(arguments)
            .current_dir(self.path())
            .env_clear()
            .stdin(Stdio::null())
            .output()
            .unwrap();
        Run {
            code: output.status.code().expect("no signal ends it: a panic would be code 101"),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `openssl ARGUMENTS` in this folder; none, and said so, where it is not installed.
    #[expect(clippy::print_stderr, reason = "a test that is skipped must be seen to be")]
    pub(crate) fn openssl(&self, arguments: &[&str]) -> Option<Vec<u8>> {
        let output = Command::new("openssl").args(arguments).current_dir(self.path()).output();
        let Ok(output) = output else {
            eprintln!(
                "\n*** SKIPPED: no openssl on the PATH. Install it (Debian: apt-get install openssl) ***\n"
            );
            return None;
        };
        assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        Some(output.stdout)
    }

    /// An owner's key pair, `NAME.pem` and `NAME.pub.pem`.
    pub(crate) fn key(&self, name: &str, algorithm: &'static rcgen::SignatureAlgorithm) -> rcgen::KeyPair {
        let key = rcgen::KeyPair::generate_for(algorithm).unwrap();
        self.write(&format!("{name}.pem"), key.serialize_pem());
        self.write(&format!("{name}.pub.pem"), key.public_key_pem());
        key
    }
}

pub(crate) const COORDINATOR: &[u8] = b"policy of the coordinator\n";
pub(crate) const SECRETS: &[u8] = b"policy of the secret service\n";

pub(crate) fn hash(policy: &[u8]) -> String {
    PolicyHash::of(policy).to_string()
}

/// A manifest for the simulated platform.
pub(crate) fn simulated() -> Value {
    json!({
        "Policies": {
            hash(COORDINATOR): {"SANs": ["coordinator"], "Role": "coordinator"},
            hash(SECRETS): {"SANs": ["secret-service"], "WorkloadSecretID": "secrets"},
        },
        "ReferenceValues": {"simulated": [{"HostData": hash(COORDINATOR)}, {"HostData": hash(SECRETS)}]},
        "Protocols": ["fields/1", "sealed-body/1"],
    })
}
