use std::sync::LazyLock;

use privatemode_test_pki::amd::{self, NOW, amd_oid, name};
use privatemode_test_pki::{Extension, Key, der};

use super::super::{ReportError, Step, VekError};
use super::*;
use crate::signature::SignatureError;
use crate::x509::{IssueError, ValidityError};

const DAY: u64 = 86_400;

fn product(product: amd::Product) -> Product {
    match product {
        amd::Product::Milan => Product::Milan,
        amd::Product::Genoa => Product::Genoa,
        amd::Product::Turin => Product::Turin,
    }
}

fn roots(line: amd::Product) -> Roots {
    let ark = amd::Evidence::new(line, amd::Signer::Vcek).ark.der();
    Roots::danger_test(product(line), &ark).unwrap()
}

fn check_under(set: &amd::Encoded, roots: &Roots, now: u64) -> Result<Genuine<Evidence>, VerifyError> {
    let amd::Encoded { ark, ask, vek, crl, report } = set;
    let endorsement = Endorsement { vek, ask, ark, crl: Some(crl), crl_grace: 0 };
    verify(report, &endorsement, roots, UnixTime(now))
}

/// A genuine set of Milan with one change, signed again.
fn milan(change: impl FnOnce(&mut amd::Evidence)) -> Result<Genuine<Evidence>, VerifyError> {
    changed(amd::Product::Milan, amd::Signer::Vcek, change)
}

fn changed(
    line: amd::Product,
    signer: amd::Signer,
    change: impl FnOnce(&mut amd::Evidence),
) -> Result<Genuine<Evidence>, VerifyError> {
    let mut evidence = amd::Evidence::new(line, signer);
    change(&mut evidence);
    check_under(&evidence.encode(), &roots(line), NOW)
}

/// A genuine set whose encoding is changed.
fn after_signing(change: impl FnOnce(&mut amd::Encoded)) -> Result<Genuine<Evidence>, VerifyError> {
    let mut set = GOOD.clone();
    change(&mut set);
    check_under(&set, &roots(amd::Product::Milan), NOW)
}

static GOOD: LazyLock<amd::Encoded> =
    LazyLock::new(|| amd::Evidence::new(amd::Product::Milan, amd::Signer::Vcek).encode());

#[track_caller]
fn refused<T: std::fmt::Debug>(verdict: Result<T, VerifyError>, expected: VerifyError, step: Step) {
    assert_eq!(expected.step(), step);
    assert_eq!(verdict.map(|_| ()), Err(expected));
}

fn wrong() -> IssueError {
    IssueError::Signature { source: SignatureError::Wrong }
}

#[test]
fn genuine_sets_of_every_line_and_key() {
    for line in [amd::Product::Milan, amd::Product::Genoa, amd::Product::Turin] {
        for signer in [amd::Signer::Vcek, amd::Signer::Vlek] {
            let evidence = changed(line, signer, |_| {}).expect("genuine");
            assert_eq!(evidence.product, product(line));
            assert_eq!(evidence.vek_tcb, evidence.report.reported_tcb);
            assert_eq!(evidence.crl, CrlState::Fresh { until: UnixTime(NOW + 300 * DAY) });
            assert_eq!(evidence.valid_until, UnixTime(NOW + 300 * DAY));
            let (kind, chip, cloud) = match signer {
                amd::Signer::Vcek => (Signer::Vcek, ChipBinding::Certified, None),
                amd::Signer::Vlek => (Signer::Vlek, ChipBinding::CloudKey, Some("CN=cc-test.example.com")),
            };
            assert_eq!((evidence.signer, evidence.chip, evidence.cloud.as_deref()), (kind, chip, cloud));
        }
    }
}

#[test]
fn step_6_binds_all_of_the_report_data() {
    let evidence = milan(|_| {}).unwrap();
    assert!(evidence.clone().bound_to(&ReportData::from([0xd0; 64])).is_ok());
    let mut other = [0xd0; 64];
    other[63] ^= 1;
    assert!(evidence.bound_to(&ReportData::from(other)).is_err());
}

