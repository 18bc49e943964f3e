//! Mutual TLS between workloads of the fake deployment.

use std::{convert::Infallible, io, sync::Arc};

use http::{Request, Response};
use hyper::{body::Incoming, service::service_fn};
use privatemode_attest::mesh::{LeafError, SignatureError};
use privatemode_mesh::{MeshIdentity, PeerError};
use privatemode_service::{Connection, Limits, Shutdown, TlsSource, body::full, listen, serve};
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256};
use rustls::{
    ClientConfig, HandshakeKind, RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use crate::fake::{Ca, Fake, now};

/// What each side says to a handshake and one byte in both directions.
struct Outcome {
    server: io::Result<()>,
    client: io::Result<HandshakeKind>,
}

/// The URL's host is one that no certificate has: it must not matter.
async fn handshake(server: &dyn TlsSource, client: ClientConfig) -> Outcome {
    handshake_as(server, Arc::new(client), "somewhere.invalid").await
}

async fn handshake_as(server: &dyn TlsSource, client: Arc<ClientConfig>, host: &'static str) -> Outcome {
    let (near, far) = tokio::io::duplex(64 * 1024);
    let acceptor = TlsAcceptor::from(server.current());
    let server = async move {
        let mut stream = acceptor.accept(far).await?;
        stream.write_all(b"x").await?;
        stream.read_u8().await.map(drop)
    };
    let client = async move {
        let mut stream = TlsConnector::from(client).connect(host.try_into().unwrap(), near).await?;
        let kind = stream.get_ref().1.handshake_kind().unwrap();
        stream.read_u8().await?;
        stream.write_all(b"x").await?;
        stream.flush().await?;
        Ok(kind)
    };
    let (server, client) = tokio::join!(server, client);
    Outcome { server, client }
}

fn reason(result: io::Result<impl Sized>) -> PeerError {
    let error = result.err().expect("refused");
    match PeerError::find(&error) {
        Some(PeerError::NotOfThisMesh { source }) => PeerError::NotOfThisMesh { source: source.clone() },
        Some(PeerError::WrongName { expected, got }) => {
            PeerError::WrongName { expected: expected.clone(), got: got.clone() }
        }
        other => panic!("{other:?} in {error:?}"),
    }
}

fn wrong_name(expected: &[&str], got: &str) -> PeerError {
    let expected = expected.iter().map(|name| (*name).to_owned()).collect();
    PeerError::WrongName { expected, got: vec![got.to_owned()] }
}

#[tokio::test]
async fn strangers_verify_us_where_they_are_let_in() {
    let fake = Fake::start();
    let service = fake.join("secret-service").await;
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(service.mesh_ca_pem().as_bytes()).unwrap()).unwrap();
    let client = || {
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_no_client_auth()
    };
    let tls = service.server_tls_for_strangers();
    let outcome = handshake_as(&*tls, Arc::new(client()), "secret-service").await;
    outcome.server.unwrap();
    outcome.client.unwrap();
    let outcome = handshake_as(&*tls, Arc::new(client()), "gateway").await;
    let error = outcome.client.unwrap_err().to_string();
    assert!(error.contains("not valid for name"), "{error}");
    // and nowhere else
    let outcome =
        handshake_as(&*service.server_tls(&["gateway"]), Arc::new(client()), "secret-service").await;
    let error = outcome.server.unwrap_err().to_string();
    assert!(error.contains("no certificates"), "{error}");
}

#[tokio::test]
async fn the_right_names_are_let_in() {
    let fake = Fake::start();
    let (service, gateway, worker) =
        (fake.join("secret-service").await, fake.join("gateway").await, fake.join("inference-proxy").await);
    assert_eq!((service.name(), gateway.name()), ("secret-service".to_owned(), "gateway".to_owned()));
    let tls = service.server_tls(&["gateway", "inference-proxy"]);
    for peer in [gateway, worker] {
        let outcome = handshake(&*tls, peer.client_config("secret-service")).await;
        outcome.server.unwrap();
        outcome.client.unwrap();
    }
}

#[tokio::test]
async fn another_workload_of_the_mesh_is_not_let_in() {
    let fake = Fake::start();
    let (service, worker) = (fake.join("secret-service").await, fake.join("inference-proxy").await);
    let tls = service.server_tls(&["gateway"]);
    let outcome = handshake(&*tls, worker.client_config("secret-service")).await;
    assert_eq!(reason(outcome.server), wrong_name(&["gateway"], "inference-proxy"));
    assert!(outcome.client.is_err());
}

