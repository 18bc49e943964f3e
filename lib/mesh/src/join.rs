//! Joining: first the coordinator proves itself, then we do.
//!
//! 1. settings — all faults at once
//! 2. the coordinator's evidence over a fresh nonce, against the expected manifest — before it learns anything of us
//! 3. a challenge, and our evidence over it and our key
//! 4. the certificate: signed by the mesh CA of step 2, for our key

use std::{
    sync::{Arc, Mutex},
    time::{Duration, Instant, SystemTime},
};

use arc_swap::ArcSwap;
use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::{
    ReportData, UnixTime,
    mesh::{LeafError, SignatureError},
};
use privatemode_collateral::FetchError;
use privatemode_manifest::{
    VerifiedDeployment, VerifyError, VerifyOptions, document_needs, verify_deployment,
};
use privatemode_service::{Chain, Faults};
use rustls::pki_types::{CertificateDer, pem, pem::PemObject};

use crate::{
    CoordinatorError, MeshArgs, MeshIdentity, QuoteError,
    args::Settings,
    coordinator::Coordinator,
    identity::{Shared, State},
    key::MeshKey,
    messages::JoinRequest,
    quote::{Quoter, quoter},
};

/// How long [`join`] waits for a coordinator that is not up yet.
const PATIENCE: Duration = Duration::from_secs(60);
/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));
/// Longest time for the hardware vendor's documents, all attempts together.
const FETCHING: Duration = Duration::from_secs(90);
/// A mesh chain has one leaf and a CA or two.
const MAX_CHAIN: usize = 8;

