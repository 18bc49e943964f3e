//! Flags and files into bytes: sizes capped, faults named with the flag that they came by.
//!
//! Everything that fails here is *unusable input* (exit code 2): there was nothing to give a verdict on.

use std::error::Error as StdError;
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use privatemode_attest::UnixTime;
use thiserror::Error;

/// Why there is nothing to verify.
#[derive(Debug, Error)]
pub(crate) enum Unusable {
    #[error("cannot read {flag} `{}`: check the path and that you may read it", path.display())]
    Read { flag: &'static str, path: PathBuf, source: io::Error },
    #[error("{flag} `{}` is a directory, but a file is needed", path.display())]
    Directory { flag: &'static str, path: PathBuf },
    #[error("{flag} `{}` is empty", path.display())]
    Empty { flag: &'static str, path: PathBuf },
    #[error("{flag} `{}` has more than {max} bytes, which no such file has: is it the right one?", path.display())]
    TooLong { flag: &'static str, path: PathBuf, max: usize },
    #[error("standard input can be read once, but {first} and {second} are both `-`")]
    StandardInputTwice { first: &'static str, second: &'static str },
    #[error("{flag} `{}` is not {what}{}", path.display(), hint(*.looks_like))]
    Form {
        flag: &'static str,
        path: PathBuf,
        what: &'static str,
        looks_like: Option<&'static str>,
        source: Box<dyn StdError + Send + Sync>,
    },
    #[error("{flag} `{value}` is not {what}")]
    Value { flag: &'static str, value: String, what: String },
    #[error(
        "--manifest needs --expect report_data=…: a manifest says what may run, and not for whom the evidence was made, so that a replayed report would pass"
    )]
    ManifestWithoutReportData,
    #[error("--expect `{text}` is not NAME=VALUE")]
    NotNameValue { text: String },
    #[error("--expect knows no `{name}` here{}; it knows {}", did_you_mean(.nearest), .known.join(", "))]
    UnknownName { name: String, nearest: Option<&'static str>, known: Vec<&'static str> },
    #[error("--expect gives `{name}` twice: only one of them can hold")]
    NameTwice { name: &'static str },
    #[error("--expect {name}=`{value}`: {why}")]
    Expected { name: &'static str, value: String, why: String },
}

/// Reads files; standard input at most once.
#[derive(Debug, Default)]
pub(crate) struct Files {
    standard_input: Option<&'static str>,
}

impl Files {
    /// All bytes of the file that `flag` names, `max` of them at most. `-` is standard input.
    pub(crate) fn read(&mut self, flag: &'static str, path: &Path, max: usize) -> Result<Vec<u8>, Unusable> {
        let failed = |source| Unusable::Read { flag, path: path.to_owned(), source };
        if path.as_os_str() == "-" {
            if let Some(first) = self.standard_input.replace(flag) {
                return Err(Unusable::StandardInputTwice { first, second: flag });
            }
            return capped(flag, path, max, io::stdin().lock());
        }
        let file = File::open(path).map_err(failed)?;
        if file.metadata().map_err(failed)?.is_dir() {
            return Err(Unusable::Directory { flag, path: path.to_owned() });
        }
        capped(flag, path, max, file)
    }
}

fn capped(flag: &'static str, path: &Path, max: usize, mut source: impl Read) -> Result<Vec<u8>, Unusable> {
    let mut bytes = Vec::new();
    // one byte more than allowed is enough to know: a device that never ends must not fill the memory
    let limit = u64::try_from(max).unwrap_or(u64::MAX).saturating_add(1);
    source.by_ref().take(limit).read_to_end(&mut bytes).map_err(|source| Unusable::Read {
        flag,
        path: path.to_owned(),
        source,
    })?;
    match bytes.len() {
        0 => Err(Unusable::Empty { flag, path: path.to_owned() }),
        len if len > max => Err(Unusable::TooLong { flag, path: path.to_owned(), max }),
        _ => Ok(bytes),
    }
}

/// The error for bytes that are not what `flag` needs, with a guess at what they are instead.
pub(crate) fn wrong_form(
    flag: &'static str,
    path: &Path,
    what: &'static str,
    bytes: &[u8],
    source: impl StdError + Send + Sync + 'static,
) -> Unusable {
    let looks_like = looks_like(bytes);
    Unusable::Form { flag, path: path.to_owned(), what, looks_like, source: Box::new(source) }
}

/// What a file seems to be, to help somebody who exchanged two of them.
fn looks_like(bytes: &[u8]) -> Option<&'static str> {
    let text = bytes.trim_ascii_start();
    let starts = |prefix: &[u8]| text.starts_with(prefix);
    if starts(b"-----BEGIN CERTIFICATE-----") {
        Some("a certificate in PEM")
    } else if starts(b"-----BEGIN") {
        Some("PEM, but no certificate")
    } else if starts(b"{") || starts(b"[") {
        Some("JSON")
    } else if starts(b"<") {
        Some("XML")
    } else if bytes.starts_with(&[0x30, 0x82]) {
        Some("a certificate, revocation list or OCSP response in DER")
    } else if bytes.starts_with(&[0x11, 0xe0]) || bytes.starts_with(&[0x12, 0xe0]) {
        Some("an NVIDIA measurement report")
    } else if matches!(bytes, [3..=5, 0, 2 | 3, 0, 0 | 0x81, 0, 0, 0, ..]) {
        Some("an SGX or TDX quote")
    } else if bytes.len() == 1184 {
        Some("an SEV-SNP report")
    } else {
        None
    }
}

fn hint(looks_like: Option<&'static str>) -> String {
    looks_like.map(|what| format!("; it looks like {what}: were two files exchanged?")).unwrap_or_default()
}

fn did_you_mean(nearest: &Option<&'static str>) -> String {
    nearest.map(|name| format!(", did you mean `{name}`?")).unwrap_or_default()
}

/// A time with its offset from UTC, whole seconds; or `now`.
pub(crate) fn parse_time(text: &str) -> Result<UnixTime, String> {
    let form = "is not a time such as 2026-01-31T12:00:00Z, nor `now`";
    let time = if text == "now" {
        jiff::Timestamp::now()
    } else {
        // the library reads more than RFC 3339, as a time without seconds
        if text.len() < "2026-01-31T12:00:00Z".len()
            || text.as_bytes().get(10).is_none_or(|byte| *byte != b'T')
        {
            return Err(form.to_owned());
        }
        text.parse().map_err(|_| form.to_owned())?
    };
    let seconds = u64::try_from(time.as_second()).map_err(|_| "is before 1970".to_owned())?;
    Ok(UnixTime(seconds))
}

/// The name among `known` that differs least from `name`, if it differs little.
pub(crate) fn nearest(name: &str, known: &[&'static str]) -> Option<&'static str> {
    let (distance, best) = known.iter().map(|each| (distance(name, each), *each)).min()?;
    (distance <= 1 + best.len() / 4).then_some(best)
}

/// Levenshtein distance, upper and lower case alike.
fn distance(one: &str, other: &str) -> usize {
    let (one, other) = (one.to_ascii_lowercase(), other.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=other.chars().count()).collect();
    for (line, from) in one.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = line + 1;
        for (column, to) in other.chars().enumerate() {
            let above = row[column + 1];
            let changed = diagonal + usize::from(from != to);
            row[column + 1] = changed.min(above + 1).min(row[column] + 1);
            diagonal = above;
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests;
