//! A watch: events as lines of JSON, for as long as the server keeps the answer open.

use std::time::Duration;

use http_body_util::BodyExt as _;
use serde::Deserialize;
use serde_json::Value;

use super::{
    ConfigMapError, StateError, StateKey,
    client::{Client, MAX_OBJECT, Open},
    object::{self, text},
    unavailable,
};

/// How long the server shall keep a watch.
pub(super) const LONGEST: Duration = Duration::from_secs(240);
/// The event's object around a ConfigMap.
const MAX_LINE: usize = MAX_OBJECT + 256;
/// HTTP 410, also as a number within an event: the version is older than what the server remembers.
const GONE: u64 = 410;

/// What became of a watch.
#[derive(Debug)]
pub(super) enum Followed {
    /// The value is another one.
    Changed(Option<Vec<u8>>),
    /// It is over; watch on from the version.
    Ended,
    /// The version is too old to watch on from.
    Gone,
}

/// One event.
#[derive(Deserialize)]
struct Event {
    #[serde(rename = "type")]
    kind: String,
    object: Value,
}

/// The path of a watch on the ConfigMap of one key. Without a version it begins with what is there.
pub(super) fn path(all: &str, key: &StateKey, version: Option<&str>) -> String {
    let mut path = format!(
        "{all}?watch=true&allowWatchBookmarks=true&fieldSelector=metadata.name%3D{}&timeoutSeconds={}",
        object::name(key),
        LONGEST.as_secs()
    );
    if let Some(version) = version {
        path.push_str("&resourceVersion=");
        path.extend(version.bytes().map(escaped));
    }
    path
}

/// Without one, the next watch begins with what is there.
fn version_of(object: &Value) -> Option<String> {
    Some(text(object, "/metadata/resourceVersion").to_owned()).filter(|version| !version.is_empty())
}

/// A version is opaque, and so anything.
fn escaped(byte: u8) -> String {
    if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { format!("%{byte:02X}") }
}

/// The events of one answer.
pub(super) struct Watch<'a> {
    open: Open,
    client: &'a Client,
    /// What came and is no whole line yet.
    buffer: Vec<u8>,
    /// How much of it was searched for a line's end.
    searched: usize,
}

impl<'a> Watch<'a> {
    pub(super) fn new(open: Open, client: &'a Client) -> Self {
        Self { open, client, buffer: Vec::new(), searched: 0 }
    }

    /// Reads events until the value is another than `seen`. Keeps `version` up to date.
    pub(super) async fn follow(
        &mut self,
        version: &mut Option<String>,
        seen: Option<&[u8]>,
        max: usize,
    ) -> Result<Followed, StateError> {
        const KEY: StateKey = StateKey::Latest;
        while let Some(line) = self.line().await.map_err(unavailable)? {
            let event: Event = serde_json::from_slice(&line).map_err(|source| {
                unavailable(ConfigMapError::Event { server: self.client.server(), source })
            })?;
            let value = match event.kind.as_str() {
                "ADDED" | "MODIFIED" => {
                    let entry = object::of(&KEY, event.object, max)?;
                    *version = Some(entry.version);
                    Some(entry.value)
                }
                "DELETED" => {
                    *version = version_of(&event.object);
                    None
                }
                "BOOKMARK" => {
                    *version = version_of(&event.object);
                    continue;
                }
                "ERROR" => return self.ended(&event.object).map_err(unavailable),
                // an event that this version does not know
                _ => continue,
            };
            if value.as_deref() != seen {
                return Ok(Followed::Changed(value));
            }
        }
        Ok(Followed::Ended)
    }

    fn ended(&self, status: &Value) -> Result<Followed, ConfigMapError> {
        let code = status.get("code").and_then(Value::as_u64).unwrap_or(500);
        if code == GONE {
            return Ok(Followed::Gone);
        }
        Err(self.client.refusal(u16::try_from(code).unwrap_or(500), status))
    }

    /// The next line; none when the answer is over.
    async fn line(&mut self) -> Result<Option<Vec<u8>>, ConfigMapError> {
        loop {
            let fresh = self.buffer.get(self.searched..).unwrap_or_default();
            if let Some(end) = fresh.iter().position(|byte| *byte == b'\n') {
                let rest = self.buffer.split_off(self.searched + end + 1);
                self.searched = 0;
                let line = std::mem::replace(&mut self.buffer, rest);
                if line.trim_ascii().is_empty() {
                    continue;
                }
                return Ok(Some(line));
            }
            self.searched = self.buffer.len();
            let Some(frame) = self.open.body.frame().await else { return Ok(None) };
            let Ok(data) = frame.map_err(|source| self.client.broken(source))?.into_data() else { continue };
            if self.buffer.len() + data.len() > MAX_LINE {
                return Err(self.client.too_long());
            }
            self.buffer.extend_from_slice(&data);
        }
    }
}
