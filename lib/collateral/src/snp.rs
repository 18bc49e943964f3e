//! Everything that verifying one SEV-SNP report needs.

use std::sync::Arc;

use privatemode_attest::{snp, x509::Certificate};

use crate::{
    collector::{Collector, Extras},
    document::{Document, check, split_pem},
    error::FetchError,
    found::Found,
    key::{AmdProduct, AmdSigner, AmdTcb, ChipId, Key},
};

/// What the evidence brought, in DER or PEM.
#[derive(Debug, Clone, Copy, Default)]
pub struct SnpGiven<'a> {
    /// VCEK or VLEK.
    pub vek: Option<&'a [u8]>,
    /// ASK or ASVK.
    pub ask: Option<&'a [u8]>,
    /// ARK.
    pub ark: Option<&'a [u8]>,
    /// The ARK's revocation list, in DER.
    pub crl: Option<&'a [u8]>,
}

/// What a report needs.
#[derive(Debug, Clone, Copy)]
pub struct SnpNeeds<'a> {
    /// Product line, by the report's CPUID or the manifest.
    pub product: AmdProduct,
    /// Which kind of key signed the report.
    pub signer: AmdSigner,
    /// The report's chip.
    pub chip_id: ChipId,
    /// The report's reported TCB.
    pub tcb: AmdTcb,
    /// Whether ASK and ARK are needed; `false` where the verifier has them built in.
    pub chain: bool,
    /// Whether the revocation list is needed.
    pub crl: bool,
    /// What is there already.
    pub given: SnpGiven<'a>,
}

impl<'a> SnpNeeds<'a> {
    /// What `needs` says and `given` does not have, with chain and revocation list.
    #[must_use]
    pub fn of(needs: &snp::Needs, given: SnpGiven<'a>) -> Self {
        let mut chip_id = ChipId([0; 64]);
        // Turin's has 8 bytes; the rest of the field is zero
        for (to, from) in chip_id.0.iter_mut().zip(needs.chip_id.iter().flatten()) {
            *to = *from;
        }
        Self {
            product: needs.product.into(),
            signer: needs.signer.into(),
            chip_id,
            tcb: needs.reported_tcb.into(),
            chain: true,
            crl: true,
            given,
        }
    }

    /// Whether the certificate at hand is of this product line, by the name of who issued it. A hint for fetching alone.
    fn is_of_this_line(&self) -> bool {
        let Some(vek) = self.given.vek else { return false };
        let first = Certificate::parse_der(vek)
            .ok()
            .or_else(|| Certificate::parse_pem_chain(vek, 1).ok()?.into_iter().next());
        let name = self.product.as_str().as_bytes();
        first.is_some_and(|vek| vek.issuer_der().windows(name.len()).any(|part| part == name))
    }
}

/// Documents for `snp::Endorsement`.
#[derive(Debug, Clone)]
pub struct SnpCollateral {
    /// VCEK or VLEK, DER or PEM.
    pub vek: Vec<u8>,
    /// ASK or ASVK, DER or PEM; absent where it was neither needed nor given.
    pub ask: Option<Vec<u8>>,
    /// ARK, DER or PEM; absent where it was neither needed nor given.
    pub ark: Option<Vec<u8>>,
    /// Revocation list, DER; absent where it was not needed.
    pub crl: Option<Vec<u8>>,
    /// The documents behind, with where each came from; for reports and bundles.
    pub documents: Vec<Found>,
}

impl Collector {
    /// Gets what `needs` says, all documents at a time.
    ///
    /// # Errors
    /// [`FetchError`]: of the first document that cannot be had.
    pub async fn snp(&self, needs: &SnpNeeds<'_>) -> Result<SnpCollateral, FetchError> {
        let SnpNeeds { product, signer, given, .. } = *needs;
        let chain_key = Key::AmdCertChain { product, signer };
        let crl_key = Key::AmdCrl { product, signer };
        let mut extras = Extras::new();
        if let Some(crl) = given.crl {
            extras.insert(crl_key.clone(), Document { bytes: crl.to_vec(), issuer_chain: None });
        }
        let chain_given = given.ask.is_some() && given.ark.is_some();
        let (vek, chain, crl) = tokio::try_join!(
            self.vek(needs),
            self.wanted(needs.chain && !chain_given, &chain_key, &extras),
            self.wanted(needs.crl, &crl_key, &extras),
        )?;
        let (mut ask, mut ark) = (given.ask.map(<[u8]>::to_vec), given.ark.map(<[u8]>::to_vec));
        if let Some(found) = &chain {
            let [first, second] = <[Vec<u8>; 2]>::try_from(split_pem(&found.document.bytes))
                .map_err(|_| FetchError::Layout { key: chain_key })?;
            // both of one source: an ASK of the evidence need not match an ARK that was fetched
            (ask, ark) = (Some(first), Some(second));
        }
        let (vek, vek_found) = vek;
        let crl_bytes = crl.as_ref().map(|found| found.document.bytes.clone());
        let documents = vek_found.into_iter().chain(chain).chain(crl).collect();
        Ok(SnpCollateral { vek, ask, ark, crl: crl_bytes, documents })
    }

    /// Gets what a report needs that does not say of which product line it is (version 2): the line of the certificate at
    /// hand, else the first that the vendor has a certificate for.
    ///
    /// # Errors
    /// [`FetchError`]: of the last candidate.
    pub async fn snp_of_report(
        &self,
        report: &snp::Report,
        given: SnpGiven<'_>,
    ) -> Result<SnpCollateral, FetchError> {
        let all: Vec<SnpNeeds<'_>> =
            snp::Needs::of(report).iter().map(|one| SnpNeeds::of(one, given)).collect();
        let named = all.iter().find(|needs| all.len() > 1 && needs.is_of_this_line());
        let candidates = named.map_or(all.as_slice(), std::slice::from_ref);
        let mut last = FetchError::MaskedChip;
        for needs in candidates {
            match self.snp(needs).await {
                Err(error @ FetchError::NotFound { .. }) => last = error,
                outcome => return outcome,
            }
        }
        Err(last)
    }

    async fn wanted(&self, wanted: bool, key: &Key, extras: &Extras) -> Result<Option<Found>, FetchError> {
        if wanted { self.document(key, &[], extras).await.map(Some) } else { Ok(None) }
    }

    async fn vek(&self, needs: &SnpNeeds<'_>) -> Result<(Vec<u8>, Option<Found>), FetchError> {
        let SnpNeeds { product, signer, chip_id, tcb, given, .. } = *needs;
        if signer == AmdSigner::Vlek {
            return given.vek.map(|vek| (vek.to_vec(), None)).ok_or(FetchError::VlekNotGiven);
        }
        let key = Key::AmdVcek { product, chip_id, tcb };
        let mut extras = Extras::new();
        if let Some(vek) = given.vek {
            let document = Document { bytes: vek.to_vec(), issuer_chain: None };
            if chip_id.is_masked() && check(&key, &document).is_ok() {
                return Ok((document.bytes, None));
            }
            extras.insert(key.clone(), document);
        }
        if chip_id.is_masked() {
            return Err(FetchError::MaskedChip);
        }
        let found = self.document(&key, &[], &extras).await?;
        Ok((Arc::clone(&found.document).bytes.clone(), Some(found)))
    }
}
