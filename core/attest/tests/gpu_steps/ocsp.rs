//! Step 8: revocation.

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::ocsp::{
    self, CertStatus, Freshness, OcspError, ResponseError, SentNonce, VerifiedStatus,
};
use privatemode_attest::gpu::{
    AppraisalError, Component, ComponentState, GpuStatus, OcspPolicy, Step, Unanswered, appraise_with,
};
use privatemode_attest::x509::{Certificate, IssueError, ValidityError};
use privatemode_test_pki::nvidia::{DAY, OcspResponse, Status};
use privatemode_test_pki::{Extension, Key, der};

use crate::set::{NOW, Set, gpu, verified, verify};

const USAGE: &str = "2.5.29.37";
const NO_CHECK: &str = "1.3.6.1.5.5.7.48.1.5";

fn good() -> OcspResponse {
    let chain = gpu().chain;
    OcspResponse::new(&chain[2], &chain[3])
}

fn check(response: &OcspResponse, nonce: SentNonce<'_>, grace: u64) -> Result<VerifiedStatus, OcspError> {
    let parse =
        |certificate: &privatemode_test_pki::Certificate| Certificate::parse_der(&certificate.der()).unwrap();
    ocsp::verify(&response.der(), &parse(&response.subject), &parse(&gpu().chain[3]), nonce, grace, NOW)
}

fn refused(break_it: impl FnOnce(&mut OcspResponse)) -> OcspError {
    let mut response = good();
    break_it(&mut response);
    check(&response, SentNonce::None, 0).unwrap_err()
}

#[test]
fn good_responses_count() {
    let status = check(&good(), SentNonce::None, 0).unwrap();
    assert_eq!((status.status(), status.freshness()), (CertStatus::Good, Freshness::Fresh));
    let mut by_issuer = good();
    by_issuer.responder = None;
    by_issuer.signed_by = by_issuer.issuer.key.clone();
    check(&by_issuer, SentNonce::None, 0).unwrap();
    // NVIDIA's older responders have "no check" among their usages
    let mut older = good();
    let responder = older.responder.as_mut().unwrap();
    responder.without(NO_CHECK);
    responder.extension(USAGE).value = der::sequence(&[der::oid("1.3.6.1.5.5.7.3.9"), der::oid(NO_CHECK)]);
    check(&older, SentNonce::None, 0).unwrap();
}

#[test]
fn a_response_is_about_one_certificate() {
    let (response, chain) = (good(), gpu().chain);
    let parse = |place: usize| Certificate::parse_der(&chain[place].der()).unwrap();
    for (subject, issuer) in [(1, 3), (3, 3), (2, 4)] {
        let error = ocsp::verify(&response.der(), &parse(subject), &parse(issuer), SentNonce::None, 0, NOW)
            .unwrap_err();
        assert_eq!(error, OcspError::OtherCertificate);
        assert!(!ocsp::answers(&response.der(), &parse(subject), &parse(issuer)));
    }
    assert!(ocsp::answers(&response.der(), &parse(2), &parse(3)));
}

#[test]
fn a_sent_nonce_must_come_back() {
    let mut response = good();
    assert_eq!(check(&response, SentNonce::Sent(&[5; 32]), 0).unwrap_err(), OcspError::Nonce);
    response.nonce = Some(vec![5; 32]);
    check(&response, SentNonce::Sent(&[5; 32]), 0).unwrap();
    check(&response, SentNonce::None, 0).unwrap();
    assert_eq!(check(&response, SentNonce::Sent(&[6; 32]), 0).unwrap_err(), OcspError::Nonce);
}

#[test]
fn the_signer_must_be_the_issuers_delegate() {
    let of_responder = |break_it: &dyn Fn(&mut privatemode_test_pki::Certificate)| {
        refused(|response| break_it(response.responder.as_mut().unwrap()))
    };
    let error = of_responder(&|responder| responder.signed_by = Key::p384("somebody"));
    assert!(matches!(error, OcspError::ResponderIssue(IssueError::Signature { .. })), "{error:?}");
    let error = of_responder(&|responder| responder.issuer = gpu().chain[4].subject.clone());
    assert_eq!(error, OcspError::ResponderIssue(IssueError::OtherIssuer));
    let error = of_responder(&|responder| responder.without(USAGE));
    assert_eq!(error, OcspError::ResponderUsage);
    let error = of_responder(&|responder| {
        responder.extension(USAGE).value = der::sequence(&[der::oid("1.3.6.1.5.5.7.3.1")]);
    });
    assert_eq!(error, OcspError::ResponderUsage);
    let error = of_responder(&|responder| *responder.extension("2.5.29.15") = Extension::key_usage(&[5]));
    assert_eq!(error, OcspError::ResponderUsage);
    let error = of_responder(&|responder| responder.extensions.push(Extension::authority(None)));
    assert_eq!(error, OcspError::ResponderUsage);
    let error = of_responder(&|responder| responder.without(NO_CHECK));
    assert_eq!(error, OcspError::ResponderUnchecked);
    let error = of_responder(&|responder| responder.not_after = NOW.as_secs() - 1);
    let until = UnixTime(NOW.as_secs() - 1);
    assert_eq!(error, OcspError::ResponderValidity(ValidityError::Expired { until }));
    assert_eq!(refused(|response| response.signed_by = Key::p384("somebody")), OcspError::Signature);
    // nobody's certificate, and not the issuer's key
    assert_eq!(refused(|response| response.responder = None), OcspError::Signature);
}

