//! NVIDIA's management library (NVML), loaded at run time.
//!
//! Confidential-compute mode, dev-tools mode and the ready state are the system's, but the library is asked through a
//! device. NVSwitches and Blackwell's encrypted links are not known to the library's wrapper.

use nvml_wrapper::{Nvml, enums::device::DeviceArchitecture, error::NvmlError};

use privatemode_attest::gpu::{CcState, MultiGpu, Nonce, ReadyPermit};

use crate::{Architecture, Device, GpuError, GpuQuoter, RawEvidence, System};

/// The driver's GPUs.
#[derive(Debug)]
pub struct NvmlQuoter {
    nvml: Nvml,
}

impl NvmlQuoter {
    /// Loads the driver's library.
    ///
    /// # Errors
    /// [`GpuError::NoDriver`], [`GpuError::DriverNotLoaded`], [`GpuError::DriverMismatch`] and others.
    pub fn open() -> Result<Self, GpuError> {
        let nvml = Nvml::init().map_err(|error| driver("start", error))?;
        Ok(Self { nvml })
    }

    fn first(&self) -> Result<nvml_wrapper::Device<'_>, GpuError> {
        match self.nvml.device_count() {
            Ok(0) => Err(GpuError::NoGpu),
            Ok(_) => self.nvml.device_by_index(0).map_err(|error| driver("open the first GPU", error)),
            Err(error) => Err(driver("count the GPUs", error)),
        }
    }

    fn set(&self, ready: bool) -> Result<(), GpuError> {
        const ACTION: &str = "set the GPUs' ready state";
        let first = self.first()?;
        first.set_confidential_compute_state(ready).map_err(|error| driver(ACTION, error))?;
        // The driver takes the call and changes nothing where it may not.
        match first.get_confidential_compute_state() {
            Ok(now) if now == ready => Ok(()),
            Ok(_) => Err(GpuError::Driver { action: ACTION, source: "the state stayed what it was".into() }),
            Err(error) => Err(driver(ACTION, error)),
        }
    }
}

impl GpuQuoter for NvmlQuoter {
    fn system(&self) -> Result<System, GpuError> {
        let driver_version =
            self.nvml.sys_driver_version().map_err(|error| driver("tell its version", error))?;
        let first = self.first()?;
        let ask = |answer: Result<bool, NvmlError>| {
            answer.map_err(|error| driver("tell the confidential-compute mode", error))
        };
        let protected_pcie = ask(first.is_multi_gpu_protected_pcie_enabled())?;
        let state = CcState {
            feature_on: ask(first.is_cc_enabled())?,
            dev_tools: ask(first.is_cc_dev_mode_enabled())?,
            multi_gpu: if protected_pcie { MultiGpu::ProtectedPcie } else { MultiGpu::None },
            ready: ask(first.get_confidential_compute_state())?,
        };
        Ok(System { driver_version, state })
    }

    fn devices(&self) -> Result<Vec<Device>, GpuError> {
        let count = self.nvml.device_count().map_err(|error| driver("count the GPUs", error))?;
        (0..count).map(|index| self.device(index).map_err(|error| driver("describe a GPU", error))).collect()
    }

    fn evidence(&self, device: &Device, nonce: &Nonce) -> Result<RawEvidence, GpuError> {
        let action = "make an attestation report";
        let gpu = self.nvml.device_by_index(device.index).map_err(|error| driver(action, error))?;
        let report = gpu
            .confidential_compute_gpu_attestation_report(nonce.0)
            .map_err(|error| driver(action, error))?;
        let certificates = gpu
            .confidential_compute_gpu_certificate()
            .map_err(|error| driver("give a GPU's certificates", error))?;
        Ok(RawEvidence {
            report: report.attestation_report,
            certificates: certificates.attestation_cert_chain,
        })
    }

    fn set_ready(&self, _: ReadyPermit) -> Result<(), GpuError> {
        self.set(true)
    }

    fn set_not_ready(&self) -> Result<(), GpuError> {
        self.set(false)
    }
}

impl NvmlQuoter {
    fn device(&self, index: u32) -> Result<Device, NvmlError> {
        let gpu = self.nvml.device_by_index(index)?;
        Ok(Device {
            index,
            uuid: gpu.uuid()?,
            name: gpu.name()?,
            architecture: match gpu.architecture()? {
                DeviceArchitecture::Hopper => Architecture::Hopper,
                DeviceArchitecture::Blackwell => Architecture::Blackwell,
                _ => Architecture::Other,
            },
            vbios_version: gpu.vbios_version()?,
        })
    }
}

/// What the library's error means to whoever has to mend it.
fn driver(action: &'static str, error: NvmlError) -> GpuError {
    match error {
        NvmlError::LibloadingError(_) | NvmlError::LibraryNotFound => {
            GpuError::NoDriver { source: Box::new(error) }
        }
        NvmlError::DriverNotLoaded => GpuError::DriverNotLoaded,
        NvmlError::LibRmVersionMismatch => GpuError::DriverMismatch,
        NvmlError::NoPermission | NvmlError::OperatingSystem => GpuError::Permission { action },
        // an older library lacks the function, older hardware the feature
        NvmlError::NotSupported | NvmlError::FunctionNotFound | NvmlError::FailedToLoadSymbol(_) => {
            GpuError::NotCapable
        }
        error => GpuError::Driver { action, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_of_the_library_say_what_to_mend() {
        type Expected = fn(&GpuError) -> bool;
        let cases: [(NvmlError, Expected); 9] = [
            (NvmlError::LibraryNotFound, |e| matches!(e, GpuError::NoDriver { .. })),
            (NvmlError::DriverNotLoaded, |e| matches!(e, GpuError::DriverNotLoaded)),
            (NvmlError::LibRmVersionMismatch, |e| matches!(e, GpuError::DriverMismatch)),
            (NvmlError::NoPermission, |e| matches!(e, GpuError::Permission { action: "test" })),
            (NvmlError::OperatingSystem, |e| matches!(e, GpuError::Permission { action: "test" })),
            (NvmlError::NotSupported, |e| matches!(e, GpuError::NotCapable)),
            (NvmlError::FunctionNotFound, |e| matches!(e, GpuError::NotCapable)),
            (NvmlError::FailedToLoadSymbol(String::new()), |e| matches!(e, GpuError::NotCapable)),
            (NvmlError::GpuLost, |e| matches!(e, GpuError::Driver { action: "test", .. })),
        ];
        for (error, expected) in cases {
            let text = error.to_string();
            let mapped = driver("test", error);
            assert!(expected(&mapped), "{text}: {mapped:?}");
        }
    }

    #[test]
    fn a_machine_without_a_driver_says_so() {
        // a test machine with a driver has other answers
        let Err(error) = NvmlQuoter::open() else { return };
        assert!(
            matches!(
                error,
                GpuError::NoDriver { .. } | GpuError::DriverNotLoaded | GpuError::Permission { .. }
            ),
            "{error:?}"
        );
    }
}
