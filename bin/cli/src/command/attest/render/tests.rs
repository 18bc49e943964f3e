use privatemode_attest::UnixTime;

use super::super::verdict::Values;
use super::*;

#[derive(Debug, thiserror::Error)]
#[error("the signature does not hold")]
struct Outer(#[source] Inner);

#[derive(Debug, thiserror::Error)]
#[error("r is \u{1b}[31mzero\u{202e}")]
struct Inner;

fn refused() -> Verdict {
    let mut verdict = Verdict::new("snp", UnixTime(1_778_544_000));
    verdict.passed(1, "structure", Values::default().number("version", 3u32).hex("id", &[0xab, 1]));
    verdict.failed(5, "signature", Values::default(), &Outer(Inner), "fetch the right certificate");
    verdict.not_reached(6, "report_data");
    verdict.warn("revocation: NOT CHECKED");
    verdict
}

#[test]
fn a_refusal_says_what_why_and_what_next() {
    assert_eq!(
        text(&refused()),
        "\
AMD SEV-SNP evidence, verified at 2026-05-12T00:00:00Z

  1  ✓ passed        structure
       version  3
       id       ab01
  5  ✗ FAILED        signature
       refused because: the signature does not hold: r is \\u{1b}[31mzero\\u{202e}
  6  – not reached   report data

WARNING: revocation: NOT CHECKED
REFUSED: step 5, signature
  why:  the signature does not hold
  why:  r is \\u{1b}[31mzero\\u{202e}
  next: fetch the right certificate"
    );
}

#[test]
fn a_test_root_shows_on_every_line_and_at_every_step() {
    let mut verdict = refused();
    verdict.danger("the root is not AMD's".to_owned());
    verdict.not_reached(7, "measurement");
    assert!(text(&verdict).lines().all(|line| line.starts_with(DANGER.trim_end())));
    let json: Value = serde_json::to_value(&verdict).unwrap();
    assert_eq!(json["danger"], serde_json::json!(["the root is not AMD's"]));
    for step in json["steps"].as_array().unwrap() {
        assert_eq!(step["danger"], json["danger"], "{step}");
    }
}

#[test]
fn json_has_its_members_in_the_documented_order() {
    let json = serde_json::to_string(&refused()).unwrap();
    assert_eq!(
        json,
        concat!(
            r#"{"verdict":"refused","platform":"snp","at":"2026-05-12T00:00:00Z","steps":["#,
            r#"{"number":1,"name":"structure","verdict":"passed","values":{"version":3,"id":"ab01"},"error":null},"#,
            r#"{"number":5,"name":"signature","verdict":"failed","values":{},"#,
            r#""error":"the signature does not hold: r is \u001b[31mzero"#,
            "\u{202e}",
            r#""},{"number":6,"name":"report_data","verdict":"not_reached","values":{},"error":null}],"#,
            r#""warnings":["revocation: NOT CHECKED"],"danger":[],"refusal":{"step":5,"what":"step 5, signature","#,
            r#""why":["the signature does not hold","r is \u001b[31mzero"#,
            "\u{202e}",
            r#""],"next":"fetch the right certificate"}}"#,
        )
    );
}

#[test]
fn a_success_counts_what_was_compared() {
    let mut verdict = Verdict::new("tdx", UnixTime(0));
    verdict.passed(1, "structure", Values::default().flag("debug", false).list("advisories", &[]));
    verdict.not_compared(8, "report_data", Values::default());
    let text = text(&verdict);
    assert!(text.contains("debug       no\n"), "{text}");
    assert!(text.contains("advisories  none\n"), "{text}");
    assert!(text.ends_with("VERIFIED: 1 steps passed; NOT COMPARED: report data"), "{text}");
}
