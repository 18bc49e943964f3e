//! Who gets what: attestation documents for everybody, certificates for workloads that the manifest names; and doing what
//! the pure [`crate::state`] decides: writing, committing, watching the store, asking peers.
//!
//! Speaks no protocol. `attestation.md` §2.

mod change;
mod tend;

use std::sync::Arc;
use std::time::Duration;

use privatemode_attest::signature::{PublicKey, PublicKeyError};
use privatemode_attest::{EvidenceKind, ReportData, UnixTime};
use privatemode_collateral::{Collector, FetchError, Gathered};
use privatemode_manifest::{
    AppraiseError, AttestationDocument, Collateral, Needs, PolicyHash, VerifyOptions, appraise_workload,
    history, needs,
};
use privatemode_mesh::{QuoteError, Quoter};
use privatemode_store::state::{StateError, StateStore};
use thiserror::Error;
use tokio::sync::{Mutex, watch};

use crate::authority::IssueError;
use crate::challenge::{self, Nonce, NonceError};
use crate::deployment::Own;
use crate::peers::Peers;
use crate::state::set::SetPlan;
use crate::state::{InForce, NotInForce, State};

pub use change::{ChangeError, Committed, RecoveredBy};
pub use tend::Notice;

/// Longest wait for the vendors: shorter than a workload waits for us. It asks again, and finds the fetch done.
const FETCHING: Duration = Duration::from_secs(7);

/// What time it is. Injected, so that tests can move it.
pub type Clock = Arc<dyn Fn() -> UnixTime + Send + Sync>;

/// One coordinator of a deployment.
pub struct Coordinator {
    own: Own,
    store: Arc<dyn StateStore>,
    /// Swapped as a whole; whoever waits for a change subscribes.
    state: watch::Sender<Arc<State>>,
    /// One change at a time; inside, a commit of which nobody knows yet whether it happened.
    changing: Mutex<Option<SetPlan>>,
    peers: Option<Arc<dyn Peers>>,
    quoter: Arc<dyn Quoter>,
    options: VerifyOptions,
    clock: Clock,
    collector: Option<Collector>,
}

/// An applicant whose nonce and key are in order: steps 1 and 2. There is no way to step 3 but through it.
pub struct Admission {
    applicant: Applicant,
    key: PublicKey,
    in_force: Arc<InForce>,
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
    /// There is nothing to join.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
}

/// Why there is no attestation document.
#[derive(Debug, Error)]
pub enum AttestError {
    /// There is nothing to attest.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
    /// The platform gave no evidence.
    #[error("the platform gave no evidence")]
    Quote {
        /// Why.
        source: QuoteError,
    },
}

