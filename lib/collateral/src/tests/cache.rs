//! What is kept, for how long, and what happens to what was damaged.

use std::time::Duration;

use privatemode_attest::UnixTime;
use privatemode_test_kit::vendor::{Fault, OCSP_PATH, Published};

use super::support::{CRL_PATH, DAY, START, VCEK_PATH, World, crl_key, der, get, vcek_key};
use crate::{Collector, Extras, FetchError, Freshness, Key, OcspRequest, Origin, RimId, Settings, State};

#[tokio::test]
async fn a_chips_certificate_is_kept_for_good() {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    get(&world.collector(), &vcek_key()).await.unwrap();
    world.pass(3650 * DAY);
    // a new collector: another process, years later
    let found = get(&world.collector(), &vcek_key()).await.unwrap();
    assert_eq!((found.provenance.origin, found.document.bytes.clone()), (Origin::Cache, vcek));
    assert_eq!(found.provenance.fetched_at, Some(UnixTime(START)));
    assert_eq!(found.provenance.state, State::Current);
    assert_eq!(world.server.count(VCEK_PATH), 1);
}

#[tokio::test]
async fn a_revocation_list_is_fetched_again_at_its_next_update() {
    let world = World::new().await;
    let first = world.publish_crl(START + 10 * DAY);
    let collector = world.collector();
    get(&collector, &crl_key()).await.unwrap();
    world.pass(10 * DAY - 1);
    let second = world.publish_crl(START + 20 * DAY);
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!((&found.document.bytes, &found.provenance.origin), (&first, &Origin::Cache));
    world.pass(1);
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!(found.document.bytes, second);
    assert_eq!(found.provenance.fetched_at, Some(UnixTime(START + 10 * DAY)));
    assert_eq!(world.server.count(CRL_PATH), 2);
    assert_eq!(world.files("bin").len(), 1, "the old one is gone");
}

#[tokio::test]
async fn without_grace_a_past_list_is_an_error_that_says_why_there_is_no_newer_one() {
    let world = World::new().await;
    world.publish_crl(START + 10 * DAY);
    let collector = world.collector();
    get(&collector, &crl_key()).await.unwrap();
    world.pass(10 * DAY);
    world.server.fault(CRL_PATH, Fault::Status(500));
    let error = get(&collector, &crl_key()).await.unwrap_err();
    let FetchError::Expired { since, source, .. } = error else { panic!("{error:?}") };
    assert_eq!(since, UnixTime(START + 10 * DAY));
    assert!(matches!(*source, FetchError::Unavailable { attempts: 3, .. }));
}

#[tokio::test]
async fn within_the_grace_a_past_list_stands_in_and_says_so() {
    let world = World::new().await;
    let crl = world.publish_crl(START + 10 * DAY);
    let settings = Settings { grace: Duration::from_secs(2 * DAY), ..world.settings() };
    let collector = Collector::new(settings).unwrap();
    get(&collector, &crl_key()).await.unwrap();
    world.server.fault(CRL_PATH, Fault::Reset);
    world.pass(12 * DAY - 1);
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!((&found.document.bytes, &found.provenance.origin), (&crl, &Origin::Cache));
    assert_eq!(found.provenance.state, State::Grace { since: UnixTime(START + 10 * DAY) });
    world.pass(1);
    let error = get(&collector, &crl_key()).await.unwrap_err();
    assert!(matches!(error, FetchError::Expired { .. }), "{error:?}");

    world.server.heal();
    world.publish_crl(START + 30 * DAY);
    assert_eq!(get(&collector, &crl_key()).await.unwrap().provenance.state, State::Current);
}

#[tokio::test]
async fn a_vendor_gone_back_in_time_does_not_replace_what_is_newer() {
    let world = World::new().await;
    let newer = world.publish_crl(START + 10 * DAY);
    let settings = Settings { grace: Duration::from_secs(5 * DAY), ..world.settings() };
    let collector = Collector::new(settings).unwrap();
    get(&collector, &crl_key()).await.unwrap();
    world.pass(11 * DAY);
    world.publish_crl(START + 8 * DAY);
    let found = get(&collector, &crl_key()).await.unwrap();
    assert_eq!((&found.document.bytes, &found.provenance.origin), (&newer, &Origin::Cache));
    assert_eq!(found.provenance.state, State::Grace { since: UnixTime(START + 10 * DAY) });
}

