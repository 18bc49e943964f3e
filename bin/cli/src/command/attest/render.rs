//! The verdict as text for people. Marks and plain words say the same; there is no colour.
//!
//! Evidence is somebody else's text: characters that would steer a terminal are shown as escapes.

use std::fmt::Write as _;

use serde_json::Value;

use super::verdict::{Outcome, Step, StepVerdict, Verdict, words};

/// Before every line, once a test root stands in the vendor's place.
const DANGER: &str = "DANGER, TEST ROOT | ";

/// All lines of the verdict.
pub(crate) fn text(verdict: &Verdict) -> String {
    let mut lines =
        vec![format!("{} evidence, verified at {}", title(verdict.platform), verdict.at), String::new()];
    for step in &verdict.steps {
        push_step(&mut lines, step);
    }
    lines.push(String::new());
    lines.extend(verdict.danger.iter().map(|danger| format!("DANGER: {danger}")));
    lines.extend(verdict.warnings.iter().map(|warning| format!("WARNING: {warning}")));
    push_conclusion(&mut lines, verdict);
    let prefix = if verdict.danger.is_empty() { "" } else { DANGER };
    let lines: Vec<String> =
        lines.iter().map(|line| format!("{prefix}{}", printable(line)).trim_end().to_owned()).collect();
    lines.join("\n")
}

fn title(platform: &str) -> &'static str {
    match platform {
        "snp" => "AMD SEV-SNP",
        "tdx" => "Intel TDX",
        _ => "NVIDIA",
    }
}

fn push_step(lines: &mut Vec<String>, step: &Step) {
    let (mark, word) = match step.verdict {
        StepVerdict::Passed => ("✓", "passed"),
        StepVerdict::Failed => ("✗", "FAILED"),
        StepVerdict::NotCompared => ("–", "not compared"),
        StepVerdict::NotReached => ("–", "not reached"),
    };
    let entry = step.entry.as_deref().map(|entry| format!(" ({entry})")).unwrap_or_default();
    lines.push(format!("{:>3}  {mark} {word:<13} {}{entry}", step.number, words(step.name)));
    let width = step.values.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(0);
    for (name, value) in step.values.iter() {
        lines.push(format!("       {name:<width$}  {}", plain(value)));
    }
    if let Some(error) = &step.error {
        lines.push(format!("       refused because: {error}"));
    }
}

fn push_conclusion(lines: &mut Vec<String>, verdict: &Verdict) {
    let of = |wanted: StepVerdict| verdict.steps.iter().filter(move |step| step.verdict == wanted);
    match (&verdict.refusal, verdict.verdict) {
        (None, _) | (_, Outcome::Verified) => {
            let open: Vec<String> = of(StepVerdict::NotCompared).map(|step| words(step.name)).collect();
            let open =
                if open.is_empty() { String::new() } else { format!("; NOT COMPARED: {}", open.join(", ")) };
            lines.push(format!("VERIFIED: {} steps passed{open}", of(StepVerdict::Passed).count()));
        }
        (Some(refusal), outcome) => {
            let word = if outcome == Outcome::Unusable { "UNUSABLE" } else { "REFUSED" };
            lines.push(format!("{word}: {}", refusal.what));
            lines.extend(refusal.why.iter().map(|why| format!("  why:  {why}")));
            lines.push(format!("  next: {}", refusal.next));
        }
    }
}

fn plain(value: &Value) -> String {
    match value {
        Value::String(text) if text.is_empty() => "(none)".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Array(list) if list.is_empty() => "none".to_owned(),
        Value::Array(list) => list.iter().map(plain).collect::<Vec<_>>().join(", "),
        other => other.to_string(),
    }
}

/// Escapes what is no mark on the screen: control characters, and those that turn the direction of text around.
pub(crate) fn printable(line: &str) -> String {
    let mut out = String::with_capacity(line.len());
    for character in line.chars() {
        let steers = character.is_control()
            || matches!(character, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}');
        if steers {
            let _ = write!(out, "\\u{{{:x}}}", u32::from(character));
        } else {
            out.push(character);
        }
    }
    out
}

#[cfg(test)]
mod tests;