#[test]
fn step_1_bytes_that_are_no_report() {
    refused(
        after_signing(|set| set.report.truncate(1183)),
        VerifyError::Report { source: ReportError::Length { len: 1183 } },
        Step::Report,
    );
}

#[test]
fn step_2_certificates_that_are_none() {
    let unreadable = |link| move |error: &VerifyError| matches!(error, VerifyError::Certificate { link: l, .. } if *l == link);
    for (link, step, verdict) in [
        (Link::Vek, Step::EndorsementKey, after_signing(|set| set.vek.truncate(100))),
        (Link::Ask, Step::SigningKey, after_signing(|set| set.ask.truncate(100))),
        (Link::Ark, Step::Root, after_signing(|set| set.ark.truncate(100))),
    ] {
        let error = verdict.map(|_| ()).unwrap_err();
        assert!(unreadable(link)(&error), "{error:?}");
        assert_eq!(error.step(), step);
    }
}

#[test]
fn nothing_follows_a_certificate_or_a_list() {
    type Pick = fn(&mut amd::Encoded) -> &mut Vec<u8>;
    let picks: [Pick; 4] = [|set| &mut set.ark, |set| &mut set.ask, |set| &mut set.vek, |set| &mut set.crl];
    for pick in picks {
        let error = after_signing(|set| pick(set).push(0)).map(|_| ()).unwrap_err();
        assert!(matches!(error, VerifyError::Certificate { .. } | VerifyError::Crl { .. }), "{error:?}");
    }
}

#[test]
fn step_2_a_chain_that_somebody_made() {
    // the same names and structure, another key
    let made = |change: fn(&mut amd::Evidence)| {
        milan(|set| {
            let key = Key::rsa("somebody's ARK");
            (set.ark.key, set.ark.signed_by) = (key.clone(), key.clone());
            (set.ask.signed_by, set.crl.signed_by) = (key.clone(), key);
            change(set);
        })
    };
    refused(made(|_| {}), VerifyError::UntrustedRoot, Step::Root);
    refused(made(|set| set.ark.issuer = name("ARK-Genoa")), VerifyError::UntrustedRoot, Step::Root);
}

#[test]
fn step_2_no_root_given_and_none_known() {
    let mut set = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).encode();
    set.ark.clear();
    refused(check_under(&set, &roots(amd::Product::Milan), NOW), VerifyError::UntrustedRoot, Step::Root);
}

#[test]
fn step_2_the_root_may_be_left_out() {
    assert!(after_signing(|set| set.ark.clear()).is_ok());
}

#[test]
fn step_2_the_roots_key_in_a_changed_certificate() {
    refused(
        milan(|set| set.ark.signed_by = Key::rsa("somebody's ARK")),
        VerifyError::RootNotSelfSigned { source: wrong() },
        Step::Root,
    );
}

#[test]
fn step_2_no_signing_key_given_and_none_known() {
    refused(after_signing(|set| set.ask.clear()), VerifyError::SigningKeyMissing, Step::SigningKey);
    let parts = ChainParts { ask: &[], ark: &GOOD.ark, crl: None, crl_grace: 0 };
    refused(
        Chain::verify(&parts, &roots(amd::Product::Milan), UnixTime(NOW)),
        VerifyError::SigningKeyMissing,
        Step::SigningKey,
    );
}

#[test]
fn step_2_a_signing_key_that_is_not_the_roots() {
    let other = VerifyError::SigningKeyNotIssued { source: wrong() };
    refused(milan(|set| set.ask.signed_by = Key::rsa("somebody's ARK")), other, Step::SigningKey);
    let names = VerifyError::SigningKeyNotIssued { source: IssueError::OtherIssuer };
    refused(milan(|set| set.ask.issuer = name("ARK-Genoa")), names, Step::SigningKey);
}

#[test]
fn step_2_the_root_signed_it_for_something_else() {
    for other in ["SEV-Genoa", "SEV-VLEK-Genoa", "SEV-MilanX", "SEV-VCEK", "Milan"] {
        let error = VerifyError::SigningKeyRole { product: Product::Milan, name: Some(other.to_owned()) };
        refused(milan(|set| set.ask.subject = name(other)), error, Step::SigningKey);
    }
}

