//! Steps 1 to 5 of `attestation.md` §3, in order.

use super::chain::{Chain, ChainParts, CrlState, read};
use super::error::{Link, VerifyError};
use super::product::Product;
use super::report::{Report, Signer};
use super::roots::Roots;
use super::tcb::Tcb;
use super::vek::VekClaims;
use crate::signature::Scheme;
use crate::x509::Certificate;
use crate::{CarriesReportData, Genuine, ReportData, UnixTime};

/// What proves a report, untrusted; certificates in DER or in PEM.
#[derive(Debug, Clone, Copy)]
pub struct Endorsement<'a> {
    /// VCEK or VLEK.
    pub vek: &'a [u8],
    /// ASK or ASVK; empty to take the built-in one.
    pub ask: &'a [u8],
    /// ARK; empty to take the built-in one.
    pub ark: &'a [u8],
    /// The root's revocation list; without one, nothing is known about revocations, which [`CrlState`] shows.
    pub crl: Option<&'a [u8]>,
    /// For how many seconds after its end the revocation list still counts.
    pub crl_grace: u64,
}

/// What genuine hardware said, and what proves it. Which chips, keys, TCBs and lists are acceptable is the manifest's rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Evidence {
    /// The report.
    pub report: Report,
    /// The product line, which chain, certificate and report agree on.
    pub product: Product,
    /// Which key signed.
    pub signer: Signer,
    /// The TCB in the certificate, the same as the report's reported one.
    pub vek_tcb: Tcb,
    /// Whether the chip is known.
    pub chip: ChipBinding,
    /// Whom AMD gave the VLEK.
    pub cloud: Option<String>,
    /// What is known about revocations.
    pub crl: CrlState,
    /// Until when all certificates are valid and the revocation list counts.
    pub valid_until: UnixTime,
}

/// Whether the certificate names the chip that the report names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ChipBinding {
    /// The VCEK is this chip's.
    Certified,
    /// The report hides its chip: the VCEK that verified it names one, but the report does not say so.
    Masked,
    /// A VLEK is for a cloud, not for a chip; the report may name one or not.
    CloudKey,
}

impl CarriesReportData for Evidence {
    fn report_data(&self) -> &ReportData {
        &self.report.report_data
    }
}

/// Decides whether a report is genuine at `now` (steps 1 to 5). For many reports of one product line, check the [`Chain`]
/// once and use [`Chain::verify_report`].
///
/// # Errors
/// [`VerifyError`], which knows its [`Step`](super::Step).
pub fn verify(
    report: &[u8],
    endorsement: &Endorsement<'_>,
    roots: &Roots,
    now: UnixTime,
) -> Result<Genuine<Evidence>, VerifyError> {
    let Endorsement { vek, ask, ark, crl, crl_grace } = *endorsement;
    // step 1: length, version, algorithm
    let parsed = parse(report)?;
    let vek = read(Link::Vek, vek)?;
    // step 2: the chain
    let ask = if ask.is_empty() {
        roots.signing_key_named_by(&vek).ok_or(VerifyError::SigningKeyMissing)?.clone()
    } else {
        read(Link::Ask, ask)?
    };
    let chain = Chain::below(ask, &ChainParts { ask: &[], ark, crl, crl_grace }, roots, now)?;
    chain.verify_parsed(report, parsed, &vek, now)
}

impl Chain {
    /// Decides whether a report is genuine at `now`, under a chain that was checked before.
    ///
    /// # Errors
    /// [`VerifyError`], which knows its [`Step`](super::Step).
    pub fn verify_report(
        &self,
        report: &[u8],
        vek: &[u8],
        now: UnixTime,
    ) -> Result<Genuine<Evidence>, VerifyError> {
        // step 1: length, version, algorithm
        let parsed = parse(report)?;
        self.verify_parsed(report, parsed, &read(Link::Vek, vek)?, now)
    }

