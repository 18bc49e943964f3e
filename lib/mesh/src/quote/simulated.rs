//! The platform without hardware.

use std::sync::Arc;

use privatemode_attest::EvidenceKind;
#[cfg(feature = "simulated")]
use privatemode_attest::ReportData;
use privatemode_manifest::PolicyHash;

use super::{QuoteError, Quoter};

#[cfg(feature = "simulated")]
pub(super) fn quoter(policy: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    let policy = policy.ok_or_else(|| QuoteError::NoHardware {
        platform: EvidenceKind::Simulated,
        why: "nobody said which policy is simulated".to_owned(),
        next: "name its file with `--workload-policy`",
    })?;
    Ok(Arc::new(SimulatedQuoter { host_data: *policy.as_bytes() }))
}

#[cfg(not(feature = "simulated"))]
pub(super) fn quoter(_: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    Err(QuoteError::NoHardware {
        platform: EvidenceKind::Simulated,
        why: "this build leaves the simulated platform out".to_owned(),
        next: "use a build with the feature `simulated` for development",
    })
}

/// The platform without hardware: says what it is told. **Proves nothing.**
#[cfg(feature = "simulated")]
#[derive(Clone, Debug)]
pub struct SimulatedQuoter {
    /// The policy hash that hardware would have measured.
    pub host_data: [u8; 32],
}

#[cfg(feature = "simulated")]
impl Quoter for SimulatedQuoter {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Simulated
    }

    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
        Ok(privatemode_attest::simulated::issue(bind, self.host_data))
    }
}