#[test]
fn step_2_every_certificate_is_valid_at_the_time() {
    type Pick = fn(&mut amd::Evidence) -> &mut privatemode_test_pki::Certificate;
    let picks: [(Link, Step, Pick); 3] = [
        (Link::Ark, Step::Root, |set| &mut set.ark),
        (Link::Ask, Step::SigningKey, |set| &mut set.ask),
        (Link::Vek, Step::EndorsementKey, |set| &mut set.vek),
    ];
    for (link, step, pick) in picks {
        let source = ValidityError::NotYetValid { from: UnixTime(NOW + 1) };
        let early = milan(|set| pick(set).not_before = NOW + 1);
        refused(early, VerifyError::NotValid { link, source }, step);
        let source = ValidityError::Expired { until: UnixTime(NOW - 1) };
        let late = milan(|set| pick(set).not_after = NOW - 1);
        refused(late, VerifyError::NotValid { link, source }, step);
        assert!(milan(|set| (pick(set).not_before, pick(set).not_after) = (NOW, NOW)).is_ok());
    }
}

#[test]
fn step_2_a_revocation_list_that_is_none() {
    let error = after_signing(|set| set.crl.truncate(50)).map(|_| ()).unwrap_err();
    assert!(matches!(error, VerifyError::Crl { .. }), "{error:?}");
    assert_eq!(error.step(), Step::RevocationList);
}

#[test]
fn step_2_the_list_of_another_line() {
    let other = amd::Evidence::new(amd::Product::Genoa, amd::Signer::Vcek).encode().crl;
    refused(after_signing(|set| set.crl = other), VerifyError::CrlNotApplicable, Step::RevocationList);
}

#[test]
fn step_2_the_list_is_the_roots() {
    refused(
        milan(|set| set.crl.signed_by = Key::rsa("somebody's ARK")),
        VerifyError::CrlNotIssued { source: wrong() },
        Step::RevocationList,
    );
}

#[test]
fn step_2_the_list_is_current() {
    refused(
        milan(|set| set.crl.this_update = NOW + 1),
        VerifyError::CrlNotYetValid { this_update: UnixTime(NOW + 1) },
        Step::RevocationList,
    );
    refused(
        milan(|set| set.crl.next_update = NOW - 1),
        VerifyError::CrlStale { next_update: UnixTime(NOW - 1), grace: 0 },
        Step::RevocationList,
    );
    assert!(milan(|set| (set.crl.this_update, set.crl.next_update) = (NOW, NOW)).is_ok());
}

#[test]
fn step_2_an_old_list_is_tolerated_and_shown_for_its_grace() {
    let amd::Encoded { ark, ask, vek, crl, report } = &*GOOD;
    let ends = NOW + 300 * DAY;
    let at = |now: u64| {
        let endorsement = Endorsement { vek, ask, ark, crl: Some(crl), crl_grace: 10 };
        verify(report, &endorsement, &roots(amd::Product::Milan), UnixTime(now))
    };
    assert_eq!(at(ends).unwrap().crl, CrlState::Fresh { until: UnixTime(ends) });
    let grace = CrlState::Grace { ended: UnixTime(ends), until: UnixTime(ends + 10) };
    for now in [ends + 1, ends + 10] {
        let evidence = at(now).unwrap();
        assert_eq!((evidence.crl, evidence.valid_until), (grace, UnixTime(ends + 10)));
    }
    refused(
        at(ends + 11),
        VerifyError::CrlStale { next_update: UnixTime(ends), grace: 10 },
        Step::RevocationList,
    );
}

#[test]
fn step_2_no_list_shows() {
    let amd::Encoded { ark, ask, vek, report, .. } = &*GOOD;
    let endorsement = Endorsement { vek, ask, ark, crl: None, crl_grace: 0 };
    let evidence = verify(report, &endorsement, &roots(amd::Product::Milan), UnixTime(NOW)).unwrap();
    assert_eq!(evidence.crl, CrlState::NotGiven);
    assert_eq!(evidence.valid_until, UnixTime(NOW + 2000 * DAY), "the VCEK's end");
}

