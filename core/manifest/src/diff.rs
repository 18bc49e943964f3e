//! What changes for security from one manifest to another, in words, for whoever is to sign the second one.
//!
//! Weaker is what lets more in: more code, more machines, older firmware, more people who decide. Stronger is the reverse, and
//! whatever is only different is neutral. Compares what this version understands, and says so where bytes differ beyond that.
//! Decides nothing: equality is a matter of bytes ([`Manifest`]'s own), and which change is wanted is the reader's question.

mod bits;
mod owners;
mod policies;
mod snp;
mod tdx;

use serde::Serialize;

use crate::digest::PolicyHash;
use crate::model::Manifest;
use crate::reference::{ReferenceValues, SimulatedReference};

/// One change.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Change {
    /// What it does to security.
    pub severity: Severity,
    /// Where: the same in both directions.
    pub place: String,
    /// What, in words.
    pub what: String,
}

/// What a change does to security. The gravest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// More is let in than before.
    Weaker,
    /// Something is different, and neither can be said: a person has to look.
    Neutral,
    /// Less is let in than before.
    Stronger,
}

impl Severity {
    /// Of the change in the other direction.
    #[must_use]
    pub fn reversed(self) -> Self {
        match self {
            Self::Weaker => Self::Stronger,
            Self::Neutral => Self::Neutral,
            Self::Stronger => Self::Weaker,
        }
    }

    /// `weaker`, `neutral` or `stronger`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Weaker => "weaker",
            Self::Neutral => "neutral",
            Self::Stronger => "stronger",
        }
    }
}

/// The changes from `old` to `new`, the gravest first. None if the bytes are the same.
pub fn diff(old: &Manifest, new: &Manifest) -> Vec<Change> {
    let mut changes = Changes(Vec::new());
    if old.raw() == new.raw() {
        return changes.0;
    }
    policies::compare(old, new, &mut changes);
    reference_values(old, new, &mut changes);
    owners::compare(old, new, &mut changes);
    protocols(old, new, &mut changes);
    form(old, new, &mut changes);
    changes.0.sort();
    changes.0
}

fn reference_values(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let place = "ReferenceValues";
    match (old.is_simulated(), new.is_simulated()) {
        // nothing else about the platform matters beside this
        (false, true) => {
            changes.weaker(place, "SIMULATED evidence is accepted: no hardware protects anything");
        }
        (true, false) => {
            changes.stronger(place, "hardware protects the deployment; SIMULATED evidence is refused");
        }
        (true, true) | (false, false) => platforms(old, new, changes),
    }
}

fn platforms(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (ReferenceValues { snp, tdx, simulated }, new) = (old.reference_values(), new.reference_values());
    snp::compare(snp, &new.snp, changes);
    tdx::compare(tdx, &new.tdx, changes);
    let host_data = |entries: &[SimulatedReference]| {
        let entries = entries.iter().filter_map(|entry| entry.host_data);
        entries.map(|hash| PolicyHash::from(hash).to_string()).collect::<Vec<_>>()
    };
    changes.set(
        "ReferenceValues.simulated",
        "SIMULATED workload",
        &host_data(simulated),
        &host_data(&new.simulated),
    );
}

fn protocols(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    let (old, new) = (spoken(old), spoken(new));
    for (list, other, verb) in [(&new, &old, "is spoken"), (&old, &new, "is no longer spoken")] {
        for protocol in list.iter().filter(|protocol| !other.contains(protocol)) {
            let place = format!("Protocols.{protocol}");
            let what = format!("the protocol {protocol} {verb}");
            // sealed bodies hide more than sealed fields: lengths, members, and what is cut off
            let sealed = protocol.starts_with("sealed-body/");
            match (sealed, list == &new) {
                (true, true) => changes.stronger(&place, &what),
                (true, false) => changes.weaker(&place, &what),
                (false, _) => changes.neutral(&place, &what),
            }
        }
    }
}

/// A manifest without the member speaks sealed fields.
fn spoken(manifest: &Manifest) -> Vec<String> {
    match manifest.protocols() {
        [] => vec!["fields/1".to_owned()],
        protocols => protocols.to_vec(),
    }
}

/// What this version cannot judge.
fn form(old: &Manifest, new: &Manifest, changes: &mut Changes) {
    for member in new.unknown_members().iter().chain(old.unknown_members()) {
        let place = member.as_str();
        if changes.0.iter().any(|change| change.place == place) {
            continue;
        }
        let what = match (old.unknown_members().contains(member), new.unknown_members().contains(member)) {
            (true, true) => "this version does not know it, and did not compare it",
            (false, _) => "added; this version does not know what it means",
            (true, false) => "removed; this version does not know what it meant",
        };
        changes.neutral(place, what);
    }
    if changes.0.is_empty() {
        changes.neutral("", "the same content, written differently: digest and transition are others");
    }
}

/// Collects changes.
struct Changes(Vec<Change>);

