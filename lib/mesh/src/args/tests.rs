use clap::Parser;

use super::*;

#[derive(Parser)]
struct Cli {
    #[command(flatten)]
    mesh: MeshArgs,
}

fn faults(arguments: &[&str]) -> Vec<String> {
    let cli = Cli::try_parse_from([&["test"], arguments].concat()).unwrap();
    cli.mesh.settings().unwrap_err().list().to_vec()
}

#[test]
fn there_is_no_default_platform_and_no_default_trust() {
    let faults = faults(&[]);
    assert_eq!(faults.len(), 2, "{faults:?}");
    assert!(faults[0].starts_with("--expected-manifest is missing"), "{faults:?}");
    assert!(faults[1].starts_with("--platform is missing"), "{faults:?}");
}

#[cfg(feature = "simulated")]
#[test]
fn everything_that_is_wrong_is_said_at_once() {
    let faults = faults(&[
        "--coordinator=https://127.0.0.1:1",
        "--coordinator-mesh=127.0.0.1:2",
        "--expected-manifest=/nowhere/manifest.json",
        "--platform=simulated",
    ]);
    let text = faults.join("\n");
    assert_eq!(faults.len(), 5, "{text}");
    assert!(text.contains("--coordinator: `https://127.0.0.1:1` is not of the form"), "{text}");
    assert!(text.contains("--coordinator-mesh: `127.0.0.1:2` is not of the form"), "{text}");
    assert!(text.contains("--expected-manifest: cannot read `/nowhere/manifest.json`"), "{text}");
    assert!(text.contains("--workload-policy is missing"), "{text}");
    assert!(text.contains("--platform simulated needs --danger-simulated"), "{text}");
}

#[cfg(feature = "simulated")]
#[test]
fn contradictions_are_named() {
    use privatemode_manifest::{Role, generate};

    let folder = tempfile::tempdir().unwrap();
    let (manifest, policy) = (folder.path().join("manifest.json"), folder.path().join("policy"));
    let entry = generate::Entry {
        policy: b"one",
        sans: &["coordinator"],
        workload_secret_id: None,
        role: Role::Coordinator,
    };
    fs::write(&manifest, generate::simulated(&[entry])).unwrap();
    fs::write(&policy, "another").unwrap();
    let (manifest, policy) = (manifest.to_str().unwrap(), policy.to_str().unwrap());

    let real = faults(&[
        "--expected-manifest",
        manifest,
        "--platform=snp",
        "--workload-policy",
        policy,
        "--danger-simulated",
    ]);
    let text = real.join("\n");
    assert_eq!(real.len(), 3, "{text}");
    assert!(text.contains("--workload-policy is for --platform simulated only"), "{text}");
    assert!(text.contains("--danger-simulated and --platform snp contradict"), "{text}");
    assert!(text.contains("the manifest has no reference values for AMD SEV-SNP"), "{text}");

    let foreign = faults(&[
        "--expected-manifest",
        manifest,
        "--platform=simulated",
        "--workload-policy",
        policy,
        "--danger-simulated",
    ]);
    assert_eq!(foreign.len(), 1, "{foreign:?}");
    assert!(foreign[0].contains("the manifest does not name policy"), "{foreign:?}");
}

#[cfg(feature = "simulated")]
#[test]
fn fake_reports_are_of_one_platform_and_name_a_policy() {
    let fake = |more: &[&str]| {
        let always = ["--expected-manifest=/nowhere/manifest.json", "--danger-fake-snp=/nowhere"];
        faults(&[&always[..], more].concat()).join("\n")
    };
    let unnamed = fake(&["--platform=snp"]);
    assert!(unnamed.contains("--workload-policy is missing: fake reports name it"), "{unnamed}");
    let named = fake(&["--platform=snp", "--workload-policy=/nowhere/policy"]);
    assert!(!named.contains("--workload-policy is"), "{named}");
    let hardware = faults(&["--platform=snp", "--workload-policy=/nowhere/policy"]).join("\n");
    assert!(hardware.contains("--workload-policy is for --platform simulated only"), "{hardware}");
    let other = fake(&["--platform=simulated", "--danger-simulated", "--workload-policy=/nowhere/policy"]);
    assert!(other.contains("--danger-fake-snp and --platform simulated contradict each other"), "{other}");
}
