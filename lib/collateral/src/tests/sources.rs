//! The order of sources, one flight for all, and life without a network.

use std::{sync::Arc, time::Duration};

use privatemode_attest::UnixTime;
use privatemode_test_kit::{vendor::Fault, wait_until};

use super::support::{CRL_PATH, DAY, START, VCEK_PATH, World, crl, crl_key, der, get, vcek_key};
use crate::{
    Bundle, Collector, Document, Endpoints, Extras, FetchError, Found, Key, Origin, Provenance, Proxy,
    Settings, SetupError, State,
};

fn extras(key: Key, bytes: Vec<u8>) -> Extras {
    Extras::from([(key, Document { bytes, issuer_chain: None })])
}

fn bundle(key: Key, bytes: Vec<u8>) -> Arc<Bundle> {
    let document = Arc::new(Document { bytes, issuer_chain: None });
    let provenance = Provenance {
        key,
        origin: Origin::Cache,
        fetched_at: Some(UnixTime(START - DAY)),
        state: State::Current,
    };
    let mut bundle = Bundle::new();
    bundle.add(&Found { document, provenance });
    Arc::new(bundle)
}

#[tokio::test]
async fn evidence_then_bundle_then_cache_then_network() {
    let world = World::new().await;
    let published = world.publish_vcek();
    let settings = Settings { bundle: Some(bundle(vcek_key(), der(b"of the bundle"))), ..world.settings() };
    let with_bundle = Collector::new(settings).unwrap();

    let evidence = extras(vcek_key(), der(b"of the evidence"));
    let found = with_bundle.document(&vcek_key(), &[], &evidence).await.unwrap();
    assert_eq!((found.provenance.origin, found.provenance.fetched_at), (Origin::Evidence, None));
    assert_eq!(found.document.bytes, der(b"of the evidence"));

    let found = get(&with_bundle, &vcek_key()).await.unwrap();
    assert_eq!(found.provenance.origin, Origin::Bundle);
    assert_eq!(found.provenance.fetched_at, Some(UnixTime(START - DAY)));
    assert_eq!(found.document.bytes, der(b"of the bundle"));
    assert_eq!(world.server.requests().len(), 0);

    let collector = world.collector();
    let found = get(&collector, &vcek_key()).await.unwrap();
    assert_eq!(found.provenance.origin, Origin::Network { host: world.server.host() });
    let found = get(&collector, &vcek_key()).await.unwrap();
    assert_eq!((found.provenance.origin, &found.document.bytes), (Origin::Cache, &published));
}

#[tokio::test]
async fn what_evidence_brought_is_passed_over_when_unusable_or_past() {
    let world = World::new().await;
    world.publish_vcek();
    let published = world.publish_crl(START + 10 * DAY);
    let collector = world.collector();
    let cut = extras(vcek_key(), b"0 no certificate".to_vec());
    let found = collector.document(&vcek_key(), &[], &cut).await.unwrap();
    assert_eq!(found.provenance.origin, Origin::Network { host: world.server.host() });

    let past = extras(crl_key(), crl(START - DAY));
    let found = collector.document(&crl_key(), &[], &past).await.unwrap();
    assert_eq!(found.document.bytes, published);
}

#[tokio::test]
async fn past_evidence_stands_in_within_the_grace_when_there_is_no_network() {
    let world = World::new().await;
    world.server.fault(CRL_PATH, Fault::Reset);
    let past = extras(crl_key(), crl(START - DAY));
    let collector = world.collector();
    let error = collector.document(&crl_key(), &[], &past).await.unwrap_err();
    assert!(matches!(error, FetchError::Unavailable { .. }), "{error:?}");

    let settings = Settings { grace: Duration::from_secs(2 * DAY), ..world.settings() };
    let found = Collector::new(settings).unwrap().document(&crl_key(), &[], &past).await.unwrap();
    assert_eq!(found.provenance.origin, Origin::Evidence);
    assert_eq!(found.provenance.state, State::Grace { since: UnixTime(START - DAY) });
}

