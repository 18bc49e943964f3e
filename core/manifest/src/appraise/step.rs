//! What a tool shows: each step of an appraisal, whether it passed, and the values that it looked at.

use serde::ser::{Serialize, SerializeMap as _, Serializer};

/// How a step went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It was checked, and holds.
    Passed,
    /// It was checked, and does not hold.
    Failed,
    /// An earlier step failed.
    NotReached,
    /// The manifest does not ask for it; the values are shown nevertheless.
    NotDemanded,
}

/// One step.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct StepReport {
    /// Its number in the specification; several steps here may be parts of one there.
    pub number: u8,
    /// Its name for machines.
    pub name: &'static str,
    /// How it went.
    pub verdict: Verdict,
    /// What it looked at, by name.
    pub values: Values,
}

/// Names and values, in the order in which they are worth reading; in JSON an object.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Values(Vec<(&'static str, String)>);

impl Values {
    /// The value called `name`.
    pub fn value(&self, name: &str) -> Option<&str> {
        self.iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// All of them, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.0.iter().map(|(name, value)| (*name, value.as_str()))
    }

    /// Adds one.
    #[must_use]
    #[expect(clippy::needless_pass_by_value, reason = "the callers' values are temporary")]
    pub(crate) fn with(mut self, name: &'static str, value: impl ToString) -> Self {
        self.0.push((name, value.to_string()));
        self
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in &self.0 {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}

impl StepReport {
    pub(crate) fn new((number, name): (u8, &'static str), verdict: Verdict, values: Values) -> Self {
        Self { number, name, verdict, values }
    }
}

/// What one check found.
pub(super) struct Checked<E> {
    values: Values,
    demanded: bool,
    failure: Option<E>,
}

impl<E> Checked<E> {
    /// A check that every manifest demands.
    pub(super) fn required(values: Values, failure: Option<E>) -> Self {
        Self { values, demanded: true, failure }
    }

    /// A check that this manifest may leave out.
    pub(super) fn optional(values: Values, demanded: bool, failure: impl FnOnce() -> Option<E>) -> Self {
        let failure = demanded.then(failure).flatten();
        Self { values, demanded, failure }
    }
}

/// Takes `steps` in order up to the first that fails.
pub(super) fn walk<S: Copy, E>(
    steps: &[S],
    describe: impl Fn(S) -> (u8, &'static str),
    check: impl Fn(S) -> Checked<E>,
) -> (Vec<StepReport>, Option<E>) {
    let mut failure = None;
    let mut reports = Vec::with_capacity(steps.len());
    for &step in steps {
        if failure.is_some() {
            reports.push(StepReport::new(describe(step), Verdict::NotReached, Values::default()));
            continue;
        }
        let checked = check(step);
        let verdict = match (&checked.failure, checked.demanded) {
            (Some(_), _) => Verdict::Failed,
            (None, true) => Verdict::Passed,
            (None, false) => Verdict::NotDemanded,
        };
        failure = checked.failure;
        reports.push(StepReport::new(describe(step), verdict, checked.values));
    }
    (reports, failure)
}

/// The report of steps of which `failed` is the first that did not hold, or of which all hold. For steps that were taken
/// elsewhere.
pub(super) fn passed_until<S: Copy + PartialEq>(
    steps: &[S],
    describe: impl Fn(S) -> (u8, &'static str),
    failed: Option<(S, &dyn std::error::Error)>,
) -> Vec<StepReport> {
    let mut reached = true;
    let report = |&step: &S| {
        let failing = failed.filter(|(at, _)| *at == step);
        let (verdict, values) = match failing {
            Some((_, error)) => (Verdict::Failed, Values::default().with("reason", chain(error))),
            None if reached => (Verdict::Passed, Values::default()),
            None => (Verdict::NotReached, Values::default()),
        };
        reached &= failing.is_none();
        StepReport::new(describe(step), verdict, values)
    };
    steps.iter().map(report).collect()
}

/// An error with everything behind it, on one line.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// The first bytes of a long value: enough to tell values apart in a message.
pub(super) fn short(bytes: &[u8]) -> String {
    let head: Vec<u8> = bytes.iter().copied().take(8).collect();
    let rest = if bytes.len() > head.len() { "…" } else { "" };
    format!("{}{rest}", hex::encode(head))
}
