//! JSON as it stands in a manifest: member order and duplicates kept, so that duplicates can be refused.
//!
//! A map would keep the last of two equal names and lose the first without a word; two readers that choose differently
//! would trust different things. Does not write JSON.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::model::ManifestError;

#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Json {
    Null,
    Bool(bool),
    Number(serde_json::Number),
    String(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl Json {
    /// Parses one document. `serde_json` bounds the depth at 128.
    pub(crate) fn parse(raw: &[u8]) -> Result<Self, ManifestError> {
        let json: Self = serde_json::from_slice(raw).map_err(|source| ManifestError::Json { source })?;
        json.check_duplicates(&mut Vec::new())?;
        Ok(json)
    }

    /// The path is put together for an error alone: to write it down for each of many members below one long name would
    /// take time by the square of the manifest's length.
    fn check_duplicates<'a>(&'a self, place: &mut Vec<Step<'a>>) -> Result<(), ManifestError> {
        match self {
            Self::Object(members) => {
                let mut seen = HashSet::new();
                for (name, value) in members {
                    place.push(Step::Member(name));
                    if !seen.insert(fold(name)) {
                        return Err(ManifestError::DuplicateMember { path: path(place) });
                    }
                    value.check_duplicates(place)?;
                    place.pop();
                }
            }
            Self::Array(values) => {
                for (index, value) in values.iter().enumerate() {
                    place.push(Step::Element(index));
                    value.check_duplicates(place)?;
                    place.pop();
                }
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::String(_) => {}
        }
        Ok(())
    }
}

/// One step down in a document.
enum Step<'a> {
    Member(&'a str),
    Element(usize),
}

fn path(steps: &[Step<'_>]) -> String {
    steps.iter().fold(String::new(), |path, step| match step {
        Step::Member(name) => join(&path, name),
        Step::Element(index) => format!("{path}[{index}]"),
    })
}

/// `path` of a member called `name`.
pub(crate) fn join(path: &str, name: &str) -> String {
    let joined = if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") };
    #[cfg(test)]
    tests::WRITTEN.set(tests::WRITTEN.get() + joined.len());
    joined
}

/// Names are matched without case, as the reference implementation's JSON reader does. It folds Unicode, and two letters
/// beyond ASCII fold into it: long s and the Kelvin sign. Left out, `Policieſ` would be a member there and unknown here.
pub(crate) fn fold(name: &str) -> String {
    name.chars()
        .map(|letter| match letter {
            '\u{17f}' => 's',
            '\u{212a}' => 'k',
            other => other.to_ascii_lowercase(),
        })
        .collect()
}

impl<'de> Deserialize<'de> for Json {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(JsonVisitor)
    }
}

struct JsonVisitor;

impl<'de> Visitor<'de> for JsonVisitor {
    type Value = Json;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json, E> {
        Ok(Json::Bool(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json, E> {
        Ok(Json::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Json, E> {
        serde_json::Number::from_f64(value).map(Json::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json, E> {
        Ok(Json::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Json, E> {
        Ok(Json::String(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = access.next_element()? {
            values.push(value);
        }
        Ok(Json::Array(values))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Json, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(Json::Object(members))
    }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::model::Manifest;

    thread_local!(pub(super) static WRITTEN: Cell<usize> = const { Cell::new(0) });

    /// Bytes of paths that reading `raw` as a manifest writes down.
    fn written(raw: &str) -> usize {
        WRITTEN.set(0);
        let _refused = Manifest::parse(raw.as_bytes());
        WRITTEN.get()
    }

    /// A manifest of the greatest length, half of it a name, half of it members below that name.
    #[test]
    fn a_long_name_costs_its_length_and_not_its_square() {
        let (half, short) = (Manifest::MAX_LEN / 2, 9);
        let members: Vec<String> =
            (0..(half / (short + 5) - 8)).map(|number| format!("\"{number:0short$}\":0")).collect();
        let (name, below) = ("n".repeat(half - 200), members.join(","));
        for raw in [
            format!("{{\"{name}\":{{{below}}}}}"),
            format!("{{\"Policies\":{{\"{name}\":{{{below}}}}}}}"),
            format!("{{\"ReferenceValues\":{{\"{name}\":{{{below}}}}}}}"),
            format!("{{\"ReferenceValues\":{{\"snp\":[{{\"{name}\":{{{below}}}}}]}}}}"),
            format!("{{\"{name}\":[{{{below}}}]}}"),
        ] {
            assert!(raw.len() <= Manifest::MAX_LEN);
            assert!(Json::parse(raw.as_bytes()).is_ok());
            assert!(written(&raw) <= 2 * Manifest::MAX_LEN, "{}", written(&raw));
        }
        // a duplicate far down is named once
        let deep = format!("{{\"{name}\":{{{below},\"a\":0,\"A\":0}}}}");
        assert!(written(&deep) <= 3 * Manifest::MAX_LEN);
        assert_eq!(duplicate(&deep), format!("{name}.A"));
    }

    fn duplicate(raw: &str) -> String {
        match Json::parse(raw.as_bytes()) {
            Err(ManifestError::DuplicateMember { path }) => path,
            other => panic!("{raw}: {other:?}"),
        }
    }

    #[test]
    fn duplicates_are_refused_at_every_depth_and_in_every_case() {
        assert_eq!(duplicate(r#"{"a":1,"a":1}"#), "a");
        assert_eq!(duplicate(r#"{"Policies":{},"policies":{}}"#), "policies");
        assert_eq!(duplicate(r#"{"Policies":{},"Policie\u017f":{}}"#), "Policie\u{17f}");
        assert_eq!(duplicate(r#"{"\u212a":{},"k":{}}"#), "k");
        assert_eq!(duplicate(r#"{"x":[0,{"y":{"z":1,"Z":2}}]}"#), "x[1].y.Z");
    }

    #[test]
    fn same_names_in_different_objects_are_fine() {
        assert!(Json::parse(br#"{"a":{"b":1},"c":{"b":1}}"#).is_ok());
    }

    #[test]
    fn depth_is_bounded() {
        let deep = "[".repeat(100_000);
        assert!(matches!(Json::parse(deep.as_bytes()), Err(ManifestError::Json { .. })));
    }

    #[test]
    fn trailing_bytes_are_refused() {
        assert!(matches!(Json::parse(b"{} {}"), Err(ManifestError::Json { .. })));
    }
}
