//! The session: one credential at a time, renewed by wall clock, by one renewal at a time.
//!
//! Callers ask for the credential at each request ([`Session::credential`]); [`Session::maintain`] renews it in the
//! background, so that they never wait. A renewal is a task of its own: a caller that goes away does not end it, and
//! all who come meanwhile share its outcome. Before each exchange the deployment is attested anew, so that a new mesh
//! CA is known before anything it signed is looked at. Does not seal, and knows no HTTP.

mod error;
mod flight;

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use privatemode_manifest::{Manifest, Needs, VerifiedDeployment, VerifyOptions, document_needs};
use privatemode_wire::{
    exchange::{ClientExchange, ExchangeReply},
    secret::SecretId,
};
use tokio::{sync::Notify, time::Instant};

pub use self::error::RenewError;
use self::flight::Flight;
use crate::{
    AttestationError, Clock, CollateralError, CollateralSource, Credential, Entropy, Failing, Manifests,
    Negotiated, NoCollateral, Nonce, ProtocolChoice, Status, SystemClock, SystemEntropy, Transport,
    Verification, check_signer,
    verify::{parse, verify_document},
};

/// Longest time between two looks at the wall clock: after a sleep, this is how late a renewal may begin.
const LOOK: Duration = Duration::from_secs(30);
/// Pause after the first failed renewal; doubled up to [`LOOK`].
const FIRST_PAUSE: Duration = Duration::from_secs(1);
/// How long a failure is handed to further callers before anybody tries again.
const REST: Duration = Duration::from_secs(1);
/// Longest time for the vendors' documents, all attempts together.
const FETCHING: Duration = Duration::from_secs(90);
/// Pause between two looks of a caller that waits for a credential.
const WAITING: Duration = Duration::from_millis(200);

/// What a renewal comes to, shared by all who waited for it.
pub type Outcome = Result<Arc<Credential>, Arc<RenewError>>;

/// What a session is given besides its transport and manifests.
pub struct Settings {
    /// What verification tolerates.
    pub verify: VerifyOptions,
    /// The protocol asked for.
    pub protocol: ProtocolChoice,
    /// The wall clock.
    pub clock: Arc<dyn Clock>,
    /// Randomness for nonces and key pairs.
    pub entropy: Arc<dyn Entropy>,
    /// What vendors publish about the deployment's hardware.
    pub collateral: Arc<dyn CollateralSource>,
}

impl Settings {
    /// The machine's clock and randomness; evidence must bring its collateral itself.
    #[must_use]
    pub fn system(verify: VerifyOptions) -> Self {
        let (clock, entropy) = (Arc::new(SystemClock), Arc::new(SystemEntropy));
        Self { verify, protocol: ProtocolChoice::Auto, clock, entropy, collateral: Arc::new(NoCollateral) }
    }
}

/// An attested session with one deployment.
pub struct Session<T, M> {
    transport: T,
    manifests: M,
    settings: Settings,
    /// The manifest to verify against; `None` asks for a fetch.
    expected: Mutex<Option<Arc<Manifest>>>,
    status: ArcSwap<Status>,
    flight: Mutex<Flight>,
    kick: Notify,
}

impl<T: Transport, M: Manifests> Session<T, M> {
    /// A session that has done nothing yet.
    #[must_use]
    pub fn new(transport: T, manifests: M, settings: Settings) -> Arc<Self> {
        Arc::new(Self {
            transport,
            manifests,
            settings,
            expected: Mutex::new(None),
            status: ArcSwap::default(),
            flight: Mutex::default(),
            kick: Notify::new(),
        })
    }

    /// A snapshot of what is known.
    #[must_use]
    pub fn status(&self) -> Arc<Status> {
        self.status.load_full()
    }

    /// The transport it was made with.
    pub fn transport(&self) -> &T {
        &self.transport
    }

    /// The manifest source it was made with.
    pub fn manifests(&self) -> &M {
        &self.manifests
    }

    /// The wall clock it was made with.
    pub fn clock(&self) -> &dyn Clock {
        &*self.settings.clock
    }

    /// A credential whose lifetime has not ended, by the wall clock. Waits for a renewal only if there is none.
    ///
    /// # Errors
    /// The renewal's, also for a moment after it failed.
    pub async fn credential(self: &Arc<Self>) -> Outcome {
        let now = self.settings.clock.now();
        let current = self.status.load().credential.clone();
        match current {
            Some(credential) if !credential.is_expired(now) => {
                if credential.is_due(now) {
                    let _ = self.board(None); // in the background; this request does not wait
                }
                Ok(credential)
            }
            _ => self.renew(None).await,
        }
    }

