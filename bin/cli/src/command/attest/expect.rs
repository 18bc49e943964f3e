//! `--expect NAME=VALUE`: what the evidence must say, by the specification's names.
//!
//! A table for each platform names the fields; a name that is not in it is an error, never "nothing expected". Values are
//! read before any file is, with exact lengths: nothing is padded or cut.

use thiserror::Error;

use super::input::{self, Unusable};

/// A name that `--expect` knows for evidence of type `E`.
pub(crate) struct Field<E: 'static> {
    pub(crate) name: &'static str,
    /// The step whose row shows the comparison.
    pub(crate) step: &'static str,
    pub(crate) rule: Rule<E>,
}

/// The rows of the tables, as short as they can be.
impl<E> Field<E> {
    pub(crate) const fn bytes(
        name: &'static str,
        step: &'static str,
        len: usize,
        found: fn(&E) -> Option<Vec<u8>>,
    ) -> Self {
        Self { name, step, rule: Rule::Bytes { len, found } }
    }

    pub(crate) const fn number(
        name: &'static str,
        step: &'static str,
        bits: u32,
        found: fn(&E) -> Option<u64>,
    ) -> Self {
        Self { name, step, rule: Rule::Number { bits, found } }
    }
}

/// Numbers that one expectation is about, each with its name in messages.
pub(crate) type Parts = Vec<(&'static str, Option<u64>)>;

/// How an expectation is written, and what it is compared with. `None` is a field that this evidence does not have.
pub(crate) enum Rule<E: 'static> {
    /// Exactly these bytes.
    Bytes { len: usize, found: fn(&E) -> Option<Vec<u8>> },
    /// Exactly this number of at most so many bits.
    Number { bits: u32, found: fn(&E) -> Option<u64> },
    /// Exactly these eight bytes, little endian as in the evidence; or a number with 0x before it.
    Word { found: fn(&E) -> u64 },
    /// Exactly this text, upper and lower case alike: versions and names of vendors.
    Text { found: fn(&E) -> Option<String> },
    /// All of these are at least the number.
    Lowest { bits: u32, found: fn(&E) -> Parts },
    /// Each byte is at least the expected one at its place.
    LowestBytes { len: usize, found: fn(&E) -> Vec<u8> },
    /// All of these have every bit of the number.
    Bits { found: fn(&E) -> Parts },
}

/// One expectation of the user's.
pub(crate) struct Expectation<E: 'static> {
    field: &'static Field<E>,
    wanted: Wanted,
    /// The digits could be meant as decimal, and then mean something else.
    decimal: Option<u64>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Wanted {
    Bytes(Vec<u8>),
    Number(u64),
    Text(String),
}

/// All expectations of the user's.
pub(crate) struct Expectations<E: 'static>(Vec<Expectation<E>>);

/// The evidence says something else.
#[derive(Debug, Error)]
pub(crate) enum Mismatch {
    #[error("{name}: expected {expected}, got {found}{hint}")]
    Differs { name: String, expected: String, found: String, hint: String },
    #[error("{name}: expected {expected}, but this evidence has no such field")]
    Absent { name: String, expected: String },
    #[error("{name}: {part} is {found}, expected at least {expected}{hint}")]
    Below { name: String, part: String, expected: String, found: String, hint: String },
    #[error("{name}: {part} is {found}, which lacks bits of the expected {expected}")]
    Lacks { name: String, part: String, expected: String, found: String },
}

impl<E> Expectations<E> {
    /// Reads the values of `--expect`.
    pub(crate) fn parse(given: &[String], table: &'static [Field<E>]) -> Result<Self, Unusable> {
        let mut expectations: Vec<Expectation<E>> = Vec::new();
        for text in given {
            let (name, value) = text
                .split_once('=')
                .map(|(name, value)| (name.trim(), value.trim()))
                .filter(|(_, value)| !value.is_empty())
                .ok_or_else(|| Unusable::NotNameValue { text: text.clone() })?;
            let field = table.iter().find(|field| field.name == name).ok_or_else(|| unknown(name, table))?;
            if expectations.iter().any(|other| other.field.name == field.name) {
                return Err(Unusable::NameTwice { name: field.name });
            }
            let wanted = field.rule.parse(value).map_err(|why| Unusable::Expected {
                name: field.name,
                value: value.to_owned(),
                why,
            })?;
            expectations.push(Expectation { field, decimal: decimal(&wanted, value), wanted });
        }
        Ok(Self(expectations))
    }

