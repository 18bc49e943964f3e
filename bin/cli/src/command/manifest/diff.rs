//! `privatemode manifest diff`: what changes for security.

use anyhow::anyhow;
use privatemode_manifest::diff::{Severity, diff};
use serde_json::json;

use super::{Done, Failure, args::Diff, files, print};
use crate::command::attest::input::Files;
use crate::command::attest::render::printable;
use crate::output;

pub(super) fn run(arguments: &Diff) -> Done {
    let mut input = Files::default();
    let old = files::manifest(&mut input, "OLD", &arguments.old)?;
    let new = files::manifest(&mut input, "NEW", &arguments.new)?;
    let changes = diff(&old, &new);
    let count = |severity| changes.iter().filter(|change| change.severity == severity).count();
    let weaker = count(Severity::Weaker);
    if arguments.json {
        print(&json!({
            "old": old.digest().to_string(),
            "new": new.digest().to_string(),
            "weaker": weaker, "neutral": count(Severity::Neutral), "stronger": count(Severity::Stronger),
            "changes": changes,
        }))?;
    } else if changes.is_empty() {
        output::data("no changes: the manifests are the same, byte for byte");
    } else {
        for change in &changes {
            let word = match change.severity {
                Severity::Weaker => "WEAKER",
                Severity::Neutral => "neutral",
                Severity::Stronger => "stronger",
            };
            let place = if change.place.is_empty() { "the manifest" } else { &change.place };
            output::data(&printable(&format!("{word:<8}  {place}: {}", change.what)));
        }
    }
    if arguments.refuse_weaker && weaker > 0 {
        let error = anyhow!("{weaker} changes make the deployment weaker");
        return Err(Failure::refused(
            error,
            "review each of them; without --refuse-weaker they are only shown",
        ));
    }
    Ok(())
}
