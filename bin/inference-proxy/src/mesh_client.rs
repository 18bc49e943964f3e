//! The HTTP client for the secret service, over mesh TLS.

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use privatemode_manifest::workload::SECRET_SERVICE;
use privatemode_mesh::MeshIdentity;

/// A client that presents the present mesh certificate and accepts the secret service only.
pub(crate) struct MeshClient {
    identity: Arc<MeshIdentity>,
    timeout: Duration,
    current: Mutex<Option<Current>>,
}

/// The same path at each of several secret services over one store.
pub(crate) struct Services {
    urls: Vec<String>,
    preferred: AtomicUsize,
}

impl Services {
    /// At least one, as `https://HOST:PORT`.
    pub(crate) fn new(bases: &[String], path: &str) -> Self {
        assert!(!bases.is_empty(), "the settings name at least one");
        let urls = bases.iter().map(|base| format!("{}{path}", base.trim_end_matches('/'))).collect();
        Self { urls, preferred: AtomicUsize::new(0) }
    }

    /// All of them, the one that answered last first.
    pub(crate) fn in_order(&self) -> impl Iterator<Item = &str> {
        let first = self.preferred.load(Ordering::Relaxed);
        self.urls.iter().cycle().skip(first).take(self.urls.len()).map(String::as_str)
    }

    /// Begins with the next one from now on, if it is still this one.
    pub(crate) fn leave(&self, url: &str) {
        let Some(at) = self.urls.iter().position(|known| known == url) else { return };
        let next = (at + 1) % self.urls.len();
        let _ = self.preferred.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// A client with the certificate that it presents: when that was renewed, the client is made anew, because its open
/// connections still stand for the old one.
struct Current {
    leaf: Vec<u8>,
    client: reqwest::Client,
}

impl MeshClient {
    /// `timeout` is for one whole request.
    pub(crate) fn new(identity: Arc<MeshIdentity>, timeout: Duration) -> Self {
        Self { identity, timeout, current: Mutex::default() }
    }

    pub(crate) fn get(&self) -> Result<reqwest::Client, reqwest::Error> {
        let leaf = self.identity.leaf_der();
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(current) = current.as_ref().filter(|current| current.leaf == leaf) {
            return Ok(current.client.clone());
        }
        let client = reqwest::Client::builder()
            .tls_backend_preconfigured(self.identity.client_config(SECRET_SERVICE))
            .no_proxy()
            .timeout(self.timeout)
            .redirect(reqwest::redirect::Policy::none())
            .build()?;
        *current = Some(Current { leaf, client: client.clone() });
        Ok(client)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_that_failed_is_asked_last() {
        let services = Services::new(&["https://a:1/".to_owned(), "https://b:1".to_owned()], "/x");
        let order = || services.in_order().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(order(), ["https://a:1/x", "https://b:1/x"]);
        services.leave("https://a:1/x");
        // a second request that failed at the same one does not go round to it again
        services.leave("https://a:1/x");
        assert_eq!(order(), ["https://b:1/x", "https://a:1/x"]);
        services.leave("https://b:1/x");
        services.leave("https://c:1/x");
        assert_eq!(order(), ["https://a:1/x", "https://b:1/x"]);
    }
}
