//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::command::attest::args::Attest;
use crate::command::manifest::args::Manifest;
use crate::command::receipt::args::Receipt;
use crate::command::verify::args::Verify;
use crate::up::component::Component;

/// AI inference whose operator cannot read the data.
#[derive(Debug, Parser)]
#[command(name = "privatemode", version, propagate_version = true)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Bring the whole stack up on this machine (SIMULATED evidence)
    Up(Up),
    /// Create, list and revoke API keys
    Keys(Keys),
    /// Export what the gateway has on record of single requests
    Usage(Usage),
    /// List the models that a running deployment serves
    Models(Models),
    /// Verify attestation evidence from files: an SEV-SNP report, a TDX quote, a GPU's measurements
    Attest(Attest),
    /// Make, compare and sign manifests, and put them in force
    Manifest(Manifest),
    /// Show, verify and reconcile the receipts that workers sign
    Receipt(Receipt),
    /// Verify a deployment, step by step: a running one, or one that was saved
    Verify(Box<Verify>),
    /// Print completions for a shell
    Completions {
        /// The shell to complete for
        shell: clap_complete::Shell,
    },
    /// Print the manual page
    Man,
    /// Run one part of the stack in the foreground: coordinator, secret-service, inference-proxy, gateway, proxy or engine
    #[command(disable_help_flag = true)]
    Service {
        /// The part and its flags; `privatemode service PART --help` lists them
        #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
        part: Vec<String>,
    },
}

/// Where everything of one deployment lies.
#[derive(Debug, Args)]
pub(crate) struct Directory {
    /// Data directory: keys, usage, manifests, logs [default: the user's data directory]
    #[arg(long, env = "PRIVATEMODE_DIR", value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct Up {
    #[command(flatten)]
    pub(crate) directory: Directory,

