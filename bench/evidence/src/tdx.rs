//! TDX cases.

use privatemode_attest::UnixTime;
use privatemode_attest::tdx::{Collateral, PcsDocuments, Roots, Tolerance, verify};

use crate::file;

/// A quote with its collateral, and a time.
#[derive(Debug, Clone)]
pub struct TdxCase {
    /// Name of its folder.
    pub name: &'static str,
    /// The quote.
    pub quote: Vec<u8>,
    /// Intel's documents.
    pub collateral: Collateral,
    /// The time of verification.
    pub at: UnixTime,
    /// Whether it is valid then.
    pub valid: bool,
}

/// Folder, time, whether valid then. Not here: the quote of an SGX enclave, which `dcap-qvl` also verifies and we refuse, and
/// the debug domain, which it refuses and we call genuine and leave to the manifest.
const CASES: &[(&str, &str, bool)] = &[
    ("emr-b0c06f-uptodate", "2025-07-01T00:00:00Z", true),
    ("emr-b0c06f-uptodate", "2025-08-01T00:00:00Z", false),
    ("emr-b0c06f-uptodate", "2025-06-01T00:00:00Z", false),
    ("azure-90c06f-2026-06", "2026-06-15T00:00:00Z", true),
    ("azure-90c06f-2026-06", "2026-08-01T00:00:00Z", false),
    ("spr-50806f-no-tcb-level", "2023-07-01T00:00:00Z", false),
    ("gcp-00806f-ccel", "2025-06-10T00:00:00Z", true),
    ("gcp-00806f-ccel", "2025-07-15T00:00:00Z", false),
    ("v5-90c06f-no-tcb-level", "2025-06-10T00:00:00Z", false),
    ("gcp-00806f-2025-12", "2026-02-01T00:00:00Z", true),
    ("gcp-00806f-2025-12", "2026-03-01T00:00:00Z", false),
    ("v5-90c06f-uptodate", "2026-02-25T00:00:00Z", true),
    ("v5-90c06f-uptodate", "2026-03-10T00:00:00Z", false),
];

/// Every case; none when the evidence is not there.
///
/// # Errors
/// A file that cannot be read.
pub fn tdx_cases() -> anyhow::Result<Vec<TdxCase>> {
    let Some(evidence) = crate::evidence() else { return Ok(Vec::new()) };
    CASES
        .iter()
        .map(|&(name, at, valid)| {
            let folder = evidence.join("tdx").join(name);
            let part = |name: &str| file(folder.join("collateral").join(name));
            let documents = PcsDocuments {
                tcb_info: &part("tcb_info.json")?,
                tcb_info_issuer_chain: &part("tcb_signing_chain.pem")?,
                qe_identity: &part("qe_identity.json")?,
                qe_identity_issuer_chain: &part("tcb_signing_chain.pem")?,
                pck_crl: &part("pck_crl.der")?,
                pck_crl_issuer_chain: &part("pck_crl_issuer_chain.pem")?,
                root_ca_crl: &part("root_ca_crl.der")?,
            };
            Ok(TdxCase {
                name,
                quote: file(folder.join("quote.bin"))?,
                collateral: Collateral::assemble(&documents)?,
                at: UnixTime::parse_rfc3339(at).ok_or_else(|| anyhow::anyhow!("{at} is no time"))?,
                valid,
            })
        })
        .collect()
}

impl TdxCase {
    /// Whether this project accepts it.
    pub fn ours(&self) -> bool {
        self.collateral
            .verify(&Roots::embedded(), self.at)
            .is_ok_and(|collateral| verify(&self.quote, &collateral, &Tolerance::default(), self.at).is_ok())
    }
}
