//! The flags of every process that verifies hardware evidence: where the vendors' documents come from.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use privatemode_attest::tdx::Grace;
use privatemode_manifest::{Roots, VerifyOptions};
use privatemode_service::Faults;

use crate::{
    bundle::Bundle,
    collector::{Collector, Settings},
    endpoint::Endpoints,
    error::SetupError,
};

const HOUR: u64 = 3600;
const TEST_ROOT: &str = "a certificate of --danger-amd-root stands in the place of AMD's root: this proves nothing about hardware";

/// Where collateral comes from.
#[derive(Debug, Clone, Default, clap::Args)]
pub struct CollateralArgs {
    /// Folder where the hardware vendors' documents are kept between starts.
    #[arg(long = "collateral-dir", value_name = "DIR")]
    pub collateral_dir: Option<PathBuf>,

    /// Mirror of AMD's key distribution service.
    #[arg(long = "amd-kds-url", value_name = "URL")]
    pub amd_kds_url: Option<String>,

    /// Mirror of Intel's provisioning certification service (a PCCS).
    #[arg(long = "intel-pcs-url", value_name = "URL")]
    pub intel_pcs_url: Option<String>,

    /// Documents that were saved before: a bundle of the vendors' documents, as it stands in the member `collateral` of what
    /// `privatemode verify --save` writes.
    #[arg(long = "collateral-bundle", value_name = "FILE")]
    pub collateral_bundle: Option<PathBuf>,

    /// Never ask the hardware vendors: use the evidence, the bundle and the folder alone.
    #[arg(long = "offline-collateral")]
    pub offline_collateral: bool,

    /// Hours for which outdated revocation lists and TCB information still count when no newer one can be had. Lenient.
    #[arg(long = "crl-grace", value_name = "HOURS", default_value_t = 0)]
    pub crl_grace: u64,

    /// DANGER, for tests: a certificate in place of AMD's root, in DER. Whoever has its key can make any evidence: nothing
    /// that is verified says anything about hardware, and that is said wherever it shows.
    #[cfg(feature = "simulated")]
    #[arg(long = "danger-amd-root", value_name = "FILE")]
    pub danger_amd_root: Option<PathBuf>,
}

/// The flags, checked.
#[derive(Clone)]
pub struct CollateralPlan {
    /// For [`Collector::new`].
    pub settings: Settings,
    /// For the verification's options, in seconds.
    pub grace: u64,
    /// For the verification's options: whose hardware counts.
    pub roots: Roots,
}

impl CollateralArgs {
    /// Checks the flags and reads the bundle. `folder` is where documents are kept unless a flag names another.
    ///
    /// # Errors
    /// All that is wrong.
    pub fn plan(&self, folder: Option<&Path>) -> Result<CollateralPlan, Faults> {
        let mut faults = Faults::new();
        let mut endpoints = Endpoints::default();
        if let Some(url) = &self.amd_kds_url {
            endpoints =
                flag(&mut faults, "--amd-kds-url", endpoints.clone().amd_kds(url)).unwrap_or(endpoints);
        }
        if let Some(url) = &self.intel_pcs_url {
            let pccs = endpoints.clone().intel_pccs(url);
            endpoints = flag(&mut faults, "--intel-pcs-url", pccs).unwrap_or(endpoints);
        }
        let bundle = self
            .collateral_bundle
            .as_deref()
            .and_then(|path| flag(&mut faults, "--collateral-bundle", Bundle::read(path)).map(Arc::new));
        let grace = self.crl_grace.saturating_mul(HOUR);
        if grace > Grace::MAX_SECONDS {
            faults.add(format!(
                "--crl-grace {} is too long: at most {} hours, for a revoked key counts until then",
                self.crl_grace,
                Grace::MAX_SECONDS / HOUR
            ));
        }
        let roots = self.roots(&mut faults);
        faults.into_result()?;
        let settings = Settings {
            folder: self.collateral_dir.clone().or_else(|| folder.map(Path::to_owned)),
            endpoints,
            offline: self.offline_collateral,
            amd_signing_key: !roots.is_production(),
            grace: Duration::from_secs(grace),
            bundle,
            ..Settings::default()
        };
        Ok(CollateralPlan { settings, grace, roots })
    }

    #[cfg(feature = "simulated")]
    fn roots(&self, faults: &mut Faults) -> Roots {
        let Some(path) = self.danger_amd_root.as_deref() else { return Roots::embedded() };
        flag(faults, "--danger-amd-root", crate::danger::amd_roots(path)).unwrap_or_default()
    }

    /// Nothing in this build can put a test's root in a vendor's place.
    #[cfg(not(feature = "simulated"))]
    #[expect(clippy::unused_self, reason = "the twin of the function that reads the switch")]
    fn roots(&self, _: &mut Faults) -> Roots {
        Roots::embedded()
    }

    /// What is weaker than it could be.
    #[must_use]
    pub fn downgrade(&self) -> Option<String> {
        (self.crl_grace > 0).then(|| {
            format!(
                "revocation lists and TCB information count for {} h after their end, if no newer ones can be had \
                 (--crl-grace)",
                self.crl_grace
            )
        })
    }
}

impl CollateralPlan {
    /// What the flags mean for a verification, whose other options are the default's.
    #[must_use]
    pub fn options(&self) -> VerifyOptions {
        VerifyOptions { crl_grace: self.grace, roots: self.roots.clone(), ..VerifyOptions::default() }
    }

    /// What makes every verification prove nothing.
    #[must_use]
    pub fn danger(&self) -> Option<&'static str> {
        (!self.roots.is_production()).then_some(TEST_ROOT)
    }

    /// Opens the folder; asks nobody yet.
    ///
    /// # Errors
    /// [`SetupError`]
    pub fn collector(&self) -> Result<Collector, SetupError> {
        Collector::new(self.settings.clone())
    }
}

fn flag<T, E: std::error::Error + 'static>(
    faults: &mut Faults,
    name: &str,
    result: Result<T, E>,
) -> Option<T> {
    faults.check(result.map_err(|error| format!("{name}: {}", privatemode_service::Chain(&error))))
}

#[cfg(test)]
mod tests;
