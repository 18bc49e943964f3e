//! `manifest sign`, with OpenSSL as the other side: its keys, its signatures, its verification.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::signature::{PublicKey, Scheme};
use privatemode_manifest::history::{Transition, update_digest};
use rcgen::PublicKeyData as _;
use serde_json::json;

use crate::support::{Folder, simulated};

/// A folder with a manifest and the transition before it; and the one that it makes.
fn folder() -> (Folder, Transition) {
    let folder = Folder::new();
    let manifest = simulated().to_string();
    folder.write("manifest.json", &manifest);
    let first = Transition::first(b"an older manifest");
    folder.write("latest-transition", format!("{first}\n"));
    (folder, first.then(manifest.as_bytes()))
}

#[test]
fn a_signature_holds_over_the_digits_of_the_transition() {
    let (folder, next) = folder();
    for (name, algorithm) in
        [("p256", &rcgen::PKCS_ECDSA_P256_SHA256), ("p384", &rcgen::PKCS_ECDSA_P384_SHA384)]
    {
        let key = folder.key(name, algorithm);
        let public = PublicKey::parse_spki(&key.subject_public_key_info()).unwrap();
        let run = folder.run(&["sign", "manifest.json", "--key", &format!("{name}.pem")]);
        let signature = STANDARD.decode(run.done().trim()).unwrap();
        public.verify_prehash(&update_digest(&next), &signature).unwrap();
        public.verify(Scheme::EcdsaSha256, next.to_string().as_bytes(), &signature).unwrap();

        let json = folder.run(&["sign", "manifest.json", "--key", &format!("{name}.pem"), "--json"]).json();
        assert_eq!(json["transition"], next.to_string());
        assert_eq!(
            STANDARD.decode(json["owner_key"].as_str().unwrap()).unwrap(),
            key.subject_public_key_info()
        );
        let wrote =
            folder.run(&["sign", "manifest.json", "--key", &format!("{name}.pem"), "--output", "signature"]);
        assert_eq!(wrote.done(), "");
        public.verify_prehash(&update_digest(&next), &folder.read("signature")).unwrap();
    }
}

#[test]
fn what_is_prepared_is_signed_by_openssl() {
    let (folder, next) = folder();
    for (name, curve) in [("p256", "prime256v1"), ("p384", "secp384r1")] {
        let key = format!("{name}.pem");
        let made = folder.openssl(&["ecparam", "-name", curve, "-genkey", "-out", &key]);
        let Some(_) = made else { return };
        folder.openssl(&["pkey", "-in", &key, "-pubout", "-outform", "DER", "-out", "public.der"]).unwrap();
        folder.run(&["sign", "manifest.json", "--prepare", "--output", "to-sign"]).done();
        assert_eq!(folder.text("to-sign"), next.to_string(), "no newline: it would be signed, too");
        folder.openssl(&["dgst", "-sha256", "-sign", &key, "-out", "signature", "to-sign"]).unwrap();
        let public = PublicKey::parse_spki(&folder.read("public.der")).unwrap();
        public.verify_prehash(&update_digest(&next), &folder.read("signature")).unwrap();
        // and OpenSSL verifies ours, of a key in its older form with parameters before it
        assert!(folder.text(&key).contains("BEGIN EC P"), "{}", folder.text(&key));
        folder.run(&["sign", "manifest.json", "--key", &key, "--output", "ours"]).done();
        folder.openssl(&["pkey", "-in", &key, "-pubout", "-out", "public.pem"]).unwrap();
        folder
            .openssl(&["dgst", "-sha256", "-verify", "public.pem", "-signature", "ours", "to-sign"])
            .unwrap();
    }
    let printed = folder.run(&["sign", "manifest.json", "--prepare"]);
    assert_eq!(printed.done(), next.to_string());
    let json = folder.run(&["sign", "manifest.json", "--prepare", "--json"]).json();
    assert_eq!(json, json!({"transition": next.to_string()}));
}

#[test]
fn the_transition_before_is_given_or_found() {
    let (folder, _) = folder();
    folder.key("owner", &rcgen::PKCS_ECDSA_P256_SHA256);
    let first = folder.text("latest-transition");
    folder.write("elsewhere/latest-transition", Transition::first(b"another one").to_string());
    let transition = |arguments: &[&str]| {
        let sign = ["sign", "manifest.json", "--prepare"];
        folder.run(&[&sign, arguments].concat()).done().to_owned()
    };
    assert_eq!(transition(&[]), transition(&["--previous", first.trim()]));
    assert_ne!(transition(&[]), transition(&["--workspace", "elsewhere"]));
    let run = folder.run(&["sign", "manifest.json", "--prepare", "--workspace", "nowhere"]);
    run.unusable("a first manifest needs no signature");
    folder.run(&["sign", "manifest.json", "--prepare", "--previous", "12"]).unusable("64 hexadecimal digits");
    folder.write("latest-transition", "garbage");
    folder.run(&["sign", "manifest.json", "--prepare"]).unusable("has no transition in it");
}

#[test]
fn keys_that_cannot_sign_are_named_and_not_shown() {
    let (folder, _) = folder();
    let key = folder.key("owner", &rcgen::PKCS_ECDSA_P256_SHA256);
    let body: String = key.serialize_pem().lines().skip(1).take(1).collect();
    folder.key("rsa", &rcgen::PKCS_RSA_SHA256);
    folder.write("cut.pem", &key.serialize_pem()[..80]);
    folder.write("broken.pem", key.serialize_pem().replacen('M', "!", 1));
    folder.write(
        "old.pem",
        format!(
            "-----BEGIN EC PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n{body}\n-----END EC PRIVATE KEY-----\n"
        ),
    );
    folder.write("encrypted.pem", key.serialize_pem().replace("PRIVATE", "ENCRYPTED PRIVATE"));
    folder.write("binary", key.serialize_der());
    for (name, says) in [
        ("rsa.pem", "no ECDSA key over P-256 or P-384"),
        ("owner.pub.pem", "there is no private key in it"),
        ("cut.pem", "does not end"),
        ("broken.pem", "is not base64"),
        ("old.pem", "is encrypted in an old form"),
        ("encrypted.pem", "the key is encrypted"),
        ("binary", "it is not PEM"),
        ("manifest.json", "it is not PEM"),
    ] {
        let run = folder.run(&["sign", "manifest.json", "--key", name, "--json"]);
        run.unusable(says);
        assert!(!run.err.contains(&body) && !run.out.contains(&body), "{run:?}");
    }
}
