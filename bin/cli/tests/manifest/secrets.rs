//! The seed and what follows from it are in no log, no file and no answer, over a set, a restart, a recovery and an update, with
//! everything logged that can be.

use std::path::Path;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_coordinator::seed::Seed;
use serde_json::Value;

use crate::coordinator::{Coordinator, owned, pkcs1};

/// The forms in which bytes end up in texts, by accident: as they are, in hexadecimal, in base64, as a list of numbers. The
/// beginning is enough: a part would be as bad.
fn forms(secret: &[u8]) -> Vec<Vec<u8>> {
    let hex: String = secret[..16].iter().map(|byte| format!("{byte:02x}")).collect();
    let base64 = STANDARD.encode(&secret[..15]);
    let list: Vec<String> = secret[..8].iter().map(u8::to_string).collect();
    let texts = [hex.to_uppercase(), hex, base64, list.join(", "), list.join(",")];
    texts.into_iter().map(String::into_bytes).chain([secret[..16].to_vec()]).collect()
}

fn contains(bytes: &[u8], needle: &[u8]) -> bool {
    bytes.windows(needle.len()).any(|window| window == needle)
}

fn files(folder: &Path, found: &mut Vec<(String, Vec<u8>)>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push((path.display().to_string(), std::fs::read(&path).unwrap()));
        }
    }
}

#[tokio::test]
async fn nothing_secret_is_written_anywhere() {
    let mut coordinator = Coordinator::start().await;
    let owner = coordinator.folder.key("owner", &rcgen::PKCS_ECDSA_P256_SHA256);
    let recovery = coordinator.folder.key("recovery", &rcgen::PKCS_RSA_SHA256);
    if coordinator.folder.openssl(&["version"]).is_none() {
        return;
    }
    coordinator.manifest("manifest.json", |json| owned(json, &owner, &pkcs1(&recovery)));
    let mut said = vec![coordinator.set("manifest.json", &["--danger-simulated"]).done().to_owned()];
    let mut logs = coordinator.logs();
    coordinator.restart().await;
    let recover = ["--key", "recovery.pem", "--danger-simulated", "--json"];
    said.push(coordinator.recover("manifest.json", &recover).done().to_owned());
    logs.push_str(&coordinator.logs());
    assert!(logs.contains("a manifest is in force"), "{logs}");

    let seed = seed(&coordinator);
    let workload = seed.workload_secret("secrets").unwrap();
    let secrets: [(&str, Vec<u8>); 5] = [
        ("the seed", seed.expose().to_vec()),
        ("a workload secret", workload.to_vec()),
        ("the root CA's key", seed.root_key().to_bytes().to_vec()),
        ("the key of challenges", seed.challenge_key().to_vec()),
        // whatever its bytes are, this is how it would be written
        ("a private key", b"-----BEGIN EC PRIVATE KEY-----".to_vec()),
    ];
    let mut written = vec![("what was logged".to_owned(), logs.into_bytes())];
    written.extend(said.into_iter().map(|text| ("what was printed".to_owned(), text.into_bytes())));
    for folder in ["state", "work"] {
        files(&coordinator.folder.at(folder), &mut written);
    }
    assert!(written.len() > 10, "{} places", written.len());
    for (name, secret) in &secrets {
        for form in forms(secret) {
            for (place, bytes) in &written {
                assert!(!contains(bytes, &form), "{name} is in {place}");
            }
        }
    }
    // the search finds what is there
    let shares = ("work/seed-shares.json", coordinator.folder.read("work/seed-shares.json"));
    let share: Value = serde_json::from_slice(&shares.1).unwrap();
    let encrypted = STANDARD.decode(share["seed_shares"][0]["encrypted_seed"].as_str().unwrap()).unwrap();
    assert!(forms(&encrypted).iter().any(|form| contains(&shares.1, form)));
}

/// The seed, as its owner decrypts it.
fn seed(coordinator: &Coordinator) -> Seed {
    let folder = &coordinator.folder;
    let shares: Value = serde_json::from_slice(&folder.read("work/seed-shares.json")).unwrap();
    let bytes = |value: &Value| STANDARD.decode(value.as_str().unwrap()).unwrap();
    folder.write("share", bytes(&shares["seed_shares"][0]["encrypted_seed"]));
    let mut arguments = vec!["pkeyutl", "-decrypt", "-inkey", "recovery.pem", "-in", "share"];
    let options = [
        "rsa_padding_mode:oaep",
        "rsa_oaep_md:sha256",
        "rsa_mgf1_md:sha256",
        "rsa_oaep_label:736565647368617265", // `seedshare`
    ];
    options.iter().for_each(|option| arguments.extend(["-pkeyopt", option]));
    let seed = folder.openssl(&arguments).unwrap();
    Seed::new(&seed, &bytes(&shares["salt"])).unwrap()
}
