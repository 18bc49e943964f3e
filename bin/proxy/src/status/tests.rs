use std::sync::Arc;

use privatemode_client::{Failing, Negotiated, RenewError, TransportError, Verification, Why};

use super::*;

fn about() -> About {
    About {
        api_endpoint: "https://api.example.com:443".to_owned(),
        manifest_source: "https://cdn.example.com/manifest.json".to_owned(),
        key_mode: "configured",
        prompt_cache: "off",
        padding: "bucket".to_owned(),
        listening: "http://127.0.0.1:8080".to_owned(),
        downgrades: vec!["OCSP: unknown".to_owned()],
    }
}

fn verified(simulated: bool) -> Arc<Verification> {
    Arc::new(Verification {
        manifest_digest: "ab".repeat(32),
        platform: if simulated { "SIMULATED" } else { "AMD SEV-SNP" }.to_owned(),
        simulated,
        test_root: false,
        at: UnixTime(1_790_000_000),
        manifest: privatemode_wire::stream::ManifestDigest([0xab; 32]),
        protocol: Negotiated { protocol: Protocol::Fields, why: Why::Downgraded },
        downgrades: vec!["old protocol".to_owned()],
        mesh_ca_pem: String::new(),
    })
}

fn failing(message: &str) -> Failing {
    let source = TransportError::Status { status: 502, message: message.to_owned() };
    Failing { since: UnixTime(1_790_000_060), attempts: 2, error: Arc::new(RenewError::Attest { source }) }
}

fn report(status: &Status) -> Report {
    Report::of(&about(), status, UnixTime(1_790_000_100))
}

#[test]
fn never_verified() {
    let report = report(&Status::default());
    assert_eq!((report.state, report.ready), ("never_verified", false));
    assert_eq!(report.reason.as_deref(), Some("the deployment is being verified"));
    assert_eq!(readyz(&report).status(), 503);
    assert!(page::html(&report).contains("No request leaves this proxy"));
}

#[test]
fn failing_says_since_when_and_why() {
    let status =
        Status { verified: Some(verified(false)), failing: Some(failing("no <luck>")), credential: None };
    let report = report(&status);
    assert_eq!(report.state, "failing");
    let failing = report.failing.as_ref().unwrap();
    assert_eq!((failing.since.as_str(), failing.attempts), ("2026-09-21T14:14:20Z", 2));
    assert!(failing.error.ends_with("the gateway answered with status 502: no <luck>"), "{}", failing.error);
    let page = page::html(&report);
    assert!(page.contains("no &lt;luck&gt;") && !page.contains("<luck>"), "a gateway writes no markup");
}

#[test]
fn the_json() {
    let status = Status { verified: Some(verified(false)), failing: None, credential: None };
    let json = serde_json::to_value(report(&status)).unwrap();
    assert_eq!(json["state"], "verified");
    assert_eq!(json["manifest"]["digest"], "ab".repeat(32));
    assert_eq!(json["platform"], "AMD SEV-SNP");
    assert_eq!(json["protocol"], "fields/1");
    assert_eq!(json["protocol_reason"], "asked for, although the attested manifest has better");
    assert!(json["padding"].is_null(), "the compatible protocol has none");
    assert_eq!(json["verified_at"], "2026-09-21T14:13:20Z");
    assert_eq!(json["simulated"], false);
    assert_eq!(json["downgrades"], serde_json::json!(["old protocol", "OCSP: unknown"]));
}

#[test]
fn simulated_is_loud() {
    let report = report(&Status { verified: Some(verified(true)), failing: None, credential: None });
    assert!(report.simulated);
    let page = page::html(&report);
    assert!(page.contains("<title>SIMULATED") && page.contains("role=\"alert\">SIMULATED"), "{page}");
}

#[test]
fn a_test_root_is_loud() {
    let verification = Verification { test_root: true, ..(*verified(false)).clone() };
    let report = report(&Status { verified: Some(Arc::new(verification)), failing: None, credential: None });
    assert_eq!(serde_json::to_value(&report).unwrap()["test_root"], true);
    let page = page::html(&report);
    assert!(page.contains("<title>TEST ROOT") && page.contains("role=\"alert\">TEST ROOT"), "{page}");
}

#[test]
fn the_page_needs_nothing_from_outside() {
    let page = page::html(&report(&Status::default()));
    assert!(
        !page.contains("<script")
            && !page.contains(" src=")
            && !page.contains("@import")
            && !page.contains("url(")
    );
    assert!(page.contains("lang=\"en\"") && page.contains("<main>") && page.contains("<h1>"));
}
