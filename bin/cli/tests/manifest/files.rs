//! Commands that read files alone: `verify`, `diff`, and the command line itself.

use serde_json::json;

use crate::support::{COORDINATOR, Folder, hash, simulated};

fn snp() -> serde_json::Value {
    json!({
        "Policies": {hash(COORDINATOR): {"SANs": ["coordinator"], "Role": "coordinator"}},
        "ReferenceValues": {"snp": [{
            "ProductName": "Genoa",
            "TrustedMeasurement": "aa".repeat(48),
            "MinimumTCB": {"BootloaderVersion": 10, "TEEVersion": 0, "SNPVersion": 28, "MicrocodeVersion": 88},
            "GuestPolicy": {"SMT": true},
            "AllowedChipIDs": ["00".repeat(64)],
        }]},
        "SeedshareOwnerPubKeys": ["0a"],
        "Protocols": ["fields/1", "sealed-body/1"],
    })
}

#[test]
fn a_manifest_is_shown_with_what_stands_out() {
    let folder = Folder::new();
    folder.write("manifest.json", simulated().to_string());
    let run = folder.run(&["verify", "manifest.json"]);
    let text = run.done();
    assert!(text.contains(&format!("policy {}: coordinator (coordinator)", hash(COORDINATOR))), "{text}");
    assert!(text.contains("NOTE: ReferenceValues: SIMULATED"), "{text}");
    assert!(text.contains("NOTE: SeedshareOwnerPubKeys: nobody can recover"), "{text}");
    let json = folder.run(&["verify", "manifest.json", "--json"]).json();
    assert_eq!((&json["verdict"], &json["simulated"]), (&json!("complete"), &json!(true)));
    assert_eq!(json["policies"].as_array().unwrap().len(), 2);
}

#[test]
fn missing_values_are_refused_by_name() {
    let folder = Folder::new();
    let mut manifest = snp();
    folder.write("good.json", manifest.to_string());
    assert!(!folder.run(&["verify", "good.json"]).done().contains("NOTE"));
    manifest["ReferenceValues"]["snp"][0]["MinimumTCB"]["SNPVersion"] = json!(null);
    manifest["Colour"] = json!("blue");
    folder.write("incomplete.json", manifest.to_string());
    let run = folder.run(&["verify", "incomplete.json"]);
    run.refused("required values are missing: ReferenceValues.snp[0].MinimumTCB.SNPVersion");
    assert!(run.out.contains("MISSING: ReferenceValues.snp[0].MinimumTCB.SNPVersion"), "{run:?}");
    assert!(run.out.contains("NOTE: Colour: this version does not know it"), "{run:?}");
}

#[test]
fn what_is_no_manifest_is_unusable() {
    let folder = Folder::new();
    folder.write("empty", "").write("html", "<html>").write("no-coordinator", r#"{"Policies": {}}"#);
    folder.write("huge", vec![b' '; (1 << 20) + 1]);
    for (name, says) in [
        ("missing", "cannot read"),
        ("empty", "is empty"),
        ("html", "not a manifest"),
        ("huge", "more than 1048576 bytes"),
        ("no-coordinator", "role `coordinator`"),
    ] {
        folder.run(&["verify", name]).unusable(says);
        folder.run(&["diff", name, name]).unusable(says);
    }
    let run = folder.run(&["verify", "html", "--json"]);
    let json: serde_json::Value = serde_json::from_str(&run.out).unwrap();
    assert_eq!(json["verdict"], "unusable");
}

#[test]
fn a_weaker_manifest_is_told_first_and_refused_where_asked() {
    let folder = Folder::new();
    let mut weaker = snp();
    weaker["ReferenceValues"]["snp"][0]["MinimumTCB"]["SNPVersion"] = json!(20);
    weaker["ReferenceValues"]["snp"][0]["RequireIDBlock"] = json!(true);
    folder.write("old.json", snp().to_string()).write("new.json", weaker.to_string());
    let run = folder.run(&["diff", "old.json", "new.json"]);
    let lines: Vec<&str> = run.done().lines().collect();
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("WEAKER")
            && lines[0].contains("MinimumTCB.SNPVersion: the minimum goes from 28 to 20")
    );
    assert!(lines[1].starts_with("stronger") && lines[1].contains("RequireIDBlock"));
    folder.run(&["diff", "old.json", "new.json", "--refuse-weaker"]).refused("1 changes make");
    let json = folder.run(&["diff", "new.json", "old.json", "--json"]).json();
    assert_eq!((&json["weaker"], &json["stronger"]), (&json!(1), &json!(1)));
    assert_eq!(json["changes"][0]["severity"], "weaker");
    let same = folder.run(&["diff", "old.json", "old.json", "--refuse-weaker"]);
    assert!(same.done().contains("byte for byte"));
}

/// A manifest is a stranger's text.
#[test]
fn nothing_steers_the_terminal() {
    let folder = Folder::new();
    let mut manifest = simulated();
    manifest["Policies"][hash(COORDINATOR)]["SANs"] = json!(["coordinator\u{1b}[2J"]);
    folder.write("new.json", manifest.to_string()).write("old.json", simulated().to_string());
    for arguments in [&["verify", "new.json"][..], &["diff", "old.json", "new.json"]] {
        let run = folder.run(arguments);
        assert!(!run.out.contains('\u{1b}') && run.out.contains("\\u{1b}"), "{run:?}");
    }
}

#[test]
fn flags_that_do_not_belong_together() {
    let folder = Folder::new();
    folder.write("m.json", simulated().to_string());
    for arguments in [
        &["sign", "m.json"][..],
        &["sign", "m.json", "--prepare", "--key", "k.pem"],
        &["generate", "d.toml", "--json"],
        &["set", "m.json"],
        &["set", "m.json", "--coordinator", "http://localhost:1", "--owner-key", "k.pem"],
    ] {
        assert_eq!(folder.run(arguments).code, 2, "{arguments:?}");
    }
    for url in ["localhost:1", "https://localhost:1", "http://", "http://user@localhost:1"] {
        folder.run(&["history", url]).unusable("http://HOST:PORT");
    }
}
