//! Holds the two sides together. Reads and prints nothing.

use std::collections::BTreeSet;

use privatemode_wire::stream::outer::ExchangeId;
use serde::Serialize;

use super::input::{Billed, Figures, Receipts};

/// One difference.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub(super) struct Difference {
    pub(super) exchange: Option<String>,
    /// The gateway's name for the request, where it was billed.
    pub(super) request_id: Option<String>,
    pub(super) what: String,
    pub(super) billed: Option<String>,
    pub(super) signed: Option<String>,
}

impl Difference {
    pub(super) fn row(&self) -> Vec<String> {
        let cell = |text: &Option<String>| text.clone().unwrap_or_else(|| "-".to_owned());
        // Enough to find it; the JSON has all of it.
        let exchange = cell(&self.exchange).chars().take(16).collect();
        vec![exchange, cell(&self.request_id), self.what.clone(), cell(&self.billed), cell(&self.signed)]
    }
}

/// What a comparison came to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Outcome {
    /// Billed requests whose receipt says the same.
    pub(super) agreeing: usize,
    /// Billed requests that cost nothing and have no receipt: a worker refused them before it could open anything.
    pub(super) unsigned: usize,
    pub(super) differences: Vec<Difference>,
}

pub(super) fn compare(billed: &[Billed], receipts: &Receipts) -> Outcome {
    let mut outcome = Outcome::default();
    let mut seen = BTreeSet::new();
    for line in billed {
        let found = differences(line, receipts, &mut seen);
        match found {
            Found::Unsigned => outcome.unsigned += 1,
            Found::Held(found) if found.is_empty() => outcome.agreeing += 1,
            Found::Held(found) => outcome.differences.extend(found),
        }
    }
    // An answer that was not billed costs nobody anything, but a bill that forgets is no record.
    for (exchange, receipt) in receipts.iter().filter(|(exchange, _)| !seen.contains(*exchange)) {
        outcome.differences.push(Difference {
            exchange: Some(exchange.to_string()),
            request_id: None,
            what: "receipt without bill".to_owned(),
            billed: None,
            signed: Some(receipt.model.clone()),
        });
    }
    outcome
}

enum Found {
    Unsigned,
    Held(Vec<Difference>),
}

fn differences(line: &Billed, receipts: &Receipts, seen: &mut BTreeSet<ExchangeId>) -> Found {
    let mut found = Vec::new();
    let mut differs = |what: &str, billed: String, signed: Option<String>| {
        found.push(Difference {
            exchange: line.id.map(|id| id.to_string()),
            request_id: Some(line.request_id.clone()),
            what: what.to_owned(),
            billed: Some(billed),
            signed,
        });
    };
    // What was not sealed as a whole has no exchange, and no receipt to expect.
    let Some((exchange, receipt)) = line.id.and_then(|id| Some((id, receipts.get(&id)?))) else {
        if line.usage.cost_nothing() {
            return Found::Unsigned;
        }
        differs("billed without receipt", line.model.clone(), None);
        return Found::Held(found);
    };
    if !seen.insert(exchange) {
        differs("billed twice", line.model.clone(), Some(receipt.model.clone()));
        return Found::Held(found);
    }
    if line.model != receipt.model {
        differs("model", line.model.clone(), Some(receipt.model.clone()));
    }
    if line.status != receipt.status {
        differs("status", line.status.to_string(), Some(receipt.status.to_string()));
    }
    let signed = Figures::from(receipt.usage.unwrap_or_default());
    for (name, billed, signed) in line.usage.beside(signed) {
        if billed != signed {
            differs(name, billed.to_string(), Some(signed.to_string()));
        }
    }
    Found::Held(found)
}