/// Why a workload may not join: one variant for each step.
#[derive(Debug, Error)]
pub enum JoinError {
    /// Before step 1: there is nothing to join.
    #[error(transparent)]
    NotInForce(#[from] NotInForce),
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
    /// A coordinator over `store`. `options` say what evidence of workloads is tolerated.
    ///
    /// # Errors
    /// The store cannot be read: whether there is a history must be known before anything is set.
    pub async fn open(
        own: Own,
        store: Arc<dyn StateStore>,
        quoter: Arc<dyn Quoter>,
        options: VerifyOptions,
        clock: Clock,
    ) -> Result<Self, StateError> {
        let state = tend::first_state(&*store).await?;
        Ok(Self {
            own,
            store,
            state: watch::Sender::new(Arc::new(state)),
            changing: Mutex::new(None),
            peers: None,
            quoter,
            options,
            clock,
            collector: None,
        })
    }

    /// Fetches what workloads' evidence does not bring through `collector`; otherwise it must bring everything.
    #[must_use]
    pub fn with_collateral(self, collector: Collector) -> Self {
        Self { collector: Some(collector), ..self }
    }

    /// Asks other coordinators of the deployment when it is stale.
    #[must_use]
    pub fn with_peers(self, peers: Arc<dyn Peers>) -> Self {
        Self { peers: Some(peers), ..self }
    }

    /// Its state now.
    pub fn state(&self) -> Arc<State> {
        Arc::clone(&self.state.borrow())
    }

    /// Tells of every change of the state.
    pub fn states(&self) -> watch::Receiver<Arc<State>> {
        self.state.subscribe()
    }

    /// What is in force now.
    pub fn in_force(&self) -> Result<Arc<InForce>, NotInForce> {
        self.state().in_force().cloned()
    }

    /// What makes its evidence.
    pub fn quoter(&self) -> &Arc<dyn Quoter> {
        &self.quoter
    }

    /// What fetches about the evidence of others.
    pub fn collector(&self) -> Option<&Collector> {
        self.collector.as_ref()
    }

    /// What evidence of workloads and of other coordinators is tolerated.
    pub fn options(&self) -> &VerifyOptions {
        &self.options
    }

    /// What time it is.
    pub fn now(&self) -> UnixTime {
        (self.clock)()
    }

    /// Proves this deployment to whoever chose `nonce`. May block: it talks to the platform.
    pub fn attest(&self, nonce: &[u8; 32]) -> Result<AttestationDocument, AttestError> {
        let in_force = self.in_force()?;
        let root_ca = in_force.authority().root_pem().as_bytes().to_vec();
        let mesh_ca = in_force.authority().mesh_ca().pem().as_bytes().to_vec();
        let transition = history::Transition::of_digest(in_force.latest().hash);
        let bound = history::report_data(nonce, &transition, &root_ca, &mesh_ca);
        Ok(AttestationDocument {
            version: privatemode_service::version().to_owned(),
            raw_attestation_doc: self.quoter.quote(&bound).map_err(|source| AttestError::Quote { source })?,
            attestation_type: Some(self.quoter.kind()),
            manifests: in_force.manifests().map(<[u8]>::to_vec).collect(),
            policies: in_force.deployment().policies().map(<[u8]>::to_vec).collect(),
            root_ca,
            mesh_ca,
        })
    }

    /// Makes a nonce for a workload that wants to join.
    pub fn challenge(&self) -> Result<Nonce, ChallengeError> {
        let in_force = self.in_force()?;
        let mut chance = [0; 8];
        getrandom::fill(&mut chance).map_err(|source| ChallengeError::Random { source })?;
        Ok(challenge::issue(&in_force.challenge_key, chance, self.now()))
    }

    /// Steps 1 and 2, which cost nothing: nobody without a challenge of ours makes us ask a vendor.
    pub fn admit(&self, applicant: Applicant) -> Result<Admission, JoinError> {
        let in_force = self.in_force()?;
        // step 1: ours, and fresh
        challenge::check(&in_force.challenge_key, &applicant.nonce, self.now())?;
        // step 2: a key that the mesh can use
        let key =
            PublicKey::parse_spki(&applicant.public_key).map_err(|source| JoinError::PublicKey { source })?;
        // evidence that does not say what it needs is refused in step 3, with the reason
        let needs = needs(applicant.kind, &applicant.evidence, in_force.manifest()).unwrap_or(Needs::Nothing);
        Ok(Admission { applicant, key, in_force, needs })
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
        let Admission { applicant, key, in_force, .. } = admission;
        let now = self.now();
        // step 3: genuine evidence for this key and this nonce, of a policy that the manifest names
        let bound = ReportData::of_public_key(key.spki_der(), &applicant.nonce);
        let (kind, evidence) = (applicant.kind, &applicant.evidence);
        let options = VerifyOptions { collateral, ..self.options.clone() };
        let workload = appraise_workload(in_force.manifest(), kind, evidence, &bound, &options, now)?;
        // step 4: a certificate with the manifest's names; the workload has no say in them
        let issued = in_force.authority().issue(&workload.entry, key, now);
        let cert_chain = issued.map_err(|source| JoinError::Issue { source })?;
        let name = workload.entry.sans.first().cloned().unwrap_or_default();
        Ok(Member { cert_chain, policy: workload.policy_hash, name })
    }
}
