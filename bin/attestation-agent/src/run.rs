//! The process: asks once, writes what came, ends.

use std::{fs, path::Path};

use anyhow::Context as _;
use privatemode_attest::gpu::Bundle;
use privatemode_service::{BoxFuture, Process};

use crate::{Config, GpuError, GpuQuoter, collect};

/// Collects the evidence and writes it.
pub fn run(config: Config, _: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        // the driver may take seconds for each GPU
        let collecting = tokio::task::spawn_blocking(move || {
            let collected = collect(&*quoter()?, &config.report_data, config.gpus)?;
            write(&config.out, &collected.bundle)?;
            tracing::info!(
                gpus = collected.bundle.devices.len(),
                out = %config.out.display(),
                "the GPUs' evidence is collected; it is not verified"
            );
            anyhow::Ok(())
        });
        collecting.await.context("collecting the GPUs' evidence was cut short")?
    })
}

#[cfg(feature = "nvml")]
fn quoter() -> Result<Box<dyn GpuQuoter>, GpuError> {
    Ok(Box::new(crate::NvmlQuoter::open()?))
}

#[cfg(not(feature = "nvml"))]
fn quoter() -> Result<Box<dyn GpuQuoter>, GpuError> {
    Err(GpuError::NotBuilt)
}

/// Whoever reads the file finds all of it or what was there before.
fn write(path: &Path, bundle: &Bundle) -> anyhow::Result<()> {
    let partial = path.with_extension("partial");
    fs::write(&partial, bundle.to_json())
        .and_then(|()| fs::rename(&partial, path))
        .with_context(|| format!("cannot write `{}`", path.display()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_is_replaced_as_a_whole() {
        let folder = tempfile::TempDir::new().unwrap();
        let path = folder.path().join("evidence.json");
        fs::write(&path, "before").unwrap();
        write(&path, &Bundle::default()).unwrap();
        assert_eq!(Bundle::parse(&fs::read(&path).unwrap()).unwrap(), Bundle::default());
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
        let error = write(&folder.path().join("no/evidence.json"), &Bundle::default()).unwrap_err();
        assert!(error.to_string().contains("no/evidence.json"), "{error}");
    }
}