impl Changes {
    fn weaker(&mut self, place: &str, what: &str) {
        self.add(Severity::Weaker, place, what);
    }

    fn stronger(&mut self, place: &str, what: &str) {
        self.add(Severity::Stronger, place, what);
    }

    fn neutral(&mut self, place: &str, what: &str) {
        self.add(Severity::Neutral, place, what);
    }

    fn add(&mut self, severity: Severity, place: &str, what: &str) {
        self.0.push(Change { severity, place: place.to_owned(), what: what.to_owned() });
    }

    /// Alternatives, each of which lets something in.
    fn set(&mut self, place: &str, noun: &str, old: &[String], new: &[String]) {
        for (number, value) in new.iter().enumerate() {
            // one that stands there twice lets nothing more in
            if !old.contains(value) && new.iter().position(|other| other == value) == Some(number) {
                self.weaker(&format!("{place}.{value}"), &format!("{noun} {value} is accepted"));
            }
        }
        for (number, value) in old.iter().enumerate() {
            if !new.contains(value) && old.iter().position(|other| other == value) == Some(number) {
                self.stronger(&format!("{place}.{value}"), &format!("{noun} {value} is no longer accepted"));
            }
        }
    }

    /// As [`set`](Self::set), of a list that lets everything in while it is empty.
    fn allow_list(&mut self, place: &str, noun: &str, old: &[String], new: &[String]) {
        match (old.is_empty(), new.is_empty()) {
            (true, true) => {}
            (true, false) => {
                self.stronger(place, &format!("only {} named {noun}s are accepted, not any", new.len()));
            }
            (false, true) => {
                self.weaker(place, &format!("any {noun} is accepted, not only the {} named ones", old.len()));
            }
            (false, false) => self.set(place, noun, old, new),
        }
    }

    /// A lower bound. None of a bound that may be left out lets everything in.
    fn floor<N: Copy + Into<u64>>(&mut self, place: &str, old: Option<N>, new: Option<N>, required: bool) {
        let (old, new) = (old.map(Into::into), new.map(Into::into));
        let what = match (old, new) {
            (Some(old), Some(new)) => format!("the minimum goes from {old} to {new}"),
            (None, Some(new)) => format!("the minimum is {new}, and was not given"),
            (Some(old), None) => format!("the minimum {old} is gone"),
            (None, None) => return,
        };
        match old.cmp(&new) {
            std::cmp::Ordering::Equal => {}
            // without a required value, nothing is accepted at all
            _ if required && (old.is_none() || new.is_none()) => self.neutral(place, &what),
            std::cmp::Ordering::Less => self.stronger(place, &what),
            std::cmp::Ordering::Greater => self.weaker(place, &what),
        }
    }

    /// A value that is one or another.
    fn value(&mut self, place: &str, noun: &str, old: Option<String>, new: Option<String>) {
        match (old, new) {
            (Some(old), Some(new)) => self.set(place, noun, &[old], &[new]),
            (None, None) => {}
            (None, Some(new)) => self.neutral(place, &format!("{noun} is filled in: {new}")),
            (Some(old), None) => self.neutral(place, &format!("{noun} is missing, and was {old}")),
        }
    }

    /// Something for people.
    fn note(&mut self, place: &str, old: Option<&str>, new: Option<&str>) {
        if old != new {
            let shown = |value: Option<&str>| value.unwrap_or("nothing").to_owned();
            self.neutral(place, &format!("from {} to {}", shown(old), shown(new)));
        }
    }
}

/// Pairs what is in one list alone with what is in the other alone, where `key` names one of each and no more.
fn pairs<'a, T, K: PartialEq>(
    old: &mut Vec<&'a T>,
    new: &mut Vec<&'a T>,
    key: impl Fn(&T) -> Option<K>,
) -> Vec<(&'a T, &'a T)> {
    let only = |list: &[&'a T], wanted: &K| {
        let mut matching = list.iter().copied().filter(|entry| key(entry).as_ref() == Some(wanted));
        matching.next().filter(|_| matching.next().is_none())
    };
    let mut found = Vec::new();
    for entry in old.clone() {
        let Some(wanted) = key(entry) else { continue };
        if let (Some(one), Some(other)) = (only(old, &wanted), only(new, &wanted)) {
            found.push((one, other));
        }
    }
    old.retain(|entry| !found.iter().any(|(one, _)| std::ptr::eq(*one, *entry)));
    new.retain(|entry| !found.iter().any(|(_, other)| std::ptr::eq(*other, *entry)));
    found
}

/// What is in one list and not in the other.
fn differing<'a, T: PartialEq>(old: &'a [T], new: &'a [T]) -> (Vec<&'a T>, Vec<&'a T>) {
    let without =
        |list: &'a [T], other: &'a [T]| list.iter().filter(|entry| !other.contains(entry)).collect();
    (without(old, new), without(new, old))
}

#[cfg(test)]
mod tests;