#[tokio::test]
async fn another_workload_is_not_taken_for_the_service() {
    let fake = Fake::start();
    let (gateway, worker) = (fake.join("gateway").await, fake.join("inference-proxy").await);
    let tls = gateway.server_tls(&["inference-proxy"]);
    let outcome = handshake(&*tls, worker.client_config("secret-service")).await;
    assert_eq!(reason(outcome.client), wrong_name(&["secret-service"], "gateway"));
    assert!(outcome.server.is_err());
}

#[tokio::test]
async fn a_name_in_the_url_opens_nothing() {
    let fake = Fake::start();
    let (gateway, worker) = (fake.join("gateway").await, fake.join("inference-proxy").await);
    let tls = gateway.server_tls(&["inference-proxy"]);
    // The certificate is good for the URL's host, and still not the expected workload's.
    let config = Arc::new(worker.client_config("secret-service"));
    let outcome = handshake_as(&*tls, config, "gateway").await;
    assert_eq!(reason(outcome.client), wrong_name(&["secret-service"], "gateway"));
}

#[tokio::test]
async fn another_deployment_is_foreign_in_both_directions() {
    let (ours, theirs) = (Fake::start(), Fake::start());
    let (service, gateway) = (ours.join("secret-service").await, ours.join("gateway").await);
    let (foreign_service, foreign_gateway) =
        (theirs.join("secret-service").await, theirs.join("gateway").await);
    let foreign =
        || PeerError::NotOfThisMesh { source: LeafError::Signature { source: SignatureError::Wrong } };

    let tls = service.server_tls(&["gateway"]);
    // A client that is content with our server, so that the server has to notice.
    let outcome = handshake_as(&*tls, Arc::new(stolen(&ours, &foreign_gateway)), "secret-service").await;
    assert_eq!(reason(outcome.server), foreign());

    let tls = foreign_service.server_tls(&["gateway"]);
    let outcome = handshake(&*tls, gateway.client_config("secret-service")).await;
    assert_eq!(reason(outcome.client), foreign());
}

/// The TLS of a workload of another deployment, with our server accepted: only its own certificate is foreign.
fn stolen(ours: &Fake, foreign: &MeshIdentity) -> ClientConfig {
    let mut config = raw_client(ours, None);
    config.client_auth_cert_resolver = foreign.client_config("secret-service").client_auth_cert_resolver;
    config
}

/// Plain `rustls`, with our CA as root and this certificate.
fn raw_client(fake: &Fake, pair: Option<(CertificateDer<'static>, PrivateKeyDer<'static>)>) -> ClientConfig {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_slice(fake.ca().pem.as_bytes()).unwrap()).unwrap();
    let builder =
        ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots);
    match pair {
        Some((leaf, key)) => builder.with_client_auth_cert(vec![leaf], key).unwrap(),
        None => builder.with_no_client_auth(),
    }
}

fn leaf(ca: &Ca, name: &str, valid: (u64, u64)) -> (CertificateDer<'static>, PrivateKeyDer<'static>) {
    let key = KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap();
    let leaf = ca.issue(&[name.to_owned()], &key, valid).der().clone();
    (leaf, PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der())))
}

#[tokio::test]
async fn a_certificate_out_of_its_time_is_refused() {
    let fake = Fake::start();
    let tls = fake.join("secret-service").await.server_tls(&["gateway"]);

    let pair = leaf(&fake.ca(), "gateway", (now() - 100, now() - 10));
    let outcome = handshake_as(&*tls, Arc::new(raw_client(&fake, Some(pair))), "secret-service").await;
    let PeerError::NotOfThisMesh { source } = reason(outcome.server) else { panic!("another reason") };
    assert!(matches!(source, LeafError::Expired { .. }), "{source:?}");

    let pair = leaf(&fake.ca(), "gateway", (now() + 1000, now() + 2000));
    let outcome = handshake_as(&*tls, Arc::new(raw_client(&fake, Some(pair))), "secret-service").await;
    let PeerError::NotOfThisMesh { source } = reason(outcome.server) else { panic!("another reason") };
    assert!(matches!(source, LeafError::NotYetValid { .. }), "{source:?}");

    let pair = leaf(&fake.ca(), "gateway", (now() - 100, now() + 100));
    let outcome = handshake_as(&*tls, Arc::new(raw_client(&fake, Some(pair))), "secret-service").await;
    outcome.server.expect("the same with a good time");
}

