//! Reads the two sides: the export, and a folder of receipts. Compares nothing.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result};
use privatemode_attest::mesh::MeshCa;
use privatemode_client::chain;
use privatemode_wire::receipt::VerifiedReceipt;
use privatemode_wire::stream::outer::ExchangeId;
use privatemode_wire::usage::Usage;
use serde::Deserialize;

use super::compare::Difference;
use crate::command::receipt::files;
use crate::command::receipt::verify::signed_by_any;

/// One line of the export.
#[derive(Debug, Deserialize)]
pub(super) struct Billed {
    /// The gateway's name for the request.
    pub(super) request_id: String,
    exchange: Option<String>,
    pub(super) model: String,
    pub(super) status: u16,
    #[serde(default)]
    pub(super) usage: Figures,
    /// Of `exchange`, which is checked when the export is read.
    #[serde(skip)]
    pub(super) id: Option<ExchangeId>,
}

/// What a gateway bills by.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub(super) struct Figures {
    prompt_tokens: u64,
    completion_tokens: u64,
    cached_tokens: u64,
    audio_seconds: u64,
    audio_bytes: u64,
}

impl Figures {
    pub(super) fn beside(self, other: Figures) -> [(&'static str, u64, u64); 5] {
        [
            ("prompt tokens", self.prompt_tokens, other.prompt_tokens),
            ("completion tokens", self.completion_tokens, other.completion_tokens),
            ("cached tokens", self.cached_tokens, other.cached_tokens),
            ("audio seconds", self.audio_seconds, other.audio_seconds),
            ("audio bytes", self.audio_bytes, other.audio_bytes),
        ]
    }

    pub(super) fn cost_nothing(self) -> bool {
        self == Figures::default()
    }
}

impl From<Usage> for Figures {
    fn from(usage: Usage) -> Figures {
        // Nobody is billed by the total: it is the sum of two that are compared.
        let Usage {
            prompt_tokens,
            completion_tokens,
            total_tokens: _,
            cached_tokens,
            audio_seconds,
            audio_bytes,
        } = usage;
        Figures { prompt_tokens, completion_tokens, cached_tokens, audio_seconds, audio_bytes }
    }
}

pub(super) fn billed(path: &Path) -> Result<Vec<Billed>> {
    let export = fs::read_to_string(path)
        .with_context(|| format!("cannot read the usage export `{}`", path.display()))?;
    let lines = export.lines().enumerate().filter(|(_, line)| !line.trim().is_empty());
    lines
        .map(|(number, line)| {
            parse(line).with_context(|| {
                format!(
                    "line {} of the usage export is not as `privatemode usage export --json` writes it",
                    number + 1
                )
            })
        })
        .collect()
}

fn parse(line: &str) -> Result<Billed> {
    let mut billed: Billed = serde_json::from_str(line)?;
    billed.id = billed.exchange.as_deref().map(ExchangeId::parse).transpose()?;
    Ok(billed)
}

pub(super) type Receipts = BTreeMap<ExchangeId, VerifiedReceipt>;

/// The receipts of a folder that hold, by exchange, and those that do not.
pub(super) fn receipts(folder: &Path, cas: &[MeshCa]) -> Result<(Receipts, Vec<Difference>)> {
    let entries = fs::read_dir(folder)
        .with_context(|| format!("cannot read the folder of receipts `{}`", folder.display()))?;
    let (mut good, mut bad) = (Receipts::new(), Vec::new());
    for entry in entries {
        let path = entry?.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        if !name.ends_with(".json") || name.ends_with(".exchange.json") {
            continue;
        }
        let mut refused = |exchange: Option<ExchangeId>, reason: String| {
            bad.push(Difference {
                exchange: exchange.map(|id| id.to_string()),
                request_id: None,
                what: format!("receipt `{name}` does not hold: {reason}"),
                billed: None,
                signed: None,
            });
        };
        match files::receipt(&path) {
            Err(error) => refused(None, format!("{error:#}")),
            Ok(signed) => match signed_by_any(&signed, cas) {
                Err(error) => refused(Some(signed.unverified().exchange), chain(&error)),
                Ok(receipt) => {
                    let exchange = receipt.exchange;
                    if good.insert(exchange, receipt).is_some() {
                        refused(Some(exchange), "another receipt names the same exchange".to_owned());
                    }
                }
            },
        }
    }
    bad.sort_by(|one, other| one.what.cmp(&other.what));
    Ok((good, bad))
}
