//! The state in ConfigMaps, with an API server that does everything that a real one may do to us.

use std::{
    error::Error as _,
    fs,
    sync::{Arc, Once},
    time::Duration,
};

use privatemode_store::state::{
    ConfigMapError, ConfigMapSettings, ConfigMapState, StateError, StateKey, StateStore as _, SwapError,
};
use privatemode_test_kit::{
    kubernetes::{FakeKubernetes, Fault, Stop},
    wait_until,
};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use serde_json::json;

use crate::suite::{self, Backend, Handle};

const NAMESPACE: &str = "hospital";
const LATEST: &str = "contrast-store-transitions-latest";
const LIMIT: Duration = Duration::from_secs(60);

struct Cluster {
    server: Arc<FakeKubernetes>,
    account: tempfile::TempDir,
}

/// A certificate authority, PEM, and a TLS configuration for 127.0.0.1 under it.
fn authority() -> (String, Arc<rustls::ServerConfig>) {
    static PROVIDER: Once = Once::new();
    PROVIDER.call_once(|| {
        let _there_already = rustls::crypto::aws_lc_rs::default_provider().install_default();
    });
    let ca_key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::default();
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&ca_key).unwrap().pem();
    let key = rcgen::KeyPair::generate().unwrap();
    let leaf = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let leaf = leaf.signed_by(&key, &rcgen::Issuer::from_params(&ca, &ca_key)).unwrap();
    let der = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let config = rustls::ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(vec![leaf.der().clone()], der)
        .unwrap();
    (pem, Arc::new(config))
}

impl Cluster {
    async fn start() -> Self {
        let (pem, tls) = authority();
        let account = tempfile::tempdir().unwrap();
        fs::write(account.path().join("ca.crt"), pem).unwrap();
        fs::write(account.path().join("namespace"), NAMESPACE).unwrap();
        fs::write(account.path().join("token"), "first token\n").unwrap();
        let server = Arc::new(FakeKubernetes::start(tls, NAMESPACE, "first token").await);
        Self { server, account }
    }

    fn settings(&self) -> ConfigMapSettings {
        let address = self.server.address();
        let variable = |name: &str| match name {
            "KUBERNETES_SERVICE_HOST" => Some(address.ip().to_string()),
            "KUBERNETES_SERVICE_PORT" => Some(address.port().to_string()),
            _ => None,
        };
        let settings = ConfigMapSettings::with_account(variable, self.account.path()).unwrap();
        ConfigMapSettings { pause: Duration::from_millis(1), ..settings }
    }

    fn state(&self) -> ConfigMapState {
        ConfigMapState::new(self.settings()).unwrap()
    }

    /// Watches for a change from `seen` until the server has the watch.
    async fn watching(&self, seen: Option<&'static [u8]>) -> Change {
        let state = self.state();
        let change = tokio::spawn(async move { state.changed(seen).await });
        wait_until("a watch", LIMIT, async || self.server.watches() == 1).await;
        change
    }

    /// What came in watches as their version.
    fn versions(&self) -> Vec<Option<String>> {
        let watches =
            self.server.requests().into_iter().filter(|request| request.path.contains("watch=true"));
        watches
            .map(|request| request.path.split_once("resourceVersion=").map(|(_, version)| version.to_owned()))
            .collect()
    }
}

type Change = tokio::task::JoinHandle<Result<Option<Vec<u8>>, StateError>>;

async fn seen(change: Change) -> Option<Vec<u8>> {
    tokio::time::timeout(LIMIT, change).await.expect("a change is seen").unwrap().unwrap()
}

impl Backend for Cluster {
    fn open(&self) -> Handle {
        Arc::new(self.state())
    }
}

fn cause(error: &StateError) -> &ConfigMapError {
    assert!(matches!(error, StateError::Unavailable(_)), "{error:?}");
    error.source().unwrap().downcast_ref().unwrap()
}

fn refused(error: &StateError) -> (u16, &str) {
    match cause(error) {
        ConfigMapError::Refused { status, reason, .. } => (*status, reason),
        other => panic!("{other:?}"),
    }
}

