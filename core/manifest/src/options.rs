//! What a verification may use and tolerate, besides the manifest: collateral, roots, a grace. Fetches nothing.

use std::sync::Arc;

use privatemode_attest::x509::CertificateError;
use privatemode_attest::{SimulatedAllowed, snp, tdx};

/// Tolerances, and what a fetcher brought. The default tolerates nothing, and has no collateral beside the evidence's own.
/// Cheap to clone: what is large is shared.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Accept simulated evidence, if the manifest names it as well.
    pub simulated: Option<SimulatedAllowed>,
    /// What the evidence does not bring itself; [`needs`](crate::needs::needs) says what that is.
    pub collateral: Collateral,
    /// The vendors' roots.
    pub roots: Roots,
    /// For how many seconds after their end revocation lists and Intel's collateral still count, at most
    /// [`tdx::Grace::MAX_SECONDS`]. Shown in the report.
    pub crl_grace: u64,
    /// Refuse AMD evidence without a revocation list. Without it, a revoked key counts; shown in the report.
    pub require_crl: bool,
}

/// What vendors publish about one piece of evidence; untrusted until it was verified.
#[derive(Debug, Clone, Default)]
pub struct Collateral {
    /// AMD's.
    pub snp: Option<Arc<SnpCollateral>>,
    /// Intel's.
    pub tdx: Option<Arc<TdxCollateral>>,
}

/// AMD's certificates, DER or PEM, and revocation list, DER.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SnpCollateral {
    /// VCEK or VLEK, for evidence that brings none.
    pub vek: Option<Vec<u8>>,
    /// ASK or ASVK, for evidence that brings none; AMD's are built in.
    pub ask: Option<Vec<u8>>,
    /// The root's revocation list. Of this and the evidence's, the newer counts.
    pub crl: Option<Vec<u8>>,
}

/// Intel's documents for one family of platforms.
pub use privatemode_attest::tdx::Collateral as TdxCollateral;

/// Whose hardware counts. The default is AMD's and Intel's roots.
#[derive(Debug, Clone, Default)]
pub struct Roots(Option<Arc<TestRoots>>);

#[derive(Debug)]
struct TestRoots {
    snp: snp::Roots,
    tdx: tdx::Roots,
}

impl Default for VerifyOptions {
    fn default() -> Self {
        Self {
            simulated: None,
            collateral: Collateral::default(),
            roots: Roots::default(),
            crl_grace: 0,
            require_crl: true,
        }
    }
}

impl Roots {
    /// AMD's and Intel's.
    pub fn embedded() -> Self {
        Self::default()
    }

    /// Another root in AMD's place, and no other product line: **whoever holds its key can make any evidence**. Only tests
    /// call this.
    ///
    /// # Errors
    /// If `ark` is no certificate.
    pub fn danger_test_snp(product: snp::Product, ark: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self::test(snp::Roots::danger_test(product, ark)?, tdx::Roots::embedded()))
    }

    /// Another root in Intel's place: **whoever holds its key can make any evidence**. Only tests call this.
    ///
    /// # Errors
    /// If `root` is no certificate in DER.
    pub fn danger_test_tdx(root: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self::test(snp::Roots::embedded(), tdx::Roots::danger_test(root)?))
    }

    fn test(snp: snp::Roots, tdx: tdx::Roots) -> Self {
        Self(Some(Arc::new(TestRoots { snp, tdx })))
    }

    /// Whether these are the vendors' roots. Reports must say when they are not.
    pub fn is_production(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn snp(&self) -> snp::Roots {
        self.0.as_ref().map_or_else(snp::Roots::embedded, |roots| roots.snp.clone())
    }

    pub(crate) fn tdx(&self) -> tdx::Roots {
        self.0.as_ref().map_or_else(tdx::Roots::embedded, |roots| roots.tdx.clone())
    }
}
