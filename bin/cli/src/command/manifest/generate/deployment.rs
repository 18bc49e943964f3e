//! The deployment file, TOML or JSON, with the files that it names.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};
use privatemode_manifest::generate::{PROTOCOLS, read_reference_values};
use privatemode_manifest::reference::ReferenceValues;
use privatemode_manifest::{PolicyHash, Role};
use serde::Deserialize;

use super::super::{Failure, keys};
use crate::command::attest::input::Files;

/// Longest deployment file.
const MAX: usize = 1024 * 1024;
/// Longest policy: the longest entry of a coordinator's store.
const MAX_POLICY: usize = 1024 * 1024;

/// What is to be deployed, with everything read.
pub(super) struct Deployment {
    pub(super) workloads: Vec<Workload>,
    pub(super) reference_values: ReferenceValues,
    pub(super) workload_owners: Vec<Vec<u8>>,
    pub(super) seedshare_owners: Vec<Vec<u8>>,
    pub(super) protocols: Vec<String>,
}

/// A workload with its policy.
pub(super) struct Workload {
    pub(super) policy: Vec<u8>,
    pub(super) sans: Vec<String>,
    pub(super) role: Role,
    pub(super) workload_secret_id: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct File {
    workload: Vec<FileWorkload>,
    #[serde(default)]
    reference_values: Option<serde_json::Value>,
    #[serde(default)]
    simulated: bool,
    #[serde(default)]
    workload_owners: Vec<PathBuf>,
    #[serde(default)]
    seedshare_owners: Vec<PathBuf>,
    protocols: Option<Vec<String>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct FileWorkload {
    policy: PathBuf,
    sans: Vec<String>,
    #[serde(default)]
    role: FileRole,
    workload_secret_id: Option<String>,
}

#[derive(Default, Clone, Copy, Deserialize)]
#[serde(rename_all = "lowercase")]
enum FileRole {
    #[default]
    Workload,
    Coordinator,
}

impl Deployment {
    /// Reads the file and all that it names. Paths are relative to its folder.
    pub(super) fn read(files: &mut Files, path: &Path) -> Result<Self, Failure> {
        let text = files.read("DEPLOYMENT", path, MAX)?;
        let file = parse(&text).with_context(|| format!("`{}` is no deployment file", path.display()))?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let reference_values = reference_values(&file)?;
        let File {
            workload,
            reference_values: _,
            simulated: _,
            workload_owners,
            seedshare_owners,
            protocols,
        } = file;
        let mut workloads = Vec::new();
        for entry in workload {
            let policy = files.read("the policy", &folder.join(&entry.policy), MAX_POLICY)?;
            workloads.push((entry.policy.clone(), Workload::of(entry, policy)));
        }
        distinct(&workloads)?;
        let mut keys = |flag, paths: &[PathBuf], read: fn(&[u8]) -> Result<Vec<u8>>| {
            let keys = paths.iter().map(|path| {
                let text = files.read(flag, &folder.join(path), keys::MAX)?;
                let unusable = || format!("{flag} `{}` cannot be used", path.display());
                read(&text).with_context(unusable).map_err(Failure::from)
            });
            keys.collect::<Result<Vec<_>, Failure>>()
        };
        Ok(Self {
            workloads: workloads.into_iter().map(|(_, workload)| workload).collect(),
            reference_values,
            workload_owners: keys("the workload owner", &workload_owners, keys::workload_owner)?,
            seedshare_owners: keys("the seed-share owner", &seedshare_owners, keys::seedshare_owner)?,
            protocols: protocols.unwrap_or_else(|| PROTOCOLS.map(str::to_owned).to_vec()),
        })
    }

    /// Whether it has no platform but the simulated one.
    pub(super) fn is_simulated(&self) -> bool {
        self.reference_values == ReferenceValues::default()
    }
}

impl Workload {
    fn of(entry: FileWorkload, policy: Vec<u8>) -> Self {
        let FileWorkload { policy: _, sans, role, workload_secret_id } = entry;
        let role = match role {
            FileRole::Workload => Role::Workload,
            FileRole::Coordinator => Role::Coordinator,
        };
        Self { policy, sans, role, workload_secret_id }
    }
}

fn parse(text: &[u8]) -> Result<File> {
    let text = std::str::from_utf8(text)?;
    if text.trim_start().starts_with('{') {
        return Ok(serde_json::from_str(text)?);
    }
    Ok(toml::from_str(text)?)
}

fn reference_values(file: &File) -> Result<ReferenceValues> {
    match (&file.reference_values, file.simulated) {
        (Some(_), true) => bail!("a deployment cannot be simulated and have reference values: make two"),
        (None, false) => {
            bail!("there are no reference values: give [[reference-values.snp]] or [[reference-values.tdx]]")
        }
        (None, true) => Ok(ReferenceValues::default()),
        (Some(values), false) => {
            let (values, unknown) = read_reference_values(values.to_string().as_bytes())?;
            // a misspelt value would be one that nobody demands
            if !unknown.is_empty() {
                bail!("there are no such members in a manifest: {}", unknown.join(", "));
            }
            if !values.simulated.is_empty() {
                bail!("simulated platforms are not listed: `simulated = true` names all workloads");
            }
            if values == ReferenceValues::default() {
                bail!("the reference values name no platform");
            }
            Ok(values)
        }
    }
}

/// Policies are named by their hash: of two workloads with one policy, the second would take the first one's place.
fn distinct(workloads: &[(PathBuf, Workload)]) -> Result<()> {
    let mut seen: HashMap<PolicyHash, &Path> = HashMap::new();
    for (path, workload) in workloads {
        if let Some(first) = seen.insert(PolicyHash::of(&workload.policy), path) {
            bail!(
                "`{}` and `{}` are the same policy, byte for byte: each workload needs its own",
                first.display(),
                path.display()
            );
        }
    }
    Ok(())
}