    /// Model to serve: `demo`, a directory, a .gguf file, or a model hub's name such as `org/name`
    #[arg(
        long,
        env = "PRIVATEMODE_MODEL",
        default_value = "demo",
        value_name = "MODEL",
        conflicts_with = "upstream"
    )]
    pub(crate) model: String,

    /// Model hub to fetch from [default: the public one]
    #[arg(long, env = "HF_ENDPOINT", value_name = "URL")]
    pub(crate) hub_url: Option<String>,

    /// Use this OpenAI-compatible engine instead of the embedded one
    #[arg(long, env = "PRIVATEMODE_UPSTREAM", value_name = "URL")]
    pub(crate) upstream: Option<String>,

    /// File with the API key that the engine at --upstream wants
    #[arg(long, env = "PRIVATEMODE_UPSTREAM_KEY_FILE", value_name = "FILE", requires = "upstream")]
    pub(crate) upstream_key_file: Option<PathBuf>,

    /// Port of the endpoint on loopback; 0 picks a free one [default: 8080, or a free one when that is taken]
    #[arg(long, env = "PRIVATEMODE_PORT", value_name = "PORT")]
    pub(crate) port: Option<u16>,

    /// Port of the gateway on loopback; 0 picks a free one
    #[arg(long, env = "PRIVATEMODE_GATEWAY_PORT", default_value_t = 0, value_name = "PORT")]
    pub(crate) gateway_port: u16,

    /// Port of the coordinator on loopback; 0 picks a free one
    #[arg(long, env = "PRIVATEMODE_COORDINATOR_PORT", default_value_t = 0, value_name = "PORT")]
    pub(crate) coordinator_port: u16,

    /// Use a real component in the place of an embedded one: `etcd=URL[,URL…]` keeps secrets and claims in etcd. Plain HTTP is
    /// for an etcd on this machine
    #[arg(long, env = "PRIVATEMODE_WITH", value_name = "COMPONENT=URL")]
    pub(crate) with: Vec<Component>,

    /// How many coordinators run, each as a process; they share a state directory and heal each other
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) coordinators: u8,

    /// How many secret services run; several of them need `--with etcd=URL`
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) secret_services: u8,

    /// How many workers run in front of the engine
    #[arg(long, default_value_t = 1, value_name = "COUNT", value_parser = clap::value_parser!(u8).range(1..=9))]
    pub(crate) workers: u8,

    /// One random prompt-cache salt for all requests without their own, instead of a new one for each
    #[arg(long, env = "PRIVATEMODE_SHARED_PROMPT_CACHE")]
    pub(crate) shared_prompt_cache: bool,

    /// Protocol of the endpoint: `auto` (sealed bodies), `sealed`, or `compatible` (a downgrade)
    #[arg(long, env = "PRIVATEMODE_PROTOCOL", default_value = "auto", value_name = "PROTOCOL",
        value_parser = ["auto", "sealed", "compatible"])]
    pub(crate) protocol: String,

    /// How sealed bodies hide lengths: `off`, `bucket` or `constant`
    #[arg(long, env = "PRIVATEMODE_PADDING", default_value = "bucket", value_name = "PADDING")]
    pub(crate) padding: String,

    /// Keep the worker's signed receipt of every request in this folder
    #[arg(long, env = "PRIVATEMODE_RECEIPTS", value_name = "DIR")]
    pub(crate) receipts: Option<PathBuf>,

    /// DANGER, for tests: run on FAKE SEV-SNP reports, made from the files in this folder, under the root in its `ark.der`.
    /// Everything verifies as on such machines; no hardware protects anything, and that is said wherever it shows
    #[arg(long, value_name = "DIR")]
    pub(crate) danger_fake_snp: Option<PathBuf>,

    /// Where the documents are that fake reports do not bring along; without it nobody is asked
    #[arg(long, value_name = "URL", requires = "danger_fake_snp")]
    pub(crate) amd_kds_url: Option<String>,

    /// How much each part logs into DIR/logs
    #[arg(long, short = 'l', env = "PRIVATEMODE_LOG_LEVEL", default_value = "info", value_name = "LEVEL")]
    pub(crate) log_level: String,

    /// Print one line of JSON on standard output when ready, and nothing else there
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Keys {
    #[command(subcommand)]
    pub(crate) action: KeysAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum KeysAction {
    /// Create a key; it is shown once
    Create {
        #[command(flatten)]
        directory: Directory,
        /// What the key is for
        #[arg(default_value = "unnamed")]
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys with what they used
    List {
        #[command(flatten)]
        directory: Directory,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Revoke a key
    Revoke {
        #[command(flatten)]
        directory: Directory,
        /// The key's ID or prefix, as `keys list` prints it
        key: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, Args)]
pub(crate) struct Usage {
    #[command(subcommand)]
    pub(crate) action: UsageAction,
}

#[derive(Debug, Subcommand)]
pub(crate) enum UsageAction {
    /// Print each request with what it used: a line of JSON each, or CSV
    Export(UsageExport),
}

#[derive(Debug, Args)]
pub(crate) struct UsageExport {
    /// The gateway's database, which is only read [default: that of the deployment in DIR]
    #[arg(long, value_name = "FILE")]
    pub(crate) database: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) directory: Directory,
    /// Only what this key used: its ID, as `keys list` prints it
    #[arg(long, value_name = "ID")]
    pub(crate) key: Option<String>,
    /// Print JSON lines, which `receipt reconcile` reads (this is the default)
    #[arg(long, conflicts_with = "csv")]
    pub(crate) json: bool,
    /// Print CSV with a line of headings
    #[arg(long)]
    pub(crate) csv: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Models {
    #[command(flatten)]
    pub(crate) directory: Directory,
    /// Endpoint to ask [default: the one of the deployment running in DIR]
    #[arg(long, env = "PRIVATEMODE_ENDPOINT", value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// File with the API key to send [default: DIR/api-key]
    #[arg(long, value_name = "FILE")]
    pub(crate) key_file: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_definition_holds_together() {
        super::Arguments::command().debug_assert();
    }
}