/// Why a workload could not join.
#[derive(Debug, thiserror::Error)]
pub enum JoinError {
    /// Step 1.
    #[error("cannot join the mesh")]
    Arguments {
        /// All of it.
        source: Faults,
    },
    /// Step 1: the platform gives no evidence here.
    #[error("cannot join the mesh without evidence")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// No key could be made.
    #[error("cannot make the workload's key")]
    Key {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The coordinator did not come up in time.
    #[error("the coordinator is not ready after {} seconds; start it first, or correct --coordinator and --coordinator-mesh", .waited.as_secs())]
    NotReady {
        /// How long we tried.
        waited: Duration,
        /// The last attempt's outcome.
        source: Box<CoordinatorError>,
    },
    /// The coordinator could not be asked.
    #[error("cannot join the mesh")]
    Coordinator {
        /// Why.
        source: Box<CoordinatorError>,
    },
    /// Step 2: what the vendor publishes about the coordinator's machine.
    #[error("the coordinator's evidence cannot be verified now")]
    Collateral {
        /// Why.
        source: FetchError,
    },
    /// Step 2: what answers is not the expected deployment.
    #[error("the coordinator is refused")]
    NotTrusted {
        /// The check that failed.
        source: Box<VerifyError>,
    },
    /// Step 4: no certificate chain.
    #[error("the coordinator's answer holds no certificate chain as PEM of 1 to {MAX_CHAIN} certificates")]
    Chain {
        /// Why, if it is no PEM at all.
        source: Option<pem::Error>,
    },
    /// Step 4: not signed by the attested mesh CA, or not valid.
    #[error("the certificate from the coordinator is refused")]
    Leaf {
        /// Why.
        source: LeafError,
    },
    /// Step 4: for another key than ours.
    #[error("the certificate from the coordinator is for another key than ours")]
    ForeignKey {
        /// Why.
        source: SignatureError,
    },
    /// Step 4: the certificate cannot be used for TLS.
    #[error("the certificate from the coordinator cannot be used for TLS")]
    Tls {
        /// Why.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

impl From<CoordinatorError> for JoinError {
    fn from(source: CoordinatorError) -> Self {
        Self::Coordinator { source: Box::new(source) }
    }
}

/// Joins the mesh. Waits up to a minute for a coordinator that is starting; any other failure ends it at once.
///
/// # Errors
/// [`JoinError`] names the step and the reason.
pub async fn join(args: &MeshArgs) -> Result<Arc<MeshIdentity>, JoinError> {
    join_within(args, PATIENCE).await
}

/// As [`join`], with another time to wait for the coordinator.
///
/// # Errors
/// As [`join`].
pub async fn join_within(args: &MeshArgs, patience: Duration) -> Result<Arc<MeshIdentity>, JoinError> {
    // step 1
    let settings = args.settings().map_err(|source| JoinError::Arguments { source })?;
    let quoter = quoter(settings.platform, settings.policy, settings.fake_snp.as_deref())
        .map_err(|source| JoinError::Quote { source })?;
    let key = MeshKey::generate().map_err(|error| JoinError::Key { source: error.into() })?;
    let coordinator = Coordinator::new(&settings.coordinator, &settings.coordinator_mesh);
    let state = patiently(patience, || enrol(&settings, &coordinator, &quoter, &key)).await?;
    log_joined(&state);
    let shared = Arc::new(Shared { state: ArcSwap::from_pointee(state), peers: Mutex::default() });
    Ok(Arc::new(MeshIdentity { settings, coordinator, quoter, key, shared }))
}

/// Repeats what fails for a temporary reason, with growing pauses.
async fn patiently<T, F: Future<Output = Result<T, JoinError>>>(
    patience: Duration,
    attempt: impl Fn() -> F,
) -> Result<T, JoinError> {
    let start = Instant::now();
    let (mut pause, longest) = PAUSES;
    loop {
        let source = match attempt().await {
            Err(JoinError::Coordinator { source }) if source.is_temporary() => source,
            outcome => return outcome,
        };
        let waited = start.elapsed();
        if waited + pause > patience {
            return Err(JoinError::NotReady { waited, source });
        }
        tracing::info!(error = %Chain(&*source), retry_ms = pause.as_millis() as u64, "waiting for the coordinator");
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(longest);
    }
}

fn log_joined(state: &State) {
    let deployment = &state.deployment;
    let (manifest, platform) = (deployment.manifest_digest(), deployment.platform());
    if deployment.simulated() {
        tracing::warn!(%manifest, %platform, "SIMULATED: joined a deployment that no hardware protects; for development only");
    } else if deployment.test_root() {
        tracing::warn!(%manifest, %platform, "TEST ROOT: joined a deployment of which nothing proves that hardware protects it; for tests only");
    } else {
        tracing::info!(%manifest, %platform, "joined the mesh");
    }
}

/// Steps 2 to 4.
pub(crate) async fn enrol(
    settings: &Settings,
    coordinator: &Coordinator,
    quoter: &Arc<dyn Quoter>,
    key: &MeshKey,
) -> Result<State, JoinError> {
    // step 2
    let deployment = attest(settings, coordinator).await?;
    // step 3
    let nonce = coordinator.challenge().await?;
    let evidence = quote(quoter, ReportData::of_public_key(key.spki(), &nonce)).await?;
    let request = JoinRequest {
        nonce: STANDARD.encode(nonce),
        public_key: STANDARD.encode(key.spki()),
        evidence_type: quoter.kind().oid().to_vec(),
        evidence: STANDARD.encode(evidence),
    };
    let reply = coordinator.join(&request).await?;
    // step 4
    let chain = parse_chain(&reply.cert_chain)?;
    let leaf_der = chain.first().ok_or(JoinError::Chain { source: None })?;
    let now = now();
    let leaf =
        deployment.mesh_ca().verify_leaf(leaf_der, now).map_err(|source| JoinError::Leaf { source })?;
    // A signature that verifies is a comparison of keys that no encoding can fool.
    let probe = *ReportData::of_public_key(key.spki(), &nonce).as_bytes();
    let (digest, _) = probe.split_first_chunk::<32>().expect("64 bytes begin with 32");
    leaf.verify_prehash(digest, &key.sign_prehash_asn1(digest))
        .map_err(|source| JoinError::ForeignKey { source })?;
    State::new(deployment, chain, &leaf, key, now).map_err(|source| JoinError::Tls { source })
}

/// Step 2 alone: what the coordinator proves now.
pub(crate) async fn attest(
    settings: &Settings,
    coordinator: &Coordinator,
) -> Result<VerifiedDeployment, JoinError> {
    let mut nonce = [0; 32];
    getrandom::fill(&mut nonce).map_err(|error| JoinError::Key { source: error.into() })?;
    let document = coordinator.attest(&nonce).await?;
    let refused = |source| JoinError::NotTrusted { source: Box::new(source) };
    let Some(collector) = &settings.collector else {
        return verify_deployment(&document, &nonce, &settings.manifest, &settings.options, now())
            .map_err(refused);
    };
    let needs = document_needs(&document, &settings.manifest);
    let gathered = collector.gather_within(&needs, FETCHING).await;
    let gathered = gathered.map_err(|source| JoinError::Collateral { source })?;
    let options = VerifyOptions { collateral: gathered.collateral.clone(), ..settings.options.clone() };
    let verified = verify_deployment(&document, &nonce, &settings.manifest, &options, now());
    match &verified {
        Ok(_) => collector.confirm_all(&gathered).await,
        Err(refusal) => collector.reject_faulty(&gathered, refusal).await,
    }
    verified.map_err(refused)
}

/// Asks the platform on a thread where it may block.
async fn quote(quoter: &Arc<dyn Quoter>, bind: ReportData) -> Result<Vec<u8>, JoinError> {
    let quoter = Arc::clone(quoter);
    let quoted = tokio::task::spawn_blocking(move || quoter.quote(&bind)).await;
    quoted
        .map_err(|error| JoinError::Key { source: error.into() })?
        .map_err(|source| JoinError::Quote { source })
}

fn parse_chain(text: &str) -> Result<Vec<CertificateDer<'static>>, JoinError> {
    let mut chain = Vec::new();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        if chain.len() == MAX_CHAIN {
            return Err(JoinError::Chain { source: None });
        }
        chain.push(certificate.map_err(|source| JoinError::Chain { source: Some(source) })?);
    }
    Ok(chain)
}

/// The wall clock. A clock before 1970 makes every certificate "not valid yet", which is right.
pub(crate) fn now() -> UnixTime {
    UnixTime(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs()))
}