#[tokio::test]
async fn an_unchanged_document_is_not_sent_again() {
    let world = World::new().await;
    let key = Key::NvidiaRim { id: RimId::new("NV_GPU_DRIVER_GH100_550.90.07").unwrap() };
    let path = "/v1/rim/NV_GPU_DRIVER_GH100_550.90.07";
    let json = r#"{"rim":"PGE+PC9hPg=="}"#; // <a></a>
    world.server.publish(path, Published::new("application/json", json).with_etag("\"v1\""));
    let collector = world.collector();
    get(&collector, &key).await.unwrap();
    world.pass(7 * DAY);
    let found = get(&collector, &key).await.unwrap();
    assert_eq!(
        (found.document.bytes.as_slice(), &found.provenance.origin),
        (&b"<a></a>"[..], &Origin::Cache)
    );
    assert_eq!(found.provenance.fetched_at, Some(UnixTime(START + 7 * DAY)));
    assert_eq!(world.server.requests()[1].header("if-none-match"), "\"v1\"");
    // it counts from then on
    world.pass(7 * DAY - 1);
    get(&collector, &key).await.unwrap();
    assert_eq!(world.server.count(path), 2);
}

#[tokio::test]
async fn an_unchanged_document_that_has_run_out_is_stale() {
    let world = World::new().await;
    let crl = super::support::crl(START + DAY);
    world.server.publish(CRL_PATH, Published::new("application/pkix-crl", crl).with_etag("\"v1\""));
    let collector = world.collector();
    get(&collector, &crl_key()).await.unwrap();
    world.pass(DAY);
    let error = get(&collector, &crl_key()).await.unwrap_err();
    let FetchError::Expired { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(&*source, FetchError::Stale { since: UnixTime(since), .. } if *since == START + DAY));
}

#[tokio::test]
async fn an_unchanged_status_does_not_outlive_what_was_confirmed() {
    let world = World::new().await;
    let published = Published::new("application/ocsp-response", der(b"good")).with_etag("\"v1\"");
    world.server.publish(OCSP_PATH, published);
    let request = der(b"is it good?");
    let request = OcspRequest { der: &request };
    let collector = world.collector();
    collector.ocsp(&request).await.unwrap();
    let unchanged = collector.ocsp(&request).await.unwrap().found;
    assert_eq!((&unchanged.provenance.origin, unchanged.provenance.state), (&Origin::Cache, State::Unknown));
    collector.confirm(&unchanged, Freshness::Until(UnixTime(START + DAY))).await;
    world.pass(DAY);
    let error = collector.ocsp(&request).await.unwrap_err();
    let FetchError::Expired { source, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*source, FetchError::Stale { .. }), "{source:?}");
}

#[tokio::test]
async fn an_overlong_version_is_not_sent_back() {
    let world = World::new().await;
    let published = Published::new("application/ocsp-response", der(b"good")).with_etag(&"v".repeat(257));
    world.server.publish(OCSP_PATH, published);
    let request = der(b"is it good?");
    for number in 0..2 {
        world.collector().ocsp(&OcspRequest { der: &request }).await.unwrap();
        assert_eq!(world.server.requests()[number].header("if-none-match"), "");
    }
}

#[tokio::test]
async fn certificate_status_counts_only_once_confirmed() {
    let world = World::new().await;
    world.server.nvidia_ocsp(&der(b"good"));
    let request = der(b"is it good?");
    let request = OcspRequest { der: &request };
    let collector = world.collector();
    for asked in 1..=2 {
        let answer = collector.ocsp(&request).await.unwrap();
        assert_eq!(answer.bytes, der(b"good"));
        assert_eq!(answer.found.provenance.state, State::Unknown);
        assert_eq!(world.server.count(OCSP_PATH), asked);
    }
    let sent = &world.server.requests()[0];
    assert_eq!((sent.method.as_str(), sent.header("content-type")), ("POST", "application/ocsp-request"));
    assert_eq!(sent.body, request.der);

    let verified = collector.ocsp(&request).await.unwrap().found;
    collector.confirm(&verified, Freshness::Until(UnixTime(START + DAY))).await;
    let answer = collector.ocsp(&request).await.unwrap();
    assert_eq!(
        (answer.found.provenance.origin, answer.found.provenance.state),
        (Origin::Cache, State::Current)
    );
    assert_eq!(world.server.count(OCSP_PATH), 3);
    world.pass(DAY);
    collector.ocsp(&request).await.unwrap();
    assert_eq!(world.server.count(OCSP_PATH), 4);
}

