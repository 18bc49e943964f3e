//! The vendors themselves, through `privatemode-collateral` with its cache, mirrors and bundles.

use privatemode_collateral::{Collector, Gathered};
use privatemode_manifest::{Collateral, Needs, VerifyError};

use crate::collateral::{CollateralError, CollateralSource, Fetched, Fetching};

/// A collector as a session's source.
#[derive(Clone)]
pub struct Vendors(Collector);

struct FromVendors {
    collector: Collector,
    gathered: Gathered,
}

impl Vendors {
    /// Fetches through `collector`.
    #[must_use]
    pub fn new(collector: Collector) -> Self {
        Self(collector)
    }
}

impl CollateralSource for Vendors {
    fn fetch<'a>(&'a self, needs: &'a Needs) -> Fetching<'a, Result<Box<dyn Fetched>, CollateralError>> {
        Box::pin(async move {
            let gathered = self.0.gather(needs).await;
            let gathered = gathered.map_err(|source| CollateralError::Fetch { source: Box::new(source) })?;
            Ok(Box::new(FromVendors { collector: self.0.clone(), gathered }) as Box<dyn Fetched>)
        })
    }
}

impl Fetched for FromVendors {
    fn collateral(&self) -> Collateral {
        self.gathered.collateral.clone()
    }

    fn confirm(&self) -> Fetching<'_, ()> {
        Box::pin(self.collector.confirm_all(&self.gathered))
    }

    fn reject<'a>(&'a self, refusal: &'a VerifyError) -> Fetching<'a, ()> {
        Box::pin(self.collector.reject_faulty(&self.gathered, refusal))
    }
}