#[tokio::test]
async fn without_a_network_the_newest_at_hand_is_for_verification_to_judge() {
    let world = World::new().await;
    let newer = crl(START - DAY);
    let settings =
        Settings { offline: true, bundle: Some(bundle(crl_key(), newer.clone())), ..world.settings() };
    let collector = Collector::new(settings).unwrap();
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!((found.provenance.origin, &found.document.bytes), (Origin::Bundle, &newer));
    assert_eq!(found.provenance.state, State::Past { since: UnixTime(START - DAY) });

    let older = extras(crl_key(), crl(START - 3 * DAY));
    let found = collector.document(&crl_key(), &[], &older).await.unwrap();
    assert_eq!(found.document.bytes, newer);
    assert_eq!(world.server.requests().len(), 0);
}

#[tokio::test]
async fn offline_asks_nobody() {
    let world = World::new().await;
    world.publish_vcek();
    world.publish_crl(START + 10 * DAY);
    let offline = Collector::new(Settings { offline: true, ..world.settings() }).unwrap();
    for key in [vcek_key(), crl_key()] {
        let error = get(&offline, &key).await.unwrap_err();
        assert!(matches!(error, FetchError::Offline { key: named } if named == key));
    }
    assert_eq!(world.server.requests().len(), 0);

    let online = world.collector();
    get(&online, &vcek_key()).await.unwrap();
    get(&online, &crl_key()).await.unwrap();
    assert_eq!(get(&offline, &crl_key()).await.unwrap().provenance.state, State::Current);
    world.pass(10 * DAY);
    let past = UnixTime(START + 10 * DAY);
    let error = get(&offline, &crl_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::OfflineExpired { since, .. } if since == past));
    let grace = Settings { offline: true, grace: Duration::from_secs(DAY), ..world.settings() };
    let found = get(&Collector::new(grace).unwrap(), &crl_key()).await.unwrap();
    assert_eq!(found.provenance.state, State::Grace { since: past });
    assert_eq!(get(&offline, &vcek_key()).await.unwrap().provenance.origin, Origin::Cache);
    assert_eq!(world.server.requests().len(), 2);
}

#[tokio::test]
async fn all_who_want_the_same_share_one_fetch() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    world.server.fault(VCEK_PATH, Fault::HeldBack);
    let collector = world.collector();
    let ask = || {
        let collector = collector.clone();
        tokio::spawn(async move { get(&collector, &vcek_key()).await })
    };
    let first = ask();
    let others: Vec<_> = (0..7).map(|_| ask()).collect();
    wait_until("the vendor is asked", Duration::from_secs(10), async || world.server.count(VCEK_PATH) == 1)
        .await;
    // who came first goes; the fetch goes on for the others
    first.abort();
    world.server.release();
    for other in others {
        assert_eq!(other.await.unwrap().unwrap().document.bytes, vcek);
    }
    assert_eq!(world.server.count(VCEK_PATH), 1);
}

#[tokio::test]
async fn a_shared_failure_is_everybodys_and_is_not_kept() {
    let world = World::new().await;
    world.publish_vcek();
    world.server.fault_once(VCEK_PATH, Fault::Status(403));
    let collector = world.collector();
    let key = vcek_key();
    let (one, two) = tokio::join!(get(&collector, &key), get(&collector, &key));
    for error in [one.unwrap_err(), two.unwrap_err()] {
        assert!(matches!(error, FetchError::Refused { .. }));
    }
    assert_eq!(world.server.count(VCEK_PATH), 1);
    get(&collector, &key).await.unwrap();
}

#[tokio::test]
async fn an_outbound_proxy_is_asked_in_place_of_the_vendor() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    // nobody listens there; the server stands for the proxy
    let endpoints = Endpoints::default().amd_kds("http://localhost:1/").unwrap();
    let proxy = Proxy::Url(world.server.url());
    let collector = Collector::new(Settings { endpoints, proxy, ..world.settings() }).unwrap();
    assert_eq!(get(&collector, &vcek_key()).await.unwrap().document.bytes, vcek);
    assert_eq!(world.server.requests()[0].header("host"), "localhost:1");

    let proxy = Proxy::Url("no proxy".to_owned());
    let Err(error) = Collector::new(Settings { proxy, ..world.settings() }) else { panic!("not a proxy") };
    assert!(matches!(error, SetupError::Proxy { .. }), "{error:?}");
}