/// Between an answer and the end of its verification another one may come into the cache, which nobody verified.
#[tokio::test]
async fn only_what_was_verified_is_confirmed_or_dropped() {
    let world = World::new().await;
    let request = der(b"is it good?");
    let request = OcspRequest { der: &request };
    let collector = world.collector();
    world.server.nvidia_ocsp(&der(b"good"));
    let verified = collector.ocsp(&request).await.unwrap().found;
    world.server.nvidia_ocsp(&der(b"forged"));
    let forged = collector.ocsp(&request).await.unwrap().found;

    collector.confirm(&verified, Freshness::Until(UnixTime(START + DAY))).await;
    let answer = collector.ocsp(&request).await.unwrap();
    assert_eq!(answer.found.provenance.state, State::Unknown, "{:?}", answer.found.provenance.origin);
    assert_eq!(
        world.server.count(OCSP_PATH),
        3,
        "the forged one does not count by the good one's verification"
    );

    world.server.nvidia_ocsp(&der(b"good"));
    let good = collector.ocsp(&request).await.unwrap().found;
    collector.reject(&forged).await;
    collector.confirm(&good, Freshness::Until(UnixTime(START + DAY))).await;
    let answer = collector.ocsp(&request).await.unwrap();
    assert_eq!((answer.bytes, answer.found.provenance.state), (der(b"good"), State::Current));
    assert_eq!(world.server.count(OCSP_PATH), 4);
}

#[tokio::test]
async fn an_answer_to_a_nonce_is_not_kept() {
    let world = World::new().await;
    world.server.nvidia_ocsp(&der(b"good"));
    let nonce = [6, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 2, 4, 2, 0xaa, 0xbb];
    let request = der(&nonce);
    world.collector().ocsp(&OcspRequest { der: &request }).await.unwrap();
    assert_eq!(world.files("json").len(), 0);
    let without = der(&nonce[1..]);
    world.collector().ocsp(&OcspRequest { der: &without }).await.unwrap();
    assert_eq!(world.files("json").len(), 1);
}

#[tokio::test]
async fn a_request_that_does_not_fit_its_key_is_not_sent() {
    let world = World::new().await;
    let collector = world.collector();
    let long = vec![0x30; (16 << 10) + 1];
    for request in [&b"no request"[..], b"", &long] {
        let error = collector.ocsp(&OcspRequest { der: request }).await.unwrap_err();
        assert!(matches!(error, FetchError::NoRequest));
    }
    let (request, other) = (der(b"this"), der(b"that"));
    let none = Extras::new();
    for (key, body) in [(OcspRequest { der: &request }.key(), other), (vcek_key(), request)] {
        let error = collector.document(&key, &body, &none).await.unwrap_err();
        assert!(matches!(error, FetchError::NoRequest), "{key}");
    }
    assert_eq!(world.server.requests().len(), 0);
}

/// Damages the cached certificate and gets it again.
async fn damaged(damage: impl FnOnce(&World)) {
    let world = World::new().await;
    let vcek = world.publish_vcek();
    let collector = world.collector();
    get(&collector, &vcek_key()).await.unwrap();
    damage(&world);
    let found = get(&collector, &vcek_key()).await.unwrap();
    assert_eq!(found.provenance.origin, Origin::Network { host: world.server.host() });
    assert_eq!(found.document.bytes, vcek);
    assert_eq!(world.server.count(VCEK_PATH), 2);
    let found = get(&collector, &vcek_key()).await.unwrap();
    assert_eq!((&found.provenance.origin, &found.document.bytes), (&Origin::Cache, &vcek));
}

