//! The command line of `privatemode manifest`.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use privatemode_collateral::CollateralArgs;

#[derive(Debug, Args)]
pub(crate) struct Manifest {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Make a manifest from a deployment file
    Generate(Generate),
    /// Check a manifest file: form, missing values, and what stands out
    Verify(Verify),
    /// Say what changes for security from one manifest to another
    Diff(Diff),
    /// Sign an update with an owner's key, or prepare it for another tool
    Sign(Sign),
    /// Put a manifest in force at a coordinator, and verify that it is
    Set(Box<Set>),
    /// Show the manifests that were in force at a coordinator
    History(History),
    /// Bring a coordinator back that has lost its seed, with an owner's share
    Recover(Box<Recover>),
}

#[derive(Debug, Args)]
#[command(after_long_help = GENERATE)]
pub(crate) struct Generate {
    /// The deployment: TOML or JSON
    #[arg(value_name = "DEPLOYMENT")]
    pub(crate) deployment: PathBuf,
    /// Write the manifest to this file [default: standard output]
    #[arg(long, short, value_name = "FILE", required_if_eq("json", "true"))]
    pub(crate) output: Option<PathBuf>,
    /// Write it although required values are missing, for somebody to fill them in
    #[arg(long)]
    pub(crate) incomplete: bool,
    /// Print what was done as JSON; the manifest goes to --output
    #[arg(long)]
    pub(crate) json: bool,
}

