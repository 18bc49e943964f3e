//! Quotes by the device of SNP guests, for kernels without configfs-tsm.
//!
//! Asks for the bare report. The device's extended report would bring the host's certificates too, but the crate behind it
//! follows the lengths that the host wrote into that table without looking whether they stay inside it.

use std::{io, path::Path};

use privatemode_attest::{EvidenceKind, ReportData};
use sev::firmware::guest::Firmware;

use super::{QuoteError, Quoter, evidence};

const DEVICE: &str = "/dev/sev-guest";

/// Asks the device.
#[derive(Debug)]
pub struct SevGuestQuoter(());

impl SevGuestQuoter {
    /// A quoter, if the device can be opened.
    ///
    /// # Errors
    /// [`QuoteError::NoHardware`].
    pub fn open() -> Result<Self, QuoteError> {
        let platform = EvidenceKind::Snp;
        match Firmware::open() {
            Ok(_) => Ok(Self(())),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Err(QuoteError::NoHardware {
                platform,
                why: format!("we may not open `{DEVICE}`"),
                next: "run this as root, or let its user read that device",
            }),
            Err(error) => Err(QuoteError::NoHardware {
                platform,
                why: format!("`{DEVICE}` cannot be opened: {error}"),
                next: "load its driver with `modprobe sev-guest`; if that fails this is not an SNP guest: use \
                       `--platform simulated` for development",
            }),
        }
    }
}

impl Quoter for SevGuestQuoter {
    fn kind(&self) -> EvidenceKind {
        EvidenceKind::Snp
    }

    fn quote(&self, bind: &ReportData) -> Result<Vec<u8>, QuoteError> {
        let device = |source| QuoteError::Device {
            platform: EvidenceKind::Snp,
            action: "ask",
            path: Path::new(DEVICE).to_owned(),
            next: "the kernel's log (`dmesg`) may say more",
            source,
        };
        // a request in flight belongs to one opened device
        let mut firmware = Firmware::open().map_err(device)?;
        let report = firmware
            .get_report(None, Some(*bind.as_bytes()), Some(0))
            .map_err(|error| device(io::Error::other(error)))?;
        evidence::snp(&report, &[], bind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_without_the_device_says_so() {
        // a test machine that is an SNP guest has it
        let Err(error) = SevGuestQuoter::open() else { return };
        let QuoteError::NoHardware { platform: EvidenceKind::Snp, why, .. } = error else {
            panic!("{error:?}")
        };
        assert!(why.contains(DEVICE), "{why}");
    }
}
