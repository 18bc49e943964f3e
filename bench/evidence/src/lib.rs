//! Evidence verification by this project and by second implementations, over the same files.
//!
//! Reads real evidence where it lies beside the repository; without it there is nothing to compare, and everything here says so.

mod gpu;
mod peers;
mod snp;
mod tdx;

pub use gpu::{GpuCase, gpu_case};
pub use peers::{dcap_qvl, sev};
pub use snp::{SnpCase, snp_cases};
pub use tdx::{TdxCase, tdx_cases};

use std::path::PathBuf;

/// Where real evidence lies, if it is there.
pub fn evidence() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence"));
    folder.is_dir().then_some(folder)
}

fn file(path: impl AsRef<std::path::Path>) -> anyhow::Result<Vec<u8>> {
    let path = path.as_ref();
    std::fs::read(path).map_err(|error| anyhow::anyhow!("{}: {error}", path.display()))
}
