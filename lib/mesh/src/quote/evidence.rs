//! From what the hardware gives to the evidence that travels.

use privatemode_attest::{
    EvidenceKind, ReportData,
    encoding::{EncodeError, sevsnp, tdx},
};

use super::{QuoteError, certificates::Certificates};

/// SNP: the report, and the table of certificates if the host brings one.
pub(super) fn snp(report: &[u8], table: &[u8], bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
    let platform = EvidenceKind::Snp;
    let form = |source| QuoteError::Form { platform, source };
    let report: [u8; sevsnp::REPORT_LEN] = report
        .try_into()
        .map_err(|_| form(EncodeError::ReportLength { len: report.len(), want: sevsnp::REPORT_LEN }))?;
    let mut evidence = sevsnp::SnpEvidence::of_report(report);
    match Certificates::parse(table) {
        Ok(Certificates { vcek, vlek, ask, ark, crl }) => {
            evidence = sevsnp::SnpEvidence { vcek, vlek, ask, ark, crl, ..evidence };
        }
        Err(_) => {
            tracing::warn!("the host's table of certificates cannot be read; evidence goes without them");
        }
    }
    snp_with(&evidence, bind)
}

/// SNP: a report with what goes along.
pub(super) fn snp_with(evidence: &sevsnp::SnpEvidence, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
    let platform = EvidenceKind::Snp;
    must_be_ours(platform, evidence.report.get(0x50..0x90), bind)?;
    sevsnp::encode(evidence).map_err(|source| QuoteError::Form { platform, source })
}

/// TDX: the quote.
pub(super) fn tdx(quote: &[u8], bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
    let platform = EvidenceKind::Tdx;
    let message = tdx::encode(quote).map_err(|source| QuoteError::Form { platform, source })?;
    // header 48; a version 5 quote says type and size of its body in 6 more; report data at 520 of the body
    let start = if quote.first() == Some(&5) { 48 + 6 + 520 } else { 48 + 520 };
    must_be_ours(platform, quote.get(start..start + ReportData::LEN), bind)?;
    Ok(message)
}

/// A report for other bytes would only be refused far away, where nobody knows why.
fn must_be_ours(platform: EvidenceKind, said: Option<&[u8]>, bind: &ReportData) -> Result<(), QuoteError> {
    match said.map(ReportData::try_from) {
        Some(Ok(said)) if said.matches(bind) => Ok(()),
        _ => Err(QuoteError::OtherReportData { platform }),
    }
}
