//! The configuration file: flat TOML, values as the texts that the flags would have had.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

/// A configuration file is never this large.
const MAX_FILE: u64 = 1024 * 1024;

/// Texts by key, or why a value cannot be one.
pub(super) type FileValues = BTreeMap<String, Result<Vec<String>, &'static str>>;

/// Why the file as a whole is of no use.
#[derive(Debug, thiserror::Error)]
pub(super) enum FileError {
    #[error("cannot read the configuration file `{path}`")]
    Read { path: PathBuf, source: std::io::Error },
    #[error("the configuration file `{path}` has more than 1 MiB")]
    TooLarge { path: PathBuf },
    #[error("the configuration file `{path}` is not valid TOML")]
    Toml { path: PathBuf, source: Box<toml::de::Error> },
}

pub(super) fn read(path: &Path) -> Result<FileValues, FileError> {
    let failed = |source| FileError::Read { path: path.to_owned(), source };
    if fs::metadata(path).map_err(failed)?.len() > MAX_FILE {
        return Err(FileError::TooLarge { path: path.to_owned() });
    }
    let text = fs::read_to_string(path).map_err(failed)?;
    let table: toml::Table =
        text.parse().map_err(|source| FileError::Toml { path: path.to_owned(), source: Box::new(source) })?;
    Ok(table.into_iter().map(|(key, value)| (key, texts(value))).collect())
}

fn texts(value: toml::Value) -> Result<Vec<String>, &'static str> {
    match value {
        toml::Value::Array(values) => values.into_iter().map(text).collect(),
        value => text(value).map(|text| vec![text]),
    }
}

fn text(value: toml::Value) -> Result<String, &'static str> {
    Ok(match value {
        toml::Value::String(text) => text,
        toml::Value::Integer(number) => number.to_string(),
        toml::Value::Float(number) => number.to_string(),
        toml::Value::Boolean(yes) => yes.to_string(),
        toml::Value::Datetime(time) => time.to_string(),
        toml::Value::Array(_) => return Err("a list inside a list has no flag"),
        toml::Value::Table(_) => return Err("a table has no flag; settings are flat"),
    })
}
