//! One NVIDIA GPU with all its documents.

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::rim::{self, VerifiedRim};
use privatemode_attest::gpu::{Nonce, OcspPolicy, Policy, Roots, Versions, appraise_with, verify_device};

use crate::file;

/// An H100's report, chain and reference values.
pub struct GpuCase {
    report: Vec<u8>,
    chain: Vec<u8>,
    driver: Vec<u8>,
    vbios: Vec<u8>,
    nonce: Nonce,
    roots: Roots,
    at: UnixTime,
}

const FOLDER: &str = "nvidia/h100-550.90.07-complete";
const AT: &str = "2025-09-01T00:00:00Z";

/// The case; none when the evidence is not there.
///
/// # Errors
/// A file that cannot be read.
pub fn gpu_case() -> anyhow::Result<Option<GpuCase>> {
    let Some(folder) = crate::evidence().map(|folder| folder.join(FOLDER)) else { return Ok(None) };
    let report = file(folder.join("evidence.bin"))?;
    let nonce = Nonce(report[4..36].try_into()?);
    Ok(Some(GpuCase {
        report,
        chain: file(folder.join("device_chain.pem"))?,
        driver: file(folder.join("rims/NV_GPU_DRIVER_GH100_550.90.07.xml"))?,
        vbios: file(folder.join("rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml"))?,
        nonce,
        roots: Roots::embedded(),
        at: UnixTime::parse_rfc3339(AT).ok_or_else(|| anyhow::anyhow!("{AT} is no time"))?,
    }))
}

impl GpuCase {
    /// Steps 1 to 4.
    pub fn device(&self) -> bool {
        verify_device(&self.report, &self.chain, &self.roots, &self.nonce, self.at).is_ok()
    }

    /// Both reference documents, verified.
    ///
    /// # Errors
    /// They are not genuine.
    pub fn rims(&self) -> anyhow::Result<(VerifiedRim, VerifiedRim)> {
        let verify = |xml: &[u8]| rim::verify(xml, &self.roots, self.at);
        Ok((verify(&self.driver)?, verify(&self.vbios)?))
    }

    /// Steps 1 to 8 with documents that were verified before, no revocation state known.
    pub fn whole(&self, driver: &VerifiedRim, vbios: &VerifiedRim) -> bool {
        let Ok(device) = verify_device(&self.report, &self.chain, &self.roots, &self.nonce, self.at) else {
            return false;
        };
        let policy = Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp: OcspPolicy::ALLOW_UNKNOWN };
        appraise_with(device, Some(driver), Some(vbios), &[], &policy, self.at).is_ok()
    }
}