#[tokio::test]
async fn what_was_damaged_is_dropped_and_fetched_again() {
    damaged(|world| {
        let mut bytes = std::fs::read(world.file("bin")).unwrap();
        bytes[7] ^= 1;
        std::fs::write(world.file("bin"), bytes).unwrap();
    })
    .await;
    damaged(|world| {
        let bytes = std::fs::read(world.file("bin")).unwrap();
        std::fs::write(world.file("bin"), &bytes[..bytes.len() / 2]).unwrap();
    })
    .await;
    damaged(|world| std::fs::write(world.file("bin"), vec![0x30; 1 << 20]).unwrap()).await;
    damaged(|world| std::fs::remove_file(world.file("bin")).unwrap()).await;
    damaged(|world| std::fs::write(world.file("json"), "{\"version\":1,").unwrap()).await;
    damaged(|world| {
        // another document's sidecar, as after a wrong restore
        let sidecar = std::fs::read_to_string(world.file("json")).unwrap();
        std::fs::write(world.file("json"), sidecar.replace("Turin/abab", "Turin/cdcd")).unwrap();
    })
    .await;
}

#[tokio::test]
async fn a_folder_that_cannot_be_written_costs_a_fetch_and_no_more() {
    let world = World::new().await;
    world.publish_vcek();
    let collector = world.collector();
    std::fs::remove_dir(world.folder.path().join("collateral")).unwrap();
    for asked in 1..=2 {
        get(&collector, &vcek_key()).await.unwrap();
        assert_eq!(world.server.count(VCEK_PATH), asked);
    }
    std::fs::write(world.folder.path().join("collateral"), "a file").unwrap();
    let Err(error) = Collector::new(world.settings()) else { panic!("a file is no folder") };
    assert!(matches!(error, crate::SetupError::Folder { .. }), "{error:?}");
}

#[tokio::test]
async fn without_a_folder_nothing_is_kept() {
    let world = World::new().await;
    world.publish_vcek();
    let collector = Collector::new(Settings { folder: None, ..world.settings() }).unwrap();
    for asked in 1..=2 {
        get(&collector, &vcek_key()).await.unwrap();
        assert_eq!(world.server.count(VCEK_PATH), asked);
    }
}

/// Changes a member of the only sidecar.
fn forge(world: &World, member: &str, value: serde_json::Value) {
    let path = world.file("json");
    let mut sidecar: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    sidecar[member] = value;
    std::fs::write(path, sidecar.to_string()).unwrap();
}

#[tokio::test]
async fn a_forged_sidecar_does_not_keep_an_old_list() {
    for forged in [serde_json::json!("forever"), serde_json::json!({"until": START + 1000 * DAY})] {
        let world = World::new().await;
        world.publish_crl(START + DAY);
        let collector = world.collector();
        get(&collector, &crl_key()).await.unwrap();
        forge(&world, "freshness", forged);
        world.pass(DAY);
        let newer = world.publish_crl(START + 2 * DAY);
        assert_eq!(get(&collector, &crl_key()).await.unwrap().document.bytes, newer);
    }
}

#[tokio::test]
async fn a_forged_version_does_not_keep_an_old_list() {
    let world = World::new().await;
    world.publish_crl(START + DAY);
    let collector = world.collector();
    get(&collector, &crl_key()).await.unwrap();
    forge(&world, "etag", "\"v2\"".into());
    world.pass(DAY);
    let newer = super::support::crl(START + 2 * DAY);
    let published = Published::new("application/pkix-crl", newer.clone()).with_etag("\"v2\"");
    world.server.publish(CRL_PATH, published);
    assert_eq!(get(&collector, &crl_key()).await.unwrap().document.bytes, newer);
}

#[tokio::test]
async fn a_version_that_fits_no_header_is_not_sent_back() {
    let world = World::new().await;
    let published = Published::new("application/ocsp-response", der(b"good")).with_etag("\"v1\"");
    world.server.publish(OCSP_PATH, published);
    let request = der(b"is it good?");
    let collector = world.collector();
    collector.ocsp(&OcspRequest { der: &request }).await.unwrap();
    forge(&world, "etag", "v\r\nhost: elsewhere".into());
    collector.ocsp(&OcspRequest { der: &request }).await.unwrap();
    assert_eq!(world.server.requests()[1].header("if-none-match"), "");
}
