//! Steps 9 and 10: the machine's confidential-computing mode, and the permit to set its GPUs ready.
//!
//! Sets nothing itself. Specification: `attestation.md` §5.

use super::fleet::AppraisedFleet;
use super::step::Step;

/// How several GPUs work together, as the driver says for the whole machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MultiGpu {
    /// Each for itself.
    None,
    /// Hopper's: links in the clear, switches trusted. The confidential-computing feature itself then reads as off.
    ProtectedPcie,
    /// Blackwell's: encrypted links.
    EncryptedLinks,
}

/// What the driver (NVML) says of the machine. Not signed by anything: it is read inside of the guest whose measurement covers the
/// reader, and believed for that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CcState {
    /// Confidential computing is on.
    pub feature_on: bool,
    /// It is in the mode for development, in which data can be read.
    pub dev_tools: bool,
    /// How several GPUs work together.
    pub multi_gpu: MultiGpu,
    /// The GPUs already accept work.
    pub ready: bool,
}

/// Whoever holds one may set the machine's GPUs ready: all of them passed all steps. Neither `Clone` nor to be made elsewhere.
///
/// ```compile_fail
/// let forged = privatemode_attest::gpu::ReadyPermit { already_ready: false };
/// ```
#[derive(Debug)]
#[must_use = "without setting the GPUs ready they accept no work"]
pub struct ReadyPermit {
    already_ready: bool,
}

/// Why the GPUs must not be set ready.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotReady {
    /// The mode for development.
    #[error(
        "the GPUs are in the mode for development tools, in which data can be read from outside; switch it off"
    )]
    DevTools,
    /// Confidential computing is off.
    #[error("confidential computing is off on this machine's GPUs; switch it on and reset them")]
    Off,
    /// The driver's word on protected PCIe is not the GPUs'.
    #[error("the driver says another protected-PCIe state than the GPUs' reports")]
    ProtectedPcieDiffers,
}

impl NotReady {
    /// The step that failed.
    pub fn step(&self) -> Step {
        Step::Mode
    }
}

impl ReadyPermit {
    /// Checks the mode, and permits step 10.
    ///
    /// # Errors
    /// [`NotReady`] says what must change.
    pub fn for_fleet(fleet: &AppraisedFleet, state: CcState) -> Result<Self, NotReady> {
        let CcState { feature_on, dev_tools, multi_gpu, ready } = state;
        // first, as it is also "on"
        if dev_tools {
            return Err(NotReady::DevTools);
        }
        let protected_pcie = multi_gpu == MultiGpu::ProtectedPcie;
        if !feature_on && !protected_pcie {
            return Err(NotReady::Off);
        }
        if protected_pcie != fleet.is_protected_pcie() {
            return Err(NotReady::ProtectedPcieDiffers);
        }
        Ok(Self { already_ready: ready })
    }

    /// Whether the GPUs accepted work before they were verified, as after a restart of the agent.
    pub fn already_ready(&self) -> bool {
        self.already_ready
    }
}
