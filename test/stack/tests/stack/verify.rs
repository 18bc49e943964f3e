//! `privatemode verify` against `privatemode up`: what is proved, what is refused, and why.

use std::path::{Path, PathBuf};
use std::process::Command;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use crate::harness::{PRIVATEMODE, Up};

pub(crate) struct Verified {
    pub(crate) code: i32,
    pub(crate) output: String,
    talk: String,
}

impl Verified {
    /// `privatemode verify ARGUMENTS`, in no directory but the one that they name.
    pub(crate) fn run(directory: &Path, arguments: &[&str]) -> Self {
        let mut command = Command::new(PRIVATEMODE);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("PRIVATEMODE") {
                command.env_remove(name);
            }
        }
        let output = command.arg("verify").arg("--dir").arg(directory).args(arguments).output().unwrap();
        Self {
            code: output.status.code().unwrap(),
            output: String::from_utf8(output.stdout).unwrap(),
            talk: String::from_utf8(output.stderr).unwrap(),
        }
    }

    pub(crate) fn json(directory: &Path, arguments: &[&str]) -> (i32, Value) {
        let verified = Self::run(directory, &[arguments, &["--json"]].concat());
        let json = serde_json::from_str(&verified.output)
            .unwrap_or_else(|error| panic!("{error} in {:?}\n{}", verified.output, verified.talk));
        (verified.code, json)
    }
}

fn of(up: &Up, name: &str) -> String {
    up.ready[name].as_str().unwrap().to_owned()
}

/// The names of the steps that passed, and of the one that failed.
pub(crate) fn steps(json: &Value) -> (Vec<&str>, Option<&str>) {
    let of = |wanted: &str| {
        let steps = json["steps"].as_array().unwrap().iter();
        steps
            .filter(|step| step["verdict"] == wanted)
            .map(|step| step["name"].as_str().unwrap())
            .collect::<Vec<_>>()
    };
    (of("passed"), of("failed").first().copied())
}

#[tokio::test]
async fn a_deployment_is_verified_saved_and_verified_again() {
    let folder = tempfile::tempdir().unwrap();
    let up = Up::start_in(folder.path(), &[]);
    let directory = up.directory().to_owned();
    let file = |name: &str| directory.join(name);
    let manifest = file("deployment/manifest.json");
    let digest = privatemode_digest(&manifest);

    // the running deployment, its gateway, its coordinator and its endpoint are the same deployment
    let text = Verified::run(&directory, &["--danger-simulated"]);
    assert_eq!(text.code, 0, "{}{}", text.output, text.talk);
    assert!(text.output.lines().all(|line| line.starts_with("SIMULATED |")), "{}", text.output);
    for part in [
        "VERIFIED: 9 steps passed",
        digest.as_str(),
        "NOTHING: simulated evidence",
        "(coordinator)",
        "mesh CA",
    ] {
        assert!(text.output.contains(part), "no {part:?} in\n{}", text.output);
    }
    let bundle = file("bundle.json");
    let bundle = bundle.to_str().unwrap();
    for url in [of(&up, "gateway"), of(&up, "coordinator"), up.endpoint().to_owned()] {
        let (code, json) = Verified::json(&directory, &[&url, "--danger-simulated", "--save", bundle]);
        assert_eq!((code, &json["verdict"]), (0, &json!("verified")), "{url}: {json}");
        assert_eq!(json["manifest"], json!(digest));
        assert_eq!(json["simulated"], true);
        assert_eq!(steps(&json), (ALL.to_vec(), None));
        assert!(json["steps"].as_array().unwrap().iter().all(|step| step["simulated"] == true));
        assert!(json["mesh_ca"].as_str().unwrap().contains("BEGIN CERTIFICATE"));
        assert_eq!(json["policies"].as_array().unwrap().len(), 4);
    }

    // simulated evidence needs the switch
    let (code, json) = Verified::json(&directory, &[]);
    assert_eq!((code, steps(&json).1), (1, Some("platform")), "{json}");
    assert!(json["refusal"]["next"].as_str().unwrap().contains("--danger-simulated"));

    // nobody else's URL is believed without a manifest
    let elsewhere = Verified::run(&directory, &["https://127.0.0.1:9", "--danger-simulated"]);
    assert_eq!(elsewhere.code, 2, "{}", elsewhere.output);
    assert!(
        elsewhere.talk.contains("--manifest FILE") && elsewhere.talk.contains("review it"),
        "{}",
        elsewhere.talk
    );

    // another manifest is refused, and both digests are named
    let changed = file("changed.json");
    let mut raw = std::fs::read(&manifest).unwrap();
    raw.push(b'\n');
    std::fs::write(&changed, &raw).unwrap();
    let (code, json) =
        Verified::json(&directory, &["--manifest", changed.to_str().unwrap(), "--danger-simulated"]);
    assert_eq!((code, steps(&json)), (1, (vec!["history"], Some("manifest"))), "{json}");
    let why = json["refusal"]["why"][0].as_str().unwrap();
    assert!(why.contains(&digest) && why.contains(&privatemode_digest(&changed)), "{why}");

    let coordinator = of(&up, "coordinator");
    assert!(up.interrupt());

    // offline: the same verdict at the bundle's time, and a refusal of whatever is changed in it
    let (code, again) = Verified::json(&directory, &[bundle, "--danger-simulated"]);
    assert_eq!((code, &again["verdict"]), (0, &json!("verified")), "{again}");
    let live: Value = serde_json::from_slice(&std::fs::read(bundle).unwrap()).unwrap();
    assert_eq!(again["at"], live["verified_at"]);
    assert!(again["warnings"].to_string().contains("the manifest is the bundle's own"), "{again}");
    tampered(&directory, &live);

    // nothing listens any more: refused, with the cause
    let gone = ["--manifest", manifest.to_str().unwrap(), "--danger-simulated"];
    let (code, json) = Verified::json(&directory, &[&[coordinator.as_str()][..], &gone].concat());
    assert_eq!(code, 1, "{json}");
    assert!(json["refusal"]["why"].to_string().contains("cannot be reached"), "{json}");
    assert!(json["refusal"]["next"].as_str().unwrap().contains("check that it runs"), "{json}");
    // and without a running deployment there is none by default
    let none = Verified::run(&directory, &["--danger-simulated"]);
    assert_eq!(none.code, 2);
    assert!(none.talk.contains("nothing runs in"), "{}", none.talk);
}

