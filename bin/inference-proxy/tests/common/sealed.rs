//! A client of sealed bodies, as small as it can be.

use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use privatemode_attest::{signature::Scheme, x509::Certificate};
use privatemode_inference_proxy::ReceiptSigner;
use privatemode_service::BoxBody;
use privatemode_store::SecretStore;
use privatemode_wire::{
    Endpoint, SecretId,
    receipt::{SealedDigest, VerifiedReceipt},
    stream::{
        ManifestDigest, Outcome, Padding, PendingResponse, ReadError, RequestHead, RequestId, RequestWriter,
        ResponseHead, ResponsePart, Trailer,
        outer::{self, ExchangeId, ResponseSalt, parse_usage},
    },
    usage::Usage,
};
use rcgen::{CertificateParams, KeyPair, SigningKey};
use serde_json::Value;

pub use super::rng;
use super::{NOW, Stack};

/// A worker's mesh key with its certificate.
pub struct TestSigner {
    key: KeyPair,
    certificate: Vec<u8>,
}

impl TestSigner {
    pub fn new() -> Self {
        let key = KeyPair::generate().unwrap();
        let certificate =
            CertificateParams::new(vec!["inference-proxy".into()]).unwrap().self_signed(&key).unwrap();
        Self { key, certificate: certificate.der().to_vec() }
    }
}

impl ReceiptSigner for TestSigner {
    fn certificates(&self) -> Vec<Vec<u8>> {
        vec![self.certificate.clone()]
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.key.sign(message).unwrap()
    }

    fn unproved(&self) -> Option<&'static str> {
        Some("simulated")
    }

    fn manifest(&self) -> ManifestDigest {
        ManifestDigest([9; 32])
    }
}

/// A request before it is sent.
pub struct Sealed {
    pub request: Request<Full<Bytes>>,
    pub pending: PendingResponse,
    pub names: Names,
}

/// What the client knows of a request that a receipt must say, too.
#[derive(Clone, Copy)]
pub struct Names {
    pub exchange: ExchangeId,
    pub digest: Option<SealedDigest>,
}

/// The head for a body whose members stand in `body` too.
pub fn head(endpoint: Endpoint, body: &str) -> RequestHead {
    let json: Value = serde_json::from_str(body).unwrap_or_default();
    RequestHead {
        method: "POST".into(),
        path: endpoint.path().into(),
        content_type: Some("application/json".into()),
        accept: None,
        model: json["model"].as_str().map(str::to_owned),
        stream: json["stream"] == true,
        max_tokens: json["max_completion_tokens"].as_u64().or(json["max_tokens"].as_u64()),
        n: json["n"].as_u64(),
        shard_key: None,
        ocsp_policy: None,
        request_id: RequestId::random(&mut rng()),
        sent: NOW,
        manifest: ManifestDigest([9; 32]),
        padding: Padding::Bucket,
        receipt: false,
    }
}

