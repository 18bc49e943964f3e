//! Fills a verdict: the steps that decide whether evidence is genuine, then those that compare it with what was expected.

use std::error::Error as StdError;
use std::fmt;

use super::expect::{Expectations, Mismatch};
use super::verdict::{Values, Verdict, words};

/// A step of genuineness, as `privatemode-attest` numbers it, with what a person can do when it fails.
pub(crate) struct GenuineStep {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
}

/// What came of the steps of genuineness.
pub(crate) enum Genuineness<'a, E> {
    Holds(&'a E),
    Fails { step: &'static str, error: &'a dyn StdError, next: &'static str },
}

/// A row that compares.
pub(crate) struct Row<E: 'static> {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) values: fn(&E) -> Values,
    /// What is asked of the evidence when nobody says anything about it; `None` asks nothing.
    pub(crate) rule: Option<fn(&E, &Expectations<E>) -> Rule>,
}

impl<E> Row<E> {
    /// A row without a rule.
    pub(crate) const fn new(number: u8, name: &'static str, values: fn(&E) -> Values) -> Self {
        Self { number, name, values, rule: None }
    }

    /// A row with a rule.
    pub(crate) const fn with(
        number: u8,
        name: &'static str,
        values: fn(&E) -> Values,
        rule: fn(&E, &Expectations<E>) -> Rule,
    ) -> Self {
        Self { number, name, values, rule: Some(rule) }
    }
}

/// Those of the faults that are there, as one text; `None` if there is none.
pub(crate) fn present<const N: usize>(faults: [(bool, &str); N]) -> Option<String> {
    let present: Vec<&str> = faults.into_iter().filter(|(is, _)| *is).map(|(_, text)| text).collect();
    (!present.is_empty()).then(|| present.join("; "))
}

/// What a rule that needs no expectation found.
pub(crate) enum Rule {
    Holds,
    /// Nothing against it, but nothing that was compared either.
    Silent,
    Warns(String),
    Refuses(Refused),
}

/// Who decides about what nobody expects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Judge {
    /// The rows' own rules.
    Rules,
    /// A manifest, whose own steps follow. What a rule would refuse is a warning.
    Manifest,
}

/// Why a rule refuses.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub(crate) struct Refused(pub(crate) String);

/// Several mismatches of one row.
#[derive(Debug)]
struct Mismatches(Vec<Mismatch>);

/// Adds the steps of genuineness: all before the failing one have passed, none behind it was reached.
pub(crate) fn genuine<E>(
    verdict: &mut Verdict,
    steps: impl IntoIterator<Item = GenuineStep>,
    came: &Genuineness<'_, E>,
    values: impl Fn(&str, Option<&E>) -> Values,
    not_compared: impl Fn(&str, &E) -> bool,
) {
    let mut failed = false;
    for GenuineStep { number, name } in steps {
        match came {
            Genuineness::Holds(evidence) if not_compared(name, evidence) => {
                verdict.not_compared(number, name, values(name, Some(evidence)));
            }
            Genuineness::Holds(evidence) => verdict.passed(number, name, values(name, Some(evidence))),
            Genuineness::Fails { step, error, next } if *step == name => {
                failed = true;
                verdict.failed(number, name, values(name, None), *error, next);
            }
            Genuineness::Fails { .. } if failed => verdict.not_reached(number, name),
            Genuineness::Fails { .. } => verdict.passed(number, name, values(name, None)),
        }
    }
}

/// Adds the rows that compare genuine evidence with expectations and rules. All of them: whoever is refused for one value
/// wants to see the others.
pub(crate) fn compare<E>(
    verdict: &mut Verdict,
    rows: &'static [Row<E>],
    evidence: &E,
    expectations: &Expectations<E>,
    judge: Judge,
) {
    for row in rows {
        let mut compared = false;
        let mut mismatches = Vec::new();
        for expectation in expectations.of_step(row.name) {
            compared = true;
            mismatches.extend(expectation.check(evidence).err());
        }
        let values = (row.values)(evidence);
        if !mismatches.is_empty() {
            verdict.failed(row.number, row.name, values, &Mismatches(mismatches), EXPECTATION);
            continue;
        }
        let held = match row.rule.map_or(Rule::Silent, |rule| rule(evidence, expectations)) {
            Rule::Refuses(error) if judge == Judge::Rules => {
                verdict.failed(row.number, row.name, values, &error, RULE);
                continue;
            }
            Rule::Refuses(error) => {
                verdict.warn(format!("{}: {error}; the manifest decides about it", words(row.name)));
                compared
            }
            Rule::Warns(warning) => {
                verdict.warn(warning);
                compared
            }
            Rule::Holds => true,
            Rule::Silent => compared,
        };
        match (judge, held) {
            (Judge::Manifest, _) if !compared => {}
            (_, true) => verdict.passed(row.number, row.name, values),
            (_, false) => verdict.not_compared(row.number, row.name, values),
        }
    }
}

/// Adds rows that were not reached, because the evidence is not genuine.
pub(crate) fn none_reached<E>(
    verdict: &mut Verdict,
    rows: &'static [Row<E>],
    expectations: &Expectations<E>,
    judge: Judge,
) {
    for row in rows {
        if judge == Judge::Rules || expectations.of_step(row.name).next().is_some() {
            verdict.not_reached(row.number, row.name);
        }
    }
}

const EXPECTATION: &str = "the evidence is genuine, but it is not what you expected: find out which of the two is wrong before you \
                           trust it";
const RULE: &str =
    "do not trust this machine with secrets; to look at it all the same, expect its exact value";

impl fmt::Display for Mismatches {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, mismatch) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            write!(f, "{mismatch}")?;
        }
        Ok(())
    }
}

impl StdError for Mismatches {}
