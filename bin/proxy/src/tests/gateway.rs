//! A gateway with a worker behind it, in this process: real TLS, real opening and sealing, and faults on demand.

use std::{
    convert::Infallible,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering::SeqCst},
    },
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use http::{HeaderMap, Request, Response, StatusCode};
use http_body::Frame;
use http_body_util::StreamBody;
use hyper::{body::Incoming, service::service_fn};
use privatemode_client::{Entropy as _, Nonce, SystemEntropy, testing::Deployment};
use privatemode_service::{BoxBody, BoxError, Limits, Shutdown, TlsSource, body, listen, serve};
use privatemode_wire::{
    Endpoint, SecretId, error_body::openai, header, message::RequestOpener, ocsp, stream::RequestHead,
};
use rustls::pki_types::{PrivateKeyDer, pem::PemObject as _};

use super::{
    KEY,
    worker::{self, Sealed},
};

/// What the worker, or somebody on the way, does with a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Answer {
    /// The opened request comes back as the content of the answer.
    Echo,
    /// Three events, then the end mark.
    Stream,
    /// Two events, and a proper end of the body without the end mark.
    StreamCut,
    /// One event, then the connection breaks.
    StreamBroken,
    /// An unsealed answer with status 200, marked as plain.
    PlainSuccess,
    /// An unsealed answer with status 200, not marked.
    UnmarkedSuccess,
    /// A plain 404 of the gateway, marked.
    PlainError,
    /// A web server's page.
    HtmlError,
    /// Sends the caller elsewhere, prompt and all.
    Redirect,
    /// Status 200 without a body.
    Empty,
    /// Status 200 with plain members only.
    PlainMembers,
    /// An error that is a page with a script.
    ScriptError,
    /// One sealed field of the answer is changed.
    Tampered,
    /// Never answers.
    Silent,
}

/// A request as it arrived.
#[derive(Clone)]
pub(super) struct Seen {
    pub(super) headers: HeaderMap,
    pub(super) path: String,
    pub(super) sealed: Bytes,
    pub(super) opened: Option<Vec<u8>>,
}

pub(super) struct State {
    pub(super) deployment: Mutex<Arc<Deployment>>,
    pub(super) answer: Mutex<Answer>,
    /// What the worker, or somebody on the way, does with a sealed body.
    pub(super) sealed: Mutex<Sealed>,
    pub(super) heads: Mutex<Vec<RequestHead>>,
    pub(super) keys: Mutex<Vec<&'static str>>,
    pub(super) seen: Mutex<Vec<Seen>>,
    /// So many connections break before an answer.
    pub(super) resets: AtomicUsize,
    pub(super) attests: AtomicUsize,
    /// Requests that were given up by the proxy before they were answered.
    pub(super) abandoned: AtomicUsize,
}

pub(super) struct Gateway {
    pub(super) address: SocketAddr,
    /// PEM of its own certificate.
    pub(super) roots: PathBuf,
    pub(super) state: Arc<State>,
    shutdown: Shutdown,
}

