//! Step 9 for the devices: all GPUs and switches of a machine, each once, and fitting together.
//!
//! Specification: `attestation.md` §5.

use std::collections::BTreeSet;

use super::appraise::AppraisedDevice;
use super::opaque::{Feature, SwitchId};
use super::spdm::Nonce;
use super::step::Step;
use super::verify::{Architecture, VerifiedDevice};

/// How the devices were asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NonceRule {
    /// Each with its own nonce.
    Own,
    /// All with the same one, as NVIDIA's tools do.
    Common,
}

/// What a machine must have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fleet {
    /// Number of GPUs.
    pub gpus: usize,
    /// Number of NVSwitches; needed under protected PCIe, where they see the GPUs' data.
    pub switches: usize,
    /// How they were asked.
    pub nonces: NonceRule,
}

/// All devices of a machine, each appraised. Only [`Fleet::check`] makes one.
#[derive(Debug, Clone)]
pub struct AppraisedFleet {
    devices: Vec<AppraisedDevice>,
    protected_pcie: bool,
}

impl AppraisedFleet {
    /// The devices, in the order in which they were given.
    pub fn devices(&self) -> &[AppraisedDevice] {
        &self.devices
    }

    /// Whether the GPUs work under protected PCIe.
    pub fn is_protected_pcie(&self) -> bool {
        self.protected_pcie
    }
}

/// Why devices are not the machine's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FleetError {
    /// One is missing, or there is one too many.
    #[error("{found} {kind} are attested, but {expected} are expected")]
    Count {
        /// GPUs or switches.
        kind: &'static str,
        /// How many there are.
        found: usize,
        /// How many there should be.
        expected: usize,
    },
    /// One device answered for two.
    #[error("devices {first} and {second} are the same one")]
    Duplicate {
        /// The earlier one.
        first: usize,
        /// The later one.
        second: usize,
    },
    /// GPUs of different families, or a switch of another family than the GPUs.
    #[error("device {device} is of the family {found}, which does not go with {expected}")]
    MixedArchitectures {
        /// Which one.
        device: usize,
        /// Its family.
        found: Architecture,
        /// The first GPU's.
        expected: Architecture,
    },
    /// Their nonces are not as they were asked: an answer is from another time.
    #[error("the nonce of device {device} does not fit the rule that was asked by")]
    Nonces {
        /// Which one.
        device: usize,
    },
    /// Some GPUs work under protected PCIe, others do not.
    #[error("device {device} differs from the others in its protected-PCIe state")]
    MixedProtectedPcie {
        /// Which one.
        device: usize,
    },
    /// Its report names a confidential-computing mode of which this version cannot say what it protects.
    #[error(
        "device {device} reports the confidential-computing mode {mode}, which this version does not know"
    )]
    UnknownMode {
        /// Which one.
        device: usize,
        /// The mode, as the report has it.
        mode: u16,
    },
    /// Under protected PCIe the switches see the data, and none is attested; or the other way round.
    #[error("the GPUs' protected-PCIe state does not go with {switches} attested switches")]
    Switches {
        /// How many are attested.
        switches: usize,
    },
    /// The GPU is linked to other switches than the attested ones.
    #[error("device {device} is linked to other switches than those that are attested")]
    Topology {
        /// Which one.
        device: usize,
    },
}

impl FleetError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        Step::Fleet
    }
}

impl Fleet {
    /// Step 9 for devices that passed steps 5 to 8.
    ///
    /// # Errors
    /// [`FleetError`] names the device by its place in the list, from 0.
    pub fn check(&self, devices: Vec<AppraisedDevice>) -> Result<AppraisedFleet, FleetError> {
        let verified: Vec<&VerifiedDevice> = devices.iter().map(AppraisedDevice::device).collect();
        self.check_genuine(&verified)?;
        let protected_pcie = verified.iter().any(|device| device.report().opaque().is_protected_pcie());
        Ok(AppraisedFleet { devices, protected_pcie })
    }

