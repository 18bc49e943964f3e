//! A good machine.

use privatemode_attest::UnixTime;
use privatemode_attest::gpu::rim::{self, VerifiedRim};
use privatemode_attest::gpu::{
    AppraisalError, AppraisedDevice, Collateral, Nonce, OcspPolicy, Policy, Roots, VerifiedDevice,
    VerifyError, Versions, appraise, verify_device,
};
use privatemode_attest::x509::Certificate;
use privatemode_test_pki::nvidia::{self, Device, Family, Golden, OcspResponse, Rim};

pub(crate) const NOW: UnixTime = UnixTime(nvidia::NOW);
pub(crate) const NONCE: [u8; 32] = [0x4E; 32];

/// RIM index i goes with block i + 1, whose value is 48 times i + 1.
pub(crate) const DRIVER_GOLDEN: &[Golden<'_>] =
    &[(0, true, &[[1; 48]]), (1, false, &[[9; 48]]), (35, true, &[[36; 48]])];
pub(crate) const VBIOS_GOLDEN: &[Golden<'_>] = &[(0, false, &[[0; 48]]), (1, true, &[[9; 48], [2; 48]])];

pub(crate) fn roots() -> Roots {
    let parse =
        |certificate: &privatemode_test_pki::Certificate| Certificate::parse_der(&certificate.der()).unwrap();
    Roots::danger_test(parse(&nvidia::device_root()), parse(&nvidia::rim_root()))
}

pub(crate) fn gpu() -> Device {
    Device::new(Family::Hopper, 1, NONCE)
}

pub(crate) fn verify(device: &Device) -> Result<VerifiedDevice, VerifyError> {
    let nonce = Nonce(device.report.nonce);
    verify_device(&device.evidence(), &device.chain_pem(), &roots(), &nonce, NOW)
}

pub(crate) fn driver_rim() -> Rim {
    Rim::new("GH100", "GPU", "550.90.07", DRIVER_GOLDEN)
}

pub(crate) fn vbios_rim() -> Rim {
    Rim::new("GH100", "GPU", "96.00.9F.00.01", VBIOS_GOLDEN)
}

pub(crate) fn switch_rim() -> Rim {
    Rim::new("LS10", "SWITCH", "96.10.55.00.01", VBIOS_GOLDEN)
}

pub(crate) fn verified(rim: &Rim) -> VerifiedRim {
    rim::verify(rim.encode().as_bytes(), &roots(), NOW).unwrap()
}

pub(crate) fn policy() -> Policy {
    Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp: OcspPolicy::REQUIRE_GOOD }
}

/// One good response for each certificate that the responder answers for.
pub(crate) fn responses(device: &Device, rims: &[&Rim]) -> Vec<OcspResponse> {
    let chains = [&device.chain[1..]].into_iter().chain(rims.iter().map(|rim| &rim.chain[..]));
    chains.flat_map(|chain| chain.windows(2)).map(|pair| OcspResponse::new(&pair[0], &pair[1])).collect()
}

/// Everything that is needed for steps 5 to 8 of one device.
pub(crate) struct Set {
    pub(crate) device: Device,
    pub(crate) driver: Option<Rim>,
    pub(crate) vbios: Option<Rim>,
    pub(crate) responses: Vec<OcspResponse>,
    pub(crate) policy: Policy,
}

impl Set {
    pub(crate) fn of_gpu() -> Self {
        Self::of(gpu())
    }

    pub(crate) fn of(device: Device) -> Self {
        let (driver, vbios) = (driver_rim(), vbios_rim());
        let responses = responses(&device, &[&driver, &vbios]);
        Self { device, driver: Some(driver), vbios: Some(vbios), responses, policy: policy() }
    }

    pub(crate) fn of_switch(device: Device) -> Self {
        let vbios = switch_rim();
        let responses = responses(&device, &[&vbios]);
        Self { device, driver: None, vbios: Some(vbios), responses, policy: policy() }
    }

    pub(crate) fn appraise(&self) -> Result<AppraisedDevice, AppraisalError> {
        let (driver, vbios) = (self.driver.as_ref().map(verified), self.vbios.as_ref().map(verified));
        let ocsp: Vec<Vec<u8>> = self.responses.iter().map(OcspResponse::der).collect();
        let collateral = Collateral { driver: driver.as_ref(), vbios: vbios.as_ref(), ocsp: &ocsp };
        appraise(verify(&self.device).unwrap(), &collateral, &self.policy, NOW)
    }
}
