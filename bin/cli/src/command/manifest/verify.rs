//! `privatemode manifest verify`: what a file says, by itself. Whether a deployment enforces it is `privatemode verify`'s
//! question.

use anyhow::anyhow;
use privatemode_manifest::{Role, review};
use serde_json::json;

use super::{Done, Failure, args::Verify, files, print};
use crate::command::attest::input::Files;
use crate::command::attest::render::printable;
use crate::output;

pub(super) fn run(arguments: &Verify) -> Done {
    let manifest = files::manifest(&mut Files::default(), "MANIFEST", &arguments.manifest)?;
    let missing = manifest.expected_missing();
    let remarks = review(&manifest);
    if arguments.json {
        let policies: Vec<_> = manifest
            .policies()
            .map(|(hash, entry)| {
                json!({
                    "hash": hash.to_string(), "names": entry.sans, "coordinator": entry.role == Role::Coordinator,
                    "workload_secret_id": entry.workload_secret_id,
                })
            })
            .collect();
        print(&json!({
            "verdict": if missing.is_empty() { "complete" } else { "refused" },
            "manifest": manifest.digest().to_string(),
            "simulated": manifest.is_simulated(),
            "immutable": manifest.is_immutable(),
            "protocols": manifest.protocols(),
            "policies": policies,
            "missing": missing,
            "warnings": remarks,
        }))?;
    } else {
        output::data(&format!("manifest {}", manifest.digest()));
        for (hash, entry) in manifest.policies() {
            let role = if entry.role == Role::Coordinator { " (coordinator)" } else { "" };
            output::data(&printable(&format!("policy {hash}: {}{role}", entry.sans.join(", "))));
        }
        for remark in &remarks {
            output::data(&printable(&format!("NOTE: {remark}")));
        }
        for name in missing {
            output::data(&printable(&format!("MISSING: {name}")));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(incomplete(missing)) }
}

/// A manifest that every client refuses.
pub(super) fn incomplete(missing: &[String]) -> Failure {
    let error = anyhow!("required values are missing: {}", missing.join(", "));
    Failure::refused(error, "fill them in: every client refuses a manifest without them")
}
