//! Asks every GPU, and refuses early what no verification could accept.

use std::collections::BTreeSet;

use privatemode_attest::{
    ReportData,
    gpu::{Bundle, CcState, DeviceEvidence, MultiGpu, Nonce, nonce},
};

use crate::{Device, GpuError, GpuQuoter, RawEvidence};

/// Longest report that NVML knows.
const MAX_REPORT: usize = 8192;
/// Longest chain of certificates that NVML knows.
const MAX_CERTIFICATES: usize = 5120;
/// Where the nonce is in a report: the request comes first (version, code, two parameters, nonce).
const NONCE: std::ops::Range<usize> = 4..36;

/// The evidence of all GPUs for one question; nothing of it is verified.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Collected {
    /// The evidence, without collateral.
    pub bundle: Bundle,
    /// What each device was asked with, in the devices' order.
    pub nonces: Vec<Nonce>,
    /// The GPUs that were asked, as the driver described them.
    pub devices: Vec<Device>,
    /// The mode, as the driver has it.
    pub state: CcState,
}

/// Collects the evidence of all GPUs, each asked with its own nonce out of the CPU evidence's report data. `expected` is how
/// many there must be; without it, at least one.
///
/// # Errors
/// [`GpuError`]: there are none or not all of them, they are not in confidential-compute mode, or one gave no evidence.
pub fn collect(
    quoter: &dyn GpuQuoter,
    report_data: &ReportData,
    expected: Option<usize>,
) -> Result<Collected, GpuError> {
    let devices = quoter.devices()?;
    check_devices(&devices, expected)?;
    let state = quoter.system()?.state;
    check_mode(state)?;
    let mut collected =
        Collected { bundle: Bundle::default(), nonces: Vec::new(), devices: Vec::new(), state };
    for (index, device) in (0..).zip(&devices) {
        let nonce = nonce::derive(report_data, index);
        let evidence = quoter.evidence(device, &nonce)?;
        check_evidence(device, &nonce, &evidence)?;
        let RawEvidence { report, certificates } = evidence;
        let architecture = device.architecture.name().to_owned();
        collected.bundle.devices.push(DeviceEvidence { architecture, report, chain: certificates });
        collected.nonces.push(nonce);
    }
    collected.devices = devices;
    Ok(collected)
}

/// The verification asks this again; here it spares everybody the evidence, and says how to mend it.
fn check_mode(state: CcState) -> Result<(), GpuError> {
    // first, as it is also "on"
    if state.dev_tools {
        return Err(GpuError::DevTools);
    }
    if !state.feature_on && state.multi_gpu != MultiGpu::ProtectedPcie {
        return Err(GpuError::Off);
    }
    Ok(())
}

fn check_devices(devices: &[Device], expected: Option<usize>) -> Result<(), GpuError> {
    if devices.is_empty() {
        return Err(GpuError::NoGpu);
    }
    match expected {
        Some(want) if want != devices.len() => return Err(GpuError::Count { have: devices.len(), want }),
        _ => {}
    }
    let mut seen = BTreeSet::new();
    match devices.iter().find(|device| !seen.insert(&device.uuid)) {
        Some(device) => Err(GpuError::Twice { uuid: device.uuid.clone() }),
        None => Ok(()),
    }
}

fn check_evidence(device: &Device, nonce: &Nonce, evidence: &RawEvidence) -> Result<(), GpuError> {
    for (what, bytes, max) in [
        ("a report", &evidence.report, MAX_REPORT),
        ("certificates", &evidence.certificates, MAX_CERTIFICATES),
    ] {
        if bytes.is_empty() || bytes.len() > max {
            return Err(GpuError::Size { uuid: device.uuid.clone(), what, len: bytes.len(), max });
        }
    }
    // A stale answer would be refused far away, where nobody knows why.
    if evidence.report.get(NONCE) != Some(&nonce.0) {
        return Err(GpuError::OtherNonce { uuid: device.uuid.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
