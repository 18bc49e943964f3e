//! Reads typed members out of [`Json`], with the path of each for the error. `null` counts as absent.

use crate::json::{Json, fold, join};
use crate::model::ManifestError;

/// Longest hexadecimal list entry: an RSA-8192 public key in DER has about 1.1 KiB.
const MAX_HEX: usize = 8192;
/// How much of a foreign value an error message shows.
const SHOWN: usize = 80;

/// An object whose members are taken one by one; what is left is unknown.
pub(super) struct Object<'a> {
    path: String,
    left: Vec<(&'a str, &'a Json)>,
}

impl<'a> Object<'a> {
    pub(super) fn new(path: &str, json: &'a Json) -> Result<Self, ManifestError> {
        let Json::Object(members) = json else {
            let path = if path.is_empty() { "the document" } else { path };
            return Err(ManifestError::WrongType { path: path.to_owned(), expected: "an object" });
        };
        let left = members.iter().map(|(name, value)| (name.as_str(), value)).collect();
        Ok(Self { path: path.to_owned(), left })
    }

    pub(super) fn path(&self, name: &str) -> String {
        join(&self.path, name)
    }

    /// The member called `name`, in any case.
    pub(super) fn take(&mut self, name: &str) -> Option<(String, &'a Json)> {
        let wanted = fold(name);
        let place = self.left.iter().position(|(name, _)| fold(name) == wanted)?;
        let (name, value) = self.left.swap_remove(place);
        (*value != Json::Null).then(|| (self.path(name), value))
    }

    /// What nobody took.
    pub(super) fn rest_into(mut self, unknown: &mut Vec<String>) {
        self.left.sort_unstable_by_key(|(name, _)| *name);
        unknown.extend(self.left.iter().map(|(name, _)| self.path(name)));
    }

    pub(super) fn text(&mut self, name: &str) -> Result<Option<&'a str>, ManifestError> {
        self.take(name).map(|(path, json)| text(path, json)).transpose()
    }

    pub(super) fn flag(&mut self, name: &str) -> Result<bool, ManifestError> {
        match self.take(name) {
            None => Ok(false),
            Some((_, Json::Bool(value))) => Ok(*value),
            Some((path, _)) => Err(ManifestError::WrongType { path, expected: "true or false" }),
        }
    }

    pub(super) fn number<N: TryFrom<u64>>(&mut self, name: &str) -> Result<Option<N>, ManifestError> {
        let Some((path, json)) = self.take(name) else {
            return Ok(None);
        };
        let number = match json {
            Json::Number(number) => number.as_u64().and_then(|number| N::try_from(number).ok()),
            _ => None,
        };
        let expected = "a whole number in the range of its field";
        number.map(Some).ok_or(ManifestError::WrongType { path, expected })
    }

    /// Bytes of a fixed length. An empty string counts as absent: generators leave one where a value must be filled in.
    pub(super) fn bytes<const N: usize>(&mut self, name: &str) -> Result<Option<[u8; N]>, ManifestError> {
        match self.take(name) {
            None => Ok(None),
            Some((_, Json::String(empty))) if empty.is_empty() => Ok(None),
            Some((path, json)) => bytes(path, json).map(Some),
        }
    }

    /// A list of byte strings of a fixed length.
    pub(super) fn byte_list<const N: usize>(
        &mut self,
        name: &str,
        max: usize,
    ) -> Result<Vec<[u8; N]>, ManifestError> {
        array(self.take(name), max)?.into_iter().map(|(path, json)| bytes(path, json)).collect()
    }
}

/// The elements of an optional array, with their paths.
pub(super) fn array(
    member: Option<(String, &Json)>,
    max: usize,
) -> Result<Vec<(String, &Json)>, ManifestError> {
    let Some((path, json)) = member else {
        return Ok(Vec::new());
    };
    let Json::Array(values) = json else {
        return Err(ManifestError::WrongType { path, expected: "an array" });
    };
    if values.len() > max {
        return Err(ManifestError::TooMany { path, max });
    }
    Ok(values.iter().enumerate().map(|(place, value)| (format!("{path}[{place}]"), value)).collect())
}

/// An optional array of strings.
pub(super) fn strings(member: Option<(String, &Json)>, max: usize) -> Result<Vec<String>, ManifestError> {
    array(member, max)?.into_iter().map(|(path, json)| text(path, json).map(str::to_owned)).collect()
}

/// An optional array of hexadecimal strings of any length.
pub(super) fn hex_list(member: Option<(String, &Json)>, max: usize) -> Result<Vec<Vec<u8>>, ManifestError> {
    let expected = "hexadecimal, and not empty";
    array(member, max)?
        .into_iter()
        .map(|(path, json)| {
            let digits = text(path.clone(), json)?;
            let usable = !digits.is_empty() && digits.len() <= MAX_HEX;
            let decoded = usable.then(|| hex::decode(digits).ok()).flatten();
            decoded.ok_or(ManifestError::WrongType { path, expected })
        })
        .collect()
}

/// Cuts foreign text for an error message.
pub(super) fn short(value: &str) -> String {
    value.chars().take(SHOWN).collect()
}

fn text(path: String, json: &Json) -> Result<&str, ManifestError> {
    match json {
        Json::String(value) => Ok(value),
        _ => Err(ManifestError::WrongType { path, expected: "a string" }),
    }
}

fn bytes<const N: usize>(path: String, json: &Json) -> Result<[u8; N], ManifestError> {
    let digits = text(path.clone(), json)?;
    let mut decoded = [0; N];
    hex::decode_to_slice(digits, &mut decoded).map_err(|_| ManifestError::Hex { path, bytes: N })?;
    Ok(decoded)
}
