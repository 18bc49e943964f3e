//! The HTTP client for the secret service, over mesh TLS.

use std::{
    sync::{Arc, Mutex, PoisonError},
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
