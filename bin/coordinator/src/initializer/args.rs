//! Settings of the initializer: where the coordinator is, what it has to prove, and how this workload proves itself. All that
//! is wrong with them is reported together.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use privatemode_attest::{EvidenceKind, SimulatedAllowed};
use privatemode_collateral::CollateralArgs;
use privatemode_manifest::{Manifest, PolicyHash, VerifyOptions};
use privatemode_mesh::atls::{Appraiser, wall_clock};
use privatemode_mesh::{PlatformName, Quoter, quoter};
use privatemode_service::{Chain, Faults};
use serde_json::json;
use serde_json::value::RawValue;

/// Longest policy.
const MAX_POLICY: u64 = 1024 * 1024;

/// Settings of the initializer.
#[derive(Debug, Clone, clap::Args)]
pub struct InitializerArgs {
    /// Where the coordinator lets workloads join.
    #[arg(long, value_name = "HOST:PORT", default_value = "coordinator-ready:7777")]
    pub coordinator: String,

    /// The manifest that the coordinator belongs to: it must run one of its coordinator policies on its hardware. Else
    /// --coordinator-policy and --reference-values say that.
    #[arg(long, value_name = "FILE")]
    pub expected_manifest: Option<PathBuf>,

    /// SHA-256 of a policy that the coordinator may run; may be given several times. For workloads that are part of the
    /// manifest which they would have to expect.
    #[arg(long, value_name = "SHA256")]
    pub coordinator_policy: Vec<String>,

    /// What the coordinator's hardware must measure: JSON, as the member `ReferenceValues` of a manifest.
    #[arg(long, value_name = "FILE")]
    pub reference_values: Option<PathBuf>,

    /// What gives this workload its evidence.
    #[arg(long, value_enum)]
    pub platform: PlatformName,

    /// What runs here, as its policy file. Only where no hardware is: hardware measures it.
    #[arg(long, value_name = "FILE")]
    pub workload_policy: Option<PathBuf>,

    /// Accept SIMULATED evidence: no hardware protects anything. For development only.
    #[cfg(feature = "simulated")]
    #[arg(long)]
    pub danger_simulated: bool,

    /// DANGER, for tests: FAKE SEV-SNP reports, made from the files in this folder: no hardware protects anything. Needs
    /// `--platform snp`; who verifies them needs `--danger-amd-root`.
    #[cfg(feature = "simulated")]
    #[arg(long, value_name = "DIR")]
    pub danger_fake_snp: Option<PathBuf>,

    #[command(flatten)]
    pub collateral: CollateralArgs,

    /// Folder for the files; it must be in this machine's memory, for the key lies there.
    #[arg(long, value_name = "DIR", default_value = "/contrast")]
    pub output: PathBuf,

    /// Stay, and renew the certificate at two thirds of its life, or when the coordinator has another mesh CA.
    #[arg(long)]
    pub renew: bool,

    /// With --renew: seconds between two looks at the coordinator's mesh CA.
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub look_every: u64,
}

/// The settings, checked and read.
pub(super) struct Plan {
    pub(super) coordinator: Appraiser,
    pub(super) quoter: Arc<dyn Quoter>,
}

impl InitializerArgs {
    /// Reads the files that the settings name.
    pub(super) fn plan(&self) -> Result<Plan, Faults> {
        let mut faults = Faults::new();
        let kind = EvidenceKind::from(self.platform);
        if self
            .coordinator
            .rsplit_once(':')
            .is_none_or(|(host, port)| host.is_empty() || port.parse::<u16>().is_err())
        {
            faults.add(format!("--coordinator: `{}` is not of the form HOST:PORT", self.coordinator));
        }
        let manifest = self.manifest(&mut faults);
        let policy = self.policy(kind, &mut faults);
        let simulated = self.simulated(kind, &mut faults);
        let plan = self.collateral.plan(None).map_err(|wrong| faults.append(wrong)).ok();
        // nobody publishes anything about simulated evidence
        let hardware = plan.as_ref().filter(|_| kind != EvidenceKind::Simulated);
        let collector = hardware
            .and_then(|plan| faults.check(plan.collector().map_err(|error| Chain(&error).to_string())));
        let (Some(manifest), Some(plan)) = (manifest, plan) else { return Err(faults) };
        faults.into_result()?;
        let mut faults = Faults::new();
        let quoter = quoter(kind, policy, self.fake_snp()).map_err(|error| Chain(&error).to_string());
        let Some(quoter) = faults.check(quoter) else { return Err(faults) };
        let options = VerifyOptions { simulated, ..plan.options() };
        if let Some(downgrade) = self.collateral.downgrade() {
            tracing::warn!("{downgrade}");
        }
        if let Some(danger) = plan.danger() {
            tracing::warn!("DANGER: {danger}");
        }
        let coordinator = Appraiser::new(manifest, options, wall_clock());
        let coordinator = match collector {
            Some(collector) => coordinator.with_collateral(collector),
            None => coordinator,
        };
        Ok(Plan { coordinator, quoter })
    }

