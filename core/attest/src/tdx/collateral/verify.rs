//! Step 2: every document signed to Intel's root, not revoked, current at the given time.

use thiserror::Error;

use super::super::chain::{self, ChainError};
use super::super::document::{MAX_DOCUMENT, Period, QeIdentity, TcbInfo};
use super::super::evidence::{Freshness, PckCa};
use super::super::roots::Roots;
use super::format::MAX_CHAIN;
use super::{Collateral, CollateralError, Document};
use crate::UnixTime;
use crate::signature::Scheme;
use crate::x509::{Certificate, Crl};

/// Common name of the certificate that signs TCB info and QE identity.
const TCB_SIGNING: &str = "Intel SGX TCB Signing";

/// How long after its next update was due collateral still counts. Explicit, bounded, and shown in the result.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Grace {
    seconds: u64,
}

/// A grace so long that revocations would never arrive.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a grace of {seconds} s is too long, at most {max} s are possible", max = Grace::MAX_SECONDS)]
pub struct GraceTooLong {
    /// The grace that was asked for, in seconds.
    pub seconds: u64,
}

impl Grace {
    /// The longest grace: 30 days, as long as Intel's documents count.
    pub const MAX_SECONDS: u64 = 30 * 24 * 3600;
    /// None: collateral counts until its next update.
    pub const NONE: Self = Self { seconds: 0 };

    /// So many seconds.
    ///
    /// # Errors
    /// [`GraceTooLong`] above [`Grace::MAX_SECONDS`].
    pub fn seconds(seconds: u64) -> Result<Self, GraceTooLong> {
        if seconds > Self::MAX_SECONDS { Err(GraceTooLong { seconds }) } else { Ok(Self { seconds }) }
    }
}

/// Collateral whose every signature and chain was checked. Judges any number of quotes; whether it is still current is
/// asked again with each, for a few comparisons.
#[derive(Debug, Clone)]
pub struct VerifiedCollateral {
    pub(in super::super) tcb_info: TcbInfo,
    pub(in super::super) qe_identity: QeIdentity,
    pub(in super::super) pck_crl: Crl,
    pub(in super::super) root_crl: Crl,
    pub(in super::super) pck_ca: Certificate,
    pub(in super::super) pck_ca_kind: PckCa,
    pub(in super::super) root: Certificate,
    pub(in super::super) roots: Roots,
    tcb_signers: [Certificate; 2],
    grace: Grace,
}

impl Collateral {
    /// Checks all of it at `now`, without grace.
    ///
    /// # Errors
    /// [`CollateralError`].
    pub fn verify(&self, roots: &Roots, now: UnixTime) -> Result<VerifiedCollateral, CollateralError> {
        self.verify_with_grace(roots, Grace::NONE, now)
    }

    /// Checks all of it at `now`; documents whose next update is overdue by less than `grace` still count.
    ///
    /// # Errors
    /// [`CollateralError`].
    pub fn verify_with_grace(
        &self,
        roots: &Roots,
        grace: Grace,
        now: UnixTime,
    ) -> Result<VerifiedCollateral, CollateralError> {
        self.cap_lengths()?;
        // step 2: who revokes: the lists come first, for they speak about everybody else
        let (pck_ca, pck_ca_kind, root) = self.pck_authority(roots, now)?;
        let root_crl = revocation_list(Document::RootCrl, &self.root_ca_crl, &root)?;
        let pck_crl = revocation_list(Document::PckCrl, &self.pck_crl, &pck_ca)?;
        chain::not_revoked("issuer", &pck_ca, &root_crl)
            .map_err(|source| CollateralError::PckCaChain { source })?;
        // step 2: what Intel signed
        let tcb_signer = self.signer(Document::TcbInfo, roots, &root_crl, now)?;
        let qe_signer = self.signer(Document::QeIdentity, roots, &root_crl, now)?;
        let verified = VerifiedCollateral {
            tcb_info: TcbInfo::parse(self.tcb_info.as_bytes())
                .map_err(|source| CollateralError::Content { document: Document::TcbInfo, source })?,
            qe_identity: QeIdentity::parse(self.qe_identity.as_bytes())
                .map_err(|source| CollateralError::Content { document: Document::QeIdentity, source })?,
            pck_crl,
            root_crl,
            pck_ca,
            pck_ca_kind,
            root,
            roots: roots.clone(),
            tcb_signers: [tcb_signer, qe_signer],
            grace,
        };
        // step 2: current
        verified.check_current(now)?;
        Ok(verified)
    }

    fn cap_lengths(&self) -> Result<(), CollateralError> {
        for (document, len, max) in [
            (Document::TcbInfo, self.tcb_info.len(), MAX_DOCUMENT),
            (Document::QeIdentity, self.qe_identity.len(), MAX_DOCUMENT),
            (Document::TcbInfo, self.tcb_info_issuer_chain.len(), MAX_CHAIN),
            (Document::QeIdentity, self.qe_identity_issuer_chain.len(), MAX_CHAIN),
            (Document::PckCrl, self.pck_crl_issuer_chain.len(), MAX_CHAIN),
        ] {
            if len > max {
                return Err(CollateralError::TooLong { document, len, max });
            }
        }
        Ok(())
    }