    /// The same for devices that are genuine and not appraised yet. Proves nothing about their firmware.
    ///
    /// # Errors
    /// [`FleetError`] names the device by its place in the list, from 0.
    pub fn check_genuine(&self, devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
        self.check_counts(devices)?;
        check_distinct(devices)?;
        check_architectures(devices)?;
        self.check_nonces(devices)?;
        check_modes(devices)?;
        check_protected_pcie(devices)?;
        check_topology(devices)
    }

    fn check_counts(&self, devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
        let switches = devices.iter().filter(|device| device.architecture().is_switch()).count();
        let gpus = devices.len().saturating_sub(switches);
        let counts = [("GPUs", gpus, self.gpus), ("switches", switches, self.switches)];
        for (kind, found, expected) in counts {
            if found != expected {
                return Err(FleetError::Count { kind, found, expected });
            }
        }
        Ok(())
    }

    fn check_nonces(&self, devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
        let mut seen: BTreeSet<[u8; 32]> = BTreeSet::new();
        for (device, verified) in devices.iter().enumerate() {
            let Nonce(nonce) = verified.report().nonce();
            let new = seen.insert(*nonce);
            let right = match self.nonces {
                NonceRule::Own => new,
                NonceRule::Common => new == (device == 0),
            };
            if !right {
                return Err(FleetError::Nonces { device });
            }
        }
        Ok(())
    }
}

/// By key and by serial number: a second certificate for the same key, or a second key under the same number, is no second device.
fn check_distinct(devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
    for (second, one) in devices.iter().enumerate() {
        let same = |other: &&VerifiedDevice| {
            other.leaf_key() == one.leaf_key() || other.leaf_serial() == one.leaf_serial()
        };
        if let Some(first) = devices.iter().take(second).position(same) {
            return Err(FleetError::Duplicate { first, second });
        }
    }
    Ok(())
}

fn check_architectures(devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
    let gpu = devices.iter().find(|device| !device.architecture().is_switch());
    let Some(expected) = gpu.map(|gpu| gpu.architecture()) else { return Ok(()) };
    for (device, verified) in devices.iter().enumerate() {
        let found = verified.architecture();
        // LS10 is the switch of Hopper's generation
        let fits = found == expected || (found == Architecture::Ls10 && expected == Architecture::Hopper);
        if !fits {
            return Err(FleetError::MixedArchitectures { device, found, expected });
        }
    }
    Ok(())
}

fn check_modes(devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
    for (device, verified) in devices.iter().enumerate() {
        if let Some(Feature::Other(mode)) = verified.report().opaque().feature {
            return Err(FleetError::UnknownMode { device, mode });
        }
    }
    Ok(())
}

fn check_protected_pcie(devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
    let mut gpus = devices
        .iter()
        .enumerate()
        .filter(|(_, device)| !device.architecture().is_switch())
        .map(|(place, device)| (place, device.report().opaque().is_protected_pcie()));
    let Some((_, protected)) = gpus.next() else { return Ok(()) };
    if let Some((device, _)) = gpus.find(|(_, other)| *other != protected) {
        return Err(FleetError::MixedProtectedPcie { device });
    }
    let switches = devices.iter().filter(|device| device.architecture().is_switch()).count();
    if protected == (switches == 0) {
        return Err(FleetError::Switches { switches });
    }
    Ok(())
}

/// Under protected PCIe the switches at a GPU's links are the attested ones, no less and no more. A GPU that names none, or switches
/// that do not say who they are, leave open whose switches see the data: that is refused too.
fn check_topology(devices: &[&VerifiedDevice]) -> Result<(), FleetError> {
    let switches: BTreeSet<SwitchId> = devices
        .iter()
        .filter(|device| device.architecture().is_switch())
        .flat_map(|device| &device.report().opaque().switch_pdis)
        .map(|pdi| SwitchId(*pdi))
        .collect();
    for (device, verified) in devices.iter().enumerate() {
        let fields = verified.report().opaque();
        if verified.architecture().is_switch() || !fields.is_protected_pcie() {
            continue;
        }
        let linked = fields.linked_switches();
        if linked.is_empty() || !linked.iter().eq(switches.iter()) {
            return Err(FleetError::Topology { device });
        }
    }
    Ok(())
}
