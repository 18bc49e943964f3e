//! etcd as the mesh sees it: its URLs, the workload that it is, and who may do what in it.

use std::sync::Arc;

use anyhow::Context as _;
use privatemode_mesh::MeshIdentity;
use privatemode_service::Faults;
use privatemode_store::{
    SECRETS_PREFIX,
    etcd::{AuthError, Etcd, EtcdTimeouts, EtcdUrl, ReadOnly},
};

/// The user that writes. etcd lets it do everything.
const WRITER: &str = "root";
/// The user as which workers read secrets: the first name in their manifest entries.
const READER: &str = "continuum-etcd-client";

/// Adds what is wrong with the URLs.
pub(crate) fn check(urls: &[EtcdUrl], faults: &mut Faults) {
    for url in urls.iter().filter(|url| !url.is_tls() && !url.is_loopback()) {
        faults.add(format!(
            "--etcd {url}: secrets would cross the network in plain, and anybody could read them: use https"
        ));
    }
}

/// A client with our mesh certificate, for members that are the workload `name`.
pub(crate) fn client(urls: &[EtcdUrl], name: &str, identity: &MeshIdentity) -> anyhow::Result<Etcd> {
    if urls.iter().any(|url| !url.is_tls()) {
        tracing::warn!("--etcd is plain HTTP: whoever is on this machine can read and write secrets");
    }
    let tls = Arc::new(identity.client_config(name));
    Etcd::new(urls, Some(tls), EtcdTimeouts::default()).context("cannot use --etcd")
}

/// Whether we set up users and roles: only as the user that keeps its rights, and only where certificates name users.
pub(crate) fn sets_up_auth(urls: &[EtcdUrl], identity: &MeshIdentity) -> bool {
    if !urls.iter().all(EtcdUrl::is_tls) {
        return false;
    }
    let name = identity.name();
    if name != WRITER {
        tracing::warn!(
            name,
            "etcd knows us by the first name of our manifest entry, and only `root` may write where users are set up"
        );
    }
    name == WRITER
}

/// `root` writes; workers read secrets, and nothing else. Idempotent.
pub(crate) async fn set_up_auth(etcd: &Etcd) -> Result<(), AuthError> {
    etcd.set_up_auth(&[ReadOnly { user: READER, prefix: SECRETS_PREFIX }]).await
}
