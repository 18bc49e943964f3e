//! One server behind the gateway, with its pool of connections.

use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response, Uri, uri};
use hyper::body::Incoming;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::{TokioExecutor, TokioTimer};
use privatemode_service::{BoxBody, body};

use crate::connector::Connector;

/// A peer that died without a word is noticed after this long, also in the middle of a stream.
const KEEP_ALIVE: Duration = Duration::from_secs(20);
const IDLE_CONNECTION: Duration = Duration::from_secs(60);
/// A small control answer (models, attestation, secret) has to be there by then.
const CONTROL_TIMEOUT: Duration = Duration::from_secs(15);
const HTTP2_WINDOW: u32 = 4 * 1024 * 1024;
/// Longest frame of an answer: as servers here take them.
const HTTP2_FRAME: u32 = 128 << 10;

/// The URL cannot be used.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{url}` is not usable here: it has to be {scheme}://HOST:PORT without a path")]
pub(crate) struct BadUrl {
    url: String,
    scheme: &'static str,
}

/// A small answer did not come.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ControlError {
    #[error("it cannot be reached")]
    Unreachable(#[source] Error),
    #[error("it did not answer in {} seconds", CONTROL_TIMEOUT.as_secs())]
    TimedOut,
    #[error("its answer could not be read")]
    Body(#[source] body::BodyError),
}

#[derive(Clone)]
pub(crate) struct Origin {
    scheme: uri::Scheme,
    authority: uri::Authority,
    client: Client<Connector, BoxBody>,
}

impl Origin {
    /// A workload of the mesh. `config` accepts only the workload that is meant, whatever the URL says.
    pub(crate) fn mesh(url: &Uri, config: Arc<rustls::ClientConfig>) -> Result<Origin, BadUrl> {
        Origin::new(url, "https", Connector::Mesh(config))
    }

    /// Whether [`Origin::mesh`] would take it.
    pub(crate) fn is_mesh_url(url: &Uri) -> bool {
        is_bare(url, "https")
    }

    /// The coordinator's attestation interface: public, and protected by what it carries, not by the transport.
    pub(crate) fn coordinator(url: &Uri) -> Result<Origin, BadUrl> {
        Origin::new(url, "http", Connector::Plain)
    }

    /// A worker or secret service without TLS: in tests only.
    #[cfg(test)]
    pub(crate) fn plain(address: std::net::SocketAddr) -> Origin {
        let url = format!("http://{address}").parse().unwrap();
        Origin::new(&url, "http", Connector::Plain).unwrap()
    }

    fn new(url: &Uri, scheme: &'static str, connector: Connector) -> Result<Origin, BadUrl> {
        let bad = || BadUrl { url: url.to_string(), scheme };
        if !is_bare(url, scheme) {
            return Err(bad());
        }
        let client = Client::builder(TokioExecutor::new())
            .pool_timer(TokioTimer::new())
            .timer(TokioTimer::new())
            .pool_idle_timeout(IDLE_CONNECTION)
            .http2_keep_alive_interval(KEEP_ALIVE)
            .http2_keep_alive_timeout(KEEP_ALIVE)
            .http2_initial_stream_window_size(HTTP2_WINDOW)
            .http2_max_frame_size(HTTP2_FRAME)
            .http2_initial_connection_window_size(4 * HTTP2_WINDOW)
            .build(connector);
        Ok(Origin {
            scheme: url.scheme().cloned().ok_or_else(bad)?,
            authority: url.authority().cloned().ok_or_else(bad)?,
            client,
        })
    }

    /// Its name in logs, and in the choice of a worker.
    pub(crate) fn name(&self) -> &str {
        self.authority.as_str()
    }

    /// The address of a path there.
    pub(crate) fn uri(&self, path: uri::PathAndQuery) -> Uri {
        let mut parts = uri::Parts::default();
        parts.scheme = Some(self.scheme.clone());
        parts.authority = Some(self.authority.clone());
        parts.path_and_query = Some(path);
        Uri::from_parts(parts).expect("scheme, authority and path make a URI")
    }

    /// Sends a request; bodies stream both ways. Dropping the answer cancels it.
    pub(crate) async fn send(&self, request: Request<BoxBody>) -> Result<Response<Incoming>, Error> {
        self.client.request(request).await
    }

    /// Sends a request whose answer is small and comes soon.
    pub(crate) async fn control(
        &self,
        request: Request<BoxBody>,
        max: usize,
    ) -> Result<Response<bytes::Bytes>, ControlError> {
        let exchange = async {
            let (head, body) = self.send(request).await.map_err(ControlError::Unreachable)?.into_parts();
            let body = body::read_limited(body, max).await.map_err(ControlError::Body)?;
            Ok(Response::from_parts(head, body))
        };
        tokio::time::timeout(CONTROL_TIMEOUT, exchange).await.map_err(|_| ControlError::TimedOut)?
    }
}

fn is_bare(url: &Uri, scheme: &str) -> bool {
    url.scheme_str() == Some(scheme) && url.path().len() <= 1 && url.query().is_none()
}

/// For requests built from parts that are known to fit.
pub(crate) fn control_request(
    origin: &Origin,
    method: http::Method,
    path: &'static str,
    content: BoxBody,
) -> Request<BoxBody> {
    let mut request = Request::new(content);
    *request.method_mut() = method;
    *request.uri_mut() = origin.uri(uri::PathAndQuery::from_static(path));
    let headers = request.headers_mut();
    headers.insert(privatemode_wire::header::CLIENT, http::HeaderValue::from_static("ApiGateway"));
    headers.insert(
        privatemode_wire::header::VERSION,
        http::HeaderValue::from_static(privatemode_service::version()),
    );
    headers.insert(http::header::CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    request
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body_util::BodyExt;
    use hyper::service::service_fn;
    use privatemode_service::{Limits, Shutdown, listen, serve};
    use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

    use super::*;

    /// A server's and a client's configuration that know each other, as HTTP/2 over TLS 1.3.
    fn pair() -> (Arc<rustls::ServerConfig>, Arc<rustls::ClientConfig>) {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(made.signing_key.serialize_der()));
        let mut roots = rustls::RootCertStore::empty();
        roots.add(made.cert.der().clone()).unwrap();
        let mut server = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        server.alpn_protocols = vec![b"h2".to_vec()];
        let mut client = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[&rustls::version::TLS13])
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        client.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        (Arc::new(server), Arc::new(client))
    }

    #[test]
    fn only_bare_urls_of_the_right_scheme() {
        for url in ["https://127.0.0.1:1314", "http://127.0.0.1:1314/path", "http://h:1/?q", "h:1"] {
            let url: Uri = url.parse().unwrap();
            let bad = BadUrl { url: url.to_string(), scheme: "http" };
            assert_eq!(Origin::coordinator(&url).err(), Some(bad));
        }
        let url = "http://127.0.0.1:8085".parse().unwrap();
        assert_eq!(Origin::mesh(&url, pair().1).err().unwrap().scheme, "https");
    }

    #[tokio::test]
    async fn the_mesh_speaks_http2_where_both_sides_do() {
        let (server, client) = pair();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let shutdown = Shutdown::new();
        let echo = service_fn(|request: Request<Incoming>| async move {
            let content = body::boxed(request.into_body());
            Ok::<_, Infallible>(Response::new(content))
        });
        tokio::spawn(serve(listener, Some(Arc::new(server)), echo, Limits::default(), shutdown.clone()));
        let origin = Origin::mesh(&url, client).unwrap();
        // More than one flow-control window, both ways at once.
        let content = vec![7_u8; 20 * 1024 * 1024];
        let request =
            control_request(&origin, http::Method::POST, "/v1/chat/completions", body::full(content.clone()));
        let response = origin.send(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        assert_eq!(response.into_body().collect().await.unwrap().to_bytes(), content);
        shutdown.trigger();
    }

    #[tokio::test]
    async fn trailers_come_over_http2() {
        let (server, client) = pair();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let shutdown = Shutdown::new();
        let worker = service_fn(|request: Request<Incoming>| async move {
            assert_eq!(request.headers()["te"], "trailers");
            let mut trailers = http::HeaderMap::new();
            trailers.insert("privatemode-usage", http::HeaderValue::from_static("{}"));
            let content = body::full("x").with_trailers(async move { Some(Ok(trailers)) });
            Ok::<_, Infallible>(Response::new(body::boxed(content)))
        });
        tokio::spawn(serve(listener, Some(Arc::new(server)), worker, Limits::default(), shutdown.clone()));
        let origin = Origin::mesh(&url, client).unwrap();
        let mut request = control_request(&origin, http::Method::POST, "/v1/chat/completions", body::empty());
        request.headers_mut().insert("te", http::HeaderValue::from_static("trailers"));
        let response = origin.send(request).await.unwrap();
        assert_eq!(response.version(), http::Version::HTTP_2);
        let collected = response.into_body().collect().await.unwrap();
        assert_eq!(collected.trailers().unwrap()["privatemode-usage"], "{}");
        shutdown.trigger();
    }

    #[tokio::test]
    async fn a_peer_that_is_not_the_one_meant_gets_nothing() {
        let (server, _) = pair();
        let (_, other) = pair();
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let url = format!("https://{}", listener.local_addr().unwrap()).parse().unwrap();
        let shutdown = Shutdown::new();
        let never = service_fn(|_: Request<Incoming>| async {
            Ok::<_, Infallible>(Response::new(body::full("answered")))
        });
        tokio::spawn(serve(listener, Some(Arc::new(server)), never, Limits::default(), shutdown.clone()));
        let origin = Origin::mesh(&url, other).unwrap();
        let request = control_request(&origin, http::Method::GET, "/v1/models", body::empty());
        let error = origin.control(request, 100).await.unwrap_err();
        assert!(matches!(&error, ControlError::Unreachable(error) if error.is_connect()), "{error:?}");
        shutdown.trigger();
    }
}
