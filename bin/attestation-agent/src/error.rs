//! Why there is no evidence of GPUs.

use thiserror::Error;

/// Why there is no evidence of GPUs, or why they could not be set ready.
#[derive(Debug, Error)]
pub enum GpuError {
    /// The driver's library is not here.
    #[error(
        "there is no NVIDIA driver here: its library libnvidia-ml.so.1 cannot be loaded; install the driver, or mount it \
         into this container (NVIDIA's container toolkit does)"
    )]
    NoDriver {
        /// What the loader says.
        source: Cause,
    },
    /// The library is here, the kernel's part is not.
    #[error(
        "the NVIDIA driver is installed but not loaded; run `modprobe nvidia`, and see `dmesg` if that fails"
    )]
    DriverNotLoaded,
    /// The kernel's part is of another version than the library.
    #[error(
        "the NVIDIA driver's library and kernel module are of different versions; load the module of the library"
    )]
    DriverMismatch,
    /// This build cannot ask a driver.
    #[error("this build leaves NVIDIA's driver out; use one with the feature `nvml`")]
    NotBuilt,
    /// We may not.
    #[error("we may not {action}; run this as root, or give its user the devices /dev/nvidia*")]
    Permission {
        /// What was not allowed.
        action: &'static str,
    },
    /// There are none.
    #[error("the NVIDIA driver sees no GPU; pass one through to this virtual machine")]
    NoGpu,
    /// Fewer or more than there should be: one that is left out is not attested.
    #[error("the NVIDIA driver sees {have} GPUs, but this machine should have {want}")]
    Count {
        /// How many there are.
        have: usize,
        /// How many there should be.
        want: usize,
    },
    /// A GPU that is there twice.
    #[error("GPU {uuid} is there more than once")]
    Twice {
        /// Its identifier.
        uuid: String,
    },
    /// The GPUs, or their driver, know no confidential computing.
    #[error(
        "these GPUs or their driver know no confidential computing; it needs Hopper or newer, and driver 535 or newer"
    )]
    NotCapable,
    /// It is switched off.
    #[error(
        "the GPUs' confidential-compute mode is off; the host has to switch it on (NVIDIA's gpu-admin-tools, \
         `--set-cc-mode=on`) and restart this virtual machine"
    )]
    Off,
    /// It is on, but the GPUs can be looked into.
    #[error(
        "the GPUs are in dev-tools mode, in which the host can look into them; the host has to set `--set-cc-mode=on`"
    )]
    DevTools,
    /// A GPU was asked with our nonce and answered another.
    #[error("GPU {uuid} gave a report for another nonce than ours")]
    OtherNonce {
        /// Its identifier.
        uuid: String,
    },
    /// Something of a size that no GPU has.
    #[error("GPU {uuid} gave {what} of {len} bytes; at most {max} are known")]
    Size {
        /// Its identifier.
        uuid: String,
        /// What it gave.
        what: &'static str,
        /// Its size.
        len: usize,
        /// The most there is.
        max: usize,
    },
    /// The driver failed otherwise.
    #[error("the NVIDIA driver could not {action}; `nvidia-smi conf-compute -q` and `dmesg` may say more")]
    Driver {
        /// What it could not.
        action: &'static str,
        /// What it says.
        source: Cause,
    },
}

/// What a driver's library says, without naming its type: a build without NVML has none.
pub type Cause = Box<dyn std::error::Error + Send + Sync>;
