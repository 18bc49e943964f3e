//! A client that seals by itself, so that it can send the very same bytes again and still read every answer.

use std::sync::Arc;

use privatemode_attest::SimulatedAllowed;
use privatemode_client::{
    Credential, Nonce, Pinned, Session, Settings, Transport, TransportError, attest_request,
    parse_attest_reply,
};
use privatemode_manifest::VerifyOptions;
use privatemode_wire::stream::{
    Padding, RequestHead, RequestId, RequestWriter, ResponseHead, ResponsePart, UnixMillis,
    outer::{self, ResponseSalt},
};
use rand_core::{TryCryptoRng, TryRng};
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::harness::Up;

const BODY: &[u8] =
    br#"{"model":"stub","cache_salt":"0123456789abcdef0123456789abcdef","messages":[{"role":"user","content":"once"}]}"#;

/// The gateway, seen by one client.
pub(super) struct Client {
    http: reqwest::Client,
    url: String,
    key: String,
    session: Arc<Session<Door, Pinned>>,
}

/// A request that was sealed once. Everything that opens its answers can be made again from the same seed.
pub(super) struct Original {
    credential: Arc<Credential>,
    head: RequestHead,
    seed: u64,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Answer {
    /// The engine's word: the request ran.
    Accepted,
    /// Refused under seal: status and code, and the date with which to send again.
    Refused { status: u16, code: String, send_as: Option<UnixMillis> },
    /// An error from before the seal was opened.
    Plain { status: u16, code: String },
    /// The connection broke, or the answer was cut.
    Broken,
}

impl Original {
    /// The secret that it was sealed with.
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }
}

impl Client {
    pub(super) fn new(up: &Up, url: &str) -> Self {
        let http = http(up);
        let door = Door { http: http.clone(), url: url.to_owned(), key: up.api_key().to_owned() };
        let manifest = std::fs::read(up.directory().join("deployment/manifest.json")).unwrap();
        let verify = VerifyOptions {
            simulated: Some(SimulatedAllowed::danger_accept_simulated()),
            ..VerifyOptions::default()
        };
        let session = Session::new(door, Pinned::new(manifest), Settings::system(verify));
        Self { http, url: url.to_owned(), key: up.api_key().to_owned(), session }
    }

    /// The present secret, verified and exchanged as a proxy does it.
    pub(super) async fn credential(&self) -> Arc<Credential> {
        self.session.credential_within(std::time::Duration::from_secs(60)).await.unwrap()
    }

    /// Another one, because a worker does not know this any more. While the secret service restarts there is none.
    pub(super) async fn replace(&self, lost: &Credential) {
        let _later = self.session.replace(lost.id()).await;
    }

    /// A fresh request, dated `sent`.
    pub(super) async fn original(&self, sent: UnixMillis, seed: u64) -> Original {
        let credential = self.credential().await;
        let head = RequestHead {
            method: "POST".into(),
            path: "/v1/chat/completions".into(),
            accept: None,
            content_type: Some("application/json".into()),
            model: Some("stub".into()),
            stream: false,
            max_tokens: None,
            n: None,
            shard_key: None,
            ocsp_policy: None,
            request_id: RequestId::random(&mut Seeded(!seed)),
            sent,
            manifest: credential.verification().manifest,
            padding: Padding::Bucket,
            receipt: false,
        };
        Original { credential, head, seed }
    }

