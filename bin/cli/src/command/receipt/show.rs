//! `privatemode receipt show`: what a receipt says, unverified, and said so.

use anyhow::Result;
use privatemode_wire::receipt::{Receipt, SignedReceipt};
use privatemode_wire::stream::UnixMillis;
use serde_json::{Value, json};

use super::args::Show;
use super::{Verdict, files};
use crate::output;

pub(super) fn run(arguments: &Show) -> Result<Verdict> {
    let signed = files::receipt(&arguments.receipt)?;
    if arguments.json {
        output::data(&to_json(&signed)?.to_string());
    } else {
        output::data(&describe(signed.unverified()));
        output::say("Not verified: `privatemode receipt verify` checks who signed this.");
    }
    Ok(Verdict::Good)
}

/// As it was signed.
pub(super) fn to_json(signed: &SignedReceipt) -> Result<Value> {
    Ok(serde_json::from_str(&signed.to_json())?)
}

/// Line by line, for people.
pub(super) fn describe(receipt: &Receipt) -> String {
    let hex = |digest: Option<[u8; 32]>| digest.map_or("not measured".to_owned(), hex::encode);
    let usage = receipt.usage.map_or("none".to_owned(), |usage| {
        format!(
            "{} prompt ({} cached) + {} completion = {} tokens, {} s ({} bytes) of audio",
            usage.prompt_tokens,
            usage.cached_tokens,
            usage.completion_tokens,
            usage.total_tokens,
            usage.audio_seconds,
            usage.audio_bytes
        )
    });
    let list =
        |empty: &str, items: Vec<String>| if items.is_empty() { empty.to_owned() } else { items.join(", ") };
    let sampling = receipt.sampling.iter().map(|(name, value)| format!("{name}={value}")).collect();
    let outcome = match receipt.outcome {
        privatemode_wire::stream::Outcome::Complete => "complete",
        privatemode_wire::stream::Outcome::Failed => "FAILED: the engine broke off",
        privatemode_wire::stream::Outcome::Cancelled => "CANCELLED in the middle",
    };
    let request_digest = receipt
        .request_digest
        .map_or("none: refused before all of the request was read".to_owned(), |digest| {
            hex::encode(digest.0)
        });
    let rows = [
        ("Request", receipt.request_id.to_string()),
        ("Model", receipt.model.clone()),
        ("Status", format!("{}, {outcome}", receipt.status)),
        ("Usage", usage),
        ("Sampling", list("engine defaults", sampling)),
        ("Received", time(receipt.received)),
        ("Finished", time(receipt.finished)),
        ("Manifest", hex::encode(receipt.manifest.0)),
        ("Weights (root hash)", hex(receipt.model_root)),
        ("Engine image", hex(receipt.engine_image)),
        ("Exchange", receipt.exchange.to_string()),
        ("Request digest", request_digest),
        ("Response digest", hex::encode(receipt.response_digest.0)),
        ("Downgrades", list("none", receipt.downgrades.iter().cloned().collect())),
    ];
    let lines: Vec<String> = rows.iter().map(|(name, value)| format!("{name:<20} {value}")).collect();
    lines.join("\n")
}

/// Named members for verdicts in JSON.
pub(super) fn summary(receipt: &Receipt) -> Value {
    let (request, exchange) = (receipt.request_id.to_string(), receipt.exchange.to_string());
    json!({"request_id": request, "exchange": exchange, "model": receipt.model, "status": receipt.status})
}

fn time(time: UnixMillis) -> String {
    let millis = i64::try_from(time.0).unwrap_or(i64::MAX);
    jiff::Timestamp::from_millisecond(millis).map_or_else(|_| time.to_string(), |time| time.to_string())
}
