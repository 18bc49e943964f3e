//! One request to the API server over a TLS connection of its own. Knows no ConfigMaps.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::{body::Incoming, client::conn::http1};
use hyper_util::rt::TokioIo;
use rustls::{
    ClientConfig, RootCertStore,
    pki_types::{CertificateDer, ServerName, pem::PemObject as _},
};
use serde_json::Value;
use tokio::{io::AsyncReadExt as _, net::TcpStream, task::JoinHandle};
use tokio_rustls::{TlsConnector, client::TlsStream};
use zeroize::Zeroizing;

use super::{ConfigMapError, ConfigMapSettings, object::text};

/// Longest answer: 1 MiB of values in base64, and what Kubernetes notes beside them.
pub(super) const MAX_OBJECT: usize = 4 * 1024 * 1024;
/// Longest file of the service account.
const MAX_FILE: usize = 1024 * 1024;
/// How much of a refusal is shown.
const MAX_MESSAGE: usize = 300;

/// Asks the API server.
pub(super) struct Client {
    settings: ConfigMapSettings,
}

/// A whole answer.
pub(super) struct Reply {
    pub(super) status: StatusCode,
    pub(super) body: Vec<u8>,
}

/// An answer whose body is still to come. The connection ends with it.
pub(super) struct Open {
    pub(super) status: StatusCode,
    pub(super) body: Incoming,
    _driver: Driver,
}

/// The task that moves a connection's bytes.
struct Driver(JoinHandle<()>);

