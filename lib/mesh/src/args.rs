//! The settings that every workload shares: where the coordinator is, what it has to prove, and how this workload proves
//! itself. All that is wrong with them is reported together.

use std::{fs, path::Path, path::PathBuf};

use http::Uri;
use privatemode_attest::{EvidenceKind, SimulatedAllowed};
use privatemode_collateral::{CollateralArgs, CollateralPlan, Collector};
use privatemode_manifest::{Manifest, PolicyHash, VerifyOptions};
use privatemode_service::{Chain, Faults};

/// A policy file is never this large.
const MAX_POLICY: u64 = 1024 * 1024;

/// Settings of a workload in the mesh.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct MeshArgs {
    /// Where the coordinator lets workloads join; repeat the flag for several of one deployment.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:7776", value_delimiter = ',')]
    pub coordinator_mesh: Vec<String>,
    /// Where the coordinator proves itself; repeat the flag for several of one deployment.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:1314", value_delimiter = ',')]
    pub coordinator: Vec<String>,
    /// The manifest that the coordinator must enforce, byte for byte.
    #[arg(long, value_name = "FILE")]
    pub expected_manifest: Option<PathBuf>,
    /// What gives this workload its evidence. There is no default.
    #[arg(long, value_enum)]
    pub platform: Option<PlatformName>,
    /// What runs here, as its policy file; its SHA-256 stands in the manifest. Only where no hardware is: hardware measures
    /// it.
    #[arg(long, value_name = "FILE")]
    pub workload_policy: Option<PathBuf>,
    /// Where the hardware vendors' documents come from.
    #[command(flatten)]
    pub collateral: CollateralArgs,
    /// Accept SIMULATED evidence: no hardware protects anything. For development only.
    #[cfg(feature = "simulated")]
    #[arg(long)]
    pub danger_simulated: bool,
    /// DANGER, for tests: FAKE SEV-SNP reports, made from the files in this folder: no hardware protects anything. Needs
    /// `--platform snp`; who verifies them needs `--danger-amd-root`.
    #[cfg(feature = "simulated")]
    #[arg(long, value_name = "DIR")]
    pub danger_fake_snp: Option<PathBuf>,
}

/// A platform, as the flag names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum PlatformName {
    /// AMD SEV-SNP.
    Snp,
    /// Intel TDX.
    Tdx,
    /// No hardware at all.
    Simulated,
}

impl From<PlatformName> for EvidenceKind {
    fn from(name: PlatformName) -> Self {
        match name {
            PlatformName::Snp => Self::Snp,
            PlatformName::Tdx => Self::Tdx,
            PlatformName::Simulated => Self::Simulated,
        }
    }
}

/// The settings, checked and read.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) coordinator_mesh: Vec<Uri>,
    pub(crate) coordinator: Vec<Uri>,
    pub(crate) manifest: Manifest,
    pub(crate) platform: EvidenceKind,
    pub(crate) policy: Option<PolicyHash>,
    /// Where fake reports are made from.
    pub(crate) fake_snp: Option<PathBuf>,
    pub(crate) options: VerifyOptions,
    /// None on the simulated platform, about which nobody publishes anything.
    pub(crate) collector: Option<Collector>,
}

impl MeshArgs {
    /// Adds everything that is wrong with these settings to `faults`, reading the files that they name. [`crate::join()`]
    /// does it as well; a process calls this to report them together with its own faults.
    pub fn check(&self, faults: &mut Faults) {
        if let Err(mine) = self.settings() {
            faults.append(mine);
        }
    }

    pub(crate) fn settings(&self) -> Result<Settings, Faults> {
        let mut faults = Faults::new();
        let coordinator_mesh = urls("--coordinator-mesh", &self.coordinator_mesh, &mut faults);
        let coordinator = urls("--coordinator", &self.coordinator, &mut faults);
        let manifest = self.manifest(&mut faults);
        let platform = self.platform.map(EvidenceKind::from);
        if platform.is_none() {
            faults.add(
                "--platform is missing: it is snp or tdx on confidential hardware, simulated for development",
            );
        }
        let policy = self.policy(platform, &mut faults);
        let simulated = self.simulated(platform, &mut faults);
        let fake_snp = self.fake_snp(platform, &mut faults);
        let plan = self.collateral.plan(None).map_err(|wrong| faults.append(wrong)).ok();
        let options = plan.as_ref().map(CollateralPlan::options).unwrap_or_default();
        let options = VerifyOptions { simulated, ..options };
        let collector = collector(platform, plan.as_ref(), &mut faults);
        if let (Some(manifest), Some(platform)) = (&manifest, platform)
            && !manifest.names_platform(platform)
        {
            faults.add(format!(
                "--platform {} and --expected-manifest contradict each other: the manifest has no reference values for {platform}",
                platform.name()
            ));
        }
        if let (Some(manifest), Some(policy)) = (&manifest, &policy)
            && manifest.policy(policy).is_none()
        {
            faults.add(format!(
                "--workload-policy and --expected-manifest contradict each other: the manifest does not name policy {policy}"
            ));
        }
        match (coordinator_mesh, coordinator, manifest, platform) {
            (Some(coordinator_mesh), Some(coordinator), Some(manifest), Some(platform)) => {
                faults.into_result()?;
                Ok(Settings {
                    coordinator_mesh,
                    coordinator,
                    manifest,
                    platform,
                    policy,
                    fake_snp,
                    options,
                    collector,
                })
            }
            _ => Err(faults),
        }
    }

