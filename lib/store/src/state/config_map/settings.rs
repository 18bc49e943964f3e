//! Where the API server is, and who we are to it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{ConfigMapError, PAUSE, TIMEOUT};

/// What Kubernetes puts into every pod with a service account.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// A namespace is a DNS label.
const MAX_NAMESPACE: usize = 63;

/// How to reach the API server.
#[derive(Clone, Debug)]
pub struct ConfigMapSettings {
    /// Its host: a name or an address.
    pub host: String,
    /// Its port.
    pub port: u16,
    /// The namespace of the ConfigMaps.
    pub namespace: String,
    /// File with the service account's token; read for each connection.
    pub token: PathBuf,
    /// File with the cluster's certificate authority, PEM; read for each connection.
    pub authority: PathBuf,
    /// How long one call may take.
    pub timeout: Duration,
    /// The pause after a watch that ended, before the next one.
    pub pause: Duration,
}

impl ConfigMapSettings {
    /// The settings that Kubernetes gives a pod. `variable` reads the environment.
    ///
    /// # Errors
    /// [`ConfigMapError::NotInCluster`], or a setting that means nothing.
    pub fn in_cluster(variable: impl Fn(&str) -> Option<String>) -> Result<Self, ConfigMapError> {
        Self::with_account(variable, Path::new(ACCOUNT))
    }

    /// As [`in_cluster`](Self::in_cluster), with the files of the service account in another folder.
    ///
    /// # Errors
    /// As well.
    pub fn with_account(
        variable: impl Fn(&str) -> Option<String>,
        account: &Path,
    ) -> Result<Self, ConfigMapError> {
        let of = |name: &'static str| {
            variable(name).filter(|value| !value.is_empty()).ok_or(ConfigMapError::NotInCluster { name })
        };
        let host = of("KUBERNETES_SERVICE_HOST")?;
        let port = of("KUBERNETES_SERVICE_PORT")?;
        let port = port
            .parse()
            .map_err(|_| ConfigMapError::Setting { name: "KUBERNETES_SERVICE_PORT", value: short(&port) })?;
        let path = account.join("namespace");
        let namespace = std::fs::read_to_string(&path).map_err(|source| ConfigMapError::File {
            what: "namespace",
            path,
            source,
        })?;
        let settings = Self {
            host,
            port,
            namespace: namespace.trim().to_owned(),
            token: account.join("token"),
            authority: account.join("ca.crt"),
            timeout: TIMEOUT,
            pause: PAUSE,
        };
        settings.checked()
    }

    /// The same settings, if they can be put into a URL.
    pub(super) fn checked(self) -> Result<Self, ConfigMapError> {
        let label = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        let namespace = &self.namespace;
        if namespace.is_empty() || namespace.len() > MAX_NAMESPACE || !namespace.bytes().all(label) {
            return Err(ConfigMapError::Setting { name: "namespace", value: short(namespace) });
        }
        if rustls::pki_types::ServerName::try_from(self.host.as_str()).is_err() {
            return Err(ConfigMapError::Setting {
                name: "KUBERNETES_SERVICE_HOST",
                value: short(&self.host),
            });
        }
        Ok(self)
    }

    /// `HOST:PORT`, as it stands in a URL.
    pub(super) fn authority_part(&self) -> String {
        let Self { host, port, .. } = self;
        if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
    }
}

fn short(value: &str) -> String {
    value.chars().take(80).collect()
}
