//! What a fetcher must bring before evidence can be verified. Reads unverified evidence and proves nothing; fetches nothing.

use privatemode_attest::encoding::{DecodeError, sevsnp, tdx as tdx_encoding};
use privatemode_attest::snp::{Report, ReportError, Signer};
use privatemode_attest::{EvidenceKind, snp, tdx};
use thiserror::Error;

use crate::model::Manifest;

/// What is missing, by kind of evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Needs {
    /// AMD SEV-SNP.
    Snp(SnpNeeds),
    /// Intel TDX: always all of it, for quotes bring nothing but their PCK chain.
    Tdx(TdxNeeds),
    /// Simulated evidence: nobody publishes anything about it.
    Nothing,
}

/// What AMD evidence lacks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SnpNeeds {
    /// Chip, TCB and product line to ask for, with the paths of AMD's service. Reports of version 2 do not name their line:
    /// then there may be several, of which only one has the chip.
    pub candidates: Vec<snp::Needs>,
    /// Which key signed.
    pub signer: Signer,
    /// Whether the VCEK or VLEK is missing. AMD's service has VCEKs; a VLEK only its cloud can give.
    pub vek: bool,
    /// Whether the ASK or ASVK is missing. AMD's are built in; a test root has none.
    pub ask: bool,
    /// Whether the revocation list is missing. One that the evidence brings may be outdated: fetch a newer one where possible.
    pub crl: bool,
}

/// What Intel evidence needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TdxNeeds {
    /// Platform family and authority, with the paths of Intel's service.
    pub documents: tdx::Needs,
    /// The lowest evaluation number that an entry of the manifest is content with.
    pub min_evaluation_number: u32,
}

/// Why evidence does not say what it needs. Verification would refuse it as well.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NeedsError {
    /// The manifest would refuse it whatever was fetched.
    #[error(
        "the evidence is {kind}, for which the manifest has no reference values; nothing was fetched for it"
    )]
    PlatformNotInManifest {
        /// Kind of the evidence.
        kind: EvidenceKind,
    },
    /// As well.
    #[error("the manifest lacks required reference values: {}; nothing was fetched for the evidence", .names.join(", "))]
    ReferenceValueMissing {
        /// Their paths.
        names: Vec<String>,
    },
    /// As well.
    #[error(
        "the evidence is of a {got} processor, which the manifest does not name; nothing was fetched for it"
    )]
    ProductNotInManifest {
        /// The report's product line.
        got: snp::Product,
    },
    /// Not the message that it should be.
    #[error("the evidence cannot be read")]
    Encoding {
        /// Why.
        source: DecodeError,
    },
    /// Not a report.
    #[error("the SEV-SNP report cannot be read")]
    Report {
        /// Why.
        source: ReportError,
    },
    /// Not a quote with a PCK chain.
    #[error("the TDX quote does not say what it needs")]
    Quote {
        /// Why.
        source: tdx::NeedsError,
    },
}

/// What must be fetched for `evidence`, which nobody verified: whoever sent it chooses the chip and the platform that is
/// asked for, and nothing else.
///
/// # Errors
/// [`NeedsError`].
pub fn needs(kind: EvidenceKind, evidence: &[u8], manifest: &Manifest) -> Result<Needs, NeedsError> {
    if !manifest.names_platform(kind) {
        return Err(NeedsError::PlatformNotInManifest { kind });
    }
    if !manifest.expected_missing().is_empty() {
        return Err(NeedsError::ReferenceValueMissing { names: manifest.expected_missing().to_vec() });
    }
    match kind {
        EvidenceKind::Snp => snp_needs(evidence, manifest).map(Needs::Snp),
        EvidenceKind::Tdx => tdx_needs(evidence, manifest).map(Needs::Tdx),
        EvidenceKind::Simulated => Ok(Needs::Nothing),
    }
}

fn snp_needs(evidence: &[u8], manifest: &Manifest) -> Result<SnpNeeds, NeedsError> {
    let given = sevsnp::decode(evidence).map_err(|source| NeedsError::Encoding { source })?;
    let report = Report::parse(&given.report[..]).map_err(|source| NeedsError::Report { source })?;
    let mut candidates = snp::Needs::of(&report);
    // a line that the manifest does not name would be refused: asking for it only tells AMD about the chip
    let named = |needs: &snp::Needs| {
        manifest.reference_values().snp.iter().any(|entry| entry.product_name == Some(needs.product))
    };
    if let Some(got) = unnamed_product(&report, manifest) {
        return Err(NeedsError::ProductNotInManifest { got });
    }
    if candidates.len() > 1 && candidates.iter().any(named) {
        candidates.retain(named);
    }
    let own = match report.signer {
        Signer::Vcek => given.vcek,
        Signer::Vlek => given.vlek,
    };
    let (ask, crl) = (given.ask.is_none(), given.crl.is_none());
    Ok(SnpNeeds { candidates, signer: report.signer, vek: own.is_none(), ask, crl })
}

/// The product line that the report gives for its own, if no entry names it. Reports of version 2 give none.
pub(crate) fn unnamed_product(report: &Report, manifest: &Manifest) -> Option<snp::Product> {
    let mut entries = manifest.reference_values().snp.iter();
    report.product().filter(|got| !entries.any(|entry| entry.product_name == Some(*got)))
}

fn tdx_needs(evidence: &[u8], manifest: &Manifest) -> Result<TdxNeeds, NeedsError> {
    let quote = tdx_encoding::decode(evidence).map_err(|source| NeedsError::Encoding { source })?;
    let documents = tdx::Needs::of_unverified_quote(&quote).map_err(|source| NeedsError::Quote { source })?;
    let numbers = manifest.reference_values().tdx.iter();
    let lowest = numbers.map(|entry| entry.min_tcb_evaluation_data_number.unwrap_or(0)).min();
    Ok(TdxNeeds { documents, min_evaluation_number: lowest.unwrap_or(0) })
}
