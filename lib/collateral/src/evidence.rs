//! From what `privatemode-manifest` says that evidence needs to what its verification takes. Verifies nothing.

use std::{error::Error, time::Duration};

use privatemode_attest::{snp, tdx};
use privatemode_manifest::{Collateral, Needs, SnpCollateral, needs::SnpNeeds};

use crate::{
    collector::{Collector, Extras},
    document::{Freshness, declared_next_update, split_pem},
    error::FetchError,
    found::Found,
    key::{AmdSigner, ChipId, Key, Kind},
};

/// What was gathered for one piece of evidence.
#[derive(Debug, Clone, Default)]
pub struct Gathered {
    /// For the verification's options.
    pub collateral: Collateral,
    /// The documents behind, with where each came from; for reports and bundles.
    pub documents: Vec<Found>,
}

impl Collector {
    /// Gets what `needs` says, all documents at a time. Simulated evidence needs nothing, and nobody is asked.
    ///
    /// # Errors
    /// [`FetchError`]: of the first document that the evidence cannot do without. A revocation list that the evidence has
    /// an own one of may fail: whether that one is fresh enough is the verification's question.
    pub async fn gather(&self, needs: &Needs) -> Result<Gathered, FetchError> {
        match needs {
            Needs::Nothing => Ok(Gathered::default()),
            Needs::Snp(needs) => self.gather_snp(needs).await,
            Needs::Tdx(needs) => {
                let fetched = self.tdx(&needs.documents.into(), &Extras::new()).await?;
                let documents = fetched.documents.clone();
                let tdx = Some(std::sync::Arc::new(fetched.try_into()?));
                Ok(Gathered { collateral: Collateral { tdx, ..Collateral::default() }, documents })
            }
        }
    }

    /// As [`Collector::gather`], but waits no longer than `limit`. What is under way then goes on, so that who asks again
    /// finds it done, or joins it.
    ///
    /// # Errors
    /// [`FetchError`]; [`FetchError::Slow`] after `limit`.
    pub async fn gather_within(&self, needs: &Needs, limit: Duration) -> Result<Gathered, FetchError> {
        if *needs == Needs::Nothing {
            return Ok(Gathered::default());
        }
        let (collector, needs) = (self.clone(), needs.clone());
        let gathering = tokio::spawn(async move { collector.gather(&needs).await });
        match tokio::time::timeout(limit, gathering).await {
            Ok(Ok(gathered)) => gathered,
            // a task that ended without an outcome has told its panic already
            Ok(Err(_)) | Err(_) => Err(FetchError::Slow { limit }),
        }
    }

    /// Keeps what was gathered for as long as it counts, now that it has been verified.
    pub async fn confirm_all(&self, gathered: &Gathered) {
        for found in &gathered.documents {
            let key = &found.provenance.key;
            if let Some(until) = declared_next_update(key, &found.document) {
                self.confirm(found, Freshness::Until(until)).await;
            }
        }
    }

    /// Drops what `refusal` speaks of, so that the next call asks the vendor. Evidence that is not genuine itself must not
    /// empty the cache: whoever sends it could keep everybody without documents who has no network.
    pub fn reject_faulty(
        &self,
        gathered: &Gathered,
        refusal: &(dyn Error + 'static),
    ) -> impl Future<Output = ()> + Send + use<> {
        let speaks_of = |found: &&Found| speaks_of(refusal, found.provenance.key.kind());
        let faulty: Vec<Found> = gathered.documents.iter().filter(speaks_of).cloned().collect();
        let collector = self.clone();
        async move {
            for found in &faulty {
                collector.reject(found).await;
            }
        }
    }

    async fn gather_snp(&self, needs: &SnpNeeds) -> Result<Gathered, FetchError> {
        let mut last = FetchError::MaskedChip;
        for candidate in &needs.candidates {
            let all = tokio::try_join!(
                self.vcek(needs, candidate),
                self.ask(needs, candidate),
                self.list(needs, candidate)
            );
            let (vek, chain, crl) = match all {
                Ok(found) => found,
                // a report of version 2 does not name its line: the next one may have the chip
                Err(error @ FetchError::NotFound { .. }) => {
                    last = error;
                    continue;
                }
                Err(error) => return Err(error),
            };
            let bytes = |found: &Option<Found>| found.as_ref().map(|found| found.document.bytes.clone());
            // the first of two; the root behind it is pinned, and never taken from anywhere
            let ask = chain.as_ref().and_then(|found| split_pem(&found.document.bytes).into_iter().next());
            let snp = SnpCollateral { vek: bytes(&vek), ask, crl: bytes(&crl) };
            let collateral = Collateral { snp: Some(std::sync::Arc::new(snp)), ..Collateral::default() };
            return Ok(Gathered { collateral, documents: vek.into_iter().chain(chain).chain(crl).collect() });
        }
        Err(last)
    }

    async fn vcek(&self, needs: &SnpNeeds, chip: &snp::Needs) -> Result<Option<Found>, FetchError> {
        if !needs.vek {
            return Ok(None);
        }
        if AmdSigner::from(chip.signer) == AmdSigner::Vlek {
            return Err(FetchError::VlekNotGiven);
        }
        let id = chip.chip_id.as_deref().ok_or(FetchError::MaskedChip)?;
        let mut chip_id = ChipId([0; 64]);
        // Turin's has 8 bytes; the rest of the field is zero
        chip_id.0.iter_mut().zip(id).for_each(|(to, from)| *to = *from);
        let key = Key::AmdVcek { product: chip.product.into(), chip_id, tcb: chip.reported_tcb.into() };
        self.document(&key, &[], &Extras::new()).await.map(Some)
    }

    async fn ask(&self, needs: &SnpNeeds, chip: &snp::Needs) -> Result<Option<Found>, FetchError> {
        if !needs.ask || !self.wants_amd_signing_key() {
            return Ok(None);
        }
        let key = Key::AmdCertChain { product: chip.product.into(), signer: chip.signer.into() };
        self.document(&key, &[], &Extras::new()).await.map(Some)
    }

    /// The revocation list, also where the evidence brings one: the host chose that, and may have chosen an old one.
    async fn list(&self, needs: &SnpNeeds, chip: &snp::Needs) -> Result<Option<Found>, FetchError> {
        // of two lines, the wrong one's list would take the place of the right one
        if !needs.crl && needs.candidates.len() > 1 {
            return Ok(None);
        }
        let key = Key::AmdCrl { product: chip.product.into(), signer: chip.signer.into() };
        match self.document(&key, &[], &Extras::new()).await {
            Ok(found) => Ok(Some(found)),
            Err(error) if needs.crl => Err(error),
            Err(error) => {
                tracing::warn!(%key, %error, "the evidence's own revocation list is used");
                Ok(None)
            }
        }
    }
}

/// Whether `refusal`, or something behind it, is about documents of `kind`.
fn speaks_of(refusal: &(dyn Error + 'static), kind: Kind) -> bool {
    std::iter::successors(Some(refusal), |&error| error.source()).any(|error| {
        if let Some(error) = error.downcast_ref::<snp::VerifyError>() {
            return match error.step() {
                snp::Step::SigningKey => kind == Kind::AmdCertChain,
                snp::Step::RevocationList => kind == Kind::AmdCrl,
                snp::Step::EndorsementKey | snp::Step::Tcb | snp::Step::Chip => kind == Kind::AmdVcek,
                _ => false,
            };
        }
        error.is::<tdx::CollateralError>()
            && matches!(
                kind,
                Kind::IntelTcbInfo | Kind::IntelQeIdentity | Kind::IntelPckCrl | Kind::IntelRootCrl
            )
    })
}
