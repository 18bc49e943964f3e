//! What may be wrong with the API server, or with how we are set up to ask it.

use std::{io, path::PathBuf, time::Duration};

/// Why the API server did not do as it was told.
#[derive(Debug, thiserror::Error)]
pub enum ConfigMapError {
    /// No variables of a pod.
    #[error("there is no {name} in the environment: ConfigMaps are a store for pods in Kubernetes only")]
    NotInCluster {
        /// The variable.
        name: &'static str,
    },
    /// A setting that cannot be used.
    #[error("the setting {name} cannot be `{value}`")]
    Setting {
        /// Which.
        name: &'static str,
        /// What it is, cut.
        value: String,
    },
    /// A file of the service account.
    #[error("cannot read the service account's {what} in `{}`; the pod needs a service account whose token is mounted", path.display())]
    File {
        /// What it has.
        what: &'static str,
        /// Where.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A token that fits no header.
    #[error("`{}` has no token in it", path.display())]
    Token {
        /// Where.
        path: PathBuf,
    },
    /// No certificate in the authority's file.
    #[error("`{}` has no certificate authority in it", path.display())]
    Authority {
        /// Where.
        path: PathBuf,
    },
    /// TLS cannot be set up.
    #[error("TLS to the API server cannot be set up")]
    Tls {
        /// Why.
        source: rustls::Error,
    },
    /// No connection, or not to the cluster's API server.
    #[error("no connection to the API server at {server}; check the network policy")]
    Connect {
        /// Whom.
        server: String,
        /// Why.
        source: io::Error,
    },
    /// The connection broke.
    #[error("the connection to the API server at {server} broke")]
    Broken {
        /// Whom.
        server: String,
        /// Why.
        source: hyper::Error,
    },
    /// No answer in time.
    #[error("the API server at {server} did not answer within {after:?}")]
    Timeout {
        /// Whom.
        server: String,
        /// The time.
        after: Duration,
    },
    /// It says no.
    #[error(
        "the API server at {server} refused with {status} ({reason}): {message}; the service account needs get, create, update and watch on ConfigMaps"
    )]
    Refused {
        /// Whom.
        server: String,
        /// HTTP status.
        status: u16,
        /// In one word.
        reason: String,
        /// In several, cut.
        message: String,
    },
    /// More than any ConfigMap has.
    #[error("the API server at {server} sends more than {max} bytes for one ConfigMap")]
    TooLong {
        /// Whom.
        server: String,
        /// Most bytes.
        max: usize,
    },
    /// Not what a watch sends.
    #[error("the API server at {server} sends an event that is none")]
    Event {
        /// Whom.
        server: String,
        /// Where and why.
        source: serde_json::Error,
    },
}

/// Why a ConfigMap is no entry of ours.
#[derive(Debug, thiserror::Error)]
pub(super) enum ObjectError {
    #[error("it is no ConfigMap in JSON")]
    Json { source: serde_json::Error },
    #[error("it is the ConfigMap `{found}`, not `{wanted}`")]
    OtherName { found: String, wanted: String },
    #[error("it has no resource version")]
    NoVersion,
    #[error("the ConfigMap `{name}` has no binary value `{value}`; somebody else wrote it: remove it")]
    NoValue { name: String, value: String },
    #[error("the ConfigMap `{name}` has a binary value that is not base64")]
    Base64 { name: String, source: base64::DecodeError },
}
