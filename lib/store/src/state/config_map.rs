//! The state in Kubernetes: one ConfigMap per entry, with the names that the existing service gives them.
//!
//! `contrast-store-` and the key with `-` for `/` is the ConfigMap's name; its one binary value is called as the last part
//! of the key. A swap is an update of the resource version whose value was compared: of two, the API server refuses one.
//! Needs the rights get, create, update and watch on ConfigMaps, and no list.
//!
//! Four calls of one API, with a client of our own on hyper and rustls: the `kube` crate brings 154 more crates into
//! processes that hold keys, most of them for things that nobody here asks for. Speaks to the API server alone, never
//! through a proxy, believes no certificate authority but the cluster's, and reads token and authority again for each
//! connection, for they rotate. Each call has its connection: they are rare.
//!
//! The API server is trusted no more than any store: answers are capped, and the history is verified by whoever reads it.

mod client;
mod error;
mod object;
mod settings;
mod watch;

use std::time::Duration;

use http::{Method, StatusCode};

pub use error::ConfigMapError;
pub use settings::ConfigMapSettings;

use self::{
    client::Client,
    object::Entry,
    watch::{Followed, Watch},
};
use super::{MAX_ENTRY, StateError, StateKey, StateStore, SwapError, check_length};
use crate::StoreFuture;

/// What the API server accepts: the values of a ConfigMap together have at most 1 MiB. Names and labels do not count.
const MAX_CONFIG_MAP: usize = 1024 * 1024;
/// The longest entry here.
const MAX: usize = if MAX_ENTRY < MAX_CONFIG_MAP { MAX_ENTRY } else { MAX_CONFIG_MAP };
/// Watches that fail one after the other before [`ConfigMapState::changed`] gives up.
const MAX_FAILURES: u32 = 5;

/// Entries as ConfigMaps.
pub struct ConfigMapState {
    client: Client,
}

impl ConfigMapState {
    /// A store in the namespace of `settings`. Asks nobody yet.
    ///
    /// # Errors
    /// [`ConfigMapError::Setting`].
    pub fn new(settings: ConfigMapSettings) -> Result<Self, ConfigMapError> {
        Ok(Self { client: Client::new(settings.checked()?) })
    }

    fn settings(&self) -> &ConfigMapSettings {
        self.client.settings()
    }

