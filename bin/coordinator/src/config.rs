//! Settings of the coordinator. Flag, environment variable and file key have the same name.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use privatemode_attest::SimulatedAllowed;
use privatemode_collateral::CollateralArgs;
use privatemode_mesh::PlatformName;

use crate::place::StatePlace;

/// Settings of the coordinator.
#[derive(Debug, Clone, clap::Args)]
pub struct Config {
    /// A manifest to set at start, if nothing was ever set; clients expect it byte for byte. Without it the first one is set
    /// with `privatemode manifest set`.
    #[arg(long, value_name = "FILE", requires = "policies")]
    pub manifest: Option<PathBuf>,

    /// Folder with the policies that `--manifest` names: one file each, nothing else.
    #[arg(long, value_name = "DIR", requires = "manifest")]
    pub policies: Option<PathBuf>,

    /// Where the history of the deployment is kept, for all its coordinators: memory, directory:PATH, etcd:URL[,URL…] or kubernetes.
    /// In memory a restart is a new deployment, which clients notice and verify anew.
    #[arg(long, value_name = "PLACE", default_value_t = StatePlace::Memory)]
    pub state: StatePlace,

    /// The coordinator's own policy; every manifest must give it the role `coordinator`.
    #[arg(long, value_name = "FILE")]
    pub own_policy: PathBuf,

    /// What makes the evidence.
    #[arg(long, value_enum)]
    pub platform: PlatformName,

    /// Attest without hardware: nothing is protected. For development only.
    #[cfg(feature = "simulated")]
    #[arg(long)]
    pub danger_simulated: bool,

    /// DANGER, for tests: FAKE SEV-SNP reports, made from the files in this folder: no hardware protects anything. Needs
    /// `--platform snp`; who verifies them needs `--danger-amd-root`.
    #[cfg(feature = "simulated")]
    #[arg(long, value_name = "DIR")]
    pub danger_fake_snp: Option<PathBuf>,

    #[command(flatten)]
    pub collateral: CollateralArgs,

    /// Where clients and the gateway attest the deployment.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1314")]
    pub http_listen: SocketAddr,

    /// The same over attested TLS, for owners who set manifests and recover.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:1313")]
    pub user_listen: SocketAddr,

    /// Where initializers and other coordinators call, over mutual attested TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7777")]
    pub mesh_listen: SocketAddr,

    /// Where our own workloads join the mesh, over plain HTTP: nothing that is said there is secret.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:7776")]
    pub join_listen: SocketAddr,

    /// The mesh port of another coordinator of this deployment, asked for its state when this one has none; repeat the flag
    /// for several.
    #[arg(long, value_name = "HOST:PORT", value_delimiter = ',')]
    pub peer: Vec<String>,

    /// Where probes and metrics are answered.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9102")]
    pub probe_listen: SocketAddr,
}

impl Config {
    /// The run-time switch for simulated evidence, if it was given and the build has it.
    pub fn simulated(&self) -> Option<SimulatedAllowed> {
        #[cfg(feature = "simulated")]
        return self.danger_simulated.then(SimulatedAllowed::danger_accept_simulated);
        #[cfg(not(feature = "simulated"))]
        None
    }

    /// The folder of fake reports, if it was given and the build has them.
    pub fn fake_snp(&self) -> Option<&Path> {
        #[cfg(feature = "simulated")]
        return self.danger_fake_snp.as_deref();
        #[cfg(not(feature = "simulated"))]
        None
    }
}
