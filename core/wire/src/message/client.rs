//! The client's side of an exchange.

use rand_core::CryptoRng;

use super::error::{OpenError, SealError};
use super::layout::Layout;
use super::stream::StreamOpener;
use super::transform::{self, RequestIvs};
use crate::field::{ExchangeNonce, FieldCipher, Sequence};
use crate::profile::Endpoint;
use crate::secret::{Secret, SecretId};

/// Seals one request. A new one for each request: it draws the nonce that ties request and response together.
pub struct RequestSealer {
    cipher: FieldCipher,
    nonce: ExchangeNonce,
    sequence: Sequence,
    ivs: RequestIvs,
}

impl RequestSealer {
    /// Begins an exchange under a secret.
    pub fn new(id: &SecretId, secret: &Secret, rng: &mut dyn CryptoRng) -> RequestSealer {
        let mut nonce = ExchangeNonce::default();
        rng.fill_bytes(&mut nonce);
        RequestSealer {
            cipher: FieldCipher::new(id, secret),
            nonce,
            sequence: Sequence::default(),
            ivs: RequestIvs::new(),
        }
    }

    /// Seals a body: every member or form part that is not on the endpoint's plain list. The `Content-Type` of a multipart form
    /// stays valid for the result.
    pub fn seal(
        &mut self,
        endpoint: Endpoint,
        content_type: Option<&str>,
        body: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let layout = Layout::of_request(endpoint, content_type, body)?;
        let ivs = &mut self.ivs;
        transform::seal(&self.cipher, self.nonce, &mut self.sequence, &layout, rng, |iv| {
            ivs.insert(iv);
        })
    }

    /// Closes the request; from here on only its response can be opened.
    pub fn finish(self) -> ResponseOpener {
        let RequestSealer { cipher, nonce, sequence: _, ivs } = self;
        ResponseOpener { cipher, nonce: Some(nonce), sequence: Sequence::default(), request_ivs: ivs }
    }
}

/// Opens the response of one request.
pub struct ResponseOpener {
    pub(super) cipher: FieldCipher,
    pub(super) nonce: Option<ExchangeNonce>,
    pub(super) sequence: Sequence,
    pub(super) request_ivs: RequestIvs,
}

impl ResponseOpener {
    /// Opens a unary response. A response that carries `Privatemode-Encrypted: false` is plain and not to be given to this.
    pub fn open(&mut self, endpoint: Endpoint, body: &[u8]) -> Result<Vec<u8>, OpenError> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let layout = Layout::of_response(endpoint, body)?;
        // An object of plain members only could be anybody's. An empty array is what a document without text comes to.
        if layout.fields == 0 && body.trim_ascii_start().starts_with(b"{") {
            return Err(OpenError::NothingSealed);
        }
        self.open_layout(&layout)
    }

    /// Whether any field of the response was opened.
    pub(super) fn has_opened(&self) -> bool {
        self.sequence.at(0) != Some(0)
    }

    pub(super) fn open_layout(&mut self, layout: &Layout<'_>) -> Result<Vec<u8>, OpenError> {
        transform::open(&self.cipher, &mut self.nonce, &mut self.sequence, layout, &self.request_ivs)
    }

    /// Opens a streamed response.
    pub fn into_stream(self, endpoint: Endpoint) -> StreamOpener {
        StreamOpener::new(self, endpoint)
    }
}
