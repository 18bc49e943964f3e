//! `privatemode receipt reconcile`: what the gateway billed, held against what workers signed.
//!
//! The export is one JSON object per line: `{"request_id": HEX, "model": TEXT, "usage": {"prompt_tokens": N,
//! "completion_tokens": N, "total_tokens": N, "cached_tokens": N, "audio_seconds": N, "audio_bytes": N}}`; absent figures are 0, members of
//! other names are ignored. The request ID is that of the sealed head, as receipts name it. Receipts that do not verify count
//! for nothing, and are listed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use privatemode_attest::mesh::MeshCa;
use privatemode_client::chain;
use privatemode_wire::receipt::VerifiedReceipt;
use privatemode_wire::usage::Usage;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::Reconcile;
use super::verify::signed_by_any;
use super::{Verdict, files};
use crate::output;

/// One line of the export.
#[derive(Debug, Deserialize)]
struct Billed {
    request_id: String,
    model: String,
    #[serde(default)]
    usage: Figures,
}

#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
struct Figures {
    prompt_tokens: u64,
    completion_tokens: u64,
    total_tokens: u64,
    cached_tokens: u64,
    audio_seconds: u64,
    audio_bytes: u64,
}

/// One difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) request_id: String,
    pub(super) what: String,
    pub(super) billed: String,
    pub(super) signed: String,
}

pub(super) fn run(arguments: &Reconcile) -> Result<Verdict> {
    let cas: Vec<MeshCa> = files::mesh_cas(&arguments.trust)?.into_iter().map(|(_, ca)| ca).collect();
    let export = fs::read_to_string(&arguments.usage)
        .with_context(|| format!("cannot read the usage export `{}`", arguments.usage.display()))?;
    let billed = parse(&export)?;
    let (receipts, mut differences) = receipts(&arguments.receipts, &cas)?;
    differences.extend(compare(&billed, &receipts));
    if arguments.json {
        let verdict = json!({"billed": billed.len(), "receipts": receipts.len(), "differences": differences});
        output::data(&verdict.to_string());
    } else {
        if !differences.is_empty() {
            let cell = |difference: &Difference| {
                let Difference { request_id, what, billed, signed } = difference;
                [request_id, what, billed, signed].map(Clone::clone).to_vec()
            };
            let rows: Vec<Vec<String>> = differences.iter().map(cell).collect();
            output::data(&output::table(&["REQUEST", "WHAT", "BILLED", "SIGNED"], &rows));
        }
        let text = format!(
            "{} billed, {} receipts, {} differences",
            billed.len(),
            receipts.len(),
            differences.len()
        );
        output::say(&text);
    }
    Ok(if differences.is_empty() { Verdict::Good } else { Verdict::Bad })
}

fn parse(export: &str) -> Result<Vec<Billed>> {
    let lines = export.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            serde_json::from_str(line)
                .with_context(|| format!("line {} of the usage export is not as it should be", number + 1))
        })
        .collect()
}

type Receipts = BTreeMap<String, VerifiedReceipt>;

/// The receipts of a folder that hold, by request, and those that do not.
fn receipts(folder: &Path, cas: &[MeshCa]) -> Result<(Receipts, Vec<Difference>)> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder of receipts `{}`", folder.display()))?;
    let (mut good, mut bad) = (Receipts::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".json") || name.ends_with(".exchange.json") {
            continue;
        }
        let refused = |reason: String| Difference {
            request_id: name.trim_end_matches(".json").to_owned(),
            what: format!("receipt does not hold: {reason}"),
            billed: "-".to_owned(),
            signed: "-".to_owned(),
        };
        match files::receipt(&path) {
            Err(error) => bad.push(refused(format!("{error:#}"))),
            Ok(signed) => match signed_by_any(&signed, cas) {
                Err(error) => bad.push(refused(chain(&error))),
                Ok(receipt) => drop(good.insert(receipt.request_id.to_string(), receipt)),
            },
        }
    }
    bad.sort_by(|one, other| one.request_id.cmp(&other.request_id));
    Ok((good, bad))
}

fn compare(billed: &[Billed], receipts: &Receipts) -> Vec<Difference> {
    let mut differences = Vec::new();
    let mut seen = BTreeSet::new();
    for line in billed {
        let mut differs = |what: &str, billed: String, signed: String| {
            let (request_id, what) = (line.request_id.clone(), what.to_owned());
            differences.push(Difference { request_id, what, billed, signed });
        };
        if !seen.insert(&line.request_id) {
            differs("billed twice", line.model.clone(), "-".to_owned());
            continue;
        }
        let Some(receipt) = receipts.get(&line.request_id) else {
            differs("no receipt", line.model.clone(), "-".to_owned());
            continue;
        };
        if line.model != receipt.model {
            differs("model", line.model.clone(), receipt.model.clone());
        }
        let signed = Figures::from(receipt.usage.unwrap_or_default());
        for (name, billed, signed) in line.usage.beside(signed) {
            if billed != signed {
                differs(name, billed.to_string(), signed.to_string());
            }
        }
    }
    for (request_id, receipt) in receipts {
        // An answer that was not billed costs nobody anything, but a bill that forgets is no record.
        if !seen.contains(request_id) && receipt.usage.is_some() {
            let what = "not billed".to_owned();
            let (billed, signed) = ("-".to_owned(), receipt.model.clone());
            differences.push(Difference { request_id: request_id.clone(), what, billed, signed });
        }
    }
    differences
}

impl Figures {
    fn beside(self, other: Figures) -> [(&'static str, u64, u64); 6] {
        [
            ("prompt tokens", self.prompt_tokens, other.prompt_tokens),
            ("completion tokens", self.completion_tokens, other.completion_tokens),
            ("total tokens", self.total_tokens, other.total_tokens),
            ("cached tokens", self.cached_tokens, other.cached_tokens),
            ("audio seconds", self.audio_seconds, other.audio_seconds),
            ("audio bytes", self.audio_bytes, other.audio_bytes),
        ]
    }
}

impl From<Usage> for Figures {
    fn from(usage: Usage) -> Figures {
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = usage;
        Figures { prompt_tokens, completion_tokens, total_tokens, cached_tokens, audio_seconds, audio_bytes }
    }
}