#[test]
fn step_2_nobody_in_the_chain_is_revoked() {
    let at = UnixTime(NOW - DAY);
    refused(
        milan(|set| set.crl.revoked.push((set.ask.serial.clone(), at.0))),
        VerifyError::Revoked { link: Link::Ask, at },
        Step::RevocationList,
    );
    refused(
        milan(|set| set.crl.revoked.push((set.ark.serial.clone(), at.0))),
        VerifyError::Revoked { link: Link::Ark, at },
        Step::RevocationList,
    );
    // a revocation counts from when it is known, whatever date it has
    let later = UnixTime(NOW + DAY);
    refused(
        milan(|set| set.crl.revoked.push((set.ask.serial.clone(), later.0))),
        VerifyError::Revoked { link: Link::Ask, at: later },
        Step::RevocationList,
    );
}

#[test]
fn step_2_an_endorsement_key_that_is_not_the_signing_keys() {
    refused(
        milan(|set| set.vek.signed_by = Key::rsa("somebody's ASK")),
        VerifyError::EndorsementKeyNotIssued { source: wrong() },
        Step::EndorsementKey,
    );
    refused(
        milan(|set| set.vek.issuer = name("SEV-Genoa")),
        VerifyError::EndorsementKeyNotIssued { source: IssueError::OtherIssuer },
        Step::EndorsementKey,
    );
}

#[test]
fn step_2_ask_and_asvk_are_not_exchanged() {
    let asvk = amd::Evidence::new(amd::Product::Milan, amd::Signer::Vlek).encode().ask;
    refused(
        after_signing(|set| set.ask = asvk),
        VerifyError::EndorsementKeyNotIssued { source: IssueError::OtherIssuer },
        Step::EndorsementKey,
    );
}

#[test]
fn step_2_the_report_names_the_kind_of_key() {
    refused(
        milan(|set| set.report[0x48] = 1 << 2),
        VerifyError::EndorsementKeyRole { report: Signer::Vlek, chain: Signer::Vcek },
        Step::EndorsementKey,
    );
    refused(
        changed(amd::Product::Milan, amd::Signer::Vlek, |set| set.report[0x48] = 0),
        VerifyError::EndorsementKeyRole { report: Signer::Vcek, chain: Signer::Vlek },
        Step::EndorsementKey,
    );
}

#[test]
fn step_2_the_certificate_is_one_of_an_endorsement_key() {
    let error = VerifyError::EndorsementKeyName { signer: Signer::Vcek, name: Some("SEV-VLEK".to_owned()) };
    refused(milan(|set| set.vek.subject = name("SEV-VLEK")), error, Step::EndorsementKey);
}

#[test]
fn step_2_critical_extensions_are_understood() {
    let oid = "1.3.9901.7".to_owned();
    let extension = Extension { oid: oid.clone(), critical: true, value: der::null() };
    refused(
        milan(|set| set.vek.extensions.push(extension)),
        VerifyError::EndorsementKeyNotIssued { source: IssueError::UnknownCriticalExtension { oid } },
        Step::EndorsementKey,
    );
}

#[test]
fn step_2_claims_can_be_read() {
    let error = milan(|set| set.vek.without(&amd_oid("3.8"))).map(|_| ()).unwrap_err();
    assert!(
        matches!(error, VerifyError::EndorsementKeyClaims { source: VekError::Missing { .. } }),
        "{error:?}"
    );
    assert_eq!(error.step(), Step::EndorsementKey);
}

#[test]
fn step_3_the_certificate_is_of_the_line() {
    for text in ["Genoa", "Milan2-B0", ""] {
        refused(
            milan(|set| set.vek.extension(&amd_oid("2")).value = der::ia5(text)),
            VerifyError::CertificateProduct { chain: Product::Milan, certificate: text.to_owned() },
            Step::Product,
        );
    }
}

