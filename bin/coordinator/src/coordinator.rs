//! Who gets what: attestation documents for everybody, certificates for workloads that the manifest names.
//!
//! Speaks no protocol and waits for nothing except the platform's quote. `attestation.md` §2.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use privatemode_attest::signature::{PublicKey, PublicKeyError};
use privatemode_attest::{EvidenceKind, ReportData, UnixTime};
use privatemode_collateral::{Collector, FetchError, Gathered};
use privatemode_manifest::{
    AppraiseError, AttestationDocument, Collateral, Needs, PolicyHash, VerifyOptions, appraise_workload,
    history, needs,
};
use privatemode_mesh::{QuoteError, Quoter};
use thiserror::Error;

use crate::authority::{Authority, IssueError};
use crate::challenge::{CAPACITY, Challenges, ChallengesFull, NonceError};
use crate::deployment::Deployment;

/// Longest wait for the vendors: shorter than a workload waits for us. It asks again, and finds the fetch done.
const FETCHING: Duration = Duration::from_secs(7);

/// What time it is. Injected, so that tests can move it.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// A deployment in force.
pub struct Coordinator {
    deployment: Deployment,
    authority: Authority,
    quoter: Arc<dyn Quoter>,
    options: VerifyOptions,
    clock: Clock,
    challenges: Mutex<Challenges>,
    collector: Option<Collector>,
}

/// An applicant whose nonce and key are in order: steps 1 and 2. There is no way to step 3 but through it.
#[derive(Debug)]
pub struct Admission {
    applicant: Applicant,
    key: PublicKey,
    /// What must be fetched for the evidence.
    needs: Needs,
}

/// A workload that wants a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Applicant {
    /// The nonce of its challenge.
    pub nonce: [u8; 32],
    /// SubjectPublicKeyInfo DER of its key.
    pub public_key: Vec<u8>,
    /// The kind of its evidence.
    pub kind: EvidenceKind,
    /// Evidence over key and nonce.
    pub evidence: Vec<u8>,
}

/// A workload that joined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// PEM: leaf, then intermediate.
    pub cert_chain: String,
    /// Its policy.
    pub policy: PolicyHash,
    /// Its name: the first SAN.
    pub name: String,
}