    /// Those that a step's row shows.
    pub(crate) fn of_step(&self, step: &str) -> impl Iterator<Item = &Expectation<E>> {
        self.0.iter().filter(move |expectation| expectation.field.step == step)
    }

    /// The bytes that are expected by this name.
    pub(crate) fn bytes(&self, name: &str) -> Option<&[u8]> {
        let named = self.0.iter().find(|expectation| expectation.field.name == name)?;
        match &named.wanted {
            Wanted::Bytes(bytes) => Some(bytes),
            _ => None,
        }
    }

    /// Whether there is one with this name.
    pub(crate) fn names(&self, name: &str) -> bool {
        self.0.iter().any(|expectation| expectation.field.name == name)
    }
}

fn unknown<E>(name: &str, table: &[Field<E>]) -> Unusable {
    let known: Vec<&'static str> = table.iter().map(|field| field.name).collect();
    Unusable::UnknownName { name: name.to_owned(), nearest: input::nearest(name, &known), known }
}

/// The decimal reading of digits that were read as hexadecimal, where it is another number.
fn decimal(wanted: &Wanted, value: &str) -> Option<u64> {
    match wanted {
        Wanted::Number(number) => value.parse().ok().filter(|decimal| decimal != number),
        _ => None,
    }
}

impl<E> Rule<E> {
    fn parse(&self, value: &str) -> Result<Wanted, String> {
        match self {
            Self::Bytes { len, .. } | Self::LowestBytes { len, .. } => bytes(value, *len).map(Wanted::Bytes),
            Self::Number { bits, .. } | Self::Lowest { bits, .. } => number(value, *bits).map(Wanted::Number),
            Self::Bits { .. } => number(value, 64).map(Wanted::Number),
            Self::Word { .. } if value.starts_with("0x") => number(value, 64).map(Wanted::Number),
            Self::Word { .. } => {
                let word = bytes(value, 8)?.try_into().map(u64::from_le_bytes);
                word.map(Wanted::Number).map_err(|_| "eight bytes are needed".to_owned())
            }
            Self::Text { .. } => Ok(Wanted::Text(value.to_owned())),
        }
    }
}

fn bytes(value: &str, len: usize) -> Result<Vec<u8>, String> {
    let decoded =
        hex::decode(value).map_err(|error| format!("{len} bytes in hexadecimal are needed ({error})"))?;
    if decoded.len() == len {
        Ok(decoded)
    } else {
        Err(format!("{len} bytes ({} hexadecimal digits) are needed, these are {}", 2 * len, decoded.len()))
    }
}

fn number(value: &str, bits: u32) -> Result<u64, String> {
    let digits = value.strip_prefix("0x").unwrap_or(value);
    let plain = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
    let number = plain.then(|| u64::from_str_radix(digits, 16).ok()).flatten();
    let max = u64::MAX.checked_shr(64 - bits).unwrap_or_default();
    number.filter(|number| *number <= max).ok_or_else(|| {
        let meant = value.parse::<u64>().ok().filter(|decimal| *decimal <= max);
        let meant = meant.map(|decimal| format!("; decimal {decimal} is {decimal:#x}")).unwrap_or_default();
        format!("a hexadecimal number of at most {bits} bits is needed{meant}")
    })
}

