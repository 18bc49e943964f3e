//! `privatemode manifest recover`: brings a coordinator back that has lost its seed, with an owner's share.
//!
//! The seed is the whole deployment. It goes to nobody but a coordinator whose evidence was verified under the manifest on
//! this machine, over a connection that ends in that coordinator; it is never written or printed.

mod send;
mod share;

use anyhow::Context as _;
use privatemode_attest::SimulatedAllowed;
use privatemode_manifest::VerifyOptions;
use privatemode_manifest::history::Transition;
use privatemode_mesh::atls::{Appraiser, wall_clock};
use serde_json::json;
use zeroize::Zeroizing;

use super::keys::{self, RecoveryKey};
use super::verify::incomplete;
use super::{Done, Failure, args::Recover, block_on, files, print, workspace};
use crate::command::attest::input::{Files, Unusable, wrong_form};
use crate::output;
use share::Seed;

/// Longest file of shares: 64 owners.
const MAX_SHARES: usize = 1024 * 1024;

pub(super) fn run(arguments: &Recover) -> Done {
    let mut input = Files::default();
    let manifest = files::manifest(&mut input, "MANIFEST", &arguments.manifest)?;
    if !manifest.expected_missing().is_empty() {
        return Err(incomplete(manifest.expected_missing()));
    }
    let key = key(arguments, &mut input)?;
    if !manifest.seedshare_owners().iter().any(|owner| owner == key.public()) {
        let error = anyhow::anyhow!("the key is not one of the manifest's seed-share owners");
        return Err(Failure::refused(error, "give the key of an owner, or the manifest that names this one"));
    }
    let latest = latest(arguments)?;
    let seed = seed(arguments, &mut input, &key)?;
    let message = seed.request(&key, &latest, arguments.force)?;
    let plan = arguments.collateral.plan(None).map_err(anyhow::Error::from)?;
    let options = VerifyOptions {
        simulated: arguments.danger_simulated.then(SimulatedAllowed::danger_accept_simulated),
        ..plan.options()
    };
    let simulated = manifest.is_simulated();
    let mut appraiser = Appraiser::new(manifest, options, wall_clock());
    if !simulated {
        appraiser = appraiser.with_collateral(plan.collector().map_err(anyhow::Error::from)?);
    }
    let reply = block_on(async { Ok(send::recover(&arguments.coordinator, &appraiser, message).await?) })?;
    let (root_ca, mesh_ca) = send::certificates(&reply)?;
    if reply.latest_transition != latest.to_string() {
        let error = anyhow::anyhow!("the coordinator is at another transition than {latest}");
        return Err(Failure::refused(
            error,
            "see `manifest history`: it should have refused to be recovered so",
        ));
    }
    workspace::write(&arguments.workspace.workspace, &latest, &root_ca, &mesh_ca)?;
    let danger = plan.danger();
    if arguments.json {
        return print(&json!({
            "verdict": "recovered", "by": reply.recovered_by, "latest_transition": reply.latest_transition,
            "simulated": simulated, "danger": danger,
        }));
    }
    let prefix = if simulated { "SIMULATED | " } else { "" };
    output::data(&format!("{prefix}recovered at transition {latest}"));
    if let Some(danger) = danger {
        output::say(&format!("DANGER: {danger}"));
    }
    if reply.recovered_by.as_deref() == Some("owner") {
        output::say("The mesh CA is a new one: workloads have to join again.");
    }
    Ok(())
}

fn key(arguments: &Recover, input: &mut Files) -> Result<RecoveryKey, Failure> {
    let path = &arguments.key;
    let text = Zeroizing::new(input.read("--key", path, keys::MAX)?);
    let unusable = || format!("--key `{}` cannot be used", path.display());
    Ok(RecoveryKey::parse(&text).with_context(unusable)?)
}

/// The transition that must be in force: a store that was rolled back has another one.
fn latest(arguments: &Recover) -> Result<Transition, Failure> {
    if let Some(text) = &arguments.latest {
        let wrong = |_| Unusable::Value {
            flag: "--latest",
            value: text.chars().take(80).collect(),
            what: "64 hexadecimal digits".to_owned(),
        };
        return Ok(text.parse().map_err(wrong)?);
    }
    let workspace = &arguments.workspace.workspace;
    let missing = || {
        format!(
            "there is no latest-transition in `{}`: name the --workspace that `set` wrote, or give --latest HEX",
            workspace.display()
        )
    };
    Ok(workspace::latest_transition(workspace)?.with_context(missing)?)
}

fn seed(arguments: &Recover, input: &mut Files, key: &RecoveryKey) -> Result<Seed, Failure> {
    const FLAG: &str = "--seed-shares";
    let default = arguments.workspace.workspace.join(workspace::SHARES);
    let path = arguments.seed_shares.as_deref().unwrap_or(&default);
    let bytes = input.read(FLAG, path, MAX_SHARES)?;
    let shares = serde_json::from_slice(&bytes);
    let shares = shares.map_err(|error| wrong_form(FLAG, path, "a file of seed shares", &bytes, error))?;
    Ok(Seed::open(&shares, key).with_context(|| format!("no seed can be had from `{}`", path.display()))?)
}
