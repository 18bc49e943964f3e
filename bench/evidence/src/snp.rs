//! SEV-SNP cases.

use privatemode_attest::UnixTime;
use privatemode_attest::snp::{Endorsement, Roots, verify};

use crate::file;

/// A report with what endorses it, and a time at which all of it is valid.
#[derive(Debug, Clone)]
pub struct SnpCase {
    /// Name of its folder.
    pub name: &'static str,
    /// 1184 bytes.
    pub report: Vec<u8>,
    /// VCEK or VLEK in DER.
    pub vek: Vec<u8>,
    /// ASK or ASVK in PEM.
    pub ask: Vec<u8>,
    /// ARK in PEM.
    pub ark: Vec<u8>,
    /// The time of verification.
    pub at: UnixTime,
}

/// Folder, certificate, intermediate, a time at which the case is valid.
const CASES: &[(&str, &str, &str, &str)] = &[
    ("milan-v2-coco", "vcek.der", "ask.pem", "2024-06-01T00:00:00Z"),
    ("milan-v2-gcp-debug-policy", "vcek.der", "ask.pem", "2024-06-01T00:00:00Z"),
    ("milan-v2-virtee", "vcek.der", "ask.pem", "2024-06-01T00:00:00Z"),
    ("milan-v2-azure-vtpm", "vcek.der", "ask.pem", "2024-06-01T00:00:00Z"),
    ("milan-v3-azure-vtpm", "vcek.der", "ask.pem", "2026-01-15T00:00:00Z"),
    ("genoa-v3-azure-vtpm", "vcek.der", "ask.pem", "2025-09-01T00:00:00Z"),
    ("milan-v3-vlek-aws", "vlek.der", "asvk.pem", "2025-06-01T00:00:00Z"),
    ("milan-v3-gcp-release", "vcek.der", "ask.pem", "2025-09-01T00:00:00Z"),
    ("milan-v3-gcp-cb", "vcek.der", "ask.pem", "2025-09-01T00:00:00Z"),
    ("milan-v3-dstack", "vcek.der", "ask.pem", "2026-09-01T00:00:00Z"),
];

/// Every valid case; none when the evidence is not there.
///
/// # Errors
/// A file that cannot be read.
pub fn snp_cases() -> anyhow::Result<Vec<SnpCase>> {
    let Some(evidence) = crate::evidence() else { return Ok(Vec::new()) };
    CASES
        .iter()
        .map(|&(name, vek, ask, at)| {
            let folder = evidence.join("snp").join(name);
            Ok(SnpCase {
                name,
                report: file(folder.join("report.bin"))?,
                vek: file(folder.join(vek))?,
                ask: file(folder.join(ask))?,
                ark: file(folder.join("ark.pem"))?,
                at: UnixTime::parse_rfc3339(at).ok_or_else(|| anyhow::anyhow!("{at} is no time"))?,
            })
        })
        .collect()
}

impl SnpCase {
    /// Whether this project accepts it.
    pub fn ours(&self) -> bool {
        let endorsement =
            Endorsement { vek: &self.vek, ask: &self.ask, ark: &self.ark, crl: None, crl_grace: 0 };
        verify(&self.report, &endorsement, &Roots::embedded(), self.at).is_ok()
    }
}
