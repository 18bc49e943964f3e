//! The chain from AMD's root to the key that issues endorsement keys, with the root's revocation list (step 2).
//!
//! Checked once and kept: three RSA signatures are most of the work of a verification, and all machines of a product line
//! share them. What depends on time is checked again for each report.

use super::error::{Link, VerifyError};
use super::product::Product;
use super::report::Signer;
use super::roots::Roots;
use crate::UnixTime;
use crate::x509::{Certificate, Crl, IssueError};

/// What a chain is made of, untrusted; certificates in DER or in PEM.
#[derive(Debug, Clone, Copy)]
pub struct ChainParts<'a> {
    /// ASK, or ASVK for a VLEK. [`Roots::signing_key`] has those of AMD's that are known.
    pub ask: &'a [u8],
    /// ARK; empty to take the built-in one.
    pub ark: &'a [u8],
    /// The root's revocation list; without one, nothing is known about revocations, which [`CrlState`] shows.
    pub crl: Option<&'a [u8]>,
    /// For how many seconds after its end the revocation list still counts.
    pub crl_grace: u64,
}

/// A chain whose signatures hold and whose root is trusted. Only [`Chain::verify`] makes one.
#[derive(Debug, Clone)]
pub struct Chain {
    product: Product,
    signer: Signer,
    ark: Certificate,
    ask: Certificate,
    crl: Option<Crl>,
    crl_grace: u64,
}

/// What is known about revocations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CrlState {
    /// No list was given.
    NotGiven,
    /// None of the chain is on the list, which is current.
    Fresh {
        /// When the next list is due.
        until: UnixTime,
    },
    /// None of the chain is on the list, which has ended but is tolerated.
    Grace {
        /// When the next list was due.
        ended: UnixTime,
        /// When the tolerance ends.
        until: UnixTime,
    },
}

impl Chain {
    /// Checks a chain under `roots` at `now` (step 2, all but the endorsement key).
    ///
    /// # Errors
    /// [`VerifyError`] of the steps [`Root`](super::Step::Root), [`SigningKey`](super::Step::SigningKey) and
    /// [`RevocationList`](super::Step::RevocationList).
    pub fn verify(parts: &ChainParts<'_>, roots: &Roots, now: UnixTime) -> Result<Self, VerifyError> {
        if parts.ask.is_empty() {
            return Err(VerifyError::SigningKeyMissing);
        }
        Self::below(read(Link::Ask, parts.ask)?, parts, roots, now)
    }

    /// As [`Chain::verify`], with an ASK or ASVK that was read already; `parts.ask` is not looked at.
    pub(super) fn below(
        ask: Certificate,
        parts: &ChainParts<'_>,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Self, VerifyError> {
        // step 2: the root is one of ours, by its key
        let (product, ark) = if parts.ark.is_empty() {
            let (product, ark) = roots.line_of_issuer(&ask).ok_or(VerifyError::UntrustedRoot)?;
            (product, ark.clone())
        } else {
            let ark = read(Link::Ark, parts.ark)?;
            (roots.line_of_key(&ark).ok_or(VerifyError::UntrustedRoot)?, ark)
        };
        // only the key is pinned: this covers the certificate's other fields
        ark.check_issued_by(&ark, &[]).map_err(|source| VerifyError::RootNotSelfSigned { source })?;
        // step 2: ASK or ASVK signed by the root
        ask.check_issued_by(&ark, &[]).map_err(|source| VerifyError::SigningKeyNotIssued { source })?;
        let signer = role_of(&ask, product)?;
        let crl = parts.crl.map(Crl::parse).transpose().map_err(|source| VerifyError::Crl { source })?;
        let chain = Self { product, signer, ark, ask, crl, crl_grace: parts.crl_grace };
        chain.check_crl()?;
        chain.check_at(now)?;
        Ok(chain)
    }

    /// The product line.
    pub fn product(&self) -> Product {
        self.product
    }

    /// Which kind of key the chain endorses.
    pub fn signer(&self) -> Signer {
        self.signer
    }

    /// Checks what changes with time: validity of ARK and ASK or ASVK, freshness of the revocation list.
    ///
    /// # Errors
    /// [`VerifyError::NotValid`], [`VerifyError::CrlNotYetValid`], [`VerifyError::CrlStale`].
    pub fn check_at(&self, now: UnixTime) -> Result<CrlState, VerifyError> {
        for (link, certificate) in [(Link::Ark, &self.ark), (Link::Ask, &self.ask)] {
            certificate.check_valid_at(now).map_err(|source| VerifyError::NotValid { link, source })?;
        }
        let Some(crl) = &self.crl else { return Ok(CrlState::NotGiven) };
        let (this_update, next_update) = (crl.this_update(), crl.next_update());
        let until = next_update.saturating_add(self.crl_grace);
        if now < this_update {
            Err(VerifyError::CrlNotYetValid { this_update })
        } else if now <= next_update {
            Ok(CrlState::Fresh { until: next_update })
        } else if now <= until {
            Ok(CrlState::Grace { ended: next_update, until })
        } else {
            Err(VerifyError::CrlStale { next_update, grace: self.crl_grace })
        }
    }

    /// Until when [`Chain::check_at`] will hold, grace not counted: time to fetch again.
    pub fn fresh_until(&self) -> UnixTime {
        let end = self.certificates_end();
        self.crl.as_ref().map_or(end, |crl| end.min(crl.next_update()))
    }

    pub(super) fn certificates_end(&self) -> UnixTime {
        self.ark.not_after().min(self.ask.not_after())
    }

    pub(super) fn ask(&self) -> &Certificate {
        &self.ask
    }

    /// The list is the root's, and none of what the root issued is on it. Endorsement keys are the ASK's: they all have
    /// serial number 0, and this list is not about them.
    fn check_crl(&self) -> Result<(), VerifyError> {
        let Some(crl) = &self.crl else { return Ok(()) };
        crl.check_issued_by(&self.ark).map_err(|source| match source {
            IssueError::OtherIssuer => VerifyError::CrlNotApplicable,
            source => VerifyError::CrlNotIssued { source },
        })?;
        for (link, certificate) in [(Link::Ark, &self.ark), (Link::Ask, &self.ask)] {
            if let Some(at) = crl.revocation_of(certificate.serial()) {
                return Err(VerifyError::Revoked { link, at });
            }
        }
        Ok(())
    }
}

/// ASK and ASVK differ in nothing but their name: without this, a cloud's VLEK could pass for a chip's VCEK.
fn role_of(ask: &Certificate, product: Product) -> Result<Signer, VerifyError> {
    match ask.common_name().map(|name| (name.strip_prefix("SEV-VLEK-"), name.strip_prefix("SEV-"))) {
        Some((Some(line), _)) if line == product.name() => Ok(Signer::Vlek),
        Some((None, Some(line))) if line == product.name() => Ok(Signer::Vcek),
        _ => Err(VerifyError::SigningKeyRole { product, name: ask.common_name().map(str::to_owned) }),
    }
}

pub(super) fn read(link: Link, bytes: &[u8]) -> Result<Certificate, VerifyError> {
    Certificate::parse(bytes).map_err(|source| VerifyError::Certificate { link, source })
}
