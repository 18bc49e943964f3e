//! ConfigMaps with their versions and their past.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{
    Refusal,
    watch::{Event, Query, Stop, Watcher, body},
};
use crate::connection::FakeBody;

/// All values of one ConfigMap together.
const MAX_VALUES: usize = 1024 * 1024;

/// The objects of a cluster.
#[derive(Default)]
pub(super) struct Objects {
    objects: BTreeMap<String, Value>,
    /// Of the whole cluster, as with etcd behind it.
    version: u64,
    /// Versions up to this one are forgotten.
    compacted: u64,
    /// How somebody is told who asks for a forgotten version.
    gone_by_status: bool,
    history: Vec<Event>,
    watchers: Vec<Watcher>,
}

impl Objects {
    pub(super) fn get(&self, name: &str) -> Option<&Value> {
        self.objects.get(name)
    }

    pub(super) fn names(&self) -> Vec<String> {
        self.objects.keys().cloned().collect()
    }

    pub(super) fn create(&mut self, namespace: &str, mut object: Value) -> Result<Value, Refusal> {
        check(&object)?;
        let name = name_of(&object);
        if !object["metadata"]["resourceVersion"].is_null() {
            let said = "resourceVersion should not be set on objects to be created";
            return Err(Refusal::new(400, "BadRequest", said));
        }
        if object["metadata"]["namespace"] != namespace {
            let said = "the namespace of the object does not match the namespace on the request";
            return Err(Refusal::new(400, "BadRequest", said));
        }
        if self.objects.contains_key(&name) {
            return Err(Refusal::new(409, "AlreadyExists", &format!("configmaps \"{name}\" already exists")));
        }
        object["metadata"]["uid"] = json!(format!("uid-{}", self.version + 1));
        Ok(self.store("ADDED", object))
    }

    pub(super) fn replace(&mut self, name: &str, object: Value) -> Result<Value, Refusal> {
        check(&object)?;
        if name_of(&object) != name {
            let said = "the name of the object does not match the name on the URL";
            return Err(Refusal::new(400, "BadRequest", said));
        }
        let Some(current) = self.objects.get(name) else { return Err(Refusal::not_found(name)) };
        let version = &object["metadata"]["resourceVersion"];
        if !version.is_null() && *version != current["metadata"]["resourceVersion"] {
            let said = format!(
                "Operation cannot be fulfilled on configmaps \"{name}\": the object has been modified; please \
                 apply your changes to the latest version and try again"
            );
            return Err(Refusal::new(409, "Conflict", &said));
        }
        Ok(self.store("MODIFIED", object))
    }

    pub(super) fn force(&mut self, object: Value) {
        let kind = if self.objects.contains_key(&name_of(&object)) { "MODIFIED" } else { "ADDED" };
        self.store(kind, object);
    }

    pub(super) fn delete(&mut self, name: &str) {
        if let Some(mut object) = self.objects.remove(name) {
            self.version += 1;
            object["metadata"]["resourceVersion"] = json!(self.version.to_string());
            self.tell(Event { version: self.version, kind: "DELETED", object });
        }
    }

    pub(super) fn compact(&mut self, by_status: bool) {
        self.version += 1;
        self.compacted = self.version;
        self.gone_by_status = by_status;
        self.history.clear();
    }

    pub(super) fn bookmark(&mut self) {
        self.version += 1;
        let object = json!({
            "kind": "ConfigMap", "apiVersion": "v1",
            "metadata": {"resourceVersion": self.version.to_string(), "creationTimestamp": null},
        });
        let event = Event { version: self.version, kind: "BOOKMARK", object };
        self.watchers.retain(|watcher| !watcher.bookmarks || watcher.send(&event));
    }

    pub(super) fn stop_watches(&mut self, how: Stop) {
        for watcher in self.watchers.drain(..) {
            watcher.stop(how);
        }
    }

    pub(super) fn watches(&mut self) -> usize {
        self.watchers.retain(|watcher| !watcher.is_gone());
        self.watchers.len()
    }

    pub(super) fn watch(&mut self, query: &Query) -> Result<FakeBody, Refusal> {
        let (watcher, body) = body(query);
        match query.version {
            // no version: what is there, as if it had just been added
            None => {
                if let Some(object) = self.objects.get(&query.name) {
                    let event = Event { version: self.version, kind: "ADDED", object: object.clone() };
                    watcher.send(&event);
                }
            }
            Some(version) if version < self.compacted => {
                let gone = Refusal::new(410, "Expired", &format!("too old resource version: {version}"));
                if self.gone_by_status {
                    return Err(gone);
                }
                watcher.send(&Event { version: self.version, kind: "ERROR", object: gone.status });
                return Ok(body);
            }
            Some(version) => {
                for event in self.history.iter().filter(|event| event.version > version) {
                    watcher.send_if_selected(event);
                }
            }
        }
        self.watchers.push(watcher);
        Ok(body)
    }

    fn store(&mut self, kind: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.objects.insert(name_of(&object), object.clone());
        self.tell(Event { version: self.version, kind, object: object.clone() });
        object
    }

    fn tell(&mut self, event: Event) {
        self.watchers.retain(|watcher| watcher.send_if_selected(&event));
        self.history.push(event);
    }
}

fn name_of(object: &Value) -> String {
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}

fn check(object: &Value) -> Result<(), Refusal> {
    let invalid = |said: &str| Refusal::new(422, "Invalid", said);
    if object["kind"] != "ConfigMap" || object["apiVersion"] != "v1" {
        return Err(Refusal::new(400, "BadRequest", "it is no v1 ConfigMap"));
    }
    let name = name_of(object);
    let letter = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte);
    if name.is_empty() || name.len() > 253 || !name.bytes().all(letter) {
        return Err(invalid("metadata.name: a lowercase RFC 1123 subdomain"));
    }
    let mut length = 0;
    for (key, value) in object["binaryData"].as_object().into_iter().flatten() {
        let letter = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
        if key.is_empty() || key.len() > 253 || !key.bytes().all(letter) {
            return Err(invalid("binaryData: a key has alphanumeric characters, '-', '_' or '.'"));
        }
        let value = value.as_str().and_then(|value| STANDARD.decode(value).ok());
        length += value.ok_or_else(|| invalid("binaryData: no base64"))?.len();
    }
    if length > MAX_VALUES {
        return Err(invalid("Too long: may not be more than 1048576 bytes"));
    }
    Ok(())
}