    /// As [`Session::credential`], but keeps trying for `wait` while the cause may go away by itself.
    ///
    /// # Errors
    /// The last renewal's, or [`RenewError::Waited`] if one was still under way.
    pub async fn credential_within(self: &Arc<Self>, wait: Duration) -> Outcome {
        let deadline = Instant::now() + wait;
        let mut last = None;
        loop {
            match tokio::time::timeout_at(deadline, self.credential()).await {
                Ok(Err(error)) if error.is_transient() => last = Some(error),
                Ok(outcome) => return outcome,
                Err(_) => return Err(last.unwrap_or_else(|| Arc::new(RenewError::Waited { wait }))),
            }
            if Instant::now() + WAITING >= deadline {
                return Err(last.unwrap_or_else(|| Arc::new(RenewError::Waited { wait })));
            }
            tokio::time::sleep(WAITING).await;
        }
    }

    /// Another credential than `lost`, which a worker does not know. Callers that lost the same one share a renewal.
    ///
    /// # Errors
    /// The renewal's.
    pub async fn replace(self: &Arc<Self>, lost: &SecretId) -> Outcome {
        self.renew(Some(lost)).await
    }

    /// Makes [`Session::maintain`] look now: a key became known, a network came back.
    pub fn kick(&self) {
        self.kick.notify_one();
    }

    /// Renews in the background for as long as it is polled.
    pub async fn maintain(self: Arc<Self>) {
        let mut pause = FIRST_PAUSE;
        loop {
            let wait = match self.renew_if_due().await {
                None => {
                    pause = FIRST_PAUSE;
                    self.until_due()
                }
                Some(error) if error.waits_for_key() => LOOK,
                Some(_) => {
                    let next = (pause * 2).min(LOOK);
                    std::mem::replace(&mut pause, next)
                }
            };
            tokio::select! {
                () = tokio::time::sleep(wait) => {}
                () = self.kick.notified() => {}
            }
        }
    }

    async fn renew_if_due(self: &Arc<Self>) -> Option<Arc<RenewError>> {
        let now = self.settings.clock.now();
        let due = self.status.load().credential.as_ref().is_none_or(|credential| credential.is_due(now));
        if due { self.renew(None).await.err() } else { None }
    }

    /// Never longer than [`LOOK`]: timers stand still while the machine sleeps, the wall clock does not.
    fn until_due(&self) -> Duration {
        let now = self.settings.clock.now().as_secs();
        let due =
            self.status.load().credential.as_ref().map_or(0, |credential| credential.renew_at().as_secs());
        Duration::from_secs(due.saturating_sub(now)).clamp(FIRST_PAUSE, LOOK)
    }

    /// One renewal, start to end.
    async fn run(&self) -> Outcome {
        match self.attempts().await {
            Ok(credential) => Ok(self.succeeded(Arc::new(credential))),
            Err(error) => Err(self.failed(Arc::new(error))),
        }
    }

    fn succeeded(&self, credential: Arc<Credential>) -> Arc<Credential> {
        let verification = &credential.verification;
        tracing::info!(
            manifest = verification.manifest_digest,
            platform = verification.platform,
            simulated = verification.simulated,
            protocol = verification.protocol.protocol.name(),
            protocol.why = %verification.protocol.why,
            secret.id = credential.id.as_str(),
            "deployment verified, secret exchanged"
        );
        if verification.simulated {
            tracing::warn!("SIMULATED deployment: no hardware protects it, its operator can read everything");
        }
        if verification.test_root {
            tracing::warn!(
                "TEST ROOT: the evidence was verified to another root than the vendor's; nothing proves that hardware protects this deployment"
            );
        }
        if let Some(downgrade) = verification.protocol.downgrade() {
            tracing::warn!("{downgrade}");
        }
        self.update(|status| {
            status.failing = None;
            status.verified = Some(Arc::clone(&credential.verification));
            status.credential = Some(Arc::clone(&credential));
        });
        credential
    }

    fn failed(&self, error: Arc<RenewError>) -> Arc<RenewError> {
        if !error.waits_for_key() {
            tracing::warn!(error = crate::chain(&*error), "the deployment could not be verified");
        }
        let now = self.settings.clock.now();
        self.update(|status| {
            let (since, attempts) =
                status.failing.as_ref().map_or((now, 0), |failing| (failing.since, failing.attempts));
            status.failing =
                Some(Failing { since, attempts: attempts.saturating_add(1), error: Arc::clone(&error) });
        });
        error
    }