impl<E> Expectation<E> {
    /// Compares with what the evidence says.
    pub(crate) fn check(&self, evidence: &E) -> Result<(), Mismatch> {
        match (&self.field.rule, &self.wanted) {
            (Rule::Bytes { found, .. }, Wanted::Bytes(wanted)) => {
                self.equal(wanted, found(evidence), |bytes| hex::encode(bytes))
            }
            (Rule::Number { found, .. }, Wanted::Number(wanted)) => self.equal(wanted, found(evidence), both),
            (Rule::Word { found }, Wanted::Number(wanted)) => {
                let show = |word: &u64| format!("{} ({word:#x})", hex::encode(word.to_le_bytes()));
                self.equal(wanted, Some(found(evidence)), show)
            }
            (Rule::Text { found }, Wanted::Text(wanted)) => {
                let found = found(evidence)
                    .map(|found| if found.eq_ignore_ascii_case(wanted) { wanted.clone() } else { found });
                self.equal(wanted, found, String::clone)
            }
            (Rule::Lowest { found, .. }, Wanted::Number(wanted)) => self.reach(*wanted, &found(evidence)),
            (Rule::LowestBytes { found, .. }, Wanted::Bytes(wanted)) => {
                self.each_reaches(wanted, &found(evidence))
            }
            (Rule::Bits { found }, Wanted::Number(wanted)) => self.contained(*wanted, &found(evidence)),
            // `Rule::parse` makes no other pair; if it ever did, nothing may pass
            (_, wanted) => Err(Mismatch::Absent { name: self.name(), expected: format!("{wanted:?}") }),
        }
    }

    fn name(&self) -> String {
        self.field.name.to_owned()
    }

    fn hint(&self) -> String {
        let hint = |decimal| format!("; numbers are hexadecimal: for decimal {decimal} write {decimal:#x}");
        self.decimal.map(hint).unwrap_or_default()
    }

    fn equal<T: PartialEq>(
        &self,
        wanted: &T,
        found: Option<T>,
        show: impl Fn(&T) -> String,
    ) -> Result<(), Mismatch> {
        let expected = show(wanted);
        match found {
            None => Err(Mismatch::Absent { name: self.name(), expected }),
            Some(found) if found == *wanted => Ok(()),
            Some(found) => {
                Err(Mismatch::Differs { name: self.name(), expected, found: show(&found), hint: self.hint() })
            }
        }
    }

    fn reach(&self, wanted: u64, parts: &[(&'static str, Option<u64>)]) -> Result<(), Mismatch> {
        for (part, found) in parts {
            let expected = both(&wanted);
            match found {
                None => return Err(Mismatch::Absent { name: self.name(), expected }),
                Some(found) if *found < wanted => {
                    let (part, found) = ((*part).to_owned(), both(found));
                    return Err(Mismatch::Below {
                        name: self.name(),
                        part,
                        expected,
                        found,
                        hint: self.hint(),
                    });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }

    fn each_reaches(&self, wanted: &[u8], found: &[u8]) -> Result<(), Mismatch> {
        let below = wanted.iter().zip(found).position(|(wanted, found)| found < wanted);
        match below {
            // equal lengths, or zip would ignore the tail
            None if wanted.len() == found.len() => Ok(()),
            below => Err(Mismatch::Below {
                name: self.name(),
                part: below.map_or_else(|| "the length".to_owned(), |place| format!("byte {place}")),
                expected: hex::encode(wanted),
                found: hex::encode(found),
                hint: String::new(),
            }),
        }
    }

    fn contained(&self, wanted: u64, parts: &[(&'static str, Option<u64>)]) -> Result<(), Mismatch> {
        for (part, found) in parts {
            let expected = format!("{wanted:#x}");
            match found {
                None => return Err(Mismatch::Absent { name: self.name(), expected }),
                Some(found) if found & wanted != wanted => {
                    let (part, found) = ((*part).to_owned(), format!("{found:#x}"));
                    return Err(Mismatch::Lacks { name: self.name(), part, expected, found });
                }
                Some(_) => {}
            }
        }
        Ok(())
    }
}

/// Decimal and hexadecimal, so that nobody must guess which it is.
fn both(number: &u64) -> String {
    format!("{number} ({number:#x})")
}

#[cfg(test)]
mod tests;
