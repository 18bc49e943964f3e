//! Each way in which a vendor, or what stands between, misbehaves: the exact error, and how often it was asked.

use std::time::Duration;

use privatemode_attest::UnixTime;
use privatemode_test_kit::vendor::{Fault, VendorServer};

use super::support::{CRL_PATH, DAY, PEM, START, VCEK_PATH, World, crl_key, get, vcek_key};
use crate::{
    AttemptError, Collector, Event, FetchError, Fmspc, Key, Origin, Retry, Settings, State, Unusable,
};

/// Asks for the chip's certificate under a fault that stays; returns the error and how often the vendor was asked.
async fn failed(fault: Fault) -> (FetchError, usize) {
    let world = World::new().await;
    world.publish_vcek();
    world.server.fault(VCEK_PATH, fault);
    let error = get(&world.collector(), &vcek_key()).await.unwrap_err();
    assert_eq!(world.files("json"), Vec::<std::path::PathBuf>::new(), "nothing was kept");
    (error, world.server.count(VCEK_PATH))
}

/// The same for a fault that asking again does not heal.
async fn refused(fault: Fault) -> AttemptError {
    let (error, asked) = failed(fault).await;
    assert_eq!(asked, 1, "asking again is no use");
    match error {
        FetchError::Refused { key, source, .. } if key == vcek_key() => {
            std::sync::Arc::into_inner(source).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

/// The same for a fault that may pass.
async fn unavailable(fault: Fault) -> AttemptError {
    let (error, asked) = failed(fault).await;
    assert_eq!(asked, 3);
    match error {
        FetchError::Unavailable { key, attempts: 3, source, .. } if key == vcek_key() => {
            std::sync::Arc::into_inner(source).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_breaks_before_the_answer() {
    assert!(matches!(unavailable(Fault::Reset).await, AttemptError::Unreachable { .. }));
}

#[tokio::test]
async fn a_connection_that_is_refused() {
    let mut world = World::new().await;
    world.server.stop().await;
    let error = get(&world.collector(), &vcek_key()).await.unwrap_err();
    let FetchError::Unavailable { host, attempts: 3, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(host, world.server.host());
    assert!(matches!(*source, AttemptError::Unreachable { .. }));
}

#[tokio::test]
async fn an_answer_that_never_comes_or_never_ends() {
    for fault in [Fault::Stalled, Fault::StalledWithin] {
        let world = World::new().await;
        world.publish_vcek();
        world.server.fault(VCEK_PATH, fault);
        let retry = Retry { attempts: 1, ..Retry::default() };
        let settings = Settings { timeout: Duration::from_millis(200), retry, ..world.settings() };
        let error = get(&Collector::new(settings).unwrap(), &vcek_key()).await.unwrap_err();
        let FetchError::Unavailable { attempts: 1, source, .. } = error else { panic!("{error:?}") };
        assert!(matches!(*source, AttemptError::Timeout), "{source:?}");
    }
}

#[tokio::test]
async fn an_answer_that_is_cut() {
    assert!(matches!(unavailable(Fault::Truncated).await, AttemptError::Broken { .. }));
    let halved = unavailable(Fault::Halved).await;
    assert!(matches!(halved, AttemptError::Unusable { source: Unusable::NotDer }), "{halved:?}");
    let empty = unavailable(Fault::Instead(Vec::new())).await;
    assert!(matches!(empty, AttemptError::Unusable { source: Unusable::Empty }), "{empty:?}");
}

#[tokio::test]
async fn an_answer_that_is_too_long() {
    for fault in [Fault::Oversized((64 << 10) + 1), Fault::OversizedChunks(4 << 20)] {
        let error = refused(fault).await;
        let max = 64 << 10;
        assert!(matches!(error, AttemptError::Unusable { source: Unusable::TooLong { max: m } } if m == max));
    }
}

#[tokio::test]
async fn a_page_in_place_of_a_certificate() {
    let error = refused(Fault::ContentType("text/html; charset=utf-8".to_owned())).await;
    let AttemptError::Unusable { source: Unusable::ContentType { found, expected } } = error else {
        panic!("{error:?}")
    };
    assert_eq!((found.as_str(), expected), ("text/html", "a certificate"));
}

#[tokio::test]
async fn a_redirect_is_not_followed() {
    let elsewhere = VendorServer::start().await;
    let error = refused(Fault::Redirect(elsewhere.url())).await;
    assert!(matches!(error, AttemptError::Redirected { to } if to == "127.0.0.1"));
    assert_eq!(elsewhere.requests().len(), 0);
}

#[tokio::test]
async fn a_status_that_no_retry_heals() {
    let error = refused(Fault::Status(403)).await;
    assert!(matches!(error, AttemptError::Status { status: 403, retry_after: None }));
    // an answer to a question that was not asked
    let error = refused(Fault::Status(304)).await;
    assert!(matches!(error, AttemptError::Status { status: 304, retry_after: None }));
    let (error, asked) = failed(Fault::Status(404)).await;
    assert!(matches!(error, FetchError::NotFound { key, .. } if key == vcek_key()));
    assert_eq!(asked, 1);
}

#[tokio::test]
async fn errors_of_the_server_are_tried_again_after_growing_pauses() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    world.server.fault_once(VCEK_PATH, Fault::Status(500));
    world.server.fault_once(VCEK_PATH, Fault::Reset);
    let found = get(&world.collector(), &vcek_key()).await.unwrap();
    assert_eq!(found.document.bytes, vcek);
    assert_eq!(found.provenance.origin, Origin::Network { host: world.server.host() });
    assert_eq!(found.provenance.fetched_at, Some(UnixTime(START)));
    assert_eq!(world.pauses(), [Duration::from_secs(1), Duration::from_secs(2)]);

    let (key, host) = (vcek_key(), world.server.host());
    let fetching = |attempt| Event::Fetching { key: key.clone(), host: host.clone(), attempt };
    let waiting =
        |delay| Event::Waiting { key: key.clone(), host: host.clone(), delay: Duration::from_secs(delay) };
    let origin = Origin::Network { host: host.clone() };
    assert_eq!(
        *world.events.lock().unwrap(),
        [
            fetching(1),
            waiting(1),
            fetching(2),
            waiting(2),
            fetching(3),
            Event::Found { key: key.clone(), origin }
        ]
    );
}

#[tokio::test]
async fn pauses_grow_no_further_than_the_longest() {
    let world = World::new().await;
    world.server.fault(VCEK_PATH, Fault::Status(503));
    let retry = Retry { attempts: 8, ..Retry::default() };
    let collector = Collector::new(Settings { retry, ..world.settings() }).unwrap();
    let error = get(&collector, &vcek_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { attempts: 8, .. }));
    let seconds: Vec<u64> = world.pauses().iter().map(Duration::as_secs).collect();
    assert_eq!(seconds, [1, 2, 4, 8, 16, 20, 20]);
}

#[tokio::test]
async fn a_short_pause_that_the_vendor_asks_for_is_kept() {
    for fault in [
        Fault::TooManyRequests { retry_after: Some("5".to_owned()) },
        Fault::TooManyRequests { retry_after: None },
    ] {
        let world = World::new().await;
        world.publish_vcek();
        let asked = matches!(&fault, Fault::TooManyRequests { retry_after: Some(_) });
        world.server.fault_once(VCEK_PATH, fault);
        get(&world.collector(), &vcek_key()).await.unwrap();
        // what was asked for, and jitter on top of it
        assert_eq!(world.pauses(), [Duration::from_secs(if asked { 6 } else { 1 })]);
    }
}

#[tokio::test]
async fn a_vendor_that_asks_for_a_long_pause_is_left_alone() {
    let world = World::new().await;
    world.publish_vcek();
    world.publish_crl(START + DAY);
    world.server.fault_once(VCEK_PATH, Fault::TooManyRequests { retry_after: Some("3600".to_owned()) });
    let collector = world.collector();
    let error = get(&collector, &vcek_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::RateLimited { wait, .. } if wait == Duration::from_secs(3600)));

    // for everything that this host has
    world.pass(600);
    let error = get(&collector, &crl_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::RateLimited { wait, .. } if wait == Duration::from_secs(3000)));
    assert_eq!((world.server.requests().len(), world.pauses().len()), (1, 0));

    world.pass(3000);
    get(&collector, &vcek_key()).await.unwrap();
    get(&collector, &crl_key()).await.unwrap();
    assert_eq!(world.server.requests().len(), 3);
}

#[tokio::test]
async fn a_stale_document_is_refused_and_not_kept() {
    let world = World::new().await;
    world.publish_crl(START - DAY);
    let error = get(&world.collector(), &crl_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::Stale { since: UnixTime(since), .. } if since == START - DAY));
    assert_eq!(world.files("json").len(), 0);

    let settings = Settings { grace: Duration::from_secs(2 * DAY), ..world.settings() };
    let found = get(&Collector::new(settings).unwrap(), &crl_key()).await.unwrap();
    assert_eq!(found.provenance.state, State::Grace { since: UnixTime(START - DAY) });
    assert_eq!(world.files("json").len(), 0);
}

#[tokio::test]
async fn a_document_that_names_something_else_is_refused() {
    let world = World::new().await;
    let key = Key::IntelTcbInfo { fmspc: Fmspc([0xb0, 0xc0, 0x6f, 0, 0, 0]) };
    let path = "/tdx/certification/v4/tcb";
    let signed = |fmspc: &str| {
        format!(r#"{{"tcbInfo":{{"fmspc":"{fmspc}","nextUpdate":"2026-02-01T00:00:00Z"}},"signature":"00"}}"#)
    };
    world.server.intel_tcb_info("B0C06F000000", &signed("B0C06F000000"), PEM);
    world.server.fault_once(path, Fault::Instead(signed("00806F050000").into_bytes()));
    world.server.fault_once(path, Fault::WithoutIssuers);
    let collector = world.collector();
    for expected in [Unusable::Other { found: "00806F050000".to_owned() }, Unusable::NoIssuerChain] {
        let error = get(&collector, &key).await.unwrap_err();
        let FetchError::Refused { source, .. } = error else { panic!("{error:?}") };
        assert!(matches!(&*source, AttemptError::Unusable { source } if *source == expected), "{source:?}");
    }
    let found = get(&collector, &key).await.unwrap();
    assert_eq!(found.document.issuer_chain.as_deref(), Some(PEM));
    assert_eq!(world.server.count(path), 3);
}

#[tokio::test]
async fn a_wrongly_signed_document_is_dropped_when_verification_says_so() {
    let world = World::new().await;
    let genuine = world.publish_crl(START + DAY);
    let forged = super::support::crl(START + 300 * DAY);
    world.server.fault_once(CRL_PATH, Fault::Instead(forged.clone()));
    let collector = world.collector();
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!(found.document.bytes, forged, "not decided here");
    collector.reject(&found).await;
    assert_eq!(get(&collector, &crl_key()).await.unwrap().document.bytes, genuine);
}

#[test]
fn messages_say_what_why_and_what_next() {
    let offline = FetchError::Offline { key: crl_key() }.to_string();
    assert_eq!(
        offline,
        "the AMD revocation list Milan/vcek is neither in the evidence, the bundle nor the cache, and the network is off; save \
         a bundle with `privatemode verify` where the vendors can be reached, and hand it in here"
    );
    let source = std::sync::Arc::new(AttemptError::Timeout);
    let error =
        FetchError::Unavailable { key: crl_key(), host: "kds.example".to_owned(), attempts: 3, source };
    assert_eq!(
        error.to_string(),
        "cannot get the AMD revocation list Milan/vcek from kds.example after 3 attempts; check the network and the proxy \
         settings, or hand in a bundle"
    );
}

#[tokio::test]
async fn no_answer_silences_a_vendor_for_good() {
    let world = World::new().await;
    world.publish_vcek();
    let forever = Some(u64::MAX.to_string());
    world.server.fault_once(VCEK_PATH, Fault::TooManyRequests { retry_after: forever });
    let collector = world.collector();
    let error = get(&collector, &vcek_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::RateLimited { wait, .. } if wait == Duration::from_secs(3600)));
    world.pass(3600);
    get(&collector, &vcek_key()).await.unwrap();
}
