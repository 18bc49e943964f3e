//! `privatemode manifest set`: puts a manifest in force, keeps what the answer brings, and has the coordinator prove it.
//!
//! The seed shares of a first set come once, so they are written before anything else is looked at. The CAs and the latest
//! transition are written when the coordinator's evidence has vouched for them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use privatemode_attest::UnixTime;
use privatemode_manifest::history::{Transition, transition};
use privatemode_manifest::{AttestationDocument, Manifest, PolicyHash};
use serde_json::json;

use super::api::{Api, SetReply, SetRequest};
use super::{Done, Failure, args::Set, block_on, files, keys, print, verify::incomplete, workspace};
use crate::command::attest::input::{Files, parse_time};
use crate::command::verify::{Proof, prove};
use crate::output;

/// Longest signature file: DER of P-384, in base64 with line ends.
const MAX_SIGNATURE: usize = 1024;

const CHECK: &str = "do not use the deployment; find out what answers at this URL";

pub(super) fn run(arguments: &Set) -> Done {
    let mut input = Files::default();
    let manifest = files::manifest(&mut input, "MANIFEST", &arguments.manifest)?;
    if !manifest.expected_missing().is_empty() {
        return Err(incomplete(manifest.expected_missing()));
    }
    let policies = files::policies(&mut input, &arguments.policy, arguments.policies.as_deref())?;
    cover(&manifest, &policies)?;
    let workspace = &arguments.workspace.workspace;
    let request = request(arguments, &mut input, &manifest, &policies)?;
    if request.signatures.is_empty() {
        workspace::keep_shares(workspace)?;
    }
    let api = Api::new(&arguments.coordinator)?;
    let plan = arguments.collateral.plan(None).map_err(anyhow::Error::from)?;
    let (reply, proof) = block_on(async {
        let reply = api.set(&request).await?;
        let shares = reply.seed_shares_doc.as_ref();
        let shares = shares.map(|shares| workspace::write_shares(workspace, shares)).transpose();
        let shares = shares.map_err(|error| unwritten(&api, error))?;
        let now = now()?;
        let proof = prove(api.url().clone(), &manifest, &plan, now, arguments.danger_simulated).await;
        Ok((Answer::of(&api, &reply, shares)?, proof))
    })?;
    let proof = proof.map_err(|error| {
        let error = error.context("the manifest is set, but the coordinator's evidence could not be judged");
        Failure::refused(error, "verify it with `privatemode verify`")
    })?;
    compare(&reply, &proof)?;
    workspace::write(workspace, &reply.transition, &reply.root_ca, &reply.mesh_ca)?;
    report(arguments, &manifest, &reply, &proof)
}

/// The one answer with the shares is lost, and not the shares.
fn unwritten(api: &Api, error: anyhow::Error) -> Failure {
    let error = error.context("the manifest is set, but its seed shares could not be written");
    Failure::refused(error, format!("fetch them at once with GET {}seed-shares, and keep them", api.url()))
}

/// What the coordinator answered.
struct Answer {
    transition: Transition,
    root_ca: Vec<u8>,
    mesh_ca: Vec<u8>,
    /// Where its shares were written.
    shares: Option<PathBuf>,
}

impl Answer {
    fn of(api: &Api, reply: &SetReply, shares: Option<PathBuf>) -> Result<Self, Failure> {
        let transition = reply.latest_transition.parse();
        let transition = transition.map_err(|error| {
            Failure::refused(anyhow!("the coordinator's latest transition is none: {error}"), CHECK)
        })?;
        let root_ca = api.decode("root_ca", &reply.root_ca)?;
        Ok(Self { transition, root_ca, mesh_ca: api.decode("mesh_ca", &reply.mesh_ca)?, shares })
    }
}

/// The same policies as the manifest names: what is missing or too much is found before anybody is asked.
fn cover(manifest: &Manifest, policies: &BTreeMap<PolicyHash, Vec<u8>>) -> Result<(), Failure> {
    if let Some((hash, entry)) = manifest.policies().find(|(hash, _)| !policies.contains_key(hash)) {
        let name = entry.sans.first().map_or("no name", String::as_str);
        return Err(anyhow!(
            "no file has the policy {hash} ({name}): name it with --policy, or its folder with --policies"
        )
        .into());
    }
    if let Some(hash) = policies.keys().find(|hash| manifest.policy(hash).is_none()) {
        return Err(anyhow!(
            "the policy {hash} is not in the manifest: was it changed after the manifest was made?"
        )
        .into());
    }
    Ok(())
}

