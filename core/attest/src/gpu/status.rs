//! The file that tells the inference proxy about the GPUs' certificates (`ocsp-status.json`).
//!
//! An array with one object for each GPU; states as `GOOD`, `UNKNOWN`, `REVOKED` with `RevokedAt` in RFC 3339.
//! Specification: `attestation.md` §5, `protocol.md` §6.

use serde::Serialize;

use super::appraise::{AppraisedDevice, Component};
use super::ocsp::CertStatus;

/// One certificate chain's state.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "PascalCase")]
pub struct State {
    value: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    revoked_at: Option<String>,
}

/// One GPU's states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GpuStatus {
    #[serde(rename = "GPU")]
    gpu: State,
    #[serde(rename = "VBIOS")]
    vbios: State,
    #[serde(rename = "Driver")]
    driver: State,
}

impl From<CertStatus> for State {
    fn from(status: CertStatus) -> Self {
        match status {
            CertStatus::Good => Self { value: "GOOD", revoked_at: None },
            CertStatus::Unknown => Self { value: "UNKNOWN", revoked_at: None },
            CertStatus::Revoked { at } => Self { value: "REVOKED", revoked_at: Some(at.to_string()) },
        }
    }
}

impl GpuStatus {
    /// The states of all GPUs among the devices, in their order; switches have no place in the file.
    pub fn of(devices: &[AppraisedDevice]) -> Vec<Self> {
        let gpus = devices.iter().filter(|appraised| !appraised.device().architecture().is_switch());
        gpus.map(Self::of_gpu).collect()
    }

    fn of_gpu(gpu: &AppraisedDevice) -> Self {
        let state = |component| {
            let found = gpu.states().iter().find(|state| state.component == component);
            State::from(found.map_or(CertStatus::Unknown, |state| state.status))
        };
        Self { gpu: state(Component::Gpu), vbios: state(Component::Vbios), driver: state(Component::Driver) }
    }
}
