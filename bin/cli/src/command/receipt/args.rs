//! The command line of `privatemode receipt`.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use crate::args::Directory;

#[derive(Debug, Args)]
pub(crate) struct Receipt {
    #[command(subcommand)]
    pub(crate) action: Action,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Action {
    /// Show what a receipt says, without judging it
    Show(Show),
    /// Verify a receipt offline: who signed it, and that it is about the exchange that took place
    Verify(Verify),
    /// Hold a gateway's usage export against receipts
    Reconcile(Reconcile),
}

#[derive(Debug, Args)]
pub(crate) struct Show {
    /// The receipt: a file, as the proxy keeps it, or base64, as it comes in `Privatemode-Receipt`
    pub(crate) receipt: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct Verify {
    /// The receipt: a file, as the proxy keeps it, or base64, as it comes in `Privatemode-Receipt`
    pub(crate) receipt: PathBuf,
    #[command(flatten)]
    pub(crate) trust: Trust,
    /// SHA-256 of the sealed request, hex [default: from the file that the proxy keeps beside the receipt]
    #[arg(long, value_name = "HEX", requires = "response_digest")]
    pub(crate) request_digest: Option<String>,
    /// SHA-256 of the sealed response, hex
    #[arg(long, value_name = "HEX", requires = "request_digest")]
    pub(crate) response_digest: Option<String>,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

/// Which mesh CAs count.
#[derive(Debug, Args)]
pub(crate) struct Trust {
    /// The attested mesh CA (PEM) [default: those that the proxy attested, in its workspace]
    #[arg(long, value_name = "FILE")]
    pub(crate) mesh_ca: Option<PathBuf>,
    /// Workspace of the proxy [default: that of the deployment in DIR]
    #[arg(long, value_name = "FOLDER", conflicts_with = "mesh_ca")]
    pub(crate) workspace: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) directory: Directory,
}

#[derive(Debug, Args)]
pub(crate) struct Reconcile {
    /// The gateway's usage: what `privatemode usage export --json` prints, one JSON object per line
    #[arg(long, value_name = "FILE")]
    pub(crate) usage: PathBuf,
    /// Folder of receipts (the proxy's --receipts)
    #[arg(long, value_name = "DIR")]
    pub(crate) receipts: PathBuf,
    #[command(flatten)]
    pub(crate) trust: Trust,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
