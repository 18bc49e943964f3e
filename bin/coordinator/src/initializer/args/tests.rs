use std::fs;

use privatemode_service::parse_config;

use super::*;

fn faults(arguments: &[&str]) -> Vec<String> {
    let args: InitializerArgs = parse_config("initializer", arguments.iter().copied()).unwrap();
    match args.plan() {
        Ok(_) => Vec::new(),
        Err(faults) => faults.list().to_vec(),
    }
}

#[test]
fn all_faults_at_once() {
    let found = faults(&["--platform", "simulated", "--coordinator", "nowhere"]);
    let text = found.join("\n");
    assert_eq!(found.len(), 4, "{text}");
    for part in [
        "`nowhere` is not of the form HOST:PORT",
        "any coordinator could be believed",
        "--workload-policy is missing",
        "needs --danger-simulated",
    ] {
        assert!(text.contains(part), "{part} is not in {text}");
    }
    let found = faults(&["--platform", "tdx", "--danger-simulated", "--workload-policy", "x"]).join("\n");
    assert!(
        found.contains("contradict each other") && found.contains("hardware measures what runs here"),
        "{found}"
    );
}

#[test]
fn pinned_values_are_json_and_hashes_and_complete() {
    let folder = tempfile::tempdir().unwrap();
    let (policy, values) = (folder.path().join("policy"), folder.path().join("values.json"));
    fs::write(&policy, "policy").unwrap();
    let hash = PolicyHash::of(b"coordinator").to_string();
    let with = |hash: &str, text: &str| {
        fs::write(&values, text).unwrap();
        faults(&[
            "--platform",
            "simulated",
            "--danger-simulated",
            "--workload-policy",
            policy.to_str().unwrap(),
            "--reference-values",
            values.to_str().unwrap(),
            "--coordinator-policy",
            hash,
        ])
    };
    let good = format!(r#"{{"simulated": [{{"HostData": "{hash}"}}]}}"#);
    assert!(with(&hash, &good).is_empty());
    // a text that closes the object and opens another one is no JSON value
    for broken in ["", "{} , \"Policies\": {}", &format!("{good}}}, \"x\": {{")] {
        let text = with(&hash, broken).join("\n");
        assert!(text.contains("is not JSON"), "{broken}: {text}");
    }
    assert!(with("12", &good).join("\n").contains("--coordinator-policy `12`"));
    assert!(with(&hash, "{}").join("\n").contains("has no reference values"));
    assert!(
        with(&hash, r#"{"snp": [{"ProductName": "Genoa"}]}"#)
            .join("\n")
            .contains("required reference values are missing")
    );
}