impl Gateway {
    pub(super) async fn start(deployment: Arc<Deployment>, folder: &Path) -> Self {
        let certified = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
        let roots = folder.join("roots.pem");
        std::fs::write(&roots, certified.cert.pem()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(certified.signing_key.serialize_pem().as_bytes()).unwrap();
        let mut tls = rustls::ServerConfig::builder_with_provider(Arc::new(
            rustls::crypto::aws_lc_rs::default_provider(),
        ))
        .with_protocol_versions(&[&rustls::version::TLS13])
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certified.cert.der().clone()], key)
        .unwrap();
        tls.alpn_protocols = vec![b"http/1.1".to_vec()]; // a service's error then breaks the connection
        let state = Arc::new(State {
            deployment: Mutex::new(deployment),
            answer: Mutex::new(Answer::Echo),
            sealed: Mutex::new(Sealed::default()),
            heads: Mutex::default(),
            keys: Mutex::new(vec![KEY]),
            seen: Mutex::default(),
            resets: AtomicUsize::new(0),
            attests: AtomicUsize::new(0),
            abandoned: AtomicUsize::new(0),
        });
        // "localhost" may be ::1 first: listen there where it exists would be guessing, the connector tries both
        let listener = listen("127.0.0.1:0".parse().unwrap()).unwrap();
        let address = listener.local_addr().unwrap();
        let shutdown = Shutdown::new();
        let shared = Arc::clone(&state);
        let service = service_fn(move |request| handle(Arc::clone(&shared), request));
        let tls: Arc<dyn TlsSource> = Arc::new(Arc::new(tls));
        tokio::spawn(serve(listener, Some(tls), service, Limits::default(), shutdown.clone()));
        Self { address, roots, state, shutdown }
    }

    pub(super) fn answers(&self, answer: Answer) {
        *self.state.answer.lock().unwrap() = answer;
    }

    pub(super) fn seals(&self, sealed: Sealed) {
        *self.state.sealed.lock().unwrap() = sealed;
    }

    pub(super) fn heads(&self) -> Vec<RequestHead> {
        self.state.heads.lock().unwrap().clone()
    }

    pub(super) fn deployment(&self) -> Arc<Deployment> {
        Arc::clone(&self.state.deployment.lock().unwrap())
    }

    pub(super) fn redeploys(&self, deployment: Deployment) {
        *self.state.deployment.lock().unwrap() = Arc::new(deployment);
    }

    pub(super) fn seen(&self) -> Vec<Seen> {
        self.state.seen.lock().unwrap().clone()
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Result<Response<BoxBody>, BoxError> {
    let (head, incoming) = request.into_parts();
    let path = head.uri.path().to_owned();
    let deployment = Arc::clone(&state.deployment.lock().unwrap());
    if path == "/privatemode/v2/manifest.json" {
        return Ok(json(StatusCode::OK, String::from_utf8(deployment.manifest.clone()).unwrap(), true));
    }
    let sealed = body::read_limited(incoming, 160 << 20).await?;
    let authorization =
        head.headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    let known =
        authorization.strip_prefix("Bearer ").is_some_and(|key| state.keys.lock().unwrap().contains(&key));
    if !known {
        let body = openai("no such key", "authentication_error", None, Some("gateway_says_no"));
        return Ok(json(StatusCode::UNAUTHORIZED, body, true));
    }
    match path.as_str() {
        "/privatemode/v1/attest" => {
            state.attests.fetch_add(1, SeqCst);
            let request: serde_json::Value = serde_json::from_slice(&sealed)?;
            let nonce = STANDARD.decode(request["Nonce"].as_str().unwrap())?;
            let document = deployment.attest(Nonce(nonce.try_into().unwrap()));
            Ok(json(
                StatusCode::OK,
                format!(r#"{{"AttestationDoc":"{}"}}"#, STANDARD.encode(document)),
                false,
            ))
        }
        "/privatemode/v1/secret" => {
            let reply = deployment.exchange(std::str::from_utf8(&sealed)?);
            Ok(json(StatusCode::OK, String::from_utf8(reply)?, false))
        }
        "/v1/models" if *state.answer.lock().unwrap() == Answer::Redirect => {
            let mut response = json(StatusCode::FOUND, String::new(), true);
            response.headers_mut().insert("location", "http://127.0.0.1:9/".parse()?);
            Ok(response)
        }
        "/v1/models" => {
            Ok(json(StatusCode::OK, r#"{"object":"list","data":[{"id":"demo"}]}"#.to_owned(), true))
        }
        _ => {
            if state.resets.load(SeqCst) > 0 {
                state.resets.fetch_sub(1, SeqCst);
                return Err("reset".into());
            }
            let seen = Seen { headers: head.headers, path, sealed, opened: None };
            worker(&state, &deployment, seen).await
        }
    }
}

async fn worker(
    state: &Arc<State>,
    deployment: &Deployment,
    mut seen: Seen,
) -> Result<Response<BoxBody>, BoxError> {
    let endpoint = Endpoint::from_path(&seen.path).ok_or("not an endpoint")?;
    let id = seen.headers[header::SECRET_ID].to_str()?.to_owned();
    let Some(secret) = deployment.secret(&SecretId::parse(&id)?) else {
        state.seen.lock().unwrap().push(seen);
        let body = openai(&format!("no secret for ID {id}"), "server_error", None, None);
        return Ok(json(StatusCode::INTERNAL_SERVER_ERROR, body, true));
    };
    if seen.headers["content-type"] == privatemode_wire::stream::outer::CONTENT_TYPE {
        return worker::answer(state, deployment, &secret, seen).await;
    }
    let policy = seen.headers[header::OCSP_POLICY].to_str()?;
    assert!(ocsp::verify_mac(&secret, policy, seen.headers[header::OCSP_POLICY_MAC].to_str()?));
    let mut opener = RequestOpener::new(&SecretId::parse(&id)?, &secret);
    let content_type = seen.headers["content-type"].to_str()?;
    let opened = opener.open(endpoint, Some(content_type), &seen.sealed)?;
    seen.opened = Some(opened.clone());
    state.seen.lock().unwrap().push(seen);

    let mut rng = SystemEntropy.rng();
    let mut sealer = opener.finish(&mut *rng);
    let answer = *state.answer.lock().unwrap();
    let content = serde_json::Value::from(String::from_utf8_lossy(&opened).into_owned());
    let plain = format!(
        r#"{{"id":"x","choices":[{{"message":{{"content":{content}}}}}],"usage":{{"total_tokens":3}}}}"#
    );
    match answer {
        Answer::Echo => {
            let sealed = sealer.seal(endpoint, plain.as_bytes(), &mut *rng)?;
            Ok(json(StatusCode::OK, String::from_utf8(sealed)?, false))
        }
        Answer::Tampered => {
            let sealed = String::from_utf8(sealer.seal(endpoint, plain.as_bytes(), &mut *rng)?)?;
            let at = sealed.rfind("\",\"usage\"").ok_or("no usage")? - 1;
            let flipped = if sealed.as_bytes()[at] == b'0' { "1" } else { "0" };
            Ok(json(StatusCode::OK, format!("{}{flipped}{}", &sealed[..at], &sealed[at + 1..]), false))
        }
        Answer::Stream | Answer::StreamCut | Answer::StreamBroken => {
            let mut sealer = sealer.into_stream(endpoint);
            let mut frames: Vec<Result<_, BoxError>> = Vec::new();
            for (index, event) in [
                "data: {\"id\":\"x\",\"choices\":[1]}\n\n",
                ": a comment\ndata: {\"id\":\"x\",\"choices\":[2]}\n\n",
                "data: {\"choices\":[],\"usage\":{\"total_tokens\":3}}\n\n",
                "data: [DONE]\n\n",
            ]
            .into_iter()
            .enumerate()
            {
                let wanted = match answer {
                    Answer::StreamCut => index < 2,
                    Answer::StreamBroken => index < 1,
                    _ => true,
                };
                if wanted {
                    let mut out = Vec::new();
                    sealer.push(event.as_bytes(), &mut out, &mut *rng)?;
                    frames.push(Ok(Frame::data(Bytes::from(out))));
                }
            }
            if answer == Answer::StreamBroken {
                frames.push(Err("broken".into()));
            }
            let frames = stream::iter(frames).then(|frame: Result<_, BoxError>| async {
                if frame.is_err() {
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await; // what came before leaves first
                }
                frame
            });
            let mut response = Response::new(body::boxed(StreamBody::new(frames)));
            response.headers_mut().insert("content-type", "text/event-stream; charset=utf-8".parse()?);
            Ok(response)
        }
        Answer::Redirect => {
            let mut response = json(StatusCode::TEMPORARY_REDIRECT, String::new(), false);
            response.headers_mut().insert("location", "http://127.0.0.1:9/v1/stolen".parse()?);
            Ok(response)
        }
        Answer::Empty => Ok(json(StatusCode::OK, String::new(), false)),
        Answer::PlainMembers => Ok(json(StatusCode::OK, r#"{"id":"x","usage":{}}"#.to_owned(), false)),
        Answer::ScriptError => {
            let mut response = json(StatusCode::BAD_REQUEST, "<script>1</script>".to_owned(), true);
            response.headers_mut().insert("content-type", "text/html".parse()?);
            Ok(response)
        }
        Answer::PlainSuccess => Ok(json(StatusCode::OK, plain, true)),
        Answer::UnmarkedSuccess => Ok(json(StatusCode::OK, plain, false)),
        Answer::PlainError => {
            let body =
                openai("there is no model `demo`", "not_found_error", Some("model"), Some("unknown_model"));
            Ok(json(StatusCode::NOT_FOUND, body, true))
        }
        Answer::HtmlError => {
            let mut response = json(StatusCode::BAD_GATEWAY, "<html>bad gateway</html>".to_owned(), false);
            response.headers_mut().insert("content-type", "text/html".parse()?);
            Ok(response)
        }
        Answer::Silent => {
            let _counter = Abandoned(Arc::clone(state));
            std::future::pending::<Infallible>().await;
            unreachable!("pending never ends")
        }
    }
}

/// Counts when the future it lives in is dropped.
struct Abandoned(Arc<State>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        self.0.abandoned.fetch_add(1, SeqCst);
    }
}

pub(super) fn json(status: StatusCode, text: String, plain: bool) -> Response<BoxBody> {
    let mut response = Response::new(body::full(text));
    *response.status_mut() = status;
    response.headers_mut().insert("content-type", "application/json".parse().unwrap());
    response.headers_mut().insert("x-request-id", "gateway-1".parse().unwrap());
    if plain {
        response.headers_mut().insert(header::ENCRYPTED, "false".parse().unwrap());
    }
    response
}
