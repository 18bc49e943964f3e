//! The driver, as far as attestation needs it.

use privatemode_attest::gpu::{CcState, Nonce, ReadyPermit};

use crate::GpuError;

/// A machine's GPUs. They answer through the driver, so what they say is worth nothing until it is verified.
pub trait GpuQuoter: Send + Sync {
    /// What the driver says about all GPUs together.
    ///
    /// # Errors
    /// [`GpuError::NotCapable`] where there is no confidential computing at all, and what the driver says.
    fn system(&self) -> Result<System, GpuError>;

    /// The GPUs, in the driver's order.
    ///
    /// # Errors
    /// What the driver says.
    fn devices(&self) -> Result<Vec<Device>, GpuError>;

    /// A GPU's report for `nonce`, and its certificates.
    ///
    /// # Errors
    /// What the driver says.
    fn evidence(&self, device: &Device, nonce: &Nonce) -> Result<RawEvidence, GpuError>;

    /// Lets the GPUs take work: all of them, the driver knows no less.
    ///
    /// # Errors
    /// What the driver says.
    fn set_ready(&self, permit: ReadyPermit) -> Result<(), GpuError>;

    /// Stops the GPUs from taking work, which needs no proof.
    ///
    /// # Errors
    /// What the driver says.
    fn set_not_ready(&self) -> Result<(), GpuError>;
}

/// The state of all GPUs together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct System {
    /// The driver's version.
    pub driver_version: String,
    /// The confidential-compute mode.
    pub state: CcState,
}

/// One GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Device {
    /// Its place in the driver's order.
    pub index: u32,
    /// Its identifier, as the driver has it.
    pub uuid: String,
    /// Its name in the shop.
    pub name: String,
    /// Its generation.
    pub architecture: Architecture,
    /// The version of its firmware.
    pub vbios_version: String,
}

/// Generations of GPUs that attest.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Architecture {
    /// H100, H200.
    Hopper,
    /// B200, RTX PRO 6000.
    Blackwell,
    /// Another; the verification decides.
    Other,
}

impl Architecture {
    /// As NVIDIA's evidence files write it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Hopper => "HOPPER",
            Self::Blackwell => "BLACKWELL",
            Self::Other => "UNKNOWN",
        }
    }
}

/// What a GPU gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawEvidence {
    /// SPDM request and response, as the driver returns them.
    pub report: Vec<u8>,
    /// The device's certificates, PEM, leaf first.
    pub certificates: Vec<u8>,
}
