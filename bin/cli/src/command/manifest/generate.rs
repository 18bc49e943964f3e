//! `privatemode manifest generate`: from a deployment file to a manifest.

mod deployment;

use anyhow::Context as _;
use privatemode_manifest::generate::{self, Entry, Plan};
use privatemode_manifest::reference::SimulatedReference;
use privatemode_manifest::{Manifest, PolicyHash, review};
use serde_json::json;

use super::files::Readers;
use super::verify::incomplete;
use super::{Done, args::Generate, files, print};
use crate::command::attest::input::Files;
use crate::command::attest::render::printable;
use crate::output;
use deployment::Deployment;

pub(super) fn run(arguments: &Generate) -> Done {
    let deployment = Deployment::read(&mut Files::default(), &arguments.deployment)?;
    let bytes = write(&deployment);
    // what was written is what a verifier reads: its parser decides
    let manifest =
        Manifest::parse(&bytes).context("the deployment makes no manifest that could be enforced")?;
    let missing = manifest.expected_missing();
    let remarks = review(&manifest);
    for remark in &remarks {
        output::say(&printable(&format!("NOTE: {remark}")));
    }
    if !missing.is_empty() {
        if !arguments.incomplete {
            return Err(incomplete(missing));
        }
        missing.iter().for_each(|name| output::say(&printable(&format!("MISSING: {name}"))));
    }
    match &arguments.output {
        Some(path) => files::write(path, &bytes, Readers::Everybody)?,
        None => output::data(String::from_utf8_lossy(&bytes).trim_end()),
    }
    if arguments.json {
        print(&json!({
            "manifest": manifest.digest().to_string(), "output": arguments.output,
            "missing": missing, "warnings": remarks,
        }))?;
    }
    Ok(())
}

fn write(deployment: &Deployment) -> Vec<u8> {
    let Deployment { workloads, reference_values, workload_owners, seedshare_owners, protocols } = deployment;
    let sans: Vec<Vec<&str>> =
        workloads.iter().map(|workload| workload.sans.iter().map(String::as_str).collect()).collect();
    let entries: Vec<Entry<'_>> = workloads
        .iter()
        .zip(&sans)
        .map(|(workload, sans)| Entry {
            policy: &workload.policy,
            sans,
            workload_secret_id: workload.workload_secret_id.as_deref(),
            role: workload.role,
        })
        .collect();
    let mut reference_values = reference_values.clone();
    if deployment.is_simulated() {
        let mut hashes: Vec<_> =
            workloads.iter().map(|workload| *PolicyHash::of(&workload.policy).as_bytes()).collect();
        hashes.sort_unstable();
        let simulated = |hash| SimulatedReference { host_data: Some(hash) };
        reference_values.simulated = hashes.into_iter().map(simulated).collect();
    }
    let protocols: Vec<&str> = protocols.iter().map(String::as_str).collect();
    generate::manifest(&Plan {
        entries: &entries,
        reference_values: &reference_values,
        workload_owners,
        seedshare_owners,
        protocols: &protocols,
    })
}