    fn manifest(&self, faults: &mut Faults) -> Option<Manifest> {
        let Some(path) = &self.expected_manifest else {
            faults.add("--expected-manifest is missing: without it any coordinator could be believed");
            return None;
        };
        let raw = read("--expected-manifest", path, Manifest::MAX_LEN as u64, faults)?;
        match Manifest::parse(&raw) {
            Ok(manifest) => Some(manifest),
            Err(error) => {
                faults.add(format!("--expected-manifest `{}`: {}", path.display(), Chain(&error)));
                None
            }
        }
    }

    fn policy(&self, platform: Option<EvidenceKind>, faults: &mut Faults) -> Option<PolicyHash> {
        match (platform, &self.workload_policy) {
            (Some(EvidenceKind::Simulated), None) => {
                faults.add(
                    "--workload-policy is missing: on the simulated platform nothing measures what runs here",
                );
                None
            }
            (Some(EvidenceKind::Snp), None) if self.makes_fake_reports() => {
                faults.add(
                    "--workload-policy is missing: fake reports name it, for nothing measures what runs here",
                );
                None
            }
            (Some(EvidenceKind::Snp | EvidenceKind::Tdx), Some(_)) if !self.makes_fake_reports() => {
                faults.add(
                    "--workload-policy is for --platform simulated only: hardware measures what runs here",
                );
                None
            }
            (_, Some(path)) => {
                read("--workload-policy", path, MAX_POLICY, faults).map(|policy| PolicyHash::of(&policy))
            }
            (_, None) => None,
        }
    }
}

#[cfg(feature = "simulated")]
impl MeshArgs {
    fn simulated(&self, platform: Option<EvidenceKind>, faults: &mut Faults) -> Option<SimulatedAllowed> {
        match (platform, self.danger_simulated) {
            (Some(EvidenceKind::Simulated), false) => {
                faults.add(
                    "--platform simulated needs --danger-simulated as well: SIMULATED means that no hardware protects anything",
                );
                None
            }
            (Some(platform @ (EvidenceKind::Snp | EvidenceKind::Tdx)), true) => {
                faults.add(format!(
                    "--danger-simulated and --platform {} contradict each other: leave one of them out",
                    platform.name()
                ));
                None
            }
            (Some(EvidenceKind::Simulated), true) => Some(SimulatedAllowed::danger_accept_simulated()),
            (Some(EvidenceKind::Snp | EvidenceKind::Tdx), false) | (None, _) => None,
        }
    }

    fn makes_fake_reports(&self) -> bool {
        self.danger_fake_snp.is_some()
    }

    fn fake_snp(&self, platform: Option<EvidenceKind>, faults: &mut Faults) -> Option<PathBuf> {
        if let (Some(_), Some(platform @ (EvidenceKind::Tdx | EvidenceKind::Simulated))) =
            (&self.danger_fake_snp, platform)
        {
            faults.add(format!(
                "--danger-fake-snp and --platform {} contradict each other: fake reports are of --platform snp",
                platform.name()
            ));
        }
        self.danger_fake_snp.clone()
    }
}

/// What is no hardware is not in this build.
#[cfg(not(feature = "simulated"))]
#[expect(clippy::unused_self, reason = "the twins of the functions that read the switches")]
impl MeshArgs {
    fn simulated(&self, platform: Option<EvidenceKind>, faults: &mut Faults) -> Option<SimulatedAllowed> {
        if platform == Some(EvidenceKind::Simulated) {
            faults.add(
                "--platform simulated: this build leaves the simulated platform out; use a development build",
            );
        }
        None
    }

    fn makes_fake_reports(&self) -> bool {
        false
    }

    fn fake_snp(&self, _: Option<EvidenceKind>, _: &mut Faults) -> Option<PathBuf> {
        None
    }
}

fn collector(
    platform: Option<EvidenceKind>,
    plan: Option<&CollateralPlan>,
    faults: &mut Faults,
) -> Option<Collector> {
    let plan = plan.filter(|_| platform.is_some_and(|platform| platform != EvidenceKind::Simulated))?;
    faults.check(plan.collector().map_err(|error| Chain(&error).to_string()))
}

fn urls(flag: &str, texts: &[String], faults: &mut Faults) -> Option<Vec<Uri>> {
    if texts.is_empty() {
        faults.add(format!("{flag} is missing: without a coordinator there is nothing to join"));
        return None;
    }
    // all of them are looked at, so that all faults are reported
    texts.iter().map(|text| url(flag, text, faults)).collect::<Vec<_>>().into_iter().collect()
}

fn url(flag: &str, text: &str, faults: &mut Faults) -> Option<Uri> {
    let uri = text.parse::<Uri>().ok();
    // The evidence vouches for what the coordinator says; TLS below it would add nothing and would need a root.
    let good = uri.filter(|uri| {
        uri.scheme_str() == Some("http")
            && uri.host().is_some_and(|host| !host.is_empty())
            && uri.path() == "/"
    });
    if good.is_none() {
        faults.add(format!("{flag}: `{text}` is not of the form http://HOST:PORT"));
    }
    good
}

fn read(flag: &str, path: &Path, max: u64, faults: &mut Faults) -> Option<Vec<u8>> {
    let size = fs::metadata(path).map(|metadata| metadata.len());
    match size.and_then(|size| if size > max { Ok(None) } else { fs::read(path).map(Some) }) {
        Ok(Some(bytes)) => Some(bytes),
        Ok(None) => {
            faults.add(format!("{flag}: `{}` has more than {max} bytes", path.display()));
            None
        }
        Err(error) => {
            faults.add(format!("{flag}: cannot read `{}`: {error}", path.display()));
            None
        }
    }
}

#[cfg(test)]
mod tests;
