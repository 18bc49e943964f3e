//! A client proxy that meets a gateway gone bad: a man in the middle between `privatemode-proxy` and the real gateway.

use std::net::SocketAddr;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use privatemode_test_kit::{ChildGuard, Message, TamperingGateway, TlsSides, Verdict};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};

use crate::harness::{PRIVATEMODE, Up};

/// The proxy, the man in the middle, and the key.
pub(crate) struct Rogue {
    gateway: TamperingGateway,
    proxy: ChildGuard,
    address: String,
    key: String,
    workspace: tempfile::TempDir,
}

impl Rogue {
    /// Starts both before the gateway of `up`; `hook` tampers from the first byte on. Sealed bodies, as `up` has them.
    pub(crate) async fn start(up: &Up, hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static) -> Self {
        Self::speaking("auto", up, hook).await
    }

    /// The same over sealed fields.
    pub(crate) async fn compatible(
        up: &Up,
        hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static,
    ) -> Self {
        Self::speaking("compatible", up, hook).await
    }

    async fn speaking(
        protocol: &str,
        up: &Up,
        hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static,
    ) -> Self {
        let workspace = tempfile::tempdir().unwrap();
        let certificate = workspace.path().join("rogue.pem");
        let gateway = TamperingGateway::start(gateway_of(up), sides(up, &certificate), hook).await;
        let mut command = Command::new(PRIVATEMODE);
        command
            .args([
                "service",
                "proxy",
                "--announce",
                "--danger-simulated",
                "--port",
                "0",
                "--log-level",
                "debug",
            ])
            .args(["--protocol", protocol, "--apiEndpoint", &gateway.address().to_string()])
            .arg("--workspace")
            .arg(workspace.path())
            .arg("--manifestPath")
            .arg(up.directory().join("deployment/manifest.json"))
            .arg("--apiKey")
            .arg(format!("@{}", up.directory().join("api-key").display()))
            .env("SSL_CERT_FILE", &certificate);
        let mut proxy = ChildGuard::spawn(&mut command).unwrap();
        let announced = proxy.announced(Duration::from_secs(60)).await.unwrap();
        let address = announced["addresses"]["http"].as_str().unwrap().to_owned();
        Self { gateway, proxy, address, key: up.api_key().to_owned(), workspace }
    }

    /// Tampers in another way from now on.
    pub(crate) fn tamper(&self, hook: impl FnMut(Message<'_>) -> Verdict + Send + 'static) {
        self.gateway.tamper(hook);
    }

    /// A POST of JSON through the proxy.
    pub(crate) fn post(&self, path: &str, body: impl Into<reqwest::Body>) -> reqwest::RequestBuilder {
        Up::client()
            .post(format!("http://{}/v1{path}", self.address))
            .bearer_auth(&self.key)
            .header("content-type", "application/json")
            .body(body)
    }

    pub(crate) fn get(&self, path: &str) -> reqwest::RequestBuilder {
        Up::client().get(format!("http://{}{path}", self.address)).bearer_auth(&self.key)
    }

    /// As [`Up::settled`], for this proxy.
    pub(crate) async fn settled(&self) {
        let chat = r#"{"model":"stub","messages":[]}"#;
        assert_eq!(self.post("/chat/completions", chat).send().await.unwrap().status(), 200);
    }

    /// The proxy's own word on its protocol.
    pub(crate) fn status(&self) -> reqwest::RequestBuilder {
        Up::client().get(format!("http://{}/privatemode/status", self.address))
    }

    pub(crate) fn seen(&self) -> Vec<u8> {
        self.gateway.seen()
    }

    pub(crate) fn workspace(&self) -> &Path {
        self.workspace.path()
    }

    pub(crate) fn log(&self) -> String {
        self.proxy.stderr()
    }
}

fn gateway_of(up: &Up) -> SocketAddr {
    up.ready["gateway"].as_str().unwrap().trim_start_matches("https://").parse().unwrap()
}

/// TLS towards the proxy with a certificate of our own, written to `certificate`; towards the gateway with its own.
fn sides(up: &Up, certificate: &Path) -> TlsSides {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let key = rcgen::KeyPair::generate().unwrap();
    let own = rcgen::CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap().self_signed(&key).unwrap();
    std::fs::write(certificate, own.pem()).unwrap();
    let server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![own.der().clone()], PrivateKeyDer::try_from(key.serialize_der()).unwrap())
        .unwrap();
    let mut roots = rustls::RootCertStore::empty();
    let real = up.directory().join("gateway/tls-certificate.pem");
    roots.add(CertificateDer::from_pem_file(real).unwrap()).unwrap();
    let client = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    TlsSides {
        server: Some(Arc::new(server)),
        upstream: Some((Arc::new(client), ServerName::try_from("127.0.0.1").unwrap())),
    }
}