#[tokio::test]
async fn nobody_comes_in_without_a_certificate() {
    let fake = Fake::start();
    let tls = fake.join("secret-service").await.server_tls(&["gateway"]);
    let outcome = handshake_as(&*tls, Arc::new(raw_client(&fake, None)), "secret-service").await;
    let error = outcome.server.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<rustls::Error>());
    assert!(matches!(inner, Some(rustls::Error::NoCertificatesPresented)), "{error:?}");
}

#[tokio::test]
async fn no_session_is_resumed() {
    let fake = Fake::start();
    let (service, gateway) = (fake.join("secret-service").await, fake.join("gateway").await);
    let tls = service.server_tls(&["gateway"]);
    let ours = Arc::new(gateway.client_config("secret-service"));
    // A client of its own make that would resume if it could.
    let eager = Arc::new(raw_client(&fake, Some(leaf(&fake.ca(), "gateway", (now() - 100, now() + 100)))));
    for config in [ours, eager] {
        for _ in 0..2 {
            let outcome = handshake_as(&*tls, Arc::clone(&config), "secret-service").await;
            assert_eq!(outcome.client.unwrap(), HandshakeKind::Full);
        }
    }
}

#[tokio::test]
async fn a_new_mesh_ca_reaches_listeners_and_clients_that_exist() {
    let fake = Fake::start();
    let (service, gateway) = (fake.join("secret-service").await, fake.join("gateway").await);
    let (tls, client) = (service.server_tls(&["gateway"]), gateway.client_config("secret-service"));
    handshake(&*tls, client.clone()).await.server.unwrap();

    fake.new_mesh_ca();
    service.renew().await.unwrap();
    let outcome = handshake(&*tls, client.clone()).await;
    let refusal = reason(outcome.client);
    assert!(matches!(refusal, PeerError::NotOfThisMesh { .. }), "one side only: {refusal:?}");
    gateway.renew().await.unwrap();
    handshake(&*tls, client).await.server.unwrap();
}

#[tokio::test]
async fn a_server_knows_who_calls() {
    let fake = Fake::start();
    let service = fake.join("secret-service").await;
    let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = listener.local_addr().unwrap();
    let tls = service.server_tls(&["gateway", "inference-proxy"]);
    let shutdown = Shutdown::new();
    let route = service_fn(move |request: Request<Incoming>| {
        let connection = Connection::of(&request).unwrap();
        let all = service.peer_name(connection, &["gateway", "inference-proxy"]);
        let workers_only = service.peer_name(connection, &["inference-proxy"]);
        let answer = format!("{all:?} {}", workers_only.is_ok());
        std::future::ready(Ok::<_, Infallible>(Response::new(full(answer))))
    });
    let server = tokio::spawn(serve(listener, Some(tls), route, Limits::default(), shutdown.clone()));

    for (workload, expected) in [
        ("gateway", "Ok(\"gateway\") false"),
        ("inference-proxy", "Ok(\"inference-proxy\") true"),
        ("both", "Err(Ambiguous { got: [\"gateway\", \"inference-proxy\"] }) true"),
    ] {
        let config = fake.join(workload).await.client_config("secret-service");
        let stream = TcpStream::connect(address).await.unwrap();
        let host = "somewhere.invalid".try_into().unwrap();
        let mut stream = TlsConnector::from(Arc::new(config)).connect(host, stream).await.unwrap();
        stream.write_all(b"GET / HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(answer.ends_with(expected), "{workload}: {answer}");
    }
    shutdown.trigger();
    server.await.unwrap();
}

#[tokio::test]
async fn a_request_that_came_without_mesh_tls_is_nobodys() {
    let fake = Fake::start();
    let service = fake.join("secret-service").await;
    let connection = Connection {
        remote: "127.0.0.1:1".parse().unwrap(),
        local: "127.0.0.1:2".parse().unwrap(),
        peer_certificates: Arc::new([]),
    };
    assert_eq!(service.peer_name(&connection, &["gateway"]), Err(PeerError::NoCertificate));
}
