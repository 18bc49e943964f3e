//! Settings.

use std::{net::SocketAddr, path::PathBuf};

use privatemode_mesh::MeshArgs;
use privatemode_store::etcd::EtcdUrl;

use crate::{EngineTarget, ModelTasks};

/// Where claims are remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum ClaimsPlace {
    /// In the secret service.
    Mesh,
    /// In this process.
    Local,
}

/// The settings of the inference proxy.
#[derive(clap::Args)]
pub struct Config {
    /// Where the gateway connects, over mesh TLS.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8085")]
    pub listen: SocketAddr,
    /// Where health and metrics are served, over plain HTTP.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8185")]
    pub metrics_listen: SocketAddr,
    /// The inference engine: `http://HOST:PORT` or `unix:PATH`. What goes there is plain text.
    #[arg(long, value_name = "URL", default_value = "http://127.0.0.1:8008")]
    pub engine: EngineTarget,
    /// The engine's own key, if it wants one.
    #[arg(long, value_name = "KEY", env = "ENGINE_API_KEY", hide_env_values = true)]
    pub engine_api_key: Option<String>,
    /// How long the engine may take until an answer begins, and between two pieces of a stream, in seconds.
    #[arg(long, value_name = "SECONDS", default_value_t = 3600)]
    pub engine_timeout: u64,
    /// A secret service, over mesh TLS; repeat the flag for several that share a store.
    #[arg(long, value_name = "URL", default_value = "https://127.0.0.1:3000", value_delimiter = ',')]
    pub secret_service: Vec<String>,
    /// A member of etcd, once per member: secrets are watched there, and those that are missed looked up there. Without it they
    /// are looked up at the secret service. Our manifest entry begins with `continuum-etcd-client` then.
    #[arg(long, value_name = "URL")]
    pub etcd: Vec<EtcdUrl>,
    /// The workload name in etcd's mesh certificates.
    #[arg(long, value_name = "NAME", default_value = "etcd")]
    pub etcd_workload: String,
    /// Where sealed requests are claimed, so that each runs once: `mesh` asks the secret service, for all workers together;
    /// `local` remembers here and is right only for a worker that shares its secrets with no other.
    #[arg(long, value_name = "PLACE", value_enum, default_value_t = ClaimsPlace::Mesh)]
    pub claims: ClaimsPlace,
    /// What a model can do, as `MODEL=TASK,TASK`; once per model. Without it the engine's own word counts, or `generate`.
    #[arg(long, value_name = "MODEL=TASKS")]
    pub tasks: Vec<ModelTasks>,
    /// JSON file with the OCSP states of this worker's GPUs. Without it this is a worker without GPUs.
    #[arg(long, value_name = "FILE")]
    pub ocsp_status: Option<PathBuf>,
    /// Largest sealed request in bytes; sealing doubles a body.
    #[arg(long, value_name = "BYTES", default_value_t = 256 << 20)]
    pub max_body: usize,
    /// How long a request may take to arrive, in seconds: memory is held for it until then.
    #[arg(long, value_name = "SECONDS", default_value_t = 900, value_parser = clap::value_parser!(u64).range(1..))]
    pub upload_timeout: u64,
    /// Most bytes of memory for large requests at once; beyond that they are answered with 503. Small ones do not count. Never
    /// less than two of the largest requests.
    #[arg(long, value_name = "BYTES", default_value_t = 2 << 30)]
    pub max_buffered: usize,
    /// Identity and trust.
    #[command(flatten)]
    pub mesh: MeshArgs,
}
