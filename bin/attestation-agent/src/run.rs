//! The process: the machine's own driver, NVIDIA's own roots, the machine's clock.

use std::sync::Arc;

use anyhow::Context as _;
use privatemode_attest::gpu::Roots;
use privatemode_collateral::SystemTiming;
use privatemode_service::{BoxFuture, Process};

use crate::{Agent, Config, GpuError, GpuQuoter};

/// Admits the GPUs of this machine, and keeps their state current.
pub fn run(config: Config, process: Process) -> BoxFuture<'static, anyhow::Result<()>> {
    Box::pin(async move {
        let (plan, collector) = (config.plan(), config.collector()?);
        for downgrade in config.downgrades() {
            tracing::warn!("{downgrade}");
        }
        let opening = tokio::task::spawn_blocking(quoter).await;
        let quoter = opening.context("opening NVIDIA's driver was cut short")??;
        let agent =
            Agent { quoter, collector, roots: Roots::embedded(), timing: Arc::new(SystemTiming), plan };
        agent.run(process.shutdown).await?;
        Ok(())
    })
}

#[cfg(feature = "nvml")]
fn quoter() -> Result<Arc<dyn GpuQuoter>, GpuError> {
    Ok(Arc::new(crate::NvmlQuoter::open()?))
}

#[cfg(not(feature = "nvml"))]
fn quoter() -> Result<Arc<dyn GpuQuoter>, GpuError> {
    Err(GpuError::NotBuilt)
}