fn request(
    arguments: &Set,
    input: &mut Files,
    manifest: &Manifest,
    policies: &BTreeMap<PolicyHash, Vec<u8>>,
) -> Result<SetRequest, Failure> {
    let signature = match &arguments.signature {
        None => None,
        Some(path) => Some(STANDARD.encode(der(&input.read("--signature", path, MAX_SIGNATURE)?))),
    };
    let owner_key = match &arguments.owner_key {
        None => None,
        Some(path) => {
            let text = input.read("--owner-key", path, keys::MAX)?;
            let unusable = || format!("--owner-key `{}` cannot be used", path.display());
            Some(STANDARD.encode(keys::workload_owner(&text).with_context(unusable)?))
        }
    };
    // an update goes on from what this workspace knows, or not at all
    let previous = workspace::latest_transition(&arguments.workspace.workspace)?;
    let previous = previous.filter(|_| signature.is_some());
    Ok(SetRequest {
        manifest: STANDARD.encode(manifest.raw()),
        policies: policies.values().map(|policy| STANDARD.encode(policy)).collect(),
        signatures: signature.into_iter().collect(),
        owner_key,
        previous_transition: previous.map(|transition| transition.to_string()),
    })
}

/// DER as it is, or from base64.
fn der(bytes: &[u8]) -> Vec<u8> {
    let text: Vec<u8> = bytes.iter().copied().filter(|byte| !byte.is_ascii_whitespace()).collect();
    STANDARD.decode(text).unwrap_or_else(|_| bytes.to_vec())
}

/// The evidence vouches for a history and two CAs: they must be those of the answer.
fn compare(reply: &Answer, proof: &Proof) -> Result<(), Failure> {
    if let Some(refusal) = &proof.refusal {
        let error = anyhow!("{}", refusal.why.join(": ")).context(refusal.what.clone());
        let error =
            error.context("the manifest is set, but the coordinator did not prove that it enforces it");
        return Err(Failure::refused(error, refusal.next.clone()));
    }
    let document = proof.document.as_deref().and_then(|document| AttestationDocument::parse(document).ok());
    let document =
        document.ok_or_else(|| Failure::refused(anyhow!("the coordinator gave no evidence"), CHECK))?;
    let other = |what| {
        Err(Failure::refused(anyhow!("the coordinator proved another {what} than it answered"), CHECK))
    };
    if transition(&document.manifests) != Some(reply.transition) {
        return other("history");
    }
    if document.root_ca != reply.root_ca {
        return other("root CA");
    }
    if document.mesh_ca != reply.mesh_ca {
        return other("mesh CA");
    }
    Ok(())
}

fn report(arguments: &Set, manifest: &Manifest, reply: &Answer, proof: &Proof) -> Done {
    let digest = manifest.digest().to_string();
    if arguments.json {
        return print(&json!({
            "verdict": "in_force", "manifest": digest, "latest_transition": reply.transition.to_string(),
            "simulated": proof.simulated, "danger": proof.danger, "seed_shares": reply.shares,
            "workspace": arguments.workspace.workspace,
        }));
    }
    let simulated = if proof.simulated { "SIMULATED | " } else { "" };
    output::data(&format!(
        "{simulated}in force and proved: manifest {digest}, transition {}",
        reply.transition
    ));
    for danger in &proof.danger {
        output::say(&format!("DANGER: {danger}"));
    }
    if let Some(path) = &reply.shares {
        say_shares(path, manifest);
    }
    Ok(())
}

fn say_shares(path: &Path, manifest: &Manifest) {
    if manifest.seedshare_owners().is_empty() {
        output::say("NOTE: the manifest names no seed-share owners: nobody can recover this deployment.");
    } else {
        output::say(&format!("Back up `{}`: without it nobody can recover this deployment.", path.display()));
    }
}

fn now() -> Result<UnixTime, Failure> {
    parse_time("now").map_err(|error| anyhow!("the clock {error}").into())
}
