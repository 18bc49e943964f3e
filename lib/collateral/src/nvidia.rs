//! Reference manifests and certificate status of NVIDIA.

use sha2::{Digest as _, Sha256};

use crate::{
    collector::{Collector, Extras},
    error::FetchError,
    found::Found,
    key::{Key, RimId},
};

/// Longest OCSP request that is sent, in bytes; a request for a whole chain has some hundred.
const MAX_REQUEST: usize = 16 << 10;
/// The object identifier 1.3.6.1.5.5.7.48.1.2 in DER (RFC 6960 §4.4.1).
const NONCE: &[u8] = &[0x06, 0x09, 0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x30, 0x01, 0x02];

/// Whether `body` is what has to be posted for `key`: for a document that is only got, nothing.
pub(crate) fn is_request_of(key: &Key, body: &[u8]) -> bool {
    let request = OcspRequest { der: body };
    match key {
        Key::NvidiaOcsp { .. } => request.is_plausible() && request.key() == *key,
        _ => body.is_empty(),
    }
}

/// A document with where it came from.
#[derive(Debug, Clone)]
pub struct NvidiaDocument {
    /// XML of a manifest, DER of an OCSP response.
    pub bytes: Vec<u8>,
    /// For reports and bundles.
    pub found: Found,
}

/// A request for certificate status. The answer to one with a nonce is never asked for again, so it is not cached; a bundle has it
/// for those who verify the same evidence again.
#[derive(Debug, Clone, Copy)]
pub struct OcspRequest<'a> {
    /// The request.
    pub der: &'a [u8],
}

impl OcspRequest<'_> {
    /// The name of its answer.
    #[must_use]
    pub fn key(&self) -> Key {
        Key::NvidiaOcsp { request: Sha256::digest(self.der).into() }
    }

    /// Whether it can be one at all.
    fn is_plausible(&self) -> bool {
        self.der.starts_with(&[0x30]) && self.der.len() <= MAX_REQUEST
    }

    /// Whether it has the nonce extension. Looked for as bytes: taken for one by chance, an answer is asked for once more.
    pub(crate) fn has_nonce(&self) -> bool {
        self.der.windows(NONCE.len()).any(|window| window == NONCE)
    }
}

impl Collector {
    /// Gets a reference manifest.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::NotFound`] where NVIDIA has not published one for this firmware.
    pub async fn rim(&self, id: &RimId) -> Result<NvidiaDocument, FetchError> {
        let found = self.document(&Key::NvidiaRim { id: id.clone() }, &[], &Extras::new()).await?;
        Ok(NvidiaDocument { bytes: found.document.bytes.clone(), found })
    }

    /// Gets certificate status. How long it counts is in its signed part: after verification, call [`Collector::confirm`].
    ///
    /// # Errors
    /// [`FetchError`]
    pub async fn ocsp(&self, request: &OcspRequest<'_>) -> Result<NvidiaDocument, FetchError> {
        let found = self.document(&request.key(), request.der, &Extras::new()).await?;
        Ok(NvidiaDocument { bytes: found.document.bytes.clone(), found })
    }
}
