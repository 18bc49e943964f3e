//! `privatemode receipt reconcile`: what the gateway billed, held against what workers signed.
//!
//! The export is one JSON object per line, as `privatemode usage export` writes it: `{"request_id": TEXT, "exchange": HEX or
//! null, "model": TEXT, "status": N, "usage": {"prompt_tokens": N, "completion_tokens": N, "cached_tokens": N,
//! "audio_seconds": N, "audio_bytes": N}}`; absent figures are 0, members of other names are ignored.
//!
//! Both are joined by the exchange: SHA-256 of the request's salt, which the gateway reads in the outer header and the worker
//! signs. A gateway cannot bill an exchange that did not take place without being told apart from the receipts, and cannot
//! change the salt without the request being refused. Receipts that do not verify count for nothing, and are listed.

mod compare;
mod input;

use anyhow::Result;
use privatemode_attest::mesh::MeshCa;
use serde_json::json;

use super::args::Reconcile;
use super::{Verdict, files};
use crate::output;

use compare::{Difference, Outcome};

pub(super) fn run(arguments: &Reconcile) -> Result<Verdict> {
    let cas: Vec<MeshCa> = files::mesh_cas(&arguments.trust)?.into_iter().map(|(_, ca)| ca).collect();
    let billed = input::billed(&arguments.usage)?;
    let (receipts, refused) = input::receipts(&arguments.receipts, &cas)?;
    let Outcome { agreeing, unsigned, mut differences } = compare::compare(&billed, &receipts);
    differences.splice(0..0, refused);
    if arguments.json {
        let verdict = json!({
            "billed": billed.len(), "receipts": receipts.len(), "agreeing": agreeing, "unsigned": unsigned,
            "differences": differences,
        });
        output::data(&verdict.to_string());
    } else {
        if !differences.is_empty() {
            let rows: Vec<Vec<String>> = differences.iter().map(Difference::row).collect();
            output::data(&output::table(&["EXCHANGE", "REQUEST", "WHAT", "BILLED", "SIGNED"], &rows));
        }
        let (lines, signed, count) = (billed.len(), receipts.len(), differences.len());
        output::say(&format!("{lines} billed, {signed} receipts: {agreeing} agree, {count} differences"));
        if unsigned > 0 {
            output::say(&format!(
                "{unsigned} of the billed requests cost nothing and have no receipt: refused before they were opened"
            ));
        }
    }
    Ok(if differences.is_empty() { Verdict::Good } else { Verdict::Bad })
}
