//! The flags of `privatemode verify`.

use std::path::PathBuf;

use clap::Args;
use privatemode_attest::UnixTime;
use privatemode_collateral::CollateralArgs;

use crate::args::Directory;
use crate::command::attest::input;

#[derive(Debug, Args)]
#[command(after_long_help = HELP)]
pub(crate) struct Verify {
    /// https://GATEWAY, http://COORDINATOR, or a file that --save wrote [default: the deployment running in DIR]
    #[arg(value_name = "URL|BUNDLE")]
    pub(crate) target: Option<String>,

    /// The manifest that the deployment must enforce, byte for byte [default: for the deployment running in DIR, the one that
    /// `up` wrote; for a bundle, the one in it]
    #[arg(long, value_name = "FILE")]
    pub(crate) manifest: Option<PathBuf>,

    /// API key for the gateway, or @FILE to read it from a file [default: for the deployment running in DIR, its key]
    #[arg(long, env = "PRIVATEMODE_API_KEY", hide_env_values = true, value_name = "KEY|@FILE")]
    pub(crate) key: Option<String>,

    /// Time of the verification in RFC 3339, or `now` [default: now; for a bundle, when it was saved]
    #[arg(long, value_name = "RFC3339", value_parser = input::parse_time)]
    pub(crate) at: Option<UnixTime>,

    /// Save everything that was verified, so that it can be verified again without a network
    #[arg(long, value_name = "FILE")]
    pub(crate) save: Option<PathBuf>,

    #[command(flatten)]
    pub(crate) collateral: CollateralArgs,

    #[command(flatten)]
    pub(crate) directory: Directory,

    /// DANGER, for development: accept SIMULATED evidence, which proves nothing. Every line of the verdict says so
    #[arg(long)]
    pub(crate) danger_simulated: bool,

    /// Print the verdict as JSON
    #[arg(long)]
    pub(crate) json: bool,
}

const HELP: &str = "\
A URL with https:// is a gateway's, asked through /privatemode/v1/attest with an
API key. One with http:// is a coordinator's, asked through /attest. The answer
proves itself: nothing that lies between is believed.

Nothing is trusted because it was seen first. For a deployment that this machine
does not run, get the manifest from where its operator publishes it, review it,
and give it with --manifest.

Exit codes: 0 verified; 1 refused: the deployment is not the expected one,
cannot prove that it is, or cannot be reached; 2 unusable: flags, or a file that
cannot be read or is not in its form.";