    fn pck_authority(
        &self,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<(Certificate, PckCa, Certificate), CollateralError> {
        let refused = |source| CollateralError::PckCaChain { source };
        let [ca, root] = chain::parse(self.pck_crl_issuer_chain.as_bytes()).map_err(refused)?;
        chain::verify(&[&ca, &root], roots, now).map_err(refused)?;
        let kind = PckCa::from_common_name(ca.common_name());
        let kind = kind.ok_or_else(|| refused(chain::misnamed("issuer", &ca)))?;
        Ok((ca, kind, root))
    }

    /// The certificate that signed a document, and that it did.
    fn signer(
        &self,
        document: Document,
        roots: &Roots,
        root_crl: &Crl,
        now: UnixTime,
    ) -> Result<Certificate, CollateralError> {
        let (content, signature, chain) = match document {
            Document::TcbInfo => (&self.tcb_info, &self.tcb_info_signature, &self.tcb_info_issuer_chain),
            _ => (&self.qe_identity, &self.qe_identity_signature, &self.qe_identity_issuer_chain),
        };
        let signer = signing_certificate(chain, roots, root_crl, now)
            .map_err(|source| CollateralError::SigningChain { document, source })?;
        signer
            .public_key()
            .verify_fixed(Scheme::EcdsaSha256, content.as_bytes(), signature)
            .map_err(|source| CollateralError::Signature { document, source })?;
        Ok(signer)
    }
}

fn signing_certificate(
    pem: &str,
    roots: &Roots,
    root_crl: &Crl,
    now: UnixTime,
) -> Result<Certificate, ChainError> {
    let [signer, root] = chain::parse(pem.as_bytes())?;
    chain::verify(&[&signer, &root], roots, now)?;
    // the root also certifies PCK authorities, whose keys may not speak about TCBs
    if signer.common_name() != Some(TCB_SIGNING) {
        return Err(chain::misnamed("leaf", &signer));
    }
    chain::not_revoked("leaf", &signer, root_crl)?;
    Ok(signer)
}

fn revocation_list(document: Document, der: &[u8], issuer: &Certificate) -> Result<Crl, CollateralError> {
    let list = Crl::parse_der(der).map_err(|source| CollateralError::Crl { document, source })?;
    list.check_issued_by(issuer).map_err(|source| CollateralError::CrlIssuer { document, source })?;
    Ok(list)
}

impl VerifiedCollateral {
    /// The lower of the TCB evaluation data numbers of TCB info and QE identity: how new Intel's judgement is.
    pub fn evaluation_number(&self) -> u32 {
        self.tcb_info.evaluation_number.min(self.qe_identity.evaluation_number)
    }

    /// The platforms that it judges.
    pub fn fmspc(&self) -> [u8; 6] {
        self.tcb_info.fmspc
    }

    /// The PCK authority whose certificates it can tell revoked.
    pub fn pck_ca(&self) -> PckCa {
        self.pck_ca_kind
    }

    /// Whether it ends at Intel's root. Reports must say when it does not.
    pub fn is_production(&self) -> bool {
        self.roots.is_production()
    }

    /// Whether every document and certificate counts at `now`, and until when, or since when only by grace.
    ///
    /// # Errors
    /// [`CollateralError::NotYetIssued`], [`CollateralError::Stale`], [`CollateralError::Certificate`].
    pub fn check_current(&self, now: UnixTime) -> Result<Freshness, CollateralError> {
        let mut first_end = UnixTime(u64::MAX);
        for (document, period) in self.periods() {
            if now < period.issued {
                return Err(CollateralError::NotYetIssued { document, issued: period.issued });
            }
            if now >= period.next_update.saturating_add(self.grace.seconds) {
                return Err(CollateralError::Stale { document, next_update: period.next_update });
            }
            first_end = first_end.min(period.next_update);
        }
        let [one, other] = &self.tcb_signers;
        for certificate in [one, other, &self.pck_ca, &self.root, self.roots.root()] {
            certificate.check_valid_at(now).map_err(|source| CollateralError::Certificate { source })?;
        }
        Ok(match now.as_secs().checked_sub(first_end.as_secs()) {
            Some(overdue) => Freshness::Grace { since: first_end, overdue },
            None => Freshness::Current { until: first_end },
        })
    }

    fn periods(&self) -> [(Document, Period); 4] {
        let of = |list: &Crl| Period { issued: list.this_update(), next_update: list.next_update() };
        [
            (Document::TcbInfo, self.tcb_info.period),
            (Document::QeIdentity, self.qe_identity.period),
            (Document::PckCrl, of(&self.pck_crl)),
            (Document::RootCrl, of(&self.root_crl)),
        ]
    }
}

#[cfg(test)]
mod tests;
