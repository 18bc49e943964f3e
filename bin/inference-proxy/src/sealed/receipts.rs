//! Receipts of single exchanges, where the head asks for one.

use std::collections::{BTreeMap, BTreeSet};

use privatemode_mesh::MeshIdentity;
use privatemode_wire::{
    ocsp::OcspPolicy,
    receipt::{Receipt, SignedReceipt},
    stream::{
        ManifestDigest, Outcome, RequestHead, RequestId, ResponseEnd, UnixMillis,
        outer::{ExchangeId, RequestSalt},
    },
    usage::Usage,
};
use std::{convert::Infallible, sync::Arc};

/// What the receipt calls the model where the request names none.
const DOCUMENTS: &str = "unstructured";

/// Signs receipts with the worker's mesh key.
pub trait ReceiptSigner: Send + Sync {
    /// The mesh certificate and its issuers, DER, leaf first.
    fn certificates(&self) -> Vec<Vec<u8>>;

    /// An ASN.1 ECDSA P-256 signature over the SHA-256 of `message`, by the key of [`Self::certificates`].
    fn sign(&self, message: &[u8]) -> Vec<u8>;

    /// What a receipt calls it if nothing proves that hardware protects this deployment: `simulated` or `test-root`.
    fn unproved(&self) -> Option<&'static str>;

    /// The manifest that this deployment runs under.
    fn manifest(&self) -> ManifestDigest;
}

impl ReceiptSigner for MeshIdentity {
    fn certificates(&self) -> Vec<Vec<u8>> {
        self.chain().into_iter().map(|certificate| certificate.to_vec()).collect()
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        self.sign_asn1(message)
    }

    fn unproved(&self) -> Option<&'static str> {
        match (self.simulated(), self.test_root()) {
            (true, _) => Some("simulated"),
            (false, true) => Some("test-root"),
            (false, false) => None,
        }
    }

    fn manifest(&self) -> ManifestDigest {
        ManifestDigest(*MeshIdentity::manifest(self).digest().as_bytes())
    }
}

/// What is known of a receipt when the answer begins. What is not known, such as the digests of model and engine, stays
/// absent.
pub(super) struct Draft {
    signer: Arc<dyn ReceiptSigner>,
    request_id: RequestId,
    exchange: ExchangeId,
    model: String,
    manifest: ManifestDigest,
    downgrades: BTreeSet<String>,
    sampling: BTreeMap<String, String>,
    status: u16,
    received: UnixMillis,
    started: UnixMillis,
}

/// When and with what an answer begins.
pub(super) struct Begun {
    pub(super) status: u16,
    pub(super) sampling: BTreeMap<String, String>,
    pub(super) received: UnixMillis,
    pub(super) started: UnixMillis,
    /// The engine is on another machine.
    pub(super) remote_engine: bool,
}

impl Draft {
    /// `None` where the head asks for no receipt.
    pub(super) fn new(
        signer: &Arc<dyn ReceiptSigner>,
        salt: &RequestSalt,
        head: &RequestHead,
        begun: Begun,
    ) -> Option<Self> {
        if !head.receipt {
            return None;
        }
        let Begun { status, sampling, received, started, remote_engine } = begun;
        let mut downgrades = ocsp_downgrades(head.ocsp_policy.as_deref());
        downgrades.extend(signer.unproved().map(str::to_owned));
        downgrades.extend(remote_engine.then(|| "engine-remote".to_owned()));
        Some(Self {
            signer: Arc::clone(signer),
            request_id: head.request_id,
            exchange: salt.exchange_id(),
            model: head.model.clone().unwrap_or_else(|| DOCUMENTS.to_owned()),
            // Our own: the head's is the client's word, and a worker that signed it would vouch for any manifest.
            manifest: signer.manifest(),
            downgrades,
            sampling,
            status,
            received,
            started,
        })
    }

    /// Signs. `None` where the answer has no digest, which [`Self::new`] excludes.
    pub(super) fn sign(
        self,
        end: &ResponseEnd,
        outcome: Outcome,
        usage: Option<Usage>,
        finished: UnixMillis,
    ) -> Option<Box<SignedReceipt>> {
        let receipt = Receipt {
            request_id: self.request_id,
            exchange: self.exchange,
            request_digest: end.request_digest(),
            response_digest: end.response_digest()?,
            status: self.status,
            outcome,
            model: self.model,
            model_root: None,
            engine_image: None,
            manifest: self.manifest,
            sampling: self.sampling,
            usage,
            received: self.received,
            started: self.started,
            finished,
            downgrades: self.downgrades,
            certificates: self.signer.certificates(),
        };
        let signed = SignedReceipt::sign(receipt, |message| Ok::<_, Infallible>(self.signer.sign(message)));
        signed.ok().map(Box::new)
    }
}

/// What the client's policy lets pass beyond GOOD.
fn ocsp_downgrades(policy: Option<&str>) -> BTreeSet<String> {
    let policy = policy.and_then(|policy| OcspPolicy::parse(policy).ok()).unwrap_or(OcspPolicy::GOOD_ONLY);
    let names = [("ocsp-allow-unknown", policy.allow_unknown), ("ocsp-allow-revoked", policy.allow_revoked)];
    names.into_iter().filter(|(_, on)| *on).map(|(name, _)| name.to_owned()).collect()
}