    /// What the coordinator has to prove, either way as a manifest.
    fn manifest(&self, faults: &mut Faults) -> Option<Manifest> {
        let raw = match (&self.expected_manifest, &self.reference_values) {
            (Some(path), None) if self.coordinator_policy.is_empty() => {
                read("--expected-manifest", path, Manifest::MAX_LEN as u64, faults)?
            }
            (None, Some(path)) if !self.coordinator_policy.is_empty() => self.pinned(path, faults)?,
            _ => {
                faults.add(
                    "either --expected-manifest, or --coordinator-policy and --reference-values: without them any coordinator could be believed",
                );
                return None;
            }
        };
        let manifest = faults.check(Manifest::parse(&raw).map_err(|error| {
            format!("what the coordinator has to prove cannot be used: {}", Chain(&error))
        }))?;
        if !manifest.expected_missing().is_empty() {
            faults.add(format!(
                "required reference values are missing, without which nothing can be checked: {}",
                manifest.expected_missing().join(", ")
            ));
        }
        Some(manifest)
    }

    /// A manifest of coordinators alone.
    fn pinned(&self, path: &Path, faults: &mut Faults) -> Option<Vec<u8>> {
        let bytes = read("--reference-values", path, Manifest::MAX_LEN as u64, faults)?;
        // one JSON value and nothing around it: it becomes part of a larger one
        let values = serde_json::from_slice::<Box<RawValue>>(&bytes)
            .map_err(|error| format!("--reference-values `{}` is not JSON: {error}", path.display()));
        let values = faults.check(values)?;
        let mut policies = BTreeMap::new();
        for text in &self.coordinator_policy {
            let hash =
                text.parse::<PolicyHash>().map_err(|error| format!("--coordinator-policy `{text}`: {error}"));
            policies.insert(
                faults.check(hash)?.to_string(),
                json!({"SANs": ["coordinator"], "Role": "coordinator"}),
            );
        }
        let policies = json!(policies);
        Some(format!(r#"{{"Policies":{policies},"ReferenceValues":{values}}}"#).into_bytes())
    }

    fn policy(&self, kind: EvidenceKind, faults: &mut Faults) -> Option<PolicyHash> {
        let measured = kind != EvidenceKind::Simulated && self.fake_snp().is_none();
        match (&self.workload_policy, measured) {
            (Some(path), false) => {
                read("--workload-policy", path, MAX_POLICY, faults).map(|policy| PolicyHash::of(&policy))
            }
            (None, false) => {
                faults.add("--workload-policy is missing: nothing measures what runs here");
                None
            }
            (Some(_), true) => {
                faults.add(
                    "--workload-policy is for platforms without hardware: hardware measures what runs here",
                );
                None
            }
            (None, true) => None,
        }
    }
}

#[cfg(feature = "simulated")]
impl InitializerArgs {
    fn simulated(&self, kind: EvidenceKind, faults: &mut Faults) -> Option<SimulatedAllowed> {
        if self.danger_fake_snp.is_some() && kind != EvidenceKind::Snp {
            faults.add(format!(
                "--danger-fake-snp and --platform {} contradict each other: fake reports are of --platform snp",
                kind.name()
            ));
        }
        match (kind, self.danger_simulated) {
            (EvidenceKind::Simulated, true) => Some(SimulatedAllowed::danger_accept_simulated()),
            (EvidenceKind::Simulated, false) => {
                faults.add(
                    "--platform simulated needs --danger-simulated as well: SIMULATED means that no hardware protects anything",
                );
                None
            }
            (EvidenceKind::Snp | EvidenceKind::Tdx, true) => {
                faults.add(format!(
                    "--danger-simulated and --platform {} contradict each other: leave one of them out",
                    kind.name()
                ));
                None
            }
            (EvidenceKind::Snp | EvidenceKind::Tdx, false) => None,
        }
    }

    fn fake_snp(&self) -> Option<&Path> {
        self.danger_fake_snp.as_deref()
    }
}

/// What is no hardware is not in this build; making a quoter says so.
#[cfg(not(feature = "simulated"))]
#[expect(clippy::unused_self, reason = "the twins of the functions that read the switches")]
impl InitializerArgs {
    fn simulated(&self, _: EvidenceKind, _: &mut Faults) -> Option<SimulatedAllowed> {
        None
    }

    fn fake_snp(&self) -> Option<&Path> {
        None
    }
}

fn read(flag: &str, path: &Path, max: u64, faults: &mut Faults) -> Option<Vec<u8>> {
    let mut bytes = Vec::new();
    // one byte more than allowed, to tell "exactly as long" from "longer"
    let read = File::open(path).and_then(|file| file.take(max + 1).read_to_end(&mut bytes));
    if let Err(error) = read {
        faults.add(format!("{flag}: cannot read `{}`: {error}", path.display()));
        return None;
    }
    if bytes.len() as u64 > max {
        faults.add(format!("{flag}: `{}` has more than {max} bytes", path.display()));
        return None;
    }
    Some(bytes)
}

#[cfg(test)]
#[cfg(feature = "simulated")]
mod tests;
