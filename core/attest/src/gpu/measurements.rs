//! Compares the device's measurements with the golden ones.
//!
//! Specification: `attestation.md` §5 step 7. Index `i` of a RIM stands for the report's block `i + 1`. Index 35 says nothing while
//! video decoder 0 is off: the device does not measure it then.

use super::opaque::Toggle;
use super::rim::{Golden, Rim, VerifiedRim};
use super::spdm::Report;
use super::verify::VerifiedDevice;

/// Index of the RIM that is measured only with video decoder 0.
const NVDEC0_INDEX: u8 = 35;

/// Which RIM a golden measurement comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RimRole {
    /// The driver's.
    Driver,
    /// The VBIOS's, or the switch's firmware.
    Vbios,
}

impl std::fmt::Display for RimRole {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Driver => "driver",
            Self::Vbios => "VBIOS",
        })
    }
}

/// All active golden measurements were found in the report. Only [`compare`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compared {
    equal: usize,
    skipped: Vec<u8>,
}

impl Compared {
    /// How many measurements are equal to a golden one.
    pub fn equal(&self) -> usize {
        self.equal
    }

    /// RIM indices that say nothing on this device.
    pub fn skipped(&self) -> &[u8] {
        &self.skipped
    }
}

/// Why measurements were refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MeasurementError {
    /// It would be open which one counts.
    #[error("driver and VBIOS RIM both define measurement {index}")]
    Conflict {
        /// RIM index.
        index: u8,
    },
    /// Nothing to compare with.
    #[error("the RIMs define no active measurement")]
    NothingActive,
    /// The device does not report it.
    #[error("the report lacks measurement {index} of the {role} RIM (`{name}`)")]
    Missing {
        /// RIM index.
        index: u8,
        /// Which RIM.
        role: RimRole,
        /// Its name.
        name: String,
    },
    /// Other firmware, or other settings, than NVIDIA published.
    #[error("measurement {index} differs from the {role} RIM (`{name}`)")]
    Differs {
        /// RIM index.
        index: u8,
        /// Which RIM.
        role: RimRole,
        /// Its name.
        name: String,
    },
}

/// Step 7 for one device. A switch has no driver RIM.
///
/// # Errors
/// [`MeasurementError`] names the first measurement, by index, that is missing or differs.
pub fn compare(
    device: &VerifiedDevice,
    driver: Option<&VerifiedRim>,
    vbios: &VerifiedRim,
) -> Result<Compared, MeasurementError> {
    compare_report(device.report(), driver.map(VerifiedRim::rim), vbios.rim())
}

fn compare_report(report: &Report, driver: Option<&Rim>, vbios: &Rim) -> Result<Compared, MeasurementError> {
    let mut golden: Vec<(RimRole, &Golden)> = Vec::new();
    let roles = [(RimRole::Driver, driver), (RimRole::Vbios, Some(vbios))];
    for (role, rim) in roles.into_iter().filter_map(|(role, rim)| Some((role, rim?))) {
        golden.extend(rim.golden.iter().filter(|golden| golden.active).map(|golden| (role, golden)));
    }
    golden.sort_by_key(|(_, golden)| golden.index);
    let conflict = golden.windows(2).find_map(|pair| match pair {
        [(_, one), (_, other)] if one.index == other.index => Some(one.index),
        _ => None,
    });
    if let Some(index) = conflict {
        return Err(MeasurementError::Conflict { index });
    }
    let mut compared = Compared { equal: 0, skipped: Vec::new() };
    for (role, golden) in golden {
        if golden.index == NVDEC0_INDEX && report.opaque().nvdec0 == Some(Toggle::Disabled) {
            compared.skipped.push(golden.index);
            continue;
        }
        check(report, role, golden)?;
        compared.equal = compared.equal.saturating_add(1);
    }
    if compared.equal == 0 { Err(MeasurementError::NothingActive) } else { Ok(compared) }
}

fn check(report: &Report, role: RimRole, golden: &Golden) -> Result<(), MeasurementError> {
    let index = golden.index;
    let name = || golden.name.clone();
    let block = index.saturating_add(1);
    let value =
        report.measurement(block).ok_or_else(|| MeasurementError::Missing { index, role, name: name() })?;
    if golden.alternatives.contains(value) {
        Ok(())
    } else {
        Err(MeasurementError::Differs { index, role, name: name() })
    }
}
