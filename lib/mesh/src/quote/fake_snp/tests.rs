use privatemode_attest::{UnixTime, snp};
use privatemode_test_pki::amd;

use super::*;

const BIND: [u8; 64] = [0xb1; 64];

fn machine() -> (tempfile::TempDir, amd::Evidence) {
    let folder = tempfile::tempdir().unwrap();
    let evidence = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek);
    evidence.write_machine(folder.path(), amd::Extras::All).unwrap();
    (folder, evidence)
}

fn policy() -> PolicyHash {
    PolicyHash::of(b"policy")
}

#[test]
fn a_report_is_genuine_but_for_the_root_and_names_what_it_was_made_for() {
    let (folder, _) = machine();
    let quoter = FakeSnpQuoter::open(folder.path(), policy()).unwrap();
    assert_eq!(quoter.kind(), EvidenceKind::Snp);
    let SnpEvidence { report, vcek, ask, ark, crl, vlek } =
        sevsnp::decode(&quoter.quote(&ReportData::from(BIND)).unwrap()).unwrap();
    let file = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(vcek == Some(file("extras/vcek.der")) && ask == Some(file("extras/ask.der")));
    assert!(ark == Some(file("extras/ark.der")) && vlek.is_none());

    let (vek, ask, crl) = (vcek.unwrap(), ask.unwrap(), crl.unwrap());
    let endorsement = snp::Endorsement { vek: &vek, ask: &ask, ark: &[], crl: Some(&crl), crl_grace: 0 };
    let now = UnixTime(amd::NOW);
    let roots = snp::Roots::danger_test(snp::Product::Genoa, &file("ark.der")).unwrap();
    let genuine = snp::verify(&report[..], &endorsement, &roots, now).unwrap();
    let verified = genuine.bound_to(&ReportData::from(BIND)).unwrap();
    assert_eq!(verified.report.host_data, *policy().as_bytes());
    assert_eq!(verified.report.measurement, [0x3e; 48]);
    assert_eq!(verified.report.policy, snp::GuestPolicy(0x3_001f));

    // to AMD's own root it is nothing, although every name in it is right
    let refused = snp::verify(&report[..], &endorsement, &snp::Roots::embedded(), now).unwrap_err();
    assert!(matches!(refused, snp::VerifyError::SigningKeyNotIssued { .. }), "{refused:?}");
}

#[test]
fn the_folder_is_the_machine() {
    let (folder, mut evidence) = machine();
    let quoter = FakeSnpQuoter::open(folder.path(), policy()).unwrap();
    evidence.report[0x90] ^= 1;
    evidence.write_machine(folder.path(), amd::Extras::None).unwrap();
    let changed = sevsnp::decode(&quoter.quote(&ReportData::from(BIND)).unwrap()).unwrap();
    assert_eq!(changed.report[0x90], 0x3f);
    assert_eq!((changed.vcek, changed.ask, changed.ark, changed.crl), (None, None, None, None));
}

#[test]
fn what_is_wrong_with_the_folder_is_named() {
    let fault = |change: &dyn Fn(&Path)| {
        let (folder, _) = machine();
        change(folder.path());
        let error = FakeSnpQuoter::open(folder.path(), policy()).unwrap_err();
        error.to_string().replace(&folder.path().display().to_string(), "DIR")
            + &std::error::Error::source(&error).map(|source| format!(": {source}")).unwrap_or_default()
    };
    let said = "the platform made no AMD SEV-SNP evidence: cannot read";
    let next = "--danger-fake-snp wants the folder that a test's PKI wrote";
    assert_eq!(
        fault(&|folder| std::fs::write(folder.join("report.bin"), [0; 7]).unwrap()),
        format!("{said} `DIR/report.bin`; {next}: it has 7 bytes, and must have 1184")
    );
    assert_eq!(
        fault(&|folder| std::fs::write(folder.join("vcek-key.bin"), [0; 48]).unwrap()),
        format!("{said} `DIR/vcek-key.bin`; {next}: no key of P-384")
    );
    let missing = fault(&|folder| std::fs::remove_file(folder.join("vcek-key.bin")).unwrap());
    assert!(missing.starts_with(&format!("{said} `DIR/vcek-key.bin`; {next}: No such file")), "{missing}");
    assert_eq!(
        fault(&|folder| std::fs::write(folder.join("extras/vcek.der"), [0; 16 * 1024 + 1]).unwrap()),
        "`DIR/extras/vcek.der` has more than 16384 bytes, which is no report"
    );
}

#[test]
fn a_policy_has_to_be_named() {
    let (folder, _) = machine();
    let Err(error) = quoter(folder.path(), None) else { panic!("a quoter without a policy") };
    assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Snp, .. }), "{error:?}");
}
