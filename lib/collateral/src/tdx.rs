//! Everything that verifying one TDX quote needs, in the layout that verifiers share.

use privatemode_attest::tdx;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{
    collector::{Collector, Extras},
    document::Document,
    error::FetchError,
    found::Found,
    key::{Fmspc, Key, PckCa},
};

/// What a quote needs, by its PCK certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdxNeeds {
    /// Platform family.
    pub fmspc: Fmspc,
    /// Issuer of the PCK certificate.
    pub ca: PckCa,
}

impl From<tdx::Needs> for TdxNeeds {
    fn from(needs: tdx::Needs) -> Self {
        let tdx::Needs { fmspc, pck_ca } = needs;
        let ca = match pck_ca {
            tdx::PckCa::Platform => PckCa::Platform,
            tdx::PckCa::Processor => PckCa::Processor,
        };
        Self { fmspc: Fmspc(fmspc), ca }
    }
}

/// Documents for `tdx::Collateral`. As JSON: issuers in PEM, what is signed as text byte for byte, the rest in hexadecimal.
#[derive(Debug, Clone, Serialize)]
pub struct TdxCollateral {
    /// Issuers of `pck_crl`, PEM.
    pub pck_crl_issuer_chain: String,
    /// What the root revoked, DER.
    #[serde(serialize_with = "hexadecimal")]
    pub root_ca_crl: Vec<u8>,
    /// Revoked PCK certificates, DER.
    #[serde(serialize_with = "hexadecimal")]
    pub pck_crl: Vec<u8>,
    /// Issuers of `tcb_info`, PEM.
    pub tcb_info_issuer_chain: String,
    /// The signed JSON.
    pub tcb_info: String,
    /// Its signature, r ‖ s.
    #[serde(serialize_with = "hexadecimal")]
    pub tcb_info_signature: Vec<u8>,
    /// Issuers of `qe_identity`, PEM.
    pub qe_identity_issuer_chain: String,
    /// The signed JSON.
    pub qe_identity: String,
    /// Its signature, r ‖ s.
    #[serde(serialize_with = "hexadecimal")]
    pub qe_identity_signature: Vec<u8>,
    /// The documents behind, with where each came from; for reports and bundles.
    #[serde(skip)]
    pub documents: Vec<Found>,
}

#[derive(Deserialize)]
struct Signed<'a> {
    #[serde(borrow, alias = "tcbInfo", alias = "enclaveIdentity")]
    body: &'a RawValue,
    signature: String,
}

impl Collector {
    /// Gets what `needs` says, all documents at a time.
    ///
    /// # Errors
    /// [`FetchError`]: of the first document that cannot be had.
    pub async fn tdx(&self, needs: &TdxNeeds, extras: &Extras) -> Result<TdxCollateral, FetchError> {
        let tcb_key = Key::IntelTcbInfo { fmspc: needs.fmspc };
        let pck_key = Key::IntelPckCrl { ca: needs.ca };
        let (tcb, qe, pck, root) = tokio::try_join!(
            self.document(&tcb_key, &[], extras),
            self.document(&Key::IntelQeIdentity, &[], extras),
            self.document(&pck_key, &[], extras),
            self.document(&Key::IntelRootCrl, &[], extras),
        )?;
        let (tcb_info, tcb_info_signature) = signed(&tcb_key, &tcb.document)?;
        let (qe_identity, qe_identity_signature) = signed(&Key::IntelQeIdentity, &qe.document)?;
        let chain = |found: &Found| found.document.issuer_chain.clone().unwrap_or_default();
        Ok(TdxCollateral {
            pck_crl_issuer_chain: chain(&pck),
            root_ca_crl: root.document.bytes.clone(),
            pck_crl: pck.document.bytes.clone(),
            tcb_info_issuer_chain: chain(&tcb),
            tcb_info,
            tcb_info_signature,
            qe_identity_issuer_chain: chain(&qe),
            qe_identity,
            qe_identity_signature,
            documents: vec![tcb, qe, pck, root],
        })
    }
}

fn hexadecimal<S: serde::Serializer>(bytes: &[u8], to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&hex::encode(bytes))
}

/// The signed text as it stands in the document: parsed and printed again, it would not match its signature.
fn signed(key: &Key, document: &Document) -> Result<(String, Vec<u8>), FetchError> {
    let layout = || FetchError::Layout { key: key.clone() };
    let Signed { body, signature } = serde_json::from_slice(&document.bytes).map_err(|_| layout())?;
    let signature = hex::decode(signature).map_err(|_| layout())?;
    Ok((body.get().to_owned(), signature))
}

impl TryFrom<TdxCollateral> for tdx::Collateral {
    type Error = FetchError;

    fn try_from(fetched: TdxCollateral) -> Result<Self, FetchError> {
        let signature = |key: &Key, bytes: &[u8]| {
            <[u8; 64]>::try_from(bytes).map_err(|_| FetchError::Layout { key: key.clone() })
        };
        let TdxCollateral { documents, tcb_info_signature, qe_identity_signature, .. } = &fetched;
        let tcb_key = documents.first().map_or(Key::IntelQeIdentity, |found| found.provenance.key.clone());
        let tcb_info_signature = signature(&tcb_key, tcb_info_signature)?;
        let qe_identity_signature = signature(&Key::IntelQeIdentity, qe_identity_signature)?;
        Ok(Self {
            tcb_info: fetched.tcb_info,
            tcb_info_signature,
            tcb_info_issuer_chain: fetched.tcb_info_issuer_chain,
            qe_identity: fetched.qe_identity,
            qe_identity_signature,
            qe_identity_issuer_chain: fetched.qe_identity_issuer_chain,
            pck_crl: fetched.pck_crl,
            pck_crl_issuer_chain: fetched.pck_crl_issuer_chain,
            root_ca_crl: fetched.root_ca_crl,
        })
    }
}