#[test]
fn step_3_the_processor_is_of_the_line() {
    refused(
        milan(|set| set.report[0x189] = 0x11),
        VerifyError::ReportProduct { chain: Product::Milan, report: Product::Genoa },
        Step::Product,
    );
    let siena = changed(amd::Product::Genoa, amd::Signer::Vcek, |set| set.report[0x189] = 0xa0);
    assert!(siena.is_ok(), "{siena:?}");
}

#[test]
fn step_3_version_2_names_no_processor() {
    fn to_version_2(set: &mut amd::Evidence) {
        set.report[0] = 2;
        set.report[0x188..0x18b].fill(0);
        set.report[0x1f8..0x208].fill(0);
    }
    assert!(milan(to_version_2).is_ok());
    let turin = changed(amd::Product::Turin, amd::Signer::Vcek, |set| {
        to_version_2(set);
        // in the older layout, so that only the version is wrong
        for at in [0x38, 0x180, 0x1e0, 0x1f0] {
            set.report[at..at + 8].copy_from_slice(&[4, 1, 0, 0, 0, 0, 24, 219]);
        }
    });
    refused(turin, VerifyError::ReportWithoutProduct { chain: Product::Turin }, Step::Product);
}

#[test]
fn step_4_every_level_of_the_tcb_is_compared() {
    let base = Tcb { fmc: None, bootloader: 4, tee: 1, snp: 24, microcode: 219 };
    for (end, certificate) in [
        ("3.1", Tcb { bootloader: 7, ..base }),
        ("3.2", Tcb { tee: 7, ..base }),
        ("3.3", Tcb { snp: 7, ..base }),
        ("3.8", Tcb { microcode: 7, ..base }),
    ] {
        refused(
            milan(|set| set.vek.extension(&amd_oid(end)).value = der::number(7)),
            VerifyError::TcbMismatch { certificate, report: base },
            Step::Tcb,
        );
    }
    let turin = Tcb { fmc: Some(2), ..base };
    refused(
        changed(amd::Product::Turin, amd::Signer::Vcek, |set| {
            set.vek.extension(&amd_oid("3.9")).value = der::number(7);
        }),
        VerifyError::TcbMismatch { certificate: Tcb { fmc: Some(7), ..base }, report: turin },
        Step::Tcb,
    );
    refused(
        changed(amd::Product::Turin, amd::Signer::Vcek, |set| set.vek.without(&amd_oid("3.9"))),
        VerifyError::TcbMismatch { certificate: base, report: turin },
        Step::Tcb,
    );
}

#[test]
fn step_4_only_the_reported_tcb_is_certified() {
    for at in [0x38, 0x1e0, 0x1f0] {
        assert!(milan(|set| set.report[at + 7] = 255).is_ok(), "{at:#x}");
    }
}

#[test]
fn step_4_the_chip_is_the_certificates() {
    for at in [0x1a0, 0x1df] {
        refused(milan(|set| set.report[at] ^= 1), VerifyError::ChipMismatch, Step::Chip);
    }
    refused(milan(|set| set.vek.without(&amd_oid("4"))), VerifyError::ChipMissing, Step::Chip);
    refused(
        milan(|set| set.vek.extension(&amd_oid("4")).value = vec![0xc5; 8]),
        VerifyError::ChipMismatch,
        Step::Chip,
    );
}

#[test]
fn step_4_turin_names_its_chip_in_eight_bytes() {
    let turin = |change: fn(&mut amd::Evidence)| changed(amd::Product::Turin, amd::Signer::Vcek, change);
    refused(turin(|set| set.report[0x1a7] ^= 1), VerifyError::ChipMismatch, Step::Chip);
    refused(turin(|set| set.report[0x1a8] = 1), VerifyError::ChipMismatch, Step::Chip);
    refused(turin(|set| set.report[0x1df] = 1), VerifyError::ChipMismatch, Step::Chip);
}

#[test]
fn step_4_a_hidden_chip_shows() {
    let masked = milan(|set| set.report[0x1a0..0x1e0].fill(0)).unwrap();
    assert_eq!(masked.chip, ChipBinding::Masked);
}

