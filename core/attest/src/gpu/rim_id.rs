//! Which RIMs belong to a device, as NVIDIA's RIM service names them.
//!
//! All parts were checked to be letters, digits, dots, dashes and underscores when the report was read.

use super::verify::{Architecture, VerifiedDevice};

/// The RIM service has one name for all NVSwitches of this family: they do not report project and SKU.
const LS10: &str = "NV_SWITCH_BIOS_5612_0002_890_";

/// A name at the RIM service.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RimId(String);

impl RimId {
    /// The name, for a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Display for RimId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl VerifiedDevice {
    /// The chip by the name under which its driver's RIM is published.
    pub fn driver_chip(&self) -> &str {
        match (self.architecture(), self.report().opaque().chip_info.as_deref()) {
            (Architecture::Blackwell, Some(chip)) if !chip.is_empty() => chip,
            _ => self.chip(),
        }
    }

    /// The driver's RIM; `None` for a switch, and where the report has no driver version.
    pub fn driver_rim_id(&self) -> Option<RimId> {
        let version = self.report().opaque().driver_version.as_deref()?;
        let family = match self.architecture() {
            Architecture::Hopper => "NV_GPU_DRIVER",
            Architecture::Blackwell => "NV_GPU_CC_DRIVER",
            Architecture::Ls10 => return None,
        };
        Some(RimId(format!("{family}_{}_{version}", self.driver_chip())))
    }

    /// The RIM of the VBIOS, or of a switch's firmware; `None` where the report lacks a part of the name.
    pub fn vbios_rim_id(&self) -> Option<RimId> {
        let fields = self.report().opaque();
        let version = fields.vbios_version.as_deref()?.replace('.', "");
        if self.architecture().is_switch() {
            return Some(RimId(format!("{LS10}{version}")));
        }
        let (project, project_sku, chip_sku) =
            (fields.project.as_deref()?, fields.project_sku.as_deref()?, fields.chip_sku.as_deref()?);
        Some(RimId(format!("NV_GPU_VBIOS_{project}_{project_sku}_{chip_sku}_{version}").to_uppercase()))
    }
}
