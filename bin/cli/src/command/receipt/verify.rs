//! `privatemode receipt verify`: offline, against a mesh CA that was attested.

use anyhow::Result;
use privatemode_attest::mesh::MeshCa;
use privatemode_client::{ReceiptSignerError, chain, verify_receipt};
use privatemode_wire::receipt::{SignedReceipt, VerifiedReceipt};
use serde_json::json;

use super::args::Verify;
use super::files::Known;
use super::{Verdict, files, show};
use crate::output;

pub(super) fn run(arguments: &Verify) -> Result<Verdict> {
    let signed = files::receipt(&arguments.receipt)?;
    let cas = files::mesh_cas(&arguments.trust)?;
    let known = match (&arguments.request_digest, &arguments.response_digest) {
        (Some(request), Some(response)) => {
            let (request, response) = (Some(files::digest(request)?), files::digest(response)?);
            Some(Known { exchange: None, request, response })
        }
        _ => files::known_beside(&arguments.receipt)?,
    };
    let about = show::summary(signed.unverified());
    let text = show::describe(signed.unverified());
    let cas: Vec<MeshCa> = cas.into_iter().map(|(_, ca)| ca).collect();
    let outcome = judge(&signed, &cas, known);
    if arguments.json {
        let verdict = match &outcome {
            Ok(exchange) => {
                json!({"verified": true, "exchange_checked": exchange, "receipt": show::to_json(&signed)?["receipt"]})
            }
            Err(reason) => json!({"verified": false, "reason": reason, "about": about}),
        };
        output::data(&verdict.to_string());
    } else {
        match &outcome {
            Ok(exchange) => {
                output::data(&text);
                let exchange = if *exchange {
                    "it is about the very bytes that were sent and received"
                } else {
                    "NOT checked: whether it is about the bytes that were sent and received (no digests)"
                };
                output::data(&format!("Verified: signed by a worker of the attested mesh; {exchange}."));
            }
            Err(reason) => output::say(&format!("NOT verified: {reason}")),
        }
    }
    Ok(if outcome.is_ok() { Verdict::Good } else { Verdict::Bad })
}

/// Whether the receipt holds, and whether the exchange was checked, too.
fn judge(signed: &SignedReceipt, cas: &[MeshCa], known: Option<Known>) -> Result<bool, String> {
    let verified = signed_by_any(signed, cas).map_err(|error| chain(&error))?;
    let Some(Known { exchange, request, response }) = known else { return Ok(false) };
    let exchange = exchange.unwrap_or(verified.exchange);
    verified.check_exchange(exchange, request, response).map_err(|error| error.to_string())?;
    Ok(true)
}

/// The most telling error of all CAs: a foreign CA says little where another one knows the signer.
pub(super) fn signed_by_any(
    signed: &SignedReceipt,
    cas: &[MeshCa],
) -> Result<VerifiedReceipt, ReceiptSignerError> {
    let mut told = ReceiptSignerError::NoCertificate;
    for ca in cas {
        match verify_receipt(signed.clone(), ca) {
            Ok(verified) => return Ok(verified),
            Err(error) => {
                let is_foreign = matches!(error, ReceiptSignerError::ForeignMeshCa { .. });
                if !is_foreign || matches!(told, ReceiptSignerError::NoCertificate) {
                    told = error;
                }
            }
        }
    }
    Err(told)
}