#[test]
fn only_one_form_of_response_is_read() {
    let malformed = |part| OcspError::Response(ResponseError::Malformed { part });
    let error = refused(|response| response.response_status = 3);
    assert_eq!(error, OcspError::Response(ResponseError::Refused { status: 3 }));
    assert_eq!(refused(|response| response.next_update = None), malformed("time of the next update"));
    let error = refused(|response| response.signed_by = Key::p256("short"));
    assert_eq!(error, OcspError::Response(ResponseError::Algorithm));
    let critical = Extension { oid: "1.2.3".to_owned(), critical: true, value: der::null() };
    let error = refused(|response| response.extension = Some(critical));
    assert_eq!(error, OcspError::Response(ResponseError::CriticalExtension));
    let error = refused(|response| response.nonce = Some(vec![0; 129]));
    assert_eq!(error, malformed("extensions"));
    let (der, chain) = (good().der(), gpu().chain);
    let parse = |place: usize| Certificate::parse_der(&chain[place].der()).unwrap();
    let raw = |der: &[u8]| ocsp::verify(der, &parse(2), &parse(3), SentNonce::None, 0, NOW).unwrap_err();
    for len in 0..der.len() {
        assert!(matches!(raw(&der[..len]), OcspError::Response(ResponseError::Malformed { .. })), "{len}");
    }
    assert_eq!(raw(&[&der[..], &[0]].concat()), malformed("envelope"));
    let len = ocsp::MAX_RESPONSE + 1;
    assert_eq!(raw(&vec![0; len]), OcspError::Response(ResponseError::TooLong { len }));
}

#[test]
fn time_and_grace() {
    let now = NOW.as_secs();
    let error = refused(|response| response.this_update = now + 1);
    assert_eq!(error, OcspError::NotYetValid { from: UnixTime(now + 1) });
    let mut old = good();
    old.this_update = now - 2 * DAY;
    old.next_update = Some(now - 10);
    assert_eq!(check(&old, SentNonce::None, 9).unwrap_err(), OcspError::Stale { since: UnixTime(now - 10) });
    let graced = check(&old, SentNonce::None, 10).unwrap();
    assert_eq!(graced.freshness(), Freshness::Grace { seconds: 10 });
    // a revocation does not get old
    old.status = Status::Revoked(now - DAY);
    let revoked = check(&old, SentNonce::None, 0).unwrap();
    assert_eq!(revoked.status(), CertStatus::Revoked { at: UnixTime(now - DAY) });
    assert_eq!(revoked.freshness(), Freshness::Old);
}

#[test]
fn step_8_every_certificate_needs_a_response() {
    // three of the device, three of each RIM's; the RIMs share two
    let count = Set::of_gpu().responses.len();
    assert_eq!(count, 9);
    for (missing, component, position) in
        [(0, Component::Gpu, 1), (1, Component::Gpu, 2), (2, Component::Gpu, 3)]
    {
        let mut set = Set::of_gpu();
        set.responses.remove(missing);
        let state = ComponentState {
            component,
            status: CertStatus::Unknown,
            position: Some(position),
            unanswered: Some(Unanswered::NoResponse),
        };
        let error = set.appraise().unwrap_err();
        assert_eq!(error.step(), Step::Revocation);
        assert_eq!(error, AppraisalError::NotGood { state });
        set.policy.ocsp = OcspPolicy::ALLOW_UNKNOWN;
        set.appraise().unwrap();
    }
}

