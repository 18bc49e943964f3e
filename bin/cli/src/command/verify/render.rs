//! The verdict as text for people. Marks and plain words say the same; there is no colour.

use privatemode_manifest::appraise::{StepReport, Values, Verdict as StepVerdict};

use super::verdict::{Outcome, Row, Verdict};
use crate::command::attest::render::printable;

/// Before every line, once a test root stands in a vendor's place.
const DANGER: &str = "DANGER, TEST ROOT | ";
/// Before every line about a deployment that no hardware protects.
const SIMULATED: &str = "SIMULATED | ";

/// All lines of the verdict.
pub(super) fn text(verdict: &Verdict) -> String {
    let mut lines = vec![format!("Deployment {}, verified at {}", verdict.target, verdict.at), String::new()];
    for row in &verdict.steps {
        push_row(&mut lines, row);
        if row.name == "evidence" {
            push_evidence(&mut lines, verdict);
        }
    }
    if !verdict.steps.is_empty() {
        lines.push(String::new());
    }
    push_facts(&mut lines, verdict);
    lines.extend(verdict.danger.iter().map(|danger| format!("DANGER: {danger}")));
    lines.extend(verdict.warnings.iter().map(|warning| format!("NOTE: {warning}")));
    if verdict.simulated {
        lines.push(
            "WARNING: no hardware protects this deployment; its operator can read everything".to_owned(),
        );
    }
    push_conclusion(&mut lines, verdict);
    let prefix = match (verdict.danger.is_empty(), verdict.simulated) {
        (false, _) => DANGER,
        (true, true) => SIMULATED,
        (true, false) => "",
    };
    let lines = lines.iter().map(|line| format!("{prefix}{}", printable(line)).trim_end().to_owned());
    lines.collect::<Vec<_>>().join("\n")
}

fn push_row(lines: &mut Vec<String>, row: &Row) {
    let (mark, word) = mark(row.verdict);
    let by =
        if row.verdict == StepVerdict::Passed { format!("  — {}", row.proved_by) } else { String::new() };
    lines.push(format!("{:>3}  {mark} {word:<12} {:<14}{by}", row.number, row.name.replace('_', " ")));
    push_values(lines, &row.values, "       ");
}

/// The steps of the evidence, below the one of the deployment that they decide.
fn push_evidence(lines: &mut Vec<String>, verdict: &Verdict) {
    let Some(evidence) = &verdict.evidence else { return };
    let push = |lines: &mut Vec<String>, step: &StepReport| {
        let (mark, word) = mark(step.verdict);
        lines.push(format!("       {:>3}  {mark} {word:<12} {}", step.number, step.name.replace('_', " ")));
        if step.verdict == StepVerdict::Failed {
            push_values(lines, &step.values, "            ");
        }
    };
    evidence.genuine.iter().for_each(|step| push(lines, step));
    for entry in &evidence.entries {
        let word = if entry.accepted { "accepts" } else { "refuses" };
        lines.push(format!("       {} of the manifest {word} it", entry.label));
        entry.steps.iter().for_each(|step| push(lines, step));
    }
}

fn push_values(lines: &mut Vec<String>, values: &Values, indent: &str) {
    let width = values.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    lines.extend(values.iter().map(|(name, value)| format!("{indent}{name:<width$}  {value}")));
}

fn push_facts(lines: &mut Vec<String>, verdict: &Verdict) {
    let facts = [
        ("manifest", Some(&verdict.manifest)),
        ("platform", verdict.platform.as_ref()),
        ("mesh CA", verdict.mesh_ca_sha256.as_ref()),
    ];
    lines.extend(facts.iter().filter_map(|(name, value)| Some(format!("{name:<10} {}", (*value)?))));
    for policy in &verdict.policies {
        let role = if policy.coordinator { " (coordinator)" } else { "" };
        lines.push(format!("{:<10} {}  {}{role}", "policy", policy.hash, policy.names.join(", ")));
    }
    for document in &verdict.collateral {
        lines.push(format!(
            "{:<10} {}: from {}, {}",
            "collateral", document.document, document.from, document.state
        ));
    }
    lines.push(String::new());
}

fn push_conclusion(lines: &mut Vec<String>, verdict: &Verdict) {
    match (&verdict.refusal, verdict.outcome) {
        (_, Outcome::Verified) => {
            lines.push(format!("VERIFIED: {} steps passed", verdict.steps.len()));
        }
        (refusal, outcome) => {
            let word = if outcome == Outcome::Unusable { "UNUSABLE" } else { "REFUSED" };
            lines.push(format!("{word}: {}", refusal.as_ref().map_or("", |refusal| &refusal.what)));
            if let Some(refusal) = refusal {
                lines.extend(refusal.why.iter().map(|why| format!("  why:  {why}")));
                lines.push(format!("  next: {}", refusal.next));
            }
        }
    }
}

fn mark(verdict: StepVerdict) -> (&'static str, &'static str) {
    match verdict {
        StepVerdict::Passed => ("✓", "passed"),
        StepVerdict::Failed => ("✗", "FAILED"),
        StepVerdict::NotReached => ("–", "not reached"),
        StepVerdict::NotDemanded => ("–", "not demanded"),
    }
}
