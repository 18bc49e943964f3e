//! Where a session gets what hardware vendors publish about the deployment's machines. Handed in like the transport.
//! Decides nothing: what comes back is untrusted until the verification has used it. Specification: `attestation.md` §6.

use std::{error::Error, future::Future, pin::Pin, time::Duration};

use privatemode_manifest::{Collateral, Needs, VerifyError};

/// A call under way.
pub type Fetching<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// A source of collateral.
pub trait CollateralSource: Send + Sync + 'static {
    /// Gets what `needs` says. Never called for evidence that needs nothing, as simulated evidence.
    fn fetch<'a>(&'a self, needs: &'a Needs) -> Fetching<'a, Result<Box<dyn Fetched>, CollateralError>>;
}

/// What a source brought for one verification.
pub trait Fetched: Send + Sync {
    /// For the verification's options.
    fn collateral(&self) -> Collateral;

    /// The verification succeeded: the documents may be kept.
    fn confirm(&self) -> Fetching<'_, ()>;

    /// The verification failed: documents that it speaks of must not be kept.
    fn reject<'a>(&'a self, refusal: &'a VerifyError) -> Fetching<'a, ()>;
}

/// Why there is no collateral.
#[derive(Debug, thiserror::Error)]
pub enum CollateralError {
    /// The source could not get a document.
    #[error(
        "what the hardware's vendor publishes about the deployment's machines cannot be had, so that its evidence cannot be \
         verified. Check the network to the vendor; or name a mirror (--amd-kds-url, --intel-pcs-url), hand in a saved \
         bundle (--collateral-bundle), or accept outdated revocation lists for some hours (--crl-grace)"
    )]
    Fetch {
        /// Which, and why.
        source: Box<dyn Error + Send + Sync>,
    },
    /// It took too long.
    #[error(
        "what the hardware's vendor publishes about the deployment's machines did not come within {} s. Check the network \
         to the vendor, or name a mirror (--amd-kds-url, --intel-pcs-url)",
        .limit.as_secs()
    )]
    Timeout {
        /// What was granted.
        limit: Duration,
    },
}

/// Fetches nothing: the evidence must bring everything itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct NoCollateral;

impl CollateralSource for NoCollateral {
    fn fetch<'a>(&'a self, _: &'a Needs) -> Fetching<'a, Result<Box<dyn Fetched>, CollateralError>> {
        Box::pin(async { Ok(Box::new(Self) as Box<dyn Fetched>) })
    }
}

impl Fetched for NoCollateral {
    fn collateral(&self) -> Collateral {
        Collateral::default()
    }

    fn confirm(&self) -> Fetching<'_, ()> {
        Box::pin(async {})
    }

    fn reject<'a>(&'a self, _: &'a VerifyError) -> Fetching<'a, ()> {
        Box::pin(async {})
    }
}
