//! The evidence folder, and one case in it.

use std::path::PathBuf;

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::rim::{self, RimError, VerifiedRim};
use privatemode_attest::gpu::{
    AppraisalError, AppraisedDevice, Collateral, Nonce, OcspPolicy, Policy, Roots, VerifiedDevice,
    VerifyError, Versions, appraise, verify_device,
};

/// The nonce of NVIDIA's own samples.
pub(crate) const SAMPLE_NONCE: &str = "931d8dd0add203ac3d8b4fbde75e115278eefcdceac5b87671a748f32364dfcb";

pub(crate) const DRIVER_RIM: &str = "rims/NV_GPU_DRIVER_GH100_550.90.07.xml";
pub(crate) const VBIOS_RIM: &str = "rims/NV_GPU_VBIOS_1010_0200_882_96009F0001.xml";
pub(crate) const SWITCH_RIM: &str = "rims/NV_SWITCH_BIOS_5612_0002_890_9610550001.xml";
/// When everything but OCSP of the complete H100 case is in date.
pub(crate) const WITHOUT_OCSP: &str = "2025-09-01T00:00:00Z";
pub(crate) const SWITCH_TIME: &str = "2026-07-01T00:00:00Z";

pub(crate) fn folder() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence/nvidia"));
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!("SKIPPED: no evidence at {}", folder.display());
    None
}

pub(crate) fn at(text: &str) -> UnixTime {
    UnixTime::parse_rfc3339(text).unwrap()
}

pub(crate) fn nonce(text: &str) -> Nonce {
    Nonce(hex::decode(text).unwrap().try_into().unwrap())
}

pub(crate) fn policy(ocsp: OcspPolicy) -> Policy {
    Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp }
}

#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) folder: PathBuf,
    pub(crate) evidence: Vec<u8>,
    pub(crate) chain: Vec<u8>,
    pub(crate) nonce: Nonce,
}

impl Case {
    pub(crate) fn open(name: &str, nonce_hex: &str) -> Option<Self> {
        let folder = folder()?.join(name);
        let read = |file: &str| std::fs::read(folder.join(file)).unwrap();
        let (evidence, chain) = (read("evidence.bin"), read("device_chain.pem"));
        Some(Self { evidence, chain, nonce: nonce(nonce_hex), folder })
    }

    pub(crate) fn complete() -> Option<Self> {
        Self::open("h100-550.90.07-complete", SAMPLE_NONCE)
    }

    pub(crate) fn switch() -> Option<Self> {
        Self::open("ls10-switch", SAMPLE_NONCE)
    }

    pub(crate) fn read(&self, file: &str) -> Vec<u8> {
        std::fs::read(self.folder.join(file)).unwrap()
    }

    pub(crate) fn verify(&self, now: &str) -> Result<VerifiedDevice, VerifyError> {
        verify_device(&self.evidence, &self.chain, &Roots::embedded(), &self.nonce, at(now))
    }

    pub(crate) fn rim(&self, file: &str, now: &str) -> Result<VerifiedRim, RimError> {
        verify_rim(&self.read(file), now)
    }

    /// All OCSP responses of the case.
    pub(crate) fn ocsp(&self) -> Vec<Vec<u8>> {
        let files = std::fs::read_dir(self.folder.join("ocsp")).unwrap();
        files.map(|file| std::fs::read(file.unwrap().path()).unwrap()).collect()
    }

    /// Steps 1 to 8 with these RIMs.
    pub(crate) fn appraise(
        &self,
        driver: Option<&str>,
        vbios: Option<&str>,
        ocsp: &[Vec<u8>],
        policy: &Policy,
        now: &str,
    ) -> Result<AppraisedDevice, AppraisalError> {
        let driver = driver.map(|file| self.rim(file, now).unwrap());
        let vbios = vbios.map(|file| self.rim(file, now).unwrap());
        let collateral = Collateral { driver: driver.as_ref(), vbios: vbios.as_ref(), ocsp };
        appraise(self.verify(now).unwrap(), &collateral, policy, at(now))
    }
}

pub(crate) fn verify_rim(xml: &[u8], now: &str) -> Result<VerifiedRim, RimError> {
    rim::verify(xml, &Roots::embedded(), at(now))
}