fn stored(error: SwapError) -> StateError {
    match error {
        SwapError::Store(error) => error,
        SwapError::Lost => panic!("it was not lost"),
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn does_what_a_store_must() {
    suite::run(Cluster::start).await;
}

#[tokio::test]
async fn objects_are_those_of_the_existing_service() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.put(&StateKey::Policy([0xbe; 32]), b"{}\n").await.unwrap();
    state.swap(None, b"latest").await.unwrap();
    let hex = "be".repeat(32);
    assert_eq!(cluster.server.names(), [format!("contrast-store-policies-{hex}"), LATEST.to_owned()]);
    let object = cluster.server.object(LATEST).unwrap();
    assert_eq!(object["binaryData"], json!({"latest": "bGF0ZXN0"}));
    assert_eq!(
        object["metadata"]["labels"],
        json!({"app.kubernetes.io/managed-by": "contrast.edgeless.systems"})
    );
    let policy = cluster.server.object(&format!("contrast-store-policies-{hex}")).unwrap();
    assert_eq!(policy["binaryData"], json!({ hex: "e30K" }));
}

#[tokio::test]
async fn a_token_that_rotates_is_read_again() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    cluster.server.rotate_token("second token");
    let error = state.get(&StateKey::Latest).await.unwrap_err();
    assert_eq!(refused(&error), (401, "Unauthorized"));
    assert!(!format!("{error:?}").contains("token"), "no token in {error:?}");
    fs::write(cluster.account.path().join("token"), "second token").unwrap();
    assert_eq!(state.get(&StateKey::Latest).await.unwrap().as_deref(), Some(&b"a"[..]));

    for token in ["", "\n", "two\nlines"] {
        fs::write(cluster.account.path().join("token"), token).unwrap();
        let error = state.get(&StateKey::Latest).await.unwrap_err();
        assert!(matches!(cause(&error), ConfigMapError::Token { .. }), "{error:?}");
    }
    fs::remove_file(cluster.account.path().join("token")).unwrap();
    let error = state.get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(cause(&error), ConfigMapError::File { what: "token", .. }), "{error:?}");
}

#[tokio::test]
async fn another_server_does_not_see_the_token() {
    let cluster = Cluster::start().await;
    fs::write(cluster.account.path().join("ca.crt"), authority().0).unwrap();
    let error = cluster.state().get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(cause(&error), ConfigMapError::Connect { .. }), "{error:?}");
    assert!(cluster.server.requests().is_empty());
    fs::write(cluster.account.path().join("ca.crt"), "no certificate").unwrap();
    let error = cluster.state().get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(cause(&error), ConfigMapError::Authority { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_fails_or_is_slow() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    for status in [500, 429, 503] {
        cluster.server.fault_once(Fault::Status(status));
        assert_eq!(refused(&state.get(&StateKey::Latest).await.unwrap_err()).0, status);
        cluster.server.fault_once(Fault::Status(status));
        assert_eq!(refused(&stored(state.swap(Some(b"a"), b"b").await.unwrap_err())).0, status);
    }
    cluster.server.fault_once(Fault::Reset);
    let error = state.get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(cause(&error), ConfigMapError::Broken { .. }), "{error:?}");

    let settings = ConfigMapSettings { timeout: Duration::from_millis(300), ..cluster.settings() };
    let hasty = ConfigMapState::new(settings).unwrap();
    cluster.server.fault_once(Fault::HeldBack);
    let error = hasty.get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(cause(&error), ConfigMapError::Timeout { .. }), "{error:?}");
    // who waits gets it
    cluster.server.fault_once(Fault::HeldBack);
    let before = cluster.server.requests().len();
    let slow = tokio::spawn(async move { state.get(&StateKey::Latest).await.unwrap() });
    wait_until("the request", LIMIT, async || cluster.server.requests().len() > before).await;
    cluster.server.release();
    assert_eq!(slow.await.unwrap().as_deref(), Some(&b"a"[..]));
}

/// The answer to a swap is lost: nobody knows, until it is read again.
#[tokio::test]
async fn a_swap_whose_answer_is_lost() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    cluster.server.fault_once(Fault::DoneAndReset);
    let error = stored(state.swap(None, b"a").await.unwrap_err());
    assert!(matches!(cause(&error), ConfigMapError::Broken { .. }), "{error:?}");
    assert_eq!(state.get(&StateKey::Latest).await.unwrap().as_deref(), Some(&b"a"[..]));
    assert!(matches!(state.swap(None, b"a").await, Err(SwapError::Lost)));
}

#[tokio::test]
async fn what_others_wrote_is_named_or_kept() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    let mut object = cluster.server.object(LATEST).unwrap();
    object["metadata"]["annotations"] = json!({"backup": "yes"});
    cluster.server.put(object);
    state.swap(Some(b"a"), b"b").await.unwrap();
    let mut object = cluster.server.object(LATEST).unwrap();
    assert_eq!(object["metadata"]["annotations"], json!({"backup": "yes"}));

    object["binaryData"] = json!({"other": "AA=="});
    cluster.server.put(object);
    let error = state.get(&StateKey::Latest).await.unwrap_err();
    assert!(matches!(error, StateError::Foreign { key: StateKey::Latest, .. }), "{error:?}");
    let error = stored(state.swap(Some(b"b"), b"c").await.unwrap_err());
    assert!(matches!(error, StateError::Foreign { .. }), "{error:?}");
    cluster.server.delete(LATEST);
    assert!(matches!(state.swap(Some(b"b"), b"c").await, Err(SwapError::Lost)));
}

