//! Does this attestation document prove the deployment that we expect? The client's whole trust decision, in order.
//!
//! Does not fetch anything. Specification: `protocol.md` §8.

mod error;
mod report;

use privatemode_attest::encoding::{sevsnp, tdx};
use privatemode_attest::mesh::MeshCa;
use privatemode_attest::{EvidenceKind, UnixTime};

pub use error::VerifyError;
use report::Trace;
pub use report::{Report, Step};

use crate::appraise::{self, EvidenceReport};
use crate::digest::{ManifestDigest, PolicyHash};
use crate::document::AttestationDocument;
use crate::history;
use crate::model::{Manifest, Role};
use crate::needs::{Needs, needs};
pub use crate::options::VerifyOptions;

/// The platform that protects a deployment: the kind of its coordinator's evidence.
pub type Platform = EvidenceKind;

/// A deployment that was verified. Only [`verify_deployment`] makes one; the mesh CA cannot be had without it.
#[derive(Debug, Clone)]
pub struct VerifiedDeployment {
    manifest_digest: ManifestDigest,
    platform: Platform,
    test_root: bool,
    coordinator_policy: PolicyHash,
    mesh_ca: MeshCa,
    root_ca: MeshCa,
}

/// Verifies that `document` answers `nonce` for a deployment that enforces exactly `expected`. Cheapest checks first; the
/// mesh CA is taken only when everything that vouches for it has been checked.
///
/// # Errors
/// [`VerifyError`], whose [`step`](VerifyError::step) is the first that failed.
pub fn verify_deployment(
    document: &AttestationDocument,
    nonce: &[u8; 32],
    expected: &Manifest,
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<VerifiedDeployment, VerifyError> {
    verify_deployment_report(document, nonce, expected, options, now).1
}

/// As [`verify_deployment`], with what each step found, up to the first that failed.
pub fn verify_deployment_report(
    document: &AttestationDocument,
    nonce: &[u8; 32],
    expected: &Manifest,
    options: &VerifyOptions,
    now: UnixTime,
) -> (Report, Result<VerifiedDeployment, VerifyError>) {
    let mut trace = Trace::default();
    let result = steps(document, nonce, expected, options, now, &mut trace);
    (trace.finish(expected.digest(), now, result.as_ref().err()), result)
}

/// What must be fetched before `document` can be verified: nothing if a step before the evidence fails, or if the evidence
/// cannot be read, for then [`verify_deployment`] refuses it whatever was fetched, and says why.
pub fn document_needs(document: &AttestationDocument, expected: &Manifest) -> Needs {
    let kind = before_evidence(document, expected, &mut Trace::default());
    let needs = kind.ok().and_then(|kind| needs(kind, &document.raw_attestation_doc, expected).ok());
    needs.unwrap_or(Needs::Nothing)
}

/// Steps 1 to 5, which cost nothing: nobody is asked for collateral, and no signature is looked at, for what they refuse.
fn before_evidence(
    document: &AttestationDocument,
    expected: &Manifest,
    trace: &mut Trace,
) -> Result<EvidenceKind, VerifyError> {
    // step 1: something is in force
    let in_force = document.manifests.last().ok_or(VerifyError::HistoryEmpty)?;
    trace.passed(Step::History, [("manifests", document.manifests.len().to_string())]);
    // step 2: byte for byte what we expect; from here on only `expected` is read, never what was sent
    if in_force != expected.raw() {
        let got = ManifestDigest::of(in_force);
        return Err(VerifyError::ManifestChanged { expected: expected.digest(), got });
    }
    trace.passed(Step::Manifest, [("digest", expected.digest().to_string())]);
    // step 3: nobody else was in charge before; an earlier manifest could have handed out the same root
    if expected.is_immutable() && document.manifests.len() != 1 {
        return Err(VerifyError::HistoryNotSingle { entries: document.manifests.len() });
    }
    trace.passed(Step::Single, [("immutable", expected.is_immutable().to_string())]);
    // step 4: evidence of a known kind
    let kind = evidence_kind(document, expected).ok_or(VerifyError::EvidenceKindMissing)?;
    let declared = document.attestation_type.is_some();
    trace.passed(Step::EvidenceKind, [("kind", kind.name().to_owned()), ("declared", declared.to_string())]);
    // step 5: the policies are those that the manifest hashes
    check_policies(document, expected)?;
    trace.passed(Step::Policies, [("policies", document.policies.len().to_string())]);
    Ok(kind)
}

fn steps(
    document: &AttestationDocument,
    nonce: &[u8; 32],
    expected: &Manifest,
    options: &VerifyOptions,
    now: UnixTime,
    trace: &mut Trace,
) -> Result<VerifiedDeployment, VerifyError> {
    let kind = before_evidence(document, expected, trace)?;
    let transition = history::transition(&document.manifests).ok_or(VerifyError::HistoryEmpty)?;
    // steps 6 and 7: the platform is allowed, the evidence genuine and bound to nonce, history and both CAs
    let bound = history::report_data(nonce, &transition, &document.root_ca, &document.mesh_ca);
    let report = trace.evidence.insert(EvidenceReport::new(kind, options));
    let raw = &document.raw_attestation_doc;
    let policy = appraise::evidence(expected, kind, raw, &bound, options, now, report)?;
    trace.passed(Step::Platform, [("platform", kind.to_string())]);
    trace.passed(Step::Evidence, [("policy", policy.to_string())]);
    // step 8: what answered is a coordinator; any other workload has genuine evidence, too
    if expected.policy(&policy).is_none_or(|entry| entry.role != Role::Coordinator) {
        return Err(VerifyError::HostDataNotCoordinator { got: policy });
    }
    trace.passed(Step::Coordinator, [("policy", policy.to_string())]);
    // step 9: only now the CAs, whose bytes step 7 bound
    let root_ca = MeshCa::parse_pem(&document.root_ca).map_err(|source| VerifyError::RootCa { source })?;
    let mesh_ca = MeshCa::parse_pem(&document.mesh_ca).map_err(|source| VerifyError::MeshCa { source })?;
    mesh_ca.check_validity(now).map_err(|source| VerifyError::MeshCaValidity { source })?;
    trace.passed(Step::Authorities, []);
    Ok(VerifiedDeployment {
        manifest_digest: expected.digest(),
        platform: kind,
        test_root: !options.roots.is_production(),
        coordinator_policy: policy,
        mesh_ca,
        root_ca,
    })
}

/// The kind that the document declares. Genuine coordinators from before the member was there send none: then the one kind
/// of hardware that the manifest names and whose encoding the evidence has. The sender chooses the kind either way, and each
/// kind is verified to its vendor's root, so that a wrong guess can only be refused. Simulated evidence is never guessed.
fn evidence_kind(document: &AttestationDocument, expected: &Manifest) -> Option<EvidenceKind> {
    if document.attestation_type.is_some() {
        return document.attestation_type;
    }
    let raw = &document.raw_attestation_doc;
    [(EvidenceKind::Snp, sevsnp::decode(raw).is_ok()), (EvidenceKind::Tdx, tdx::decode(raw).is_ok())]
        .into_iter()
        .find(|(kind, readable)| *readable && expected.names_platform(*kind))
        .map(|(kind, _)| kind)
}

/// Every policy of the manifest must have been sent, so that what runs can be reviewed. One that the manifest does not name
/// is refused too, unless there were earlier manifests that it may belong to; it gives nobody a right either way.
fn check_policies(document: &AttestationDocument, expected: &Manifest) -> Result<(), VerifyError> {
    let sent: Vec<PolicyHash> = document.policies.iter().map(|policy| PolicyHash::of(policy)).collect();
    let foreign = sent.iter().find(|hash| expected.policy(hash).is_none());
    if let (Some(&got), 1) = (foreign, document.manifests.len()) {
        return Err(VerifyError::PolicyMismatch { got });
    }
    match expected.policies().find(|(hash, _)| !sent.contains(hash)) {
        Some((&missing, _)) => Err(VerifyError::PolicyMissing { missing }),
        None => Ok(()),
    }
}

impl VerifiedDeployment {
    /// The attested mesh CA.
    pub fn mesh_ca(&self) -> &MeshCa {
        &self.mesh_ca
    }

    /// The attested mesh CA as PEM.
    pub fn mesh_ca_pem(&self) -> &str {
        self.mesh_ca.pem()
    }

    /// The attested root CA as PEM.
    pub fn root_ca_pem(&self) -> &str {
        self.root_ca.pem()
    }

    /// Digest of the manifest that is enforced.
    pub fn manifest_digest(&self) -> ManifestDigest {
        self.manifest_digest
    }

    /// The platform that protects the coordinator.
    pub fn platform(&self) -> Platform {
        self.platform
    }

    /// The coordinator's policy.
    pub fn coordinator_policy(&self) -> PolicyHash {
        self.coordinator_policy
    }

    /// Whether no hardware protects it.
    pub fn simulated(&self) -> bool {
        self.platform == EvidenceKind::Simulated
    }

    /// Whether a test's root stood in its vendor's place: then nothing here says anything about hardware, either.
    pub fn test_root(&self) -> bool {
        self.test_root
    }
}

#[cfg(test)]
mod tests;