    fn verify_parsed(
        &self,
        bytes: &[u8],
        report: Report,
        vek: &Certificate,
        now: UnixTime,
    ) -> Result<Genuine<Evidence>, VerifyError> {
        // step 2: still valid and not stale, whenever the chain was checked
        let crl = self.check_at(now)?;
        // step 2: VCEK or VLEK signed by ASK or ASVK
        let claims = self.check_endorsement_key(vek, report.signer, now)?;
        // step 3: one product line
        check_product(self.product(), &claims, &report)?;
        // step 4: the TCB and the chip that the key was derived from
        if claims.tcb != report.reported_tcb {
            return Err(VerifyError::TcbMismatch { certificate: claims.tcb, report: report.reported_tcb });
        }
        let chip = check_chip(self.product(), &claims, &report)?;
        // step 5: the signature
        check_signature(bytes, &report, vek)?;
        let list_ends = match crl {
            CrlState::NotGiven => UnixTime(u64::MAX),
            CrlState::Fresh { until } | CrlState::Grace { until, .. } => until,
        };
        Ok(Genuine::new(Evidence {
            product: self.product(),
            signer: report.signer,
            vek_tcb: claims.tcb,
            chip,
            cloud: claims.cloud,
            crl,
            valid_until: list_ends.min(self.certificates_end()).min(vek.not_after()),
            report,
        }))
    }

    fn check_endorsement_key(
        &self,
        vek: &Certificate,
        signer: Signer,
        now: UnixTime,
    ) -> Result<VekClaims, VerifyError> {
        vek.check_issued_by(self.ask(), &[])
            .map_err(|source| VerifyError::EndorsementKeyNotIssued { source })?;
        vek.check_valid_at(now).map_err(|source| VerifyError::NotValid { link: Link::Vek, source })?;
        if signer != self.signer() {
            return Err(VerifyError::EndorsementKeyRole { report: signer, chain: self.signer() });
        }
        let name = match signer {
            Signer::Vcek => "SEV-VCEK",
            Signer::Vlek => "SEV-VLEK",
        };
        if vek.common_name() != Some(name) {
            let name = vek.common_name().map(str::to_owned);
            return Err(VerifyError::EndorsementKeyName { signer, name });
        }
        VekClaims::read(vek, signer).map_err(|source| VerifyError::EndorsementKeyClaims { source })
    }
}

fn parse(report: &[u8]) -> Result<Report, VerifyError> {
    Report::parse(report).map_err(|source| VerifyError::Report { source })
}

fn check_product(chain: Product, claims: &VekClaims, report: &Report) -> Result<(), VerifyError> {
    if Product::from_certificate_text(&claims.product) != Some(chain) {
        return Err(VerifyError::CertificateProduct { chain, certificate: claims.product.clone() });
    }
    match report.product() {
        Some(report) if report != chain => Err(VerifyError::ReportProduct { chain, report }),
        // the TCB of such a report was read in the layout of the older lines
        None if chain == Product::Turin => Err(VerifyError::ReportWithoutProduct { chain }),
        _ => Ok(()),
    }
}

fn check_chip(chain: Product, claims: &VekClaims, report: &Report) -> Result<ChipBinding, VerifyError> {
    if report.signer == Signer::Vlek {
        return Ok(ChipBinding::CloudKey);
    }
    let id = claims.hardware_id.as_deref().ok_or(VerifyError::ChipMissing)?;
    if report.chip_id_is_masked() {
        return Ok(ChipBinding::Masked);
    }
    match report.chip_id.split_at_checked(chain.chip_id_len()) {
        Some((chip, rest)) if chip == id && rest.iter().all(|byte| *byte == 0) => Ok(ChipBinding::Certified),
        _ => Err(VerifyError::ChipMismatch),
    }
}

fn check_signature(bytes: &[u8], report: &Report, vek: &Certificate) -> Result<(), VerifyError> {
    let signed = bytes.get(..Report::SIGNED_LEN).unwrap_or_default();
    let signature = report.signature_big_endian().ok_or(VerifyError::SignatureTooLong)?;
    vek.public_key()
        .verify_fixed(Scheme::EcdsaSha384, signed, &signature)
        .map_err(|source| VerifyError::Signature { source })
}

#[cfg(test)]
mod tests;