impl Stack {
    /// Seals `body` under `head`, with the outer headers that belong to it.
    pub fn seal_body(&self, head: &RequestHead, body: &[u8]) -> Sealed {
        let (mut writer, pending) = RequestWriter::begin(&self.secret, head, &mut rng()).unwrap();
        let (salt, length) = (writer.salt().to_header(), writer.length_tokens(body.len() as u64));
        let exchange = writer.salt().exchange_id();
        let mut wire = Vec::new();
        writer.write(body, &mut wire).unwrap();
        let digest = writer.finish(&mut wire).unwrap();
        let mut request = Request::post(&head.path)
            .header("content-type", outer::CONTENT_TYPE)
            .header(outer::REQUEST_HEADER, salt)
            .header("privatemode-secret-id", self.id.as_str())
            .header(outer::CONTENT_LENGTH_TOKENS, length);
        let fields = [
            ("privatemode-target-model", head.model.clone()),
            ("privatemode-shard-key", head.shard_key.clone()),
            (outer::MAX_TOKENS, head.max_tokens.map(|tokens| tokens.to_string())),
            ("privatemode-nvidia-ocsp-policy", head.ocsp_policy.clone()),
        ];
        for (name, value) in fields {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        Sealed {
            request: request.body(Full::new(wire.into())).unwrap(),
            pending,
            names: Names { exchange, digest },
        }
    }

    /// Makes the stack's secret known to its worker, after a test has set it.
    pub async fn share_secret(&mut self) {
        self.id = SecretId::parse("c2hhcmVk").unwrap();
        self.store.put(self.id.as_str(), self.secret.expose(), Duration::from_secs(3600)).await.unwrap();
    }

    /// Sends a sealed request and opens its answer, whatever it is.
    pub async fn exchange(&self, sealed: Sealed) -> Opened {
        let response = self.worker.handle(sealed.request).await;
        Opened::of(response, sealed.pending).await.unwrap()
    }

    /// A JSON body to an endpoint and back.
    pub async fn post(&self, endpoint: Endpoint, body: &str) -> Opened {
        self.exchange(self.seal_body(&head(endpoint, body), body.as_bytes())).await
    }

    /// Verifies the receipt as a client does: the certificate's key made the signature, over this exchange.
    pub fn receipt(&self, names: Names, opened: &Opened) -> VerifiedReceipt {
        let receipt = *opened.trailer.receipt.clone().expect("a receipt was asked for");
        let verified = receipt.verify(|certificates, message, signature| {
            assert_eq!(certificates, self.signer.certificates());
            let leaf = Certificate::parse_der(&certificates[0]).unwrap();
            leaf.public_key().verify(Scheme::EcdsaSha256, message, signature)
        });
        let verified = verified.unwrap();
        assert!(names.digest.is_some());
        verified.check_exchange(names.exchange, names.digest, opened.digest.unwrap()).unwrap();
        verified
    }
}

/// An answer after it was opened.
#[derive(Debug)]
pub struct Opened {
    /// The outer status, which is the sealed one too.
    pub status: StatusCode,
    pub headers: HeaderMap,
    pub head: ResponseHead,
    /// Each piece that left the seal at once.
    pub pieces: Vec<String>,
    pub trailer: Trailer,
    /// The trailer outside the seal.
    pub usage: Option<Usage>,
    pub digest: Option<SealedDigest>,
    pub wire: Vec<u8>,
}

impl Opened {
    pub async fn of(response: Response<BoxBody>, pending: PendingResponse) -> Result<Self, ReadError> {
        let (parts, mut body) = response.into_parts();
        let (mut wire, mut trailers) = (Vec::new(), HeaderMap::new());
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else { break };
            match frame.into_data() {
                Ok(data) => wire.extend_from_slice(&data),
                Err(frame) => trailers = frame.into_trailers().unwrap(),
            }
        }
        assert_eq!(
            parts.headers.get("content-type").unwrap(),
            outer::CONTENT_TYPE,
            "{}",
            String::from_utf8_lossy(&wire)
        );
        assert!(!parts.headers.contains_key("privatemode-encrypted"));
        let salt =
            ResponseSalt::parse_header(parts.headers[outer::RESPONSE_HEADER].to_str().unwrap()).unwrap();
        let mut reader = pending.open(&salt);
        let (mut head, mut pieces, mut trailer) = (None, Vec::new(), None);
        // odd pieces: the reader must not care
        for mut input in wire.chunks(7) {
            while let Some(part) = reader.next(&mut input)? {
                match part {
                    ResponsePart::Head(first) => head = Some(*first),
                    ResponsePart::Body(data) => pieces.push(String::from_utf8_lossy(data).into_owned()),
                    ResponsePart::Trailer(last) => trailer = Some(last),
                }
            }
        }
        reader.finish()?;
        let head = head.unwrap();
        assert_eq!(parts.status.as_u16(), head.status);
        let usage = trailers.get(outer::USAGE).map(|value| parse_usage(value.to_str().unwrap()).unwrap());
        let digest = reader.take_digest();
        let (status, headers, trailer) = (parts.status, parts.headers, trailer.unwrap());
        Ok(Self { status, headers, head, pieces, trailer, usage, digest, wire })
    }

    pub fn text(&self) -> String {
        self.pieces.concat()
    }

    /// The error's code and member.
    pub fn error(&self) -> (u16, String, String) {
        let json: Value = serde_json::from_str(&self.text()).expect("an error is JSON");
        let text = |name: &str| json["error"][name].as_str().unwrap_or_default().to_owned();
        assert_eq!(self.trailer.outcome, Outcome::Complete, "the error itself is whole");
        (self.status.as_u16(), text("code"), text("param"))
    }
}
