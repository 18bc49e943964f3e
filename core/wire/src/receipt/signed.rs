//! A receipt with its signature, before and after it was verified.

use std::ops::Deref;

use super::wire::WireSigned;
use super::{Receipt, ReceiptError, SealedDigest};
use crate::stream::outer::ExchangeId;
use crate::stream::{from_canonical, to_canonical};

/// A receipt as somebody sent it. Nothing in it is known to be true before [`SignedReceipt::verify`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SignedReceipt {
    receipt: Receipt,
    signature: Vec<u8>,
}

/// A receipt whose signature and chain were found good by the caller's check.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VerifiedReceipt(Receipt);

/// The receipt is about another exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiptMismatch {
    /// The salt of the request that was sent has another hash.
    #[error("the receipt names another exchange than the one that took place")]
    Exchange,
    /// The request that was sent has another digest.
    #[error("the receipt names another request than the one that was sent")]
    Request,
    /// The response that arrived has another digest.
    #[error("the receipt names another response than the one that arrived")]
    Response,
}

impl SignedReceipt {
    /// Signs: `sign` gets the bytes ([`Receipt::to_be_signed`]) and gives an ECDSA P-256 signature over their SHA-256, ASN.1.
    pub fn sign<E>(
        receipt: Receipt,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<SignedReceipt, E> {
        let signature = sign(&receipt.to_be_signed())?;
        Ok(SignedReceipt { receipt, signature })
    }

    /// Parses the JSON, strictly.
    pub fn parse(json: &[u8]) -> Result<SignedReceipt, ReceiptError> {
        let wire: WireSigned = from_canonical(json, Receipt::MAX_LENGTH).map_err(ReceiptError::Json)?;
        SignedReceipt::from_wire(wire)
    }

    /// Canonical JSON.
    pub fn to_json(&self) -> String {
        to_canonical(&self.to_wire())
    }

    /// `check` gets the certificates (DER, leaf first), the bytes that were signed, and the signature; it decides whether the
    /// chain leads to the mesh CA, the leaf is a worker's, and the signature is the leaf's.
    pub fn verify<E>(
        self,
        check: impl FnOnce(&[Vec<u8>], &[u8], &[u8]) -> Result<(), E>,
    ) -> Result<VerifiedReceipt, E> {
        check(&self.receipt.certificates, &self.receipt.to_be_signed(), &self.signature)?;
        Ok(VerifiedReceipt(self.receipt))
    }

    /// What it claims, unverified: for showing it as such, and for finding the certificates.
    pub fn unverified(&self) -> &Receipt {
        &self.receipt
    }

    pub(crate) fn to_wire(&self) -> WireSigned {
        WireSigned::new(&self.receipt, &self.signature)
    }

    pub(crate) fn from_wire(wire: WireSigned) -> Result<SignedReceipt, ReceiptError> {
        let signature = wire.signature()?;
        Ok(SignedReceipt { receipt: wire.receipt.try_into()?, signature })
    }
}

impl VerifiedReceipt {
    /// Holds the receipt against what this client sent and received. Of a request that the client did not send to its end, or
    /// that the worker did not read to its end, there is no digest on that side, and none is compared: the exchange still says
    /// which one it was.
    pub fn check_exchange(
        &self,
        exchange: ExchangeId,
        request: Option<SealedDigest>,
        response: SealedDigest,
    ) -> Result<(), ReceiptMismatch> {
        if self.0.exchange != exchange {
            return Err(ReceiptMismatch::Exchange);
        }
        if request.zip(self.0.request_digest).is_some_and(|(sent, read)| sent != read) {
            return Err(ReceiptMismatch::Request);
        }
        if self.0.response_digest != response {
            return Err(ReceiptMismatch::Response);
        }
        Ok(())
    }
}

impl Deref for VerifiedReceipt {
    type Target = Receipt;

    fn deref(&self) -> &Receipt {
        &self.0
    }
}
