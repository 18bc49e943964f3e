//! The nonce that each device is asked with, derived from the CPU evidence's report data.
//!
//! Ties GPU evidence to one CPU report as far as software can: whoever checks both sees that the GPU answered after the report data
//! were known. It is **no hardware binding**: nothing proves that the GPU is plugged into the machine that made the CPU report.
//! Specification: `attestation.md` §5.

use sha2::{Digest, Sha256};

use super::spdm::Nonce;
use crate::ReportData;

/// Separates this use of SHA-256 from all others.
const LABEL: &[u8] = b"privatemode gpu attestation nonce v1\0";

/// The nonce of device number `index` (GPUs first, then switches, in the order of the evidence).
///
/// SHA-256(label ‖ report data, 64 bytes ‖ index, 4 bytes big-endian). All inputs have fixed lengths, so that no two inputs collide.
pub fn derive(report_data: &ReportData, index: u32) -> Nonce {
    let mut hash = Sha256::new();
    hash.update(LABEL);
    hash.update(report_data.as_bytes());
    hash.update(index.to_be_bytes());
    Nonce(hash.finalize().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_device_and_every_report_has_its_own_nonce() {
        let data = ReportData::from([7; 64]);
        let other = ReportData::from([8; 64]);
        assert_ne!(derive(&data, 0), derive(&data, 1));
        assert_ne!(derive(&data, 0), derive(&other, 0));
    }

    #[test]
    fn the_construction_does_not_change() {
        let nonce = derive(&ReportData::from([0; 64]), 0);
        let sha256sum = "b003e3c475b6746ce6b8cf593dd3441cb3544b399e71912f65ce7208ea032b8d";
        assert_eq!(hex::encode(nonce.0), sha256sum);
    }
}