#[test]
fn step_8_revoked_and_unknown_certificates_need_a_policy() {
    let hour_ago = NOW.as_secs() - 3600;
    let mut set = Set::of_gpu();
    set.responses[1].status = Status::Revoked(hour_ago);
    let at = UnixTime(hour_ago);
    let state = ComponentState {
        component: Component::Gpu,
        status: CertStatus::Revoked { at },
        position: Some(2),
        unanswered: None,
    };
    for refusing in [OcspPolicy::REQUIRE_GOOD, OcspPolicy::ALLOW_UNKNOWN, OcspPolicy::allow_revoked(0)] {
        set.policy.ocsp = refusing;
        assert_eq!(set.appraise().unwrap_err(), AppraisalError::NotGood { state: state.clone() });
    }
    set.policy.ocsp = OcspPolicy::allow_revoked(1);
    let appraised = set.appraise().unwrap();
    let json = serde_json::to_string(&GpuStatus::of(&[appraised])).unwrap();
    let expected = r#"[{"GPU":{"Value":"REVOKED","RevokedAt":"2025-12-31T23:00:00Z"},"VBIOS":{"Value":"GOOD"},"Driver":{"Value":"GOOD"}}]"#;
    assert_eq!(json, expected);
    // an earlier revocation further up is the worse one
    set.responses[2].status = Status::Revoked(hour_ago - 1);
    assert!(matches!(
        set.appraise().unwrap_err(),
        AppraisalError::NotGood { state: ComponentState { position: Some(3), .. } }
    ));
    let mut set = Set::of_gpu();
    set.responses[0].status = Status::Unknown;
    let state = ComponentState { status: CertStatus::Unknown, position: Some(1), ..state };
    assert_eq!(set.appraise().unwrap_err(), AppraisalError::NotGood { state });
    set.policy.ocsp = OcspPolicy::ALLOW_UNKNOWN;
    let json = serde_json::to_string(&GpuStatus::of(&[set.appraise().unwrap()])).unwrap();
    assert!(json.contains(r#""GPU":{"Value":"UNKNOWN"}"#), "{json}");
}

#[test]
fn step_8_a_revocation_counts_beside_a_good_answer() {
    for first in [true, false] {
        let mut set = Set::of_gpu();
        let mut revoked = set.responses[1].clone();
        revoked.status = Status::Revoked(1);
        set.responses.insert(if first { 0 } else { 9 }, revoked);
        assert!(matches!(set.appraise().unwrap_err(), AppraisalError::NotGood { .. }));
    }
    // a stale answer does not spoil a fresh one
    let mut set = Set::of_gpu();
    let mut stale = set.responses[1].clone();
    stale.this_update -= 9 * DAY;
    stale.next_update = Some(NOW.as_secs() - 8 * DAY);
    set.responses.insert(0, stale);
    set.appraise().unwrap();
}

#[test]
fn step_8_forged_responses_are_refused_whatever_the_policy() {
    let mut set = Set::of_gpu();
    set.policy.ocsp = OcspPolicy::ALLOW_UNKNOWN;
    set.responses[2].signed_by = Key::p384("somebody");
    let error = set.appraise().unwrap_err();
    assert_eq!(error.step(), Step::Revocation);
    let expected =
        AppraisalError::Ocsp { component: Component::Gpu, position: 3, source: OcspError::Signature };
    assert_eq!(error, expected);
}

#[test]
fn requests_name_the_certificate_as_responses_do() {
    let (response, chain) = (good(), gpu().chain);
    let parse = |place: usize| Certificate::parse_der(&chain[place].der()).unwrap();
    let request = ocsp::request(&parse(2), &parse(3), Some(&[5; 32])).unwrap();
    // CertID: digest algorithm to serial number, 97 bytes and the serial
    let response = response.der();
    let sha384 = der::sequence(&[der::oid("2.16.840.1.101.3.4.2.2"), der::null()]);
    let id = |bytes: &[u8]| {
        let at = bytes.windows(sha384.len()).position(|window| window == sha384).unwrap();
        bytes[at..at + sha384.len() + 100 + 2 + 16].to_vec()
    };
    assert_eq!(id(&request), id(&response));
    assert!(request.windows(34).any(|window| window == der::octet_string(&[5; 32])));
    let without = ocsp::request(&parse(2), &parse(3), None).unwrap();
    assert!(without.len() + 40 < request.len());
}

#[test]
fn verified_responses_can_be_used_again() {
    let set = Set::of_gpu();
    let (driver, vbios) = (verified(set.driver.as_ref().unwrap()), verified(set.vbios.as_ref().unwrap()));
    let parse =
        |certificate: &privatemode_test_pki::Certificate| Certificate::parse_der(&certificate.der()).unwrap();
    let genuine: Vec<_> = set
        .responses
        .iter()
        .map(|response| {
            let (subject, issuer) = (parse(&response.subject), parse(&response.issuer));
            ocsp::verify_signature(&response.der(), &subject, &issuer).unwrap()
        })
        .collect();
    let appraise = |now: UnixTime| {
        let device = verify(&set.device).unwrap();
        appraise_with(device, Some(&driver), Some(&vbios), &genuine, &set.policy, now)
    };
    assert_eq!(appraise(NOW).unwrap().states().len(), 3);
    // they get old like any other
    let late = appraise(NOW.saturating_add(DAY)).unwrap_err();
    assert!(matches!(
        late,
        AppraisalError::NotGood { state: ComponentState { unanswered: Some(Unanswered::OutOfTime(_)), .. } }
    ));
}
