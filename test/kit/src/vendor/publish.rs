//! What a vendor publishes, in the shapes and under the paths that the vendors document.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use bytes::Bytes;
use http::{HeaderValue, Response, header};
use http_body_util::{BodyExt, Full};

use super::VendorServer;
use crate::connection::{Failure, FakeBody, never};

/// Where this server answers requests for certificate status.
pub const OCSP_PATH: &str = "/ocsp";
/// Where this server has what Intel's root revoked.
pub const ROOT_CRL_PATH: &str = "/IntelSGXRootCA.der";

/// A document with its headers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Published {
    /// The body.
    pub body: Vec<u8>,
    /// Its media type; none when empty.
    pub content_type: String,
    /// Headers beside it.
    pub headers: Vec<(String, String)>,
    /// Its version; a request that names it is answered 304.
    pub etag: Option<String>,
}

impl Published {
    /// A body with its media type.
    #[must_use]
    pub fn new(content_type: &str, body: impl Into<Vec<u8>>) -> Self {
        Self { body: body.into(), content_type: content_type.to_owned(), ..Self::default() }
    }

    /// With issuers in a header, as Intel sends them.
    #[must_use]
    pub fn with_issuers(mut self, header: &str, pem: &str) -> Self {
        self.headers.push((header.to_owned(), percent_encode(pem)));
        self
    }

    /// With a version.
    #[must_use]
    pub fn with_etag(mut self, etag: &str) -> Self {
        self.etag = Some(etag.to_owned());
        self
    }

    pub(super) fn matches(&self, etag: Option<&HeaderValue>) -> bool {
        self.etag.as_deref().is_some_and(|ours| etag.is_some_and(|theirs| theirs == ours))
    }

    pub(super) fn into_response(self) -> Result<Response<FakeBody>, Failure> {
        let mut response = Response::builder();
        if !self.content_type.is_empty() {
            response = response.header(header::CONTENT_TYPE, self.content_type);
        }
        if let Some(etag) = self.etag {
            response = response.header(header::ETAG, etag);
        }
        for (name, value) in self.headers {
            response = response.header(name, value);
        }
        Ok(response.body(Full::new(Bytes::from(self.body)).map_err(never).boxed_unsync())?)
    }
}

impl VendorServer {
    /// A chip's certificate; `query` is its firmware level, as in the URL.
    pub fn amd_vcek(&self, product: &str, hwid: &str, query: &str, der: &[u8]) {
        let path = format!("/vcek/v1/{product}/{hwid}?{query}");
        self.publish(&path, Published::new("application/pkix-cert", der));
    }

    /// ASK and ARK in PEM; `signer` is `vcek` or `vlek`.
    pub fn amd_cert_chain(&self, signer: &str, product: &str, pem: &str) {
        let path = format!("/{signer}/v1/{product}/cert_chain");
        self.publish(&path, Published::new("application/x-pem-file", pem));
    }

    /// What the ARK revoked.
    pub fn amd_crl(&self, product: &str, der: &[u8]) {
        self.publish(&format!("/vcek/v1/{product}/crl"), Published::new("application/pkix-crl", der));
    }

    /// The signed TCB info, as `{"tcbInfo": …, "signature": …}`.
    pub fn intel_tcb_info(&self, fmspc: &str, signed: &str, issuers: &str) {
        let document =
            Published::new("application/json", signed).with_issuers("TCB-Info-Issuer-Chain", issuers);
        self.publish(&format!("/tdx/certification/v4/tcb?fmspc={fmspc}"), document);
    }

    /// The signed identity, as `{"enclaveIdentity": …, "signature": …}`.
    pub fn intel_qe_identity(&self, signed: &str, issuers: &str) {
        let document = Published::new("application/json", signed)
            .with_issuers("SGX-Enclave-Identity-Issuer-Chain", issuers);
        self.publish("/tdx/certification/v4/qe/identity", document);
    }

    /// Revoked PCK certificates of `platform` or `processor`.
    pub fn intel_pck_crl(&self, ca: &str, der: &[u8], issuers: &str) {
        let document =
            Published::new("application/pkix-crl", der).with_issuers("SGX-PCK-CRL-Issuer-Chain", issuers);
        self.publish(&format!("/sgx/certification/v4/pckcrl?ca={ca}&encoding=der"), document);
    }

    /// What Intel's root revoked.
    pub fn intel_root_crl(&self, der: &[u8]) {
        self.publish(ROOT_CRL_PATH, Published::new("application/pkix-crl", der));
    }

    /// A reference manifest, in the service's JSON.
    pub fn nvidia_rim(&self, id: &str, xml: &[u8]) {
        let json = serde_json::json!({"id": id, "rim": STANDARD.encode(xml)});
        self.publish(&format!("/v1/rim/{id}"), Published::new("application/json", json.to_string()));
    }

    /// The answer to one request for certificate status.
    pub fn nvidia_ocsp_for(&self, request: &[u8], der: &[u8]) {
        self.answer(OCSP_PATH, request, Published::new("application/ocsp-response", der));
    }

    /// The answer to every other request for certificate status.
    pub fn nvidia_ocsp(&self, der: &[u8]) {
        self.publish(OCSP_PATH, Published::new("application/ocsp-response", der));
    }
}

fn percent_encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
