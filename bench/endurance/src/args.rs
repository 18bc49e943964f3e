//! What is measured, and for how long.

use std::path::PathBuf;

/// Resident memory of client proxy, gateway and inference proxy: idle, under a large upload, over long streams.
#[derive(clap::Parser, Debug)]
pub(crate) struct Arguments {
    /// How long the streams last, in seconds
    #[arg(long, default_value_t = 3600)]
    pub(crate) stream_seconds: u64,
    /// Streams at the same time, for each protocol
    #[arg(long, default_value_t = 20)]
    pub(crate) streams: usize,
    /// Between two deltas of a stream, in milliseconds
    #[arg(long, default_value_t = 100)]
    pub(crate) delta_milliseconds: u64,
    /// Sizes of an upload in MiB, for each protocol; 0 for none. Sealed fields double a body, and the gateway takes 25 MiB
    #[arg(long, value_delimiter = ',', default_value = "128,12")]
    pub(crate) upload_mib: Vec<usize>,
    /// Uploads, one after the other
    #[arg(long, default_value_t = 3)]
    pub(crate) uploads: usize,
    /// How long nothing happens before, between and after, in seconds
    #[arg(long, default_value_t = 20)]
    pub(crate) idle_seconds: u64,
    /// Between two samples while streams run, in milliseconds
    #[arg(long, default_value_t = 1000)]
    pub(crate) sample_milliseconds: u64,
    /// Which protocols, each with a stack of its own; their streams run at the same time
    #[arg(long, value_delimiter = ',', default_value = "sealed,compatible")]
    pub(crate) protocols: Vec<String>,
    /// The program to measure [default: `privatemode` beside this program]
    #[arg(long)]
    pub(crate) program: Option<PathBuf>,
    /// Where `samples.csv` and `memory.svg` are written
    #[arg(long, default_value = ".")]
    pub(crate) out: PathBuf,
    /// Draws `memory.svg` again from this `samples.csv`, and measures nothing
    #[arg(long)]
    pub(crate) draw: Option<PathBuf>,
}