const ALL: [&str; 9] = [
    "history",
    "manifest",
    "single",
    "evidence_kind",
    "policies",
    "platform",
    "evidence",
    "coordinator",
    "authorities",
];

/// Each member of a bundle, and each of the document in it: changed, it is refused at exactly its step.
fn tampered(directory: &Path, bundle: &Value) {
    let document: Value = serde_json::from_slice(&decoded(&bundle["document"])).unwrap();
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document.clone();
        change(&mut document);
        let mut bundle = bundle.clone();
        bundle["document"] = json!(STANDARD.encode(document.to_string()));
        bundle
    };
    let flipped = |value: &Value| {
        let mut bytes = decoded(value);
        *bytes.last_mut().unwrap() ^= 1;
        json!(STANDARD.encode(bytes))
    };
    let mut nonce = bundle.clone();
    nonce["nonce"] = json!(STANDARD.encode([0; 32]));
    let mut manifest = bundle.clone();
    manifest["manifest"] = json!(STANDARD.encode([decoded(&bundle["manifest"]), b" ".to_vec()].concat()));
    let mut early = bundle.clone();
    early["verified_at"] = json!("2020-01-01T00:00:00Z");
    let first = |document: &Value, list: &str| document[list][0].clone();
    let cases = [
        (nonce, "evidence"),
        (manifest, "manifest"),
        (early, "authorities"),
        (with(&|document| document["manifests"] = json!([])), "history"),
        (
            with(&|document| {
                document["manifests"] = json!([first(document, "manifests"), first(document, "manifests")]);
            }),
            "single",
        ),
        (with(&|document| document["policies"] = json!([])), "policies"),
        (with(&|document| document["policies"][0] = flipped(&document["policies"][0])), "policies"),
        (with(&|document| document["attestation_type"] = json!([1, 3, 9901, 2, 1])), "platform"),
        (with(&|document| document["raw_attestation_doc"] = json!(STANDARD.encode("{}"))), "evidence"),
        (with(&|document| document["root_ca"] = flipped(&document["root_ca"])), "evidence"),
        (with(&|document| document["mesh_ca"] = flipped(&document["mesh_ca"])), "evidence"),
    ];
    for (index, (changed, step)) in cases.iter().enumerate() {
        let (code, json) =
            Verified::json(directory, &[written(directory, changed).to_str().unwrap(), "--danger-simulated"]);
        assert_eq!((code, steps(&json).1), (1, Some(*step)), "case {index}: {json}");
    }
    // what has not the form of a bundle is unusable
    for (member, value) in
        [("format", json!("other")), ("version", json!(9)), ("nonce", json!("%")), ("document", json!("%"))]
    {
        let mut changed = bundle.clone();
        changed[member] = value;
        let unusable = Verified::run(directory, &[written(directory, &changed).to_str().unwrap()]);
        assert_eq!(unusable.code, 2, "{member}: {}", unusable.output);
        assert!(unusable.talk.contains("is not a bundle"), "{}", unusable.talk);
    }
}

fn written(directory: &Path, bundle: &Value) -> PathBuf {
    let path = directory.join("tampered.json");
    std::fs::write(&path, bundle.to_string()).unwrap();
    path
}

fn decoded(value: &Value) -> Vec<u8> {
    STANDARD.decode(value.as_str().unwrap()).unwrap()
}

fn privatemode_digest(path: &Path) -> String {
    privatemode_manifest::ManifestDigest::of(&std::fs::read(path).unwrap()).to_string()
}
