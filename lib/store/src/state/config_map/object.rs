//! An entry as a ConfigMap. What others put beside our value is kept as it is.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Map, Value, json};

use super::{StateError, StateKey, error::ObjectError};

/// Before the key's name.
const PREFIX: &str = "contrast-store-";
/// Who looks after it.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "contrast.edgeless.systems");
/// Longest part of a foreign text in a message.
const SHOWN: usize = 80;

/// The name of the ConfigMap.
pub(super) fn name(key: &StateKey) -> String {
    format!("{PREFIX}{}-{}", key.folder(), key.name())
}

/// What was read.
#[derive(Debug)]
pub(super) struct Entry {
    pub(super) value: Vec<u8>,
    /// The resource version. Only for the API server: what it means is its own business.
    pub(super) version: String,
    object: Value,
}

impl Entry {
    /// The ConfigMap with another value, for an update of the version that was read.
    pub(super) fn with(mut self, key: &StateKey, value: &[u8]) -> Value {
        self.object["binaryData"] = json!({ key.name(): STANDARD.encode(value) });
        self.object
    }
}

/// A ConfigMap to be created.
pub(super) fn fresh(namespace: &str, key: &StateKey, value: &[u8]) -> Value {
    json!({
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": name(key),
            "namespace": namespace,
            "labels": { MANAGED_BY.0: MANAGED_BY.1 },
        },
        "binaryData": { key.name(): STANDARD.encode(value) },
    })
}

/// Reads a ConfigMap that should be the entry under `key`.
pub(super) fn read(key: &StateKey, json: &[u8], max: usize) -> Result<Entry, StateError> {
    let object = serde_json::from_slice(json).map_err(|source| ObjectError::Json { source });
    object.map_err(|error| foreign(key, error)).and_then(|object| of(key, object, max))
}

/// As [`read`], of an object that was parsed.
pub(super) fn of(key: &StateKey, object: Value, max: usize) -> Result<Entry, StateError> {
    let (wanted, found) = (name(key), text(&object, "/metadata/name"));
    if found != wanted {
        let found = found.chars().take(SHOWN).collect();
        return Err(foreign(key, ObjectError::OtherName { found, wanted }));
    }
    let version = text(&object, "/metadata/resourceVersion").to_owned();
    if version.is_empty() {
        return Err(foreign(key, ObjectError::NoVersion));
    }
    let values = object.get("binaryData").and_then(Value::as_object);
    let encoded = values.and_then(|values: &Map<String, Value>| values.get(&key.name())?.as_str());
    let encoded = encoded
        .ok_or_else(|| foreign(key, ObjectError::NoValue { name: wanted.clone(), value: key.name() }))?;
    let value = STANDARD
        .decode(encoded)
        .map_err(|source| foreign(key, ObjectError::Base64 { name: wanted, source }))?;
    super::check_length(key, &value, max)?;
    Ok(Entry { value, version, object })
}

/// A string in an object; empty when there is none.
pub(super) fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn foreign(key: &StateKey, error: ObjectError) -> StateError {
    StateError::Foreign { key: *key, source: error.into() }
}
