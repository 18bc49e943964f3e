//! The server's side of an exchange.

use rand_core::CryptoRng;

use super::error::{OpenError, SealError};
use super::layout::Layout;
use super::stream::StreamSealer;
use super::transform::{self, RequestIvs};
use crate::field::{ExchangeNonce, FieldCipher, Sequence};
use crate::profile::Endpoint;
use crate::secret::{Secret, SecretId};

/// Opens one request. The first field that it opens fixes the nonce of the exchange.
pub struct RequestOpener {
    cipher: FieldCipher,
    nonce: Option<ExchangeNonce>,
    sequence: Sequence,
}

impl RequestOpener {
    /// Begins an exchange under the secret that the request's header names.
    pub fn new(id: &SecretId, secret: &Secret) -> RequestOpener {
        RequestOpener { cipher: FieldCipher::new(id, secret), nonce: None, sequence: Sequence::default() }
    }

    /// Opens a body. Every member or form part that is not on the endpoint's plain list must be sealed, under this secret and
    /// with one nonce.
    pub fn open(
        &mut self,
        endpoint: Endpoint,
        content_type: Option<&str>,
        body: &[u8],
    ) -> Result<Vec<u8>, OpenError> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let layout = Layout::of_request(endpoint, content_type, body)?;
        transform::open(&self.cipher, &mut self.nonce, &mut self.sequence, &layout, &RequestIvs::new())
    }

    /// Closes the request; from here on only its response can be sealed. A request without a sealed field has fixed no nonce, so
    /// its response gets a fresh one.
    pub fn finish(self, rng: &mut dyn CryptoRng) -> ResponseSealer {
        let RequestOpener { cipher, nonce, sequence: _ } = self;
        let nonce = nonce.unwrap_or_else(|| {
            let mut nonce = ExchangeNonce::default();
            rng.fill_bytes(&mut nonce);
            nonce
        });
        ResponseSealer { cipher, nonce, sequence: Sequence::default() }
    }
}

/// Seals the response to one request.
pub struct ResponseSealer {
    cipher: FieldCipher,
    nonce: ExchangeNonce,
    sequence: Sequence,
}

impl ResponseSealer {
    /// Seals a unary response.
    pub fn seal(
        &mut self,
        endpoint: Endpoint,
        body: &[u8],
        rng: &mut dyn CryptoRng,
    ) -> Result<Vec<u8>, SealError> {
        if body.is_empty() {
            return Ok(Vec::new());
        }
        let layout = Layout::of_response(endpoint, body)?;
        transform::seal(&self.cipher, self.nonce, &mut self.sequence, &layout, rng, |_| ())
    }

    /// Seals a streamed response.
    pub fn into_stream(self, endpoint: Endpoint) -> StreamSealer {
        StreamSealer::new(self, endpoint)
    }
}
