//! Quotes: the platform's word for what runs here, bound to 64 bytes of ours. One [`Quoter`] per platform. Verifies
//! nothing: that is `privatemode-attest`.
//!
//! Hardware is asked through configfs-tsm, which is files ([`TsmQuoter`]); SNP guests with a kernel older than that through
//! `/dev/sev-guest`, in builds with the feature `sev-guest`. Evidence goes out in the encodings of `protocol.md` §8.

mod certificates;
mod error;
mod evidence;
#[cfg(feature = "simulated")]
mod fake_snp;
#[cfg(feature = "sev-guest")]
mod sev_guest;
mod simulated;
mod tsm;

use std::{path::Path, sync::Arc};

use privatemode_attest::{EvidenceKind, ReportData};
use privatemode_manifest::PolicyHash;

pub use error::QuoteError;
#[cfg(feature = "simulated")]
pub use fake_snp::FakeSnpQuoter;
#[cfg(feature = "sev-guest")]
pub use sev_guest::SevGuestQuoter;
#[cfg(feature = "simulated")]
pub use simulated::SimulatedQuoter;
pub use tsm::TsmQuoter;

/// Asks the platform for evidence.
pub trait Quoter: Send + Sync {
    /// The kind of evidence that comes out.
    fn kind(&self) -> EvidenceKind;

    /// Evidence that is bound to `bind`. May take a while: it talks to a device.
    ///
    /// # Errors
    /// [`QuoteError`] when the platform gives none.
    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError>;
}

/// The quoter of a platform. `policy` is the hash of what runs here; only what is no hardware has to be told. `fake_snp` is
/// the folder of fake SEV-SNP reports, in builds that have them.
///
/// # Errors
/// [`QuoteError::NoHardware`] when the platform cannot give quotes here, and why.
pub fn quoter(
    platform: EvidenceKind,
    policy: Option<PolicyHash>,
    fake_snp: Option<&Path>,
) -> Result<Arc<dyn Quoter>, QuoteError> {
    match platform {
        EvidenceKind::Snp => fake_snp.map_or_else(snp, |folder| fake(folder, policy)),
        EvidenceKind::Tdx => Ok(Arc::new(TsmQuoter::open(platform, tsm::ROOT)?)),
        EvidenceKind::Simulated => simulated::quoter(policy),
    }
}

#[cfg(not(feature = "sev-guest"))]
fn snp() -> Result<Arc<dyn Quoter>, QuoteError> {
    Ok(Arc::new(TsmQuoter::open(EvidenceKind::Snp, tsm::ROOT)?))
}

/// The device is the second way: configfs-tsm also brings certificates where the host has them, and needs no ioctl.
#[cfg(feature = "sev-guest")]
fn snp() -> Result<Arc<dyn Quoter>, QuoteError> {
    let first = match TsmQuoter::open(EvidenceKind::Snp, tsm::ROOT) {
        Ok(quoter) => return Ok(Arc::new(quoter)),
        Err(error) => error,
    };
    // what is wrong with the first way is what people can mend
    SevGuestQuoter::open().map(|quoter| Arc::new(quoter) as Arc<dyn Quoter>).map_err(|_| first)
}

#[cfg(feature = "simulated")]
fn fake(folder: &Path, policy: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    fake_snp::quoter(folder, policy)
}

#[cfg(not(feature = "simulated"))]
fn fake(_: &Path, _: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    Err(QuoteError::NoHardware {
        platform: EvidenceKind::Snp,
        why: "this build leaves fake reports out".to_owned(),
        next: "use a build with the feature `simulated` for tests",
    })
}

#[cfg(test)]
mod tests;