impl Drop for Driver {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Reply {
    /// The one word for it; empty if there is none.
    pub(super) fn reason(&self) -> String {
        text(&self.json(), "/reason").to_owned()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

impl Client {
    pub(super) fn new(settings: ConfigMapSettings) -> Self {
        Self { settings }
    }

    pub(super) fn settings(&self) -> &ConfigMapSettings {
        &self.settings
    }

    /// `HOST:PORT`, for messages.
    pub(super) fn server(&self) -> String {
        self.settings.authority_part()
    }

    /// One request and its whole answer, in the time that a call has.
    pub(super) async fn call(
        &self,
        method: Method,
        path: &str,
        object: Option<&Value>,
    ) -> Result<Reply, ConfigMapError> {
        self.in_time(async { self.read(self.request(method, path, object).await?).await }).await
    }

    /// One request, and the beginning of its answer.
    pub(super) async fn open(
        &self,
        method: Method,
        path: &str,
        object: Option<&Value>,
    ) -> Result<Open, ConfigMapError> {
        self.in_time(self.request(method, path, object)).await
    }

    /// The rest of an answer.
    pub(super) async fn finish(&self, open: Open) -> Result<Reply, ConfigMapError> {
        self.in_time(self.read(open)).await
    }

    /// A refusal in the API server's words, made fit for a log line.
    pub(super) fn refused(&self, reply: &Reply) -> ConfigMapError {
        self.refusal(reply.status.as_u16(), &reply.json())
    }

    /// As [`refused`](Self::refused), from the object that says so.
    pub(super) fn refusal(&self, status: u16, said: &Value) -> ConfigMapError {
        let cut = |pointer| {
            let letters = text(said, pointer).chars().take(MAX_MESSAGE);
            letters.map(|letter| if letter.is_control() { ' ' } else { letter }).collect()
        };
        ConfigMapError::Refused {
            server: self.server(),
            status,
            reason: cut("/reason"),
            message: cut("/message"),
        }
    }

    pub(super) fn broken(&self, source: hyper::Error) -> ConfigMapError {
        ConfigMapError::Broken { server: self.server(), source }
    }

    pub(super) fn too_long(&self) -> ConfigMapError {
        ConfigMapError::TooLong { server: self.server(), max: MAX_OBJECT }
    }

    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, ConfigMapError>>,
    ) -> Result<T, ConfigMapError> {
        let after = self.settings.timeout;
        let done = tokio::time::timeout(after, work).await;
        done.unwrap_or_else(|_| Err(ConfigMapError::Timeout { server: self.server(), after }))
    }

    async fn request(
        &self,
        method: Method,
        path: &str,
        object: Option<&Value>,
    ) -> Result<Open, ConfigMapError> {
        let token = self.token().await?;
        let tls = self.connect().await?;
        let broken = |source| self.broken(source);
        let (mut sender, connection) = http1::handshake(TokioIo::new(tls)).await.map_err(broken)?;
        let driver = Driver(tokio::spawn(async move {
            // how it ended is seen by whoever reads the body
            let _ended = connection.await;
        }));
        let body = object.map_or_else(Bytes::new, |object| object.to_string().into());
        let mut request = Request::new(Full::new(body));
        *request.method_mut() = method;
        *request.uri_mut() = path.parse().expect("checked settings, hexadecimal keys, escaped versions");
        let headers = request.headers_mut();
        let host = HeaderValue::from_str(&self.settings.authority_part()).expect("a checked host");
        headers.insert(header::HOST, host);
        headers.insert(header::AUTHORIZATION, token);
        headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
        headers.insert(header::USER_AGENT, HeaderValue::from_static("privatemode-coordinator"));
        if object.is_some() {
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        let response = sender.send_request(request).await.map_err(broken)?;
        Ok(Open { status: response.status(), body: response.into_body(), _driver: driver })
    }

    async fn read(&self, mut open: Open) -> Result<Reply, ConfigMapError> {
        let mut body = Vec::new();
        while let Some(frame) = open.body.frame().await {
            let Ok(data) = frame.map_err(|source| self.broken(source))?.into_data() else { continue };
            if body.len() + data.len() > MAX_OBJECT {
                return Err(self.too_long());
            }
            body.extend_from_slice(&data);
        }
        Ok(Reply { status: open.status, body })
    }

    async fn connect(&self) -> Result<TlsStream<TcpStream>, ConfigMapError> {
        let config = self.tls().await?;
        let failed = |source| ConfigMapError::Connect { server: self.server(), source };
        let ConfigMapSettings { host, port, .. } = &self.settings;
        let name = ServerName::try_from(host.clone()).expect("a checked host");
        let tcp = TcpStream::connect((host.as_str(), *port)).await.map_err(failed)?;
        let _latency_only = tcp.set_nodelay(true);
        TlsConnector::from(Arc::new(config)).connect(name, tcp).await.map_err(failed)
    }

    async fn tls(&self) -> Result<ClientConfig, ConfigMapError> {
        let path = &self.settings.authority;
        let pem = self.file("certificate authority", path).await?;
        let mut roots = RootCertStore::empty();
        // a file may hold an old and a new one; what is neither is of no use, and no harm
        roots.add_parsable_certificates(CertificateDer::pem_slice_iter(&pem).flatten());
        if roots.is_empty() {
            return Err(ConfigMapError::Authority { path: path.clone() });
        }
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .map_err(|source| ConfigMapError::Tls { source })?;
        Ok(config.with_root_certificates(roots).with_no_client_auth())
    }

    async fn token(&self) -> Result<HeaderValue, ConfigMapError> {
        let path = &self.settings.token;
        let token = self.file("token", path).await?;
        let header = Zeroizing::new([b"Bearer ", token.trim_ascii()].concat());
        let unusable = || ConfigMapError::Token { path: path.clone() };
        let mut header = HeaderValue::from_bytes(&header).map_err(|_| unusable())?;
        if token.trim_ascii().is_empty() {
            return Err(unusable());
        }
        header.set_sensitive(true);
        Ok(header)
    }

    async fn file(&self, what: &'static str, path: &Path) -> Result<Zeroizing<Vec<u8>>, ConfigMapError> {
        let path: PathBuf = path.to_owned();
        match read_capped(&path).await {
            Ok(bytes) => Ok(bytes),
            Err(source) => Err(ConfigMapError::File { what, path, source }),
        }
    }
}

async fn read_capped(path: &Path) -> io::Result<Zeroizing<Vec<u8>>> {
    let file = tokio::fs::File::open(path).await?;
    let mut bytes = Zeroizing::new(Vec::new());
    let read = file.take(MAX_FILE as u64 + 1).read_to_end(&mut bytes).await?;
    if read > MAX_FILE {
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, "it has more than 1 MiB"));
    }
    Ok(bytes)
}