#[tokio::test]
async fn a_watch_goes_on_after_its_timeout_where_it_ended() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    let change = cluster.watching(Some(b"a")).await;
    cluster.server.bookmark();
    cluster.server.stop_watches(Stop::Timeout);
    wait_until("the next watch", LIMIT, async || cluster.server.watches() == 1).await;
    assert_eq!(cluster.versions(), [Some("1".to_owned()), Some("2".to_owned())], "from the bookmark");
    state.swap(Some(b"a"), b"b").await.unwrap();
    assert_eq!(seen(change).await.as_deref(), Some(&b"b"[..]));
}

#[tokio::test]
async fn a_change_between_two_watches_is_seen() {
    for stop in [Stop::Timeout, Stop::Break] {
        let cluster = Cluster::start().await;
        let state = cluster.state();
        state.swap(None, b"a").await.unwrap();
        let change = cluster.watching(Some(b"a")).await;
        cluster.server.fault_watch_once(Fault::Reset);
        cluster.server.fault_watch_once(Fault::HeldBack);
        cluster.server.stop_watches(stop);
        wait_until("the third watch", LIMIT, async || cluster.versions().len() == 3).await;
        state.swap(Some(b"a"), b"b").await.unwrap();
        cluster.server.release();
        assert_eq!(seen(change).await.as_deref(), Some(&b"b"[..]));
    }
}

#[tokio::test]
async fn a_version_that_the_server_forgot() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    for by_status in [false, true] {
        let change = cluster.watching(Some(b"a")).await;
        cluster.server.compact(by_status);
        cluster.server.stop_watches(Stop::Break);
        // the object is as old as before: each watch from its version is gone, until somebody writes
        let before = cluster.versions().len();
        wait_until("watches in vain", LIMIT, async || cluster.versions().len() > before + 2).await;
        state.swap(Some(b"a"), b"b").await.unwrap();
        assert_eq!(seen(change).await.as_deref(), Some(&b"b"[..]));
        state.swap(Some(b"b"), b"a").await.unwrap();
    }
}

#[tokio::test]
async fn a_deleted_entry_is_a_change() {
    let cluster = Cluster::start().await;
    cluster.state().swap(None, b"a").await.unwrap();
    let change = cluster.watching(Some(b"a")).await;
    cluster.server.delete(LATEST);
    assert_eq!(seen(change).await, None);
}

#[tokio::test]
async fn what_does_not_concern_us_is_no_change() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    let change = cluster.watching(Some(b"a")).await;
    state.put(&StateKey::Manifest([1; 32]), b"manifest").await.unwrap();
    let mut object = cluster.server.object(LATEST).unwrap();
    object["metadata"]["labels"]["another"] = json!("label");
    cluster.server.put(object);
    cluster.server.bookmark();
    assert!(!change.is_finished());
    state.swap(Some(b"a"), b"b").await.unwrap();
    assert_eq!(seen(change).await.as_deref(), Some(&b"b"[..]));
    assert_eq!(cluster.versions().len(), 1, "one watch was enough");
}

#[tokio::test]
async fn nobody_watches_for_ever_what_cannot_be_watched() {
    let cluster = Cluster::start().await;
    let state = cluster.state();
    state.swap(None, b"a").await.unwrap();
    let change = cluster.watching(Some(b"a")).await;
    for _ in 0..10 {
        cluster.server.fault_watch_once(Fault::Status(500));
    }
    cluster.server.stop_watches(Stop::Timeout);
    let error = tokio::time::timeout(LIMIT, change).await.unwrap().unwrap().unwrap_err();
    assert_eq!(refused(&error).0, 500);
    assert_eq!(cluster.versions().len(), 6, "five watches in vain after the one that ended");
}

#[tokio::test]
async fn a_watch_ends_with_whoever_waited() {
    let cluster = Cluster::start().await;
    cluster.state().swap(None, b"a").await.unwrap();
    let change = cluster.watching(Some(b"a")).await;
    change.abort();
    wait_until("no watch", LIMIT, async || {
        cluster.server.bookmark();
        cluster.server.watches() == 0
    })
    .await;
}