    /// A failed verification may mean that the deployment moved on: look at it afresh, once.
    async fn attempts(&self) -> Result<Credential, RenewError> {
        match self.attempt().await {
            Err(error) if error.may_be_outdated(self.manifests.is_pinned()) => {
                tracing::debug!(error = crate::chain(&error), "looking at the deployment afresh");
                self.attempt().await
            }
            outcome => outcome,
        }
    }

    async fn attempt(&self) -> Result<Credential, RenewError> {
        let expected = self.expected().await?;
        // step 1: a fresh nonce for each attestation, or an old answer could be played back
        let nonce = self.nonce();
        let document = self.transport.attest(nonce).await.map_err(|source| RenewError::Attest { source })?;
        // step 2: the evidence against the manifest we expect
        let (deployment, protocol) =
            self.verified(&document, nonce, &expected).await.inspect_err(|error| {
                if matches!(error, RenewError::Attestation { .. }) {
                    *self.expected_slot() = None; // fetched again after every failed verification
                }
            })?;
        let now = self.settings.clock.now();
        // step 3: recorded before it is relied on
        self.manifests.enforced(&expected).map_err(|source| RenewError::Record { source })?;
        let verification = Arc::new(Verification::of(&deployment, protocol, now));
        self.update(|status| status.verified = Some(Arc::clone(&verification)));
        // step 4: exchange; the lifetime counts from before the request, so we never believe it longer than the service
        let exchange = ClientExchange::new(&mut *self.settings.entropy.rng());
        let obtained = self.settings.clock.now();
        let reply = self
            .transport
            .exchange(exchange.request_json())
            .await
            .map_err(|source| RenewError::Exchange { source })?;
        let reply = ExchangeReply::parse(&reply).map_err(|source| RenewError::Reply { source })?;
        // step 5: the secret cannot be had without the check of who signed
        let now = self.settings.clock.now();
        let (id, secret) = exchange
            .finish(&reply, |signed| check_signer(&deployment, signed, now))
            .map_err(RenewError::of_finish)?;
        Ok(Credential { id, secret: Arc::new(secret), obtained, verification })
    }

    /// Fetching and verifying are two calls: the verification looks at no network.
    async fn verified(
        &self,
        document: &[u8],
        nonce: Nonce,
        expected: &Manifest,
    ) -> Result<(VerifiedDeployment, Negotiated), RenewError> {
        let failed = |source| RenewError::Attestation { source: Box::new(source) };
        let document = parse(document).map_err(failed)?;
        let needs = document_needs(&document, expected);
        let source = match needs {
            Needs::Nothing => &NoCollateral,
            _ => &*self.settings.collateral,
        };
        let limit = FETCHING;
        let fetched = tokio::time::timeout(limit, source.fetch(&needs)).await;
        let fetched = fetched.unwrap_or(Err(CollateralError::Timeout { limit }));
        let fetched = fetched.map_err(|source| RenewError::Collateral { source })?;
        let options = VerifyOptions { collateral: fetched.collateral(), ..self.settings.verify.clone() };
        let Settings { protocol, clock, .. } = &self.settings;
        let verified = verify_document(&document, nonce, expected, &options, *protocol, clock.now());
        match &verified {
            Ok(_) => fetched.confirm().await,
            Err(AttestationError::Verify { source }) => fetched.reject(source).await,
            Err(_) => {}
        }
        verified.map_err(failed)
    }

    async fn expected(&self) -> Result<Arc<Manifest>, RenewError> {
        if let Some(expected) = self.expected_slot().clone() {
            return Ok(expected);
        }
        let fetched =
            Arc::new(self.manifests.fetch().await.map_err(|source| RenewError::Manifest { source })?);
        *self.expected_slot() = Some(Arc::clone(&fetched));
        Ok(fetched)
    }

    fn expected_slot(&self) -> std::sync::MutexGuard<'_, Option<Arc<Manifest>>> {
        self.expected.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn nonce(&self) -> Nonce {
        let mut nonce = Nonce([0; 32]);
        rand_core::Rng::fill_bytes(&mut *self.settings.entropy.rng(), &mut nonce.0);
        nonce
    }

    fn update(&self, change: impl Fn(&mut Status)) {
        self.status.rcu(|status| {
            let mut status = Status::clone(status);
            change(&mut status);
            status
        });
    }
}
