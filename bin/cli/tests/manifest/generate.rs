//! `manifest generate`.

use privatemode_manifest::Manifest;
use serde_json::json;

use crate::support::{COORDINATOR, Folder, SECRETS, hash};

const DEPLOYMENT: &str = r#"
workload-owners = ["keys/owner.pub.pem"]
seedshare-owners = ["keys/recovery.pub.pem"]

[[workload]]
policy = "policies/coordinator"
sans = ["coordinator", "*"]
role = "coordinator"

[[workload]]
policy = "policies/secrets"
sans = ["secret-service"]
workload-secret-id = "secrets"

[[reference-values.snp]]
ProductName = "Genoa"
TrustedMeasurement = "MEASUREMENT"
AllowedChipIDs = []
[reference-values.snp.MinimumTCB]
BootloaderVersion = 10
TEEVersion = 0
SNPVersion = 28
MicrocodeVersion = 88
[reference-values.snp.GuestPolicy]
SMT = true
ABIMinor = 31
"#;

fn folder() -> Folder {
    let folder = Folder::new();
    folder.write("in/policies/coordinator", COORDINATOR).write("in/policies/secrets", SECRETS);
    folder.key("in/keys/owner", &rcgen::PKCS_ECDSA_P384_SHA384);
    folder.key("in/keys/recovery", &rcgen::PKCS_RSA_SHA256);
    folder.write("in/deployment.toml", DEPLOYMENT.replace("MEASUREMENT", &"aa".repeat(48)));
    folder
}

#[test]
fn a_deployment_becomes_a_manifest() {
    let folder = folder();
    let run = folder.run(&["generate", "in/deployment.toml"]);
    let manifest = Manifest::parse(run.done().as_bytes()).unwrap();
    assert_eq!(manifest.policies().count(), 2);
    let secrets = manifest.policy(&hash(SECRETS).parse().unwrap()).unwrap();
    assert_eq!((secrets.sans.len(), secrets.workload_secret_id.as_deref()), (1, Some("secrets")));
    assert_eq!(manifest.reference_values().snp[0].minimum_tcb.microcode, Some(88));
    assert_eq!((manifest.workload_owners().len(), manifest.seedshare_owners().len()), (1, 1));
    assert_eq!(manifest.seedshare_owners()[0][..2], [0x30, 0x82], "PKCS #1");
    assert_eq!(manifest.protocols(), ["fields/1", "sealed-body/1"]);
    assert!(manifest.unknown_members().is_empty() && manifest.expected_missing().is_empty());
    assert!(run.err.contains("NOTE: WorkloadOwnerPubKeys: each of 1 owners"), "{}", run.err);

    // into a file: the same bytes again
    let json = folder.run(&["generate", "in/deployment.toml", "--output", "manifest.json", "--json"]).json();
    assert_eq!(folder.text("manifest.json"), run.out);
    assert_eq!(json["manifest"], manifest.digest().to_string());
    assert_eq!(json["missing"], json!([]));
    folder.run(&["verify", "manifest.json"]).done();
}

/// A key is the same owner in either form that OpenSSL writes.
#[test]
fn owners_in_the_older_form() {
    let folder = folder();
    let older = [
        "rsa",
        "-pubin",
        "-in",
        "in/keys/recovery.pub.pem",
        "-RSAPublicKey_out",
        "-out",
        "in/keys/older.pem",
    ];
    let Some(_) = folder.openssl(&older) else { return };
    assert!(folder.text("in/keys/older.pem").starts_with("-----BEGIN RSA PUBLIC KEY-----"));
    let before = folder.run(&["generate", "in/deployment.toml"]).done().to_owned();
    folder.write("in/older.toml", folder.text("in/deployment.toml").replace("recovery.pub.pem", "older.pem"));
    assert_eq!(folder.run(&["generate", "in/older.toml"]).done(), before);
}

#[test]
fn json_says_the_same_as_toml() {
    let folder = folder();
    let toml: toml::Value = toml::from_str(&folder.text("in/deployment.toml")).unwrap();
    folder.write("in/deployment.json", serde_json::to_string(&toml).unwrap());
    let of = |name| folder.run(&["generate", name]).done().to_owned();
    assert_eq!(of("in/deployment.json"), of("in/deployment.toml"));
}

#[test]
fn missing_values_are_named_and_nothing_is_written() {
    let folder = folder();
    let text = folder
        .text("in/deployment.toml")
        .replace("SNPVersion = 28\n", "")
        .replace("ProductName", "CPUs = 1 #");
    folder.write("in/incomplete.toml", text);
    let run = folder.run(&["generate", "in/incomplete.toml", "--output", "manifest.json"]);
    run.refused("ReferenceValues.snp[0].ProductName, ReferenceValues.snp[0].MinimumTCB.SNPVersion");
    assert!(!folder.at("manifest.json").exists());
    let run = folder.run(&["generate", "in/incomplete.toml", "--output", "manifest.json", "--incomplete"]);
    run.done();
    assert!(run.err.contains("MISSING: ReferenceValues.snp[0].ProductName"), "{}", run.err);
    folder.run(&["verify", "manifest.json"]).refused("ReferenceValues.snp[0].ProductName");
}

#[test]
fn a_simulated_deployment_says_so() {
    let folder = folder();
    let text = folder.text("in/deployment.toml");
    let text = text.split("[[reference-values").next().unwrap();
    folder.write("in/simulated.toml", format!("simulated = true\n{text}"));
    let run = folder.run(&["generate", "in/simulated.toml"]);
    let manifest = Manifest::parse(run.done().as_bytes()).unwrap();
    assert!(manifest.is_simulated());
    assert_eq!(manifest.reference_values().simulated.len(), 2);
    assert!(run.err.contains("SIMULATED"), "{}", run.err);
}

#[test]
fn what_is_no_deployment_is_named() {
    let folder = folder();
    folder.write("in/policies/same", SECRETS);
    let good = folder.text("in/deployment.toml");
    let other = |from: &str, to: &str| {
        let changed = good.replacen(from, to, 1);
        assert_ne!(good, changed, "{from}");
        changed
    };
    for (text, says) in [
        ("[[".to_owned(), "is no deployment file"),
        (other("sans", "names"), "unknown field `names`"),
        (other("role = \"coordinator\"", "role = \"boss\""), "unknown variant `boss`"),
        (other("role = \"coordinator\"", ""), "role `coordinator`"),
        (other("policies/secrets", "policies/none"), "cannot read the policy"),
        (other("policies/coordinator", "policies/same"), "are the same policy, byte for byte"),
        (
            other("TrustedMeasurement", "TrustedMesurement"),
            "no such members in a manifest: ReferenceValues.snp[0].TrustedMesurement",
        ),
        (other("Genoa", "Bergamo"), "must be one of: `Milan`"),
        (other("keys/owner.pub.pem", "keys/recovery.pub.pem"), "updates are signed with ECDSA"),
        (other("keys/recovery.pub.pem", "keys/owner.pub.pem"), "seed shares are encrypted with RSA"),
        (other("keys/owner.pub.pem", "keys/owner.pem"), "it is a private key"),
        (other("keys/owner.pub.pem", "policies/secrets"), "it is not PEM"),
        (format!("simulated = true\n{good}"), "cannot be simulated and have reference values"),
        (good.split("[[reference").next().unwrap().to_owned(), "there are no reference values"),
        (good.replace("reference-values.snp", "reference-values.sgx"), "no such members"),
    ] {
        folder.write("in/wrong.toml", text);
        folder.run(&["generate", "in/wrong.toml"]).unusable(says);
    }
}
