//! A machine: GPUs whose evidence ends at test roots, and what their vendor publishes about them.

use std::sync::Mutex;

use privatemode_attest::{
    ReportData, UnixTime,
    gpu::{CcState, MultiGpu, Nonce, OcspPolicy, Policy, ReadyPermit, Roots, Versions},
    x509::Certificate,
};
use privatemode_attestation_agent::{Architecture, Device, GpuError, GpuQuoter, RawEvidence, System};
use privatemode_test_pki::nvidia::{self, Family, OcspResponse, Rim};

pub(crate) const NOW: UnixTime = UnixTime(nvidia::NOW);
/// The reference manifests of the machine's firmware: name at the vendor, version.
pub(crate) const RIMS: [(&str, &str); 2] = [
    ("NV_GPU_DRIVER_GH100_550.90.07", "550.90.07"),
    ("NV_GPU_VBIOS_1010_0200_882_96009F0001", "96.00.9F.00.01"),
];

pub(crate) fn question() -> ReportData {
    ReportData::from([0x5a; 64])
}

pub(crate) fn policy() -> Policy {
    Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp: OcspPolicy::REQUIRE_GOOD }
}

fn certificate(of: &privatemode_test_pki::Certificate) -> Certificate {
    Certificate::parse_der(&of.der()).unwrap()
}

pub(crate) fn roots() -> Roots {
    Roots::danger_test(certificate(&nvidia::device_root()), certificate(&nvidia::rim_root()))
}

pub(crate) fn rim(version: &str) -> Rim {
    // index i of a RIM is block i + 1 of a report, whose value is 48 times its number; each is active in one of the two
    let of_vbios = version == RIMS[1].1;
    Rim::new("GH100", "GPU", version, &[(0, !of_vbios, &[[1; 48]]), (1, of_vbios, &[[2; 48]])])
}

/// A certificate that the responder is asked about, with its issuer.
pub(crate) type Pair = (privatemode_test_pki::Certificate, privatemode_test_pki::Certificate);

pub(crate) fn request(pair: &Pair) -> Vec<u8> {
    privatemode_attest::gpu::ocsp::request(&certificate(&pair.0), &certificate(&pair.1), None).unwrap()
}

pub(crate) fn answer(pair: &Pair) -> OcspResponse {
    OcspResponse::new(&pair.0, &pair.1)
}

/// All that is asked about, once for each chain that it is in.
pub(crate) fn pairs(gpus: u8) -> Vec<Pair> {
    let devices = (0..gpus).map(|number| device(number, &Nonce([0; 32])).chain.split_off(1));
    let signers = RIMS.iter().map(|(_, version)| rim(version).chain);
    let pairs = |chain: Vec<privatemode_test_pki::Certificate>| {
        chain.windows(2).map(|pair| (pair[0].clone(), pair[1].clone())).collect::<Vec<_>>()
    };
    devices.chain(signers).flat_map(pairs).collect()
}

fn device(number: u8, nonce: &Nonce) -> nvidia::Device {
    nvidia::Device::new(Family::Hopper, number, nonce.0)
}

/// A driver.
pub(crate) struct Gpus {
    pub(crate) devices: Mutex<Vec<Device>>,
    /// What a GPU does beside the right thing.
    pub(crate) change: Mutex<fn(&mut nvidia::Device)>,
    pub(crate) dev_tools: Mutex<bool>,
    ready: Mutex<bool>,
    /// Every change of the ready state.
    pub(crate) states: Mutex<Vec<bool>>,
}

impl Gpus {
    pub(crate) fn new(count: u8) -> Self {
        let device = |index: u32| Device {
            index,
            uuid: format!("GPU-{index}"),
            name: "NVIDIA H100".to_owned(),
            architecture: Architecture::Hopper,
            vbios_version: "96.00.9F.00.01".to_owned(),
        };
        Self {
            devices: Mutex::new((0..u32::from(count)).map(device).collect()),
            change: Mutex::new(|_| ()),
            dev_tools: Mutex::new(false),
            // as an agent before this one may have left them
            ready: Mutex::new(true),
            states: Mutex::default(),
        }
    }

    pub(crate) fn is_ready(&self) -> bool {
        *self.ready.lock().unwrap()
    }

    pub(crate) fn set(&self, ready: bool) {
        *self.ready.lock().unwrap() = ready;
        self.states.lock().unwrap().push(ready);
    }
}

impl GpuQuoter for Gpus {
    fn system(&self) -> Result<System, GpuError> {
        let state = CcState {
            feature_on: true,
            dev_tools: *self.dev_tools.lock().unwrap(),
            multi_gpu: MultiGpu::None,
            ready: self.is_ready(),
        };
        Ok(System { driver_version: "550.90.07".to_owned(), state })
    }

    fn devices(&self) -> Result<Vec<Device>, GpuError> {
        Ok(self.devices.lock().unwrap().clone())
    }

    fn evidence(&self, asked: &Device, nonce: &Nonce) -> Result<RawEvidence, GpuError> {
        let mut device = device(u8::try_from(asked.index).unwrap(), nonce);
        (self.change.lock().unwrap())(&mut device);
        Ok(RawEvidence { report: device.evidence(), certificates: device.chain_pem() })
    }

    fn set_ready(&self, _: ReadyPermit) -> Result<(), GpuError> {
        self.set(true);
        Ok(())
    }

    fn set_not_ready(&self) -> Result<(), GpuError> {
        self.set(false);
        Ok(())
    }
}
