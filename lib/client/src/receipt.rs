//! Who signed a receipt: a worker of an attested deployment, or nobody that counts. Works offline, long after the answer.
//! Does not judge what the receipt says. Specification: `protocol.md` §9 (receipts).

use privatemode_attest::{
    UnixTime,
    mesh::{self, MeshCa, SignatureError},
};
use privatemode_manifest::workload;
use privatemode_wire::receipt::{SignedReceipt, VerifiedReceipt};
use sha2::{Digest, Sha256};

/// Why a receipt proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum ReceiptSignerError {
    /// Another deployment's certificate, or one made up.
    #[error("the certificate that signed the receipt does not come from the mesh CA")]
    ForeignMeshCa {
        /// What was wrong with it.
        source: mesh::LeafError,
    },
    /// A genuine member of the mesh that opens no requests.
    #[error("the receipt was not signed by a worker of the deployment")]
    NotWorker,
    /// The receipt was changed, or the signature is over another one.
    #[error("the receipt was changed after it was signed, or its signature was forged")]
    Signature {
        /// What was wrong with it.
        source: SignatureError,
    },
    /// It cannot happen: receipts have one certificate at least.
    #[error("the receipt holds no certificate")]
    NoCertificate,
}

/// Checks that a worker of the mesh under `ca` signed this very receipt. The certificate had to be valid when the answer
/// ended, by the receipt's own word: mesh certificates live for hours, receipts for years.
///
/// # Errors
/// [`ReceiptSignerError`], one variant for each check.
pub fn verify_receipt(signed: SignedReceipt, ca: &MeshCa) -> Result<VerifiedReceipt, ReceiptSignerError> {
    let finished = UnixTime(signed.unverified().finished.0 / 1000);
    signed.verify(|certificates, message, signature| {
        // step 1: the leaf is one of this deployment's, by the CA that its evidence vouched for
        let leaf = certificates.first().ok_or(ReceiptSignerError::NoCertificate)?;
        let leaf =
            ca.verify_leaf(leaf, finished).map_err(|source| ReceiptSignerError::ForeignMeshCa { source })?;
        // step 2: any workload has such a certificate; only workers serve requests
        let is_worker =
            leaf.has_name(workload::INFERENCE_PROXY) || leaf.workload_secret_id().is_some_and(names_worker);
        if !is_worker {
            return Err(ReceiptSignerError::NotWorker);
        }
        // step 3: it signed these bytes
        let digest: [u8; 32] = Sha256::digest(message).into();
        leaf.verify_prehash(&digest, signature).map_err(|source| ReceiptSignerError::Signature { source })
    })
}

/// By the bare name, or qualified (`apps/v1/StatefulSet/NAMESPACE/inference-proxy`).
fn names_worker(id: &str) -> bool {
    let qualified =
        ["apps/v1/StatefulSet/", "apps/v1/Deployment/"].iter().find_map(|kind| id.strip_prefix(kind));
    id == workload::INFERENCE_PROXY
        || qualified
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(namespace, name)| !namespace.is_empty() && name == workload::INFERENCE_PROXY)
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};

    use privatemode_wire::{
        receipt::{Receipt, SealedDigest},
        stream::{ManifestDigest, Outcome, RequestId, UnixMillis, outer::ExchangeId},
    };

    use super::*;
    use crate::testing::{Ca, Signer};

    fn receipt(signer: &Signer) -> Receipt {
        let time = UnixMillis(1_800_000_000_000);
        Receipt {
            request_id: RequestId::from_bytes([1; 16]),
            exchange: ExchangeId::from_bytes([5; 32]),
            request_digest: Some(SealedDigest([2; 32])),
            response_digest: SealedDigest([3; 32]),
            status: 200,
            outcome: Outcome::Complete,
            model: "demo".to_owned(),
            model_root: None,
            engine_image: None,
            manifest: ManifestDigest([4; 32]),
            sampling: BTreeMap::new(),
            usage: None,
            received: time,
            started: time,
            finished: time,
            downgrades: BTreeSet::new(),
            certificates: vec![signer.certificate().to_vec()],
        }
    }

    fn signed(signer: &Signer) -> SignedReceipt {
        SignedReceipt::sign(receipt(signer), |message| Ok::<_, ()>(signer.sign(message))).unwrap()
    }

    #[test]
    fn only_a_worker_of_this_mesh_signs_receipts() {
        let ca = Ca::new("mesh");
        let trusted = MeshCa::parse_pem(&ca.pem).unwrap();
        let worker = ca.workload("inference-proxy");
        assert!(verify_receipt(signed(&worker), &trusted).is_ok());

        let gateway = ca.workload("gateway");
        assert!(matches!(verify_receipt(signed(&gateway), &trusted), Err(ReceiptSignerError::NotWorker)));

        let foreign = Ca::new("mesh").workload("inference-proxy");
        let error = verify_receipt(signed(&foreign), &trusted).unwrap_err();
        assert!(matches!(error, ReceiptSignerError::ForeignMeshCa { .. }), "{error:?}");

        // Another workload's certificate over a worker's signature, and a change after the signature.
        let changed = signed(&worker).to_json().replace("\"model\":\"demo\"", "\"model\":\"best\"");
        let changed = SignedReceipt::parse(changed.as_bytes()).unwrap();
        let error = verify_receipt(changed, &trusted).unwrap_err();
        assert!(matches!(error, ReceiptSignerError::Signature { .. }), "{error:?}");
    }

    #[test]
    fn a_certificate_counts_at_the_time_of_the_answer() {
        let ca = Ca::new("mesh");
        let trusted = MeshCa::parse_pem(&ca.pem).unwrap();
        let worker = ca.workload("inference-proxy");
        let late = Receipt { finished: UnixMillis(9_000_000_000_000), ..receipt(&worker) };
        let late = SignedReceipt::sign(late, |message| Ok::<_, ()>(worker.sign(message))).unwrap();
        let error = verify_receipt(late, &trusted).unwrap_err();
        assert!(matches!(error, ReceiptSignerError::ForeignMeshCa { .. }), "{error:?}");
    }

    #[test]
    fn workload_secret_ids_of_workers() {
        assert!(
            names_worker("inference-proxy") && names_worker("apps/v1/Deployment/default/inference-proxy")
        );
        assert!(!names_worker("apps/v1/Deployment//inference-proxy") && !names_worker("not-inference-proxy"));
    }
}