    /// Sends it, for the first or any further time: the same bytes under the same headers.
    pub(super) async fn send(&self, original: &Original) -> Answer {
        let secret = original.credential.secret();
        let (mut writer, pending) =
            RequestWriter::begin(secret, &original.head, &mut Seeded(original.seed)).unwrap();
        let (salt, tokens) = (writer.salt().to_header(), writer.length_tokens(BODY.len() as u64));
        let mut wire = Vec::new();
        writer.write(BODY, &mut wire).unwrap();
        writer.finish(&mut wire).unwrap();
        let request = self
            .http
            .post(format!("{}{}", self.url, original.head.path))
            .bearer_auth(&self.key)
            .header("content-type", outer::CONTENT_TYPE)
            .header("te", "trailers")
            .header(outer::REQUEST_HEADER, salt)
            .header(outer::CONTENT_LENGTH_TOKENS, tokens)
            .header("privatemode-secret-id", original.credential.id().as_str())
            .header("privatemode-target-model", "stub")
            .body(wire);
        let Ok(answer) = request.send().await else { return Answer::Broken };
        let (status, headers) = (answer.status().as_u16(), answer.headers().clone());
        // One that was cut counts as well: the engine's word began to leave the worker.
        let cut = || if status == 200 { Answer::Accepted } else { Answer::Broken };
        let Ok(body) = answer.bytes().await else { return cut() };
        let salt = headers.get(outer::RESPONSE_HEADER).and_then(|value| value.to_str().ok());
        let Some(salt) = salt else {
            assert_ne!(status, 200, "nothing that runs is answered in plain");
            return Answer::Plain { status, code: code(&body) };
        };
        let mut reader = pending.open(&ResponseSalt::parse_header(salt).unwrap());
        let (mut input, mut head, mut text) = (&body[..], None::<ResponseHead>, Vec::new());
        while let Some(part) = reader.next(&mut input).unwrap() {
            match part {
                ResponsePart::Head(first) => head = Some(*first),
                ResponsePart::Body(data) => text.extend_from_slice(data),
                ResponsePart::Trailer(_) => {}
            }
        }
        let Some(head) = head else { return cut() };
        assert_eq!(head.status, status, "outside and under the seal");
        if status == 200 {
            return Answer::Accepted;
        }
        let send_as = head.clock_skew().map(|skew| skew.send_as);
        let refusal = head.refusal.map(|refusal| format!("{refusal:?}"));
        let kind = refusal.and_then(|text| text.split([' ', '{']).next().map(str::to_owned));
        Answer::Refused { status, code: kind.unwrap_or_else(|| code(&text)), send_as }
    }
}

fn code(body: &[u8]) -> String {
    let json: serde_json::Value = serde_json::from_slice(body).unwrap_or_default();
    json["error"]["code"].as_str().unwrap_or("no code").to_owned()
}

/// The gateway's certificate, and nothing looser.
fn http(up: &Up) -> reqwest::Client {
    let mut roots = rustls::RootCertStore::empty();
    let certificate = up.directory().join("gateway/tls-certificate.pem");
    roots.add(CertificateDer::from_pem_file(certificate).unwrap()).unwrap();
    let tls =
        rustls::ClientConfig::builder_with_provider(Arc::new(rustls::crypto::aws_lc_rs::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
    reqwest::Client::builder().no_proxy().tls_backend_preconfigured(tls).build().unwrap()
}

/// The two calls of a session.
struct Door {
    http: reqwest::Client,
    url: String,
    key: String,
}

impl Door {
    async fn call(&self, path: &str, body: String) -> Result<Vec<u8>, TransportError> {
        let unreachable = |error: reqwest::Error| TransportError::Unreachable { source: Box::new(error) };
        let request = self.http.post(format!("{}{path}", self.url)).bearer_auth(&self.key);
        let request = request.header("content-type", "application/json").body(body);
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status().as_u16();
        let body = answer.bytes().await.map_err(unreachable)?.to_vec();
        if status == 200 {
            return Ok(body);
        }
        Err(TransportError::Status { status, message: String::from_utf8_lossy(&body).into_owned() })
    }
}

impl Transport for Door {
    async fn attest(&self, nonce: Nonce) -> Result<Vec<u8>, TransportError> {
        let reply = self.call("/privatemode/v1/attest", attest_request(nonce)).await?;
        parse_attest_reply(&reply).map_err(|source| TransportError::Malformed { source: Box::new(source) })
    }

    async fn exchange(&self, request: String) -> Result<Vec<u8>, TransportError> {
        self.call("/privatemode/v1/secret", request).await
    }
}

/// The same bytes for the same seed (SplitMix64). No secret comes from it: in production this is the system's randomness.
#[derive(Clone)]
pub(super) struct Seeded(pub(super) u64);

impl Seeded {
    pub(super) fn below(&mut self, bound: usize) -> usize {
        let Ok(number) = self.try_next_u64();
        usize::try_from(number % bound.max(1) as u64).unwrap()
    }
}

impl TryRng for Seeded {
    type Error = std::convert::Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Self::Error> {
        self.try_next_u64().map(|number| (number >> 32) as u32)
    }

    fn try_next_u64(&mut self) -> Result<u64, Self::Error> {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        Ok(mixed ^ (mixed >> 31))
    }

    fn try_fill_bytes(&mut self, target: &mut [u8]) -> Result<(), Self::Error> {
        for chunk in target.chunks_mut(8) {
            let bytes = self.try_next_u64()?.to_le_bytes();
            chunk.copy_from_slice(&bytes[..chunk.len()]);
        }
        Ok(())
    }
}

impl TryCryptoRng for Seeded {}