/// Why no challenge was made.
#[derive(Debug, Error)]
pub enum ChallengeError {
    /// Too many are open.
    #[error(transparent)]
    Full(#[from] ChallengesFull),
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

/// Why a workload may not join: one variant for each step.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Step 1: the nonce.
    #[error(transparent)]
    Nonce(#[from] NonceError),
    /// Step 2: the key.
    #[error("the workload's key cannot be certified")]
    PublicKey {
        /// Why.
        source: PublicKeyError,
    },
    /// Step 3: what the vendor publishes about the workload's machine.
    #[error("the workload's evidence cannot be verified now")]
    Collateral {
        /// Why.
        source: FetchError,
    },
    /// Step 3: the evidence.
    #[error(transparent)]
    Appraise(#[from] AppraiseError),
    /// Step 4: our own fault.
    #[error("the certificate could not be issued")]
    Issue {
        /// Why.
        source: IssueError,
    },
}

impl Coordinator {
    /// Puts a deployment in force. `options` say what evidence of workloads is tolerated.
    pub fn new(
        deployment: Deployment,
        authority: Authority,
        quoter: Arc<dyn Quoter>,
        options: VerifyOptions,
        clock: Clock,
    ) -> Self {
        let challenges = Mutex::new(Challenges::new(CAPACITY));
        Self { deployment, authority, quoter, options, clock, challenges, collector: None }
    }

    /// Fetches what workloads' evidence does not bring through `collector`; otherwise it must bring everything.
    #[must_use]
    pub fn with_collateral(self, collector: Collector) -> Self {
        Self { collector: Some(collector), ..self }
    }

    /// The deployment in force.
    pub fn deployment(&self) -> &Deployment {
        &self.deployment
    }

    /// Proves this deployment to whoever chose `nonce`. May block: it talks to the platform.
    pub fn attest(&self, nonce: &[u8; 32]) -> Result<AttestationDocument, QuoteError> {
        let manifest = self.deployment.manifest().raw().to_vec();
        let root_ca = self.authority.root_pem().as_bytes().to_vec();
        let mesh_ca = self.authority.mesh_ca().pem().as_bytes().to_vec();
        let manifests = vec![manifest];
        let transition = history::transition(&manifests).expect("there is one manifest");
        let bound = history::report_data(nonce, &transition, &root_ca, &mesh_ca);
        Ok(AttestationDocument {
            version: privatemode_service::version().to_owned(),
            raw_attestation_doc: self.quoter.quote(&bound)?,
            attestation_type: Some(self.quoter.kind()),
            manifests,
            policies: self.deployment.policies().map(<[u8]>::to_vec).collect(),
            root_ca,
            mesh_ca,
        })
    }

    /// Makes a nonce for a workload that wants to join.
    pub fn challenge(&self) -> Result<[u8; 32], ChallengeError> {
        let mut nonce = [0; 32];
        getrandom::fill(&mut nonce).map_err(|source| ChallengeError::Random { source })?;
        self.challenges().issue(nonce, (self.clock)())?;
        Ok(nonce)
    }

    /// Steps 1 and 2, which cost nothing: nobody without a challenge of ours makes us ask a vendor.
    pub fn admit(&self, applicant: Applicant) -> Result<Admission, JoinError> {
        // step 1: ours, fresh, and never again, whatever comes of the rest
        self.challenges().take(&applicant.nonce, (self.clock)())?;
        // step 2: a key that the mesh can use
        let key =
            PublicKey::parse_spki(&applicant.public_key).map_err(|source| JoinError::PublicKey { source })?;
        // evidence that does not say what it needs is refused in step 3, with the reason
        let manifest = self.deployment.manifest();
        let needs = needs(applicant.kind, &applicant.evidence, manifest).unwrap_or(Needs::Nothing);
        Ok(Admission { applicant, key, needs })
    }

    /// What step 3 needs of the vendors. All who need the same share one fetch.
    pub async fn collateral(&self, admission: &Admission) -> Result<Gathered, JoinError> {
        let Some(collector) = &self.collector else { return Ok(Gathered::default()) };
        let gathered = collector.gather_within(&admission.needs, FETCHING).await;
        gathered.map_err(|source| JoinError::Collateral { source })
    }

    /// Keeps or drops what was fetched, by the outcome of [`join`](Self::join).
    pub async fn judged(&self, gathered: &Gathered, outcome: Result<(), &JoinError>) {
        match (&self.collector, outcome) {
            (Some(collector), Ok(())) => collector.confirm_all(gathered).await,
            (Some(collector), Err(refusal)) => collector.reject_faulty(gathered, refusal).await,
            (None, _) => {}
        }
    }

    /// Certifies the key of a workload whose evidence the manifest accepts.
    pub fn join(&self, admission: &Admission, collateral: Collateral) -> Result<Member, JoinError> {
        let Admission { applicant, key, .. } = admission;
        let now = (self.clock)();
        // step 3: genuine evidence for this key and this nonce, of a policy that the manifest names
        let bound = ReportData::of_public_key(key.spki_der(), &applicant.nonce);
        let manifest = self.deployment.manifest();
        let (kind, evidence) = (applicant.kind, &applicant.evidence);
        let options = VerifyOptions { collateral, ..self.options.clone() };
        let workload = appraise_workload(manifest, kind, evidence, &bound, &options, now)?;
        // step 4: a certificate with the manifest's names; the workload has no say in them
        let cert_chain =
            self.authority.issue(&workload.entry, key, now).map_err(|source| JoinError::Issue { source })?;
        let name = workload.entry.sans.first().cloned().unwrap_or_default();
        Ok(Member { cert_chain, policy: workload.policy_hash, name })
    }

    /// Nonces that wait for their answer, or are remembered as used.
    pub fn open_challenges(&self) -> usize {
        self.challenges().len()
    }

    fn challenges(&self) -> std::sync::MutexGuard<'_, Challenges> {
        self.challenges.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