#[test]
fn step_5_the_report_was_changed() {
    let error = || VerifyError::Signature { source: SignatureError::Wrong };
    // report data, measurement, the debug bit of the policy, host data
    for at in [0x50, 0x90, 0x0a, 0xc0] {
        refused(after_signing(|set| set.report[at] ^= 8), error(), Step::Signature);
    }
}

#[test]
fn step_5_the_signature_was_changed() {
    let zero = |at: usize| move |set: &mut amd::Encoded| set.report[at..at + 72].fill(0);
    for at in [0x2a0, 0x2e8] {
        let error = after_signing(zero(at)).map(|_| ()).unwrap_err();
        assert!(matches!(error, VerifyError::Signature { .. }), "{error:?}");
    }
    for at in [0x2d0, 0x2e7, 0x318, 0x32f] {
        refused(after_signing(|set| set.report[at] = 1), VerifyError::SignatureTooLong, Step::Signature);
    }
}

#[test]
fn step_5_another_key_signed() {
    refused(
        milan(|set| set.report_signed_by = Key::p384("another chip")),
        VerifyError::Signature { source: SignatureError::Wrong },
        Step::Signature,
    );
}

#[test]
fn step_5_a_key_of_another_curve() {
    let verdict = milan(|set| set.vek.key = Key::p256("a VCEK over P-256"));
    assert!(matches!(verdict, Err(VerifyError::Signature { .. })), "{verdict:?}");
    let verdict = milan(|set| set.vek.key = Key::rsa("a VCEK of RSA"));
    assert!(matches!(verdict, Err(VerifyError::Signature { .. })), "{verdict:?}");
}

#[test]
fn a_kept_chain_is_checked_against_the_clock_again() {
    let amd::Encoded { ark, ask, vek, crl, report } = &*GOOD;
    let parts = ChainParts { ask, ark, crl: Some(crl), crl_grace: 0 };
    let chain = Chain::verify(&parts, &roots(amd::Product::Milan), UnixTime(NOW)).unwrap();
    assert_eq!((chain.product(), chain.signer()), (Product::Milan, Signer::Vcek));
    assert_eq!(chain.fresh_until(), UnixTime(NOW + 300 * DAY));
    let kept = chain.verify_report(report, vek, UnixTime(NOW)).unwrap();
    assert_eq!(kept, check_under(&GOOD, &roots(amd::Product::Milan), NOW).unwrap());
    refused(
        chain.verify_report(report, vek, UnixTime(NOW + 301 * DAY)),
        VerifyError::CrlStale { next_update: UnixTime(NOW + 300 * DAY), grace: 0 },
        Step::RevocationList,
    );
    let parts = ChainParts { crl: None, ..parts };
    let chain = Chain::verify(&parts, &roots(amd::Product::Milan), UnixTime(NOW)).unwrap();
    refused(
        chain.verify_report(report, vek, UnixTime(NOW + 8001 * DAY)),
        VerifyError::NotValid {
            link: Link::Ark,
            source: ValidityError::Expired { until: UnixTime(NOW + 8000 * DAY) },
        },
        Step::Root,
    );
}

#[test]
fn steps_are_in_the_order_of_their_numbers_and_named_once() {
    assert!(Step::ALL.is_sorted() && Step::ALL.is_sorted_by_key(|step| step.number()));
    let names: std::collections::BTreeSet<_> = Step::ALL.iter().map(|step| step.name()).collect();
    assert_eq!(names.len(), Step::ALL.len());
}

#[test]
fn an_error_says_what_and_leaves_the_reason_to_its_source() {
    use std::error::Error as _;
    let error = milan(|set| set.vek.not_after = NOW - 1).unwrap_err();
    assert_eq!(
        error.to_string(),
        "the VCEK or VLEK certificate is not valid at the time of the verification"
    );
    assert_eq!(error.source().unwrap().to_string(), "expired: it was valid until 2025-12-31T23:59:59Z");
}
