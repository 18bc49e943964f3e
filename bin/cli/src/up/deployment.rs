//! What the parts of a deployment read: policies, the manifest that names them, and the gateway's certificate.
//!
//! The manifest names the platform of `up` and the digest of the very program that runs, so another build is another
//! manifest, and shows in the proxy's manifest log.

use std::fs::{self, File};
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use privatemode_manifest::generate::Entry;
use privatemode_manifest::{Role, workload};
use sha2::{Digest, Sha256};

use super::platform::Platform;
use crate::directory::DataDirectory;

/// The workloads of a deployment; each has one policy and one name in the mesh.
const WORKLOADS: [&str; 4] =
    [workload::COORDINATOR, workload::SECRET_SERVICE, workload::INFERENCE_PROXY, workload::GATEWAY];

/// The user of etcd that a workload is there: the common name of its certificate, and so its first name.
const ETCD_USERS: [(&str, &str); 2] =
    [(workload::SECRET_SERVICE, "root"), (workload::INFERENCE_PROXY, "continuum-etcd-client")];

/// Files that the parts are pointed to.
#[derive(Debug)]
pub(crate) struct Deployment {
    /// Where several coordinators keep their history.
    pub(crate) state: PathBuf,
    pub(crate) manifest: PathBuf,
    pub(crate) policies: PathBuf,
    pub(crate) tls_certificate: PathBuf,
    pub(crate) tls_key: PathBuf,
}

impl Deployment {
    /// Writes the files anew for the program at `program`.
    pub(crate) fn write(
        directory: &DataDirectory,
        program: &Path,
        platform: &Platform,
        etcd: bool,
    ) -> Result<Self> {
        let digest = file_digest(program)?;
        let policies = directory.policies();
        // A policy of an earlier program must not linger: the coordinator serves whatever lies here.
        for entry in fs::read_dir(&policies).context("cannot list the policies of an earlier start")? {
            fs::remove_file(entry?.path()).context("cannot remove a policy of an earlier start")?;
        }
        // So must a history: each start is a new deployment, whose seed nobody else has.
        let state = directory.state();
        if state.exists() {
            fs::remove_dir_all(&state).context("cannot remove the state of an earlier start")?;
        }
        let mut written = Vec::new();
        for name in WORKLOADS {
            let policy = policy(name, platform, &digest)?;
            directory.write_private(&policy_path(&policies, name), &policy)?;
            let user = ETCD_USERS.iter().filter(|(workload, _)| etcd && *workload == name);
            let sans: Vec<&str> = user.map(|(_, user)| *user).chain([name]).collect();
            written.push((name, sans, policy));
        }
        let entries: Vec<_> = written
            .iter()
            .map(|(name, sans, policy)| Entry {
                policy,
                sans,
                workload_secret_id: Some(name),
                role: if *name == workload::COORDINATOR { Role::Coordinator } else { Role::Workload },
            })
            .collect();
        directory.write_private(&directory.manifest(), &platform.manifest(&entries))?;
        let (tls_certificate, tls_key) = gateway_certificate(directory)?;
        Ok(Self { state, manifest: directory.manifest(), policies, tls_certificate, tls_key })
    }

    /// The policy file of the workload called `name`.
    pub(crate) fn policy(&self, name: &str) -> PathBuf {
        policy_path(&self.policies, name)
    }
}

fn policy_path(policies: &Path, name: &str) -> PathBuf {
    policies.join(format!("{name}.json"))
}

/// The text that stands for a workload's measured configuration where nothing measures it.
fn policy(name: &str, platform: &Platform, digest: &str) -> Result<Vec<u8>> {
    let policy = serde_json::json!({
        "platform": platform.name(),
        "workload": name,
        "program": concat!("privatemode ", env!("CARGO_PKG_VERSION")),
        "sha256": digest,
    });
    Ok(serde_json::to_vec_pretty(&policy)?)
}

fn file_digest(program: &Path) -> Result<String> {
    let mut file = File::open(program).with_context(|| format!("cannot read `{}`", program.display()))?;
    let mut hash = Sha256::new();
    let mut buffer = vec![0; 1 << 20];
    loop {
        match io::Read::read(&mut file, &mut buffer)
            .with_context(|| format!("cannot read `{}`", program.display()))?
        {
            0 => return Ok(hex::encode(hash.finalize())),
            count => hash.update(buffer.get(..count).unwrap_or_default()),
        }
    }
}

/// A fresh self-signed certificate for loopback: the proxy trusts exactly this one, for as long as both run.
fn gateway_certificate(directory: &DataDirectory) -> Result<(PathBuf, PathBuf)> {
    let key = rcgen::KeyPair::generate().context("cannot make a key for the gateway")?;
    let mut parameters = rcgen::CertificateParams::new(vec!["localhost".to_owned()])?;
    parameters.subject_alt_names.push(rcgen::SanType::IpAddress(IpAddr::V4(Ipv4Addr::LOCALHOST)));
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "privatemode gateway on this machine");
    let certificate = parameters.self_signed(&key).context("cannot make the gateway's certificate")?;
    let paths = (directory.gateway().join("tls-certificate.pem"), directory.gateway().join("tls-key.pem"));
    directory.write_private(&paths.0, certificate.pem().as_bytes())?;
    directory.write_private(&paths.1, key.serialize_pem().as_bytes())?;
    Ok(paths)
}

#[cfg(test)]
mod tests {
    use privatemode_manifest::Manifest;

    use super::*;

    #[test]
    fn the_manifest_names_every_policy_and_the_program() {
        let folder = tempfile::tempdir().unwrap();
        let directory = DataDirectory::locate(Some(folder.path())).unwrap();
        directory.prepare().unwrap();
        fs::write(directory.policies().join("stale.json"), "{}").unwrap();
        let program = folder.path().join("program");
        fs::write(&program, "one").unwrap();
        let deployment = Deployment::write(&directory, &program, &Platform::Simulated, false).unwrap();
        let first = Manifest::parse(&fs::read(&deployment.manifest).unwrap()).unwrap();
        assert!(first.is_simulated());
        assert_eq!(fs::read_dir(&deployment.policies).unwrap().count(), WORKLOADS.len());

        fs::write(&program, "another").unwrap();
        let deployment = Deployment::write(&directory, &program, &Platform::Simulated, true).unwrap();
        let second = Manifest::parse(&fs::read(&deployment.manifest).unwrap()).unwrap();
        assert_ne!(first.digest().to_string(), second.digest().to_string());
        // etcd knows its clients by their common names
        let names: Vec<_> = second.policies().map(|(_, entry)| entry.sans.clone()).collect();
        for sans in [["root", "secret-service"], ["continuum-etcd-client", "inference-proxy"]] {
            assert!(names.iter().any(|found| *found == sans), "{names:?}");
        }
    }
}