const GENERATE: &str = "\
The deployment file; paths in it are relative to it:

  workload-owners = [\"owner.pem\"]       # who may update: ECDSA, P-256 or P-384; none: immutable
  seedshare-owners = [\"recovery.pem\"]   # who may recover: RSA
  protocols = [\"fields/1\", \"sealed-body/1\"]
  # simulated = true                    # in place of reference values: no hardware protects anything

  [[workload]]
  policy = \"policies/coordinator.toml\"  # the measured bytes; their SHA-256 names them
  sans = [\"coordinator\", \"*\"]
  role = \"coordinator\"

  [[workload]]
  policy = \"policies/secret-service.toml\"
  sans = [\"secret-service\"]
  workload-secret-id = \"secret-service\"

  [[reference-values.snp]]              # members as in the manifest
  ProductName = \"Genoa\"
  TrustedMeasurement = \"…\"

Exit codes: 0 written; 1 required values are missing, and are named; 2 unusable
input.";

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The manifest
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Diff {
    /// The manifest of now
    #[arg(value_name = "OLD")]
    pub(crate) old: PathBuf,
    /// The manifest to come
    #[arg(value_name = "NEW")]
    pub(crate) new: PathBuf,
    /// Refuse (exit code 1) if anything becomes weaker
    #[arg(long)]
    pub(crate) refuse_weaker: bool,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = SIGN)]
pub(crate) struct Sign {
    /// The manifest to come
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    /// The owner's private key: PEM, ECDSA over P-256 or P-384
    #[arg(long, value_name = "FILE", required_unless_present = "prepare", conflicts_with = "prepare")]
    pub(crate) key: Option<PathBuf>,
    /// Do not sign: write what is to be signed, for OpenSSL or a hardware module
    #[arg(long)]
    pub(crate) prepare: bool,
    /// The latest transition of now, hexadecimal [default: that in the workspace]
    #[arg(long, value_name = "HEX")]
    pub(crate) previous: Option<String>,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
    /// Write the signature (DER), or what is to be signed, to this file [default: standard output, the signature in base64]
    #[arg(long, short, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SIGN: &str = "\
With a key elsewhere:

  privatemode manifest sign manifest.json --prepare --output to-sign
  openssl dgst -sha256 -sign owner.pem -out signature to-sign
  privatemode manifest set manifest.json --signature signature …";

/// Where `set` keeps what later commands need.
#[derive(Debug, Args)]
pub(crate) struct Workspace {
    /// Folder with latest-transition, the CAs and the seed shares
    #[arg(long, value_name = "DIR", default_value = ".")]
    pub(crate) workspace: PathBuf,
}

#[derive(Debug, Args)]
#[command(after_long_help = SET)]
pub(crate) struct Set {
    /// The manifest to put in force
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    /// The coordinator: http://HOST:PORT
    #[arg(long, env = "PRIVATEMODE_COORDINATOR", value_name = "URL")]
    pub(crate) coordinator: String,
    /// A policy that the manifest names; may be given several times
    #[arg(long, value_name = "FILE")]
    pub(crate) policy: Vec<PathBuf>,
    /// Folder with all policies that the manifest names, and nothing else
    #[arg(long, value_name = "DIR")]
    pub(crate) policies: Option<PathBuf>,
    /// An owner's signature over this update: DER or base64, as `sign` or OpenSSL writes it [default: none, for the first set]
    #[arg(long, value_name = "FILE")]
    pub(crate) signature: Option<PathBuf>,
    /// The owner's public key, PEM; needed where the manifest in force has digests of keys alone
    #[arg(long, value_name = "FILE", requires = "signature")]
    pub(crate) owner_key: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
    #[command(flatten)]
    pub(crate) collateral: CollateralArgs,
    /// DANGER, for development: accept SIMULATED evidence, which proves nothing
    #[arg(long)]
    pub(crate) danger_simulated: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const SET: &str = "\
Writes into the workspace: latest-transition, coordinator-root-ca.pem,
mesh-ca.pem, and after the first set seed-shares.json, without which nobody can
recover the deployment: back it up. The shares are encrypted to their owners.

A first set trusts whoever answers at the URL until the answer is verified, which
happens at once: nothing confidential is sent before.

Exit codes: 0 in force, and proved; 1 refused, not reached, or not proved; 2
unusable input.";

#[derive(Debug, Args)]
pub(crate) struct History {
    /// The coordinator: http://HOST:PORT
    #[arg(value_name = "COORDINATOR", env = "PRIVATEMODE_COORDINATOR")]
    pub(crate) coordinator: String,
    /// Write the manifests and policies into this folder
    #[arg(long, value_name = "DIR")]
    pub(crate) save: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
#[command(after_long_help = RECOVER)]
pub(crate) struct Recover {
    /// The manifest that is in force: only a coordinator that it names gets the seed
    #[arg(value_name = "MANIFEST")]
    pub(crate) manifest: PathBuf,
    /// The coordinator's port for attested TLS: HOST:1313
    #[arg(long, value_name = "HOST:PORT")]
    pub(crate) coordinator: String,
    /// The seed-share owner's private key: PEM, RSA
    #[arg(long, value_name = "FILE")]
    pub(crate) key: PathBuf,
    /// The encrypted shares [default: seed-shares.json in the workspace]
    #[arg(long, value_name = "FILE")]
    pub(crate) seed_shares: Option<PathBuf>,
    /// The latest transition that you know, hexadecimal [default: that in the workspace]
    #[arg(long, value_name = "HEX")]
    pub(crate) latest: Option<String>,
    /// Recover although another coordinator may be up: the mesh CA is made anew, and workloads have to join again
    #[arg(long)]
    pub(crate) force: bool,
    #[command(flatten)]
    pub(crate) workspace: Workspace,
    #[command(flatten)]
    pub(crate) collateral: CollateralArgs,
    /// DANGER, for development: accept SIMULATED evidence, which proves nothing: the seed goes to whoever answers
    #[arg(long)]
    pub(crate) danger_simulated: bool,
    /// Print what was done as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const RECOVER: &str = "\
The seed is decrypted in memory and sent over attested TLS, to a coordinator that
has proved that it is one of the manifest's. It is never written or printed.

A store that was rolled back is refused: the coordinator must be at the latest
transition that you know.

Exit codes: 0 recovered; 1 refused, or not reached; 2 unusable input.";
