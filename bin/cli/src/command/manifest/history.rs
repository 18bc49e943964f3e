//! `privatemode manifest history`: what was in force, with transitions computed here. It proves nothing: `privatemode verify`
//! does.

use std::path::Path;

use anyhow::{Context as _, anyhow};
use privatemode_manifest::history::Transition;
use privatemode_manifest::{Manifest, ManifestDigest, PolicyHash};
use serde_json::json;

use super::api::Api;
use super::files::Readers;
use super::{Done, Failure, args::History, block_on, files, print};
use crate::command::attest::render::printable;
use crate::output;

/// One manifest of the history.
struct Row {
    manifest: Vec<u8>,
    digest: String,
    transition: Transition,
}

pub(super) fn run(arguments: &History) -> Done {
    let api = Api::new(&arguments.coordinator)?;
    let reply = block_on(async { Ok(api.manifests().await?) })?;
    let mut rows: Vec<Row> = Vec::new();
    for text in &reply.manifests {
        let manifest = api.decode("manifests", text)?;
        let transition = match rows.last() {
            None => Transition::first(&manifest),
            Some(row) => row.transition.then(&manifest),
        };
        rows.push(Row { digest: ManifestDigest::of(&manifest).to_string(), manifest, transition });
    }
    let policies =
        reply.policies.iter().map(|text| api.decode("policies", text)).collect::<Result<Vec<_>, _>>()?;
    let latest = rows.last().map(|row| row.transition.to_string());
    if reply.latest_transition.is_some() && reply.latest_transition != latest {
        let next = "do not sign anything for it; find out what answers at this URL";
        return Err(Failure::refused(
            anyhow!("the coordinator's latest transition is not that of its manifests"),
            next,
        ));
    }
    if let Some(folder) = &arguments.save {
        save(folder, &rows, &policies)?;
    }
    if arguments.json {
        let manifests: Vec<_> = rows
            .iter()
            .map(|row| {
                json!({"manifest": row.digest, "transition": row.transition.to_string(), "bytes": row.manifest.len()})
            })
            .collect();
        let policies: Vec<_> = policies.iter().map(|policy| PolicyHash::of(policy).to_string()).collect();
        return print(&json!({"manifests": manifests, "policies": policies, "latest_transition": latest}));
    }
    let table: Vec<Vec<String>> = rows.iter().enumerate().map(|(place, row)| shown(place, row)).collect();
    output::data(&output::table(&["#", "MANIFEST", "TRANSITION", "BYTES", "WORKLOADS", "OWNERS"], &table));
    output::say("Not verified: `privatemode verify` has the coordinator prove what is in force.");
    Ok(())
}

fn shown(place: usize, row: &Row) -> Vec<String> {
    let (workloads, owners) = match Manifest::parse(&row.manifest) {
        Ok(manifest) => {
            let owners = manifest.workload_owners().len();
            let owners = if owners == 0 { "immutable".to_owned() } else { owners.to_string() };
            (manifest.policies().count().to_string(), owners)
        }
        Err(error) => (printable(&error.to_string()), String::new()),
    };
    let number = (place + 1).to_string();
    vec![
        number,
        row.digest.clone(),
        row.transition.to_string(),
        row.manifest.len().to_string(),
        workloads,
        owners,
    ]
}

/// Files named by their content: nothing that a coordinator sends becomes a path.
fn save(folder: &Path, rows: &[Row], policies: &[Vec<u8>]) -> Result<(), Failure> {
    for below in [folder.to_owned(), folder.join("policies")] {
        std::fs::create_dir_all(&below)
            .with_context(|| format!("cannot make --save `{}`", below.display()))?;
    }
    for (place, row) in rows.iter().enumerate() {
        let name = format!("manifest-{:03}-{}.json", place + 1, row.digest);
        files::write(&folder.join(name), &row.manifest, Readers::Everybody)?;
    }
    for policy in policies {
        let name = PolicyHash::of(policy).to_string();
        files::write(&folder.join("policies").join(name), policy, Readers::Everybody)?;
    }
    Ok(())
}
