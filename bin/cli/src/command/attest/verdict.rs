//! The verdict: numbered steps, what each of them saw, warnings, and why it was refused.
//!
//! Holds no logic of verification. The order of members is the order of the JSON (`docs/verification.md`).

use std::error::Error as StdError;

use privatemode_attest::UnixTime;
use privatemode_manifest::appraise::EntryReport;
use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::Value;

/// What came out.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Verdict {
    pub(crate) verdict: Outcome,
    pub(crate) platform: &'static str,
    pub(crate) at: String,
    pub(crate) steps: Vec<Step>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) manifest: Option<Judged>,
    pub(crate) warnings: Vec<String>,
    pub(crate) danger: Vec<String>,
    pub(crate) refusal: Option<Refusal>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Verified,
    Refused,
    Unusable,
}

/// A numbered step of the specification. A number may have several rows.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Step {
    pub(crate) number: u8,
    pub(crate) name: &'static str,
    pub(crate) verdict: StepVerdict,
    pub(crate) values: Values,
    pub(crate) error: Option<String>,
    /// The manifest's entry that this is a step of.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) entry: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(crate) danger: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum StepVerdict {
    Passed,
    Failed,
    /// Nobody said what to compare with.
    NotCompared,
    /// A step before it failed.
    NotReached,
}

/// Names and values in the order in which they are shown.
#[derive(Debug, Default)]
pub(crate) struct Values(Vec<(String, Value)>);

/// What a manifest makes of the evidence.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Judged {
    pub(crate) digest: String,
    pub(crate) policy: Option<String>,
    pub(crate) workload: Option<JudgedWorkload>,
    /// All that were asked, with all of their steps.
    pub(crate) entries: Vec<EntryReport>,
}

/// Which of the manifest's workloads it is.
#[derive(Debug, serde::Serialize)]
pub(crate) struct JudgedWorkload {
    pub(crate) role: &'static str,
    pub(crate) sans: Vec<String>,
    pub(crate) workload_secret_id: Option<String>,
}

/// What, why, what next.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Refusal {
    pub(crate) step: Option<u8>,
    pub(crate) what: String,
    pub(crate) why: Vec<String>,
    pub(crate) next: String,
}

impl Verdict {
    /// Nothing seen yet.
    pub(crate) fn new(platform: &'static str, at: UnixTime) -> Self {
        Self {
            verdict: Outcome::Verified,
            platform,
            at: at.to_string(),
            steps: Vec::new(),
            manifest: None,
            warnings: Vec::new(),
            danger: Vec::new(),
            refusal: None,
        }
    }

    /// There was nothing to give a verdict on.
    pub(crate) fn unusable(platform: &'static str, at: UnixTime, error: &dyn StdError) -> Self {
        let mut verdict = Self::new(platform, at);
        verdict.verdict = Outcome::Unusable;
        let next = "correct the flag or the file that is named".to_owned();
        verdict.refusal = Some(Refusal { step: None, what: error.to_string(), why: causes(error), next });
        verdict
    }

    /// Adds a step that held.
    pub(crate) fn passed(&mut self, number: u8, name: &'static str, values: Values) {
        self.push(number, name, StepVerdict::Passed, values, None);
    }

    /// Adds a step that nobody said what to compare with.
    pub(crate) fn not_compared(&mut self, number: u8, name: &'static str, values: Values) {
        self.push(number, name, StepVerdict::NotCompared, values, None);
    }

    /// Adds a step behind one that failed.
    pub(crate) fn not_reached(&mut self, number: u8, name: &'static str) {
        self.push(number, name, StepVerdict::NotReached, Values::default(), None);
    }

    /// Adds a step that did not hold. The first one is the reason of the verdict.
    pub(crate) fn failed(
        &mut self,
        number: u8,
        name: &'static str,
        values: Values,
        error: &dyn StdError,
        next: &str,
    ) {
        let why: Vec<String> = std::iter::once(error.to_string()).chain(causes(error)).collect();
        self.push(number, name, StepVerdict::Failed, values, Some(why.join(": ")));
        self.verdict = Outcome::Refused;
        if self.refusal.is_none() {
            let what = format!("step {number}, {}", words(name));
            self.refusal = Some(Refusal { step: Some(number), what, why, next: next.to_owned() });
        }
    }

    /// Says of which entry of the manifest the last step is.
    pub(crate) fn of_entry(&mut self, label: &str) {
        if let Some(step) = self.steps.last_mut() {
            step.entry = Some(label.to_owned());
        }
    }

    /// Says that a root is not the vendor's, here and at each step.
    pub(crate) fn danger(&mut self, text: String) {
        for step in &mut self.steps {
            step.danger.push(text.clone());
        }
        self.danger.push(text);
    }

    /// Adds something that a reader must know to judge the verdict.
    pub(crate) fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    fn push(
        &mut self,
        number: u8,
        name: &'static str,
        verdict: StepVerdict,
        values: Values,
        error: Option<String>,
    ) {
        let danger = self.danger.clone();
        self.steps.push(Step { number, name, verdict, values, error, entry: None, danger });
    }
}

/// Everything that caused an error, outermost first, without the error itself.
fn causes(error: &dyn StdError) -> Vec<String> {
    std::iter::successors(error.source(), |&cause| cause.source()).map(ToString::to_string).collect()
}

/// `quote_signature` as people write it.
pub(crate) fn words(name: &str) -> String {
    name.replace('_', " ")
}

impl Values {
    pub(crate) fn text(self, name: &str, value: &(impl ToString + ?Sized)) -> Self {
        self.value(name, Value::String(value.to_string()))
    }

    pub(crate) fn hex(self, name: &str, value: &[u8]) -> Self {
        self.value(name, Value::String(hex::encode(value)))
    }

    pub(crate) fn number(self, name: &str, value: impl Into<u64>) -> Self {
        self.value(name, Value::from(value.into()))
    }

    pub(crate) fn word(self, name: &str, value: u64) -> Self {
        self.value(name, Value::String(format!("{value:#x}")))
    }

    pub(crate) fn flag(self, name: &str, value: bool) -> Self {
        self.value(name, Value::Bool(value))
    }

    pub(crate) fn list(self, name: &str, values: &[String]) -> Self {
        self.value(name, Value::from(values.to_vec()))
    }

    /// Leaves the value out when there is none.
    pub(crate) fn optional<T>(self, value: Option<T>, add: impl FnOnce(Self, T) -> Self) -> Self {
        match value {
            Some(value) => add(self, value),
            None => self,
        }
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }

    fn value(mut self, name: &str, value: Value) -> Self {
        self.0.push((name.to_owned(), value));
        self
    }
}

impl Serialize for Values {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.0.len()))?;
        for (name, value) in self.iter() {
            map.serialize_entry(name, value)?;
        }
        map.end()
    }
}