    /// Path of all ConfigMaps of the namespace.
    fn all(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.settings().namespace)
    }

    fn one(&self, key: &StateKey) -> String {
        format!("{}/{}", self.all(), object::name(key))
    }

    async fn entry(&self, key: &StateKey) -> Result<Option<Entry>, StateError> {
        let reply = self.client.call(Method::GET, &self.one(key), None).await.map_err(unavailable)?;
        match reply.status {
            StatusCode::OK => object::read(key, &reply.body, MAX).map(Some),
            StatusCode::NOT_FOUND => Ok(None),
            _ => Err(unavailable(self.client.refused(&reply))),
        }
    }

    /// Whether it was created; false: there is one already.
    async fn create(&self, key: &StateKey, value: &[u8]) -> Result<bool, StateError> {
        check_length(key, value, MAX)?;
        let object = object::fresh(&self.settings().namespace, key, value);
        let reply = self.client.call(Method::POST, &self.all(), Some(&object)).await.map_err(unavailable)?;
        match reply.status {
            StatusCode::OK | StatusCode::CREATED => Ok(true),
            StatusCode::CONFLICT if reply.reason() == "AlreadyExists" => Ok(false),
            _ => Err(unavailable(self.client.refused(&reply))),
        }
    }

    /// Replaces an entry that is still as it was read.
    async fn replace(&self, key: &StateKey, entry: Entry, value: &[u8]) -> Result<(), SwapError> {
        check_length(key, value, MAX)?;
        let object = entry.with(key, value);
        let reply =
            self.client.call(Method::PUT, &self.one(key), Some(&object)).await.map_err(unavailable)?;
        match reply.status {
            StatusCode::OK => Ok(()),
            // another version, or none any more
            StatusCode::CONFLICT | StatusCode::NOT_FOUND => Err(SwapError::Lost),
            _ => Err(unavailable(self.client.refused(&reply)).into()),
        }
    }

    /// Watches on from `version` until the value is another than `seen` or must be read anew. No change is missed between
    /// two watches, for the second begins at the version where the first one ended.
    async fn watched(
        &self,
        mut version: Option<String>,
        seen: Option<&[u8]>,
    ) -> Result<Followed, StateError> {
        let mut failures = 0;
        loop {
            let error = match self.follow(&mut version, seen).await {
                Ok(Followed::Ended) => None,
                Ok(other) => return Ok(other),
                Err(error @ StateError::Unavailable(_)) => Some(error),
                Err(error) => return Err(error),
            };
            failures = if error.is_some() { failures + 1 } else { 0 };
            if let Some(error) = error.filter(|_| failures >= MAX_FAILURES) {
                return Err(error);
            }
            self.pause().await;
        }
    }

    async fn follow(
        &self,
        version: &mut Option<String>,
        seen: Option<&[u8]>,
    ) -> Result<Followed, StateError> {
        let path = watch::path(&self.all(), &StateKey::Latest, version.as_deref());
        let open = self.client.open(Method::GET, &path, None).await.map_err(unavailable)?;
        match open.status {
            StatusCode::OK => {
                let longest = watch::LONGEST + self.settings().timeout;
                let mut watch = Watch::new(open, &self.client);
                let followed = tokio::time::timeout(longest, watch.follow(version, seen, MAX)).await;
                // a connection that is silent for longer than the server keeps a watch is dead
                followed.unwrap_or(Ok(Followed::Ended))
            }
            StatusCode::GONE => Ok(Followed::Gone),
            _ => {
                let reply = self.client.finish(open).await.map_err(unavailable)?;
                Err(unavailable(self.client.refused(&reply)))
            }
        }
    }

    async fn pause(&self) {
        tokio::time::sleep(self.settings().pause).await;
    }
}

impl StateStore for ConfigMapState {
    fn get<'a>(&'a self, key: &'a StateKey) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move { Ok(self.entry(key).await?.map(|entry| entry.value)) })
    }

    fn put<'a>(&'a self, key: &'a StateKey, value: &'a [u8]) -> StoreFuture<'a, (), StateError> {
        Box::pin(async move { self.create(key, value).await.map(|_| ()) })
    }

    fn swap<'a>(&'a self, expected: Option<&'a [u8]>, new: &'a [u8]) -> StoreFuture<'a, (), SwapError> {
        const KEY: StateKey = StateKey::Latest;
        Box::pin(async move {
            let Some(expected) = expected else {
                return if self.create(&KEY, new).await? { Ok(()) } else { Err(SwapError::Lost) };
            };
            check_length(&KEY, new, MAX)?;
            match self.entry(&KEY).await? {
                Some(entry) if entry.value == expected => self.replace(&KEY, entry, new).await,
                _ => Err(SwapError::Lost),
            }
        })
    }

    fn changed<'a>(&'a self, seen: Option<&'a [u8]>) -> StoreFuture<'a, Option<Vec<u8>>, StateError> {
        Box::pin(async move {
            loop {
                let (value, version) = match self.entry(&StateKey::Latest).await? {
                    Some(entry) => (Some(entry.value), Some(entry.version)),
                    None => (None, None),
                };
                if value.as_deref() != seen {
                    return Ok(value);
                }
                match self.watched(version, seen).await? {
                    Followed::Changed(value) => return Ok(value),
                    // too much has happened since: what is there now is all that is left to know
                    Followed::Gone | Followed::Ended => self.pause().await,
                }
            }
        })
    }
}

/// The time that one call may take, unless the settings say otherwise.
const TIMEOUT: Duration = Duration::from_secs(15);
/// The pause between two watches, unless the settings say otherwise.
const PAUSE: Duration = Duration::from_secs(1);

fn unavailable(error: ConfigMapError) -> StateError {
    StateError::Unavailable(error.into())
}

#[cfg(test)]
mod tests;
