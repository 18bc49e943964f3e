//! Quotes: the platform's word for what runs here, bound to 64 bytes of ours. One [`Quoter`] per platform. Verifies
//! nothing: that is `privatemode-attest`.

use std::sync::Arc;

use privatemode_attest::{EvidenceKind, ReportData};
use privatemode_manifest::PolicyHash;

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

/// Why there is no quote.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuoteError {
    /// The platform is not here, or we cannot use it.
    #[error("no {platform} evidence can be made here: {why}; {next}")]
    NoHardware {
        /// What was asked for.
        platform: EvidenceKind,
        /// What is missing.
        why: String,
        /// What to do.
        next: &'static str,
    },
}

/// The quoter of a platform. `policy` is the hash of what runs here; only the simulated platform has to be told.
///
/// # Errors
/// [`QuoteError::NoHardware`] when the platform cannot give quotes here, and why.
pub fn quoter(platform: EvidenceKind, policy: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    match platform {
        EvidenceKind::Snp => Err(no_hardware(platform, "/dev/sev-guest", "an AMD SEV-SNP")),
        EvidenceKind::Tdx => Err(no_hardware(platform, "/dev/tdx_guest", "an Intel TDX")),
        EvidenceKind::Simulated => simulated(policy),
    }
}

fn no_hardware(platform: EvidenceKind, device: &str, what: &str) -> QuoteError {
    let (why, next) = if std::path::Path::new(device).exists() {
        (
            format!("there is {device}, but this version cannot talk to it yet"),
            "use a newer version, or `--platform simulated` for development",
        )
    } else {
        (
            format!("there is no {device}"),
            "run this inside a confidential virtual machine, or use `--platform simulated` for development",
        )
    };
    QuoteError::NoHardware { platform, why: format!("this is not {what} guest that we can use: {why}"), next }
}

#[cfg(feature = "simulated")]
fn simulated(policy: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
    let policy = policy.ok_or_else(|| QuoteError::NoHardware {
        platform: EvidenceKind::Simulated,
        why: "nobody said which policy is simulated".to_owned(),
        next: "name its file with `--workload-policy`",
    })?;
    Ok(Arc::new(SimulatedQuoter { host_data: *policy.as_bytes() }))
}

#[cfg(not(feature = "simulated"))]
fn simulated(_: Option<PolicyHash>) -> Result<Arc<dyn Quoter>, QuoteError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_platform_that_is_not_here_says_so() {
        for platform in [EvidenceKind::Snp, EvidenceKind::Tdx] {
            let Err(error) = quoter(platform, None) else { panic!("a quoter without hardware") };
            let QuoteError::NoHardware { platform: named, .. } = &error;
            assert_eq!(*named, platform);
            assert!(error.to_string().contains("--platform simulated"), "{error}");
        }
    }

    #[cfg(feature = "simulated")]
    #[test]
    fn the_simulated_platform_has_to_be_told_its_policy() {
        let Err(error) = quoter(EvidenceKind::Simulated, None) else { panic!("a quoter without a policy") };
        assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Simulated, .. }));
    }

    #[cfg(not(feature = "simulated"))]
    #[test]
    fn this_build_does_not_simulate() {
        let policy = Some(PolicyHash::of(b"policy"));
        let Err(error) = quoter(EvidenceKind::Simulated, policy) else {
            panic!("simulated without the feature")
        };
        assert!(matches!(error, QuoteError::NoHardware { platform: EvidenceKind::Simulated, .. }));
    }
}
