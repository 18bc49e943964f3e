//! A driver whose answers a test chooses.

use std::sync::Mutex;

use privatemode_attest::gpu::{CcState, MultiGpu, Nonce, ReadyPermit};

use crate::{Architecture, Device, GpuError, GpuQuoter, RawEvidence, System};

pub(crate) struct FakeGpus {
    pub(crate) state: CcState,
    pub(crate) devices: Vec<Device>,
    /// What is done to each GPU's evidence.
    pub(crate) change: fn(&mut RawEvidence),
    pub(crate) asked: Mutex<Vec<Nonce>>,
    pub(crate) ready: Mutex<bool>,
    /// Setting the ready state, either way, fails.
    pub(crate) stuck: bool,
}

impl FakeGpus {
    pub(crate) fn new(count: u32) -> Self {
        let state = CcState { feature_on: true, dev_tools: false, multi_gpu: MultiGpu::None, ready: false };
        let device = |index| Device {
            index,
            uuid: format!("GPU-{index}"),
            name: "NVIDIA H100".to_owned(),
            architecture: Architecture::Hopper,
            vbios_version: "96.00".to_owned(),
        };
        let devices = (0..count).map(device).collect();
        let (asked, ready) = (Mutex::default(), Mutex::default());
        Self { state, devices, change: |_| {}, asked, ready, stuck: false }
    }

    fn set(&self, ready: bool) -> Result<(), GpuError> {
        if self.stuck {
            return Err(GpuError::Permission { action: "set the GPUs' ready state" });
        }
        *self.ready.lock().unwrap() = ready;
        Ok(())
    }
}

impl GpuQuoter for FakeGpus {
    fn system(&self) -> Result<System, GpuError> {
        let state = CcState { ready: *self.ready.lock().unwrap(), ..self.state };
        Ok(System { driver_version: "580.1".to_owned(), state })
    }

    fn devices(&self) -> Result<Vec<Device>, GpuError> {
        Ok(self.devices.clone())
    }

    fn evidence(&self, device: &Device, nonce: &Nonce) -> Result<RawEvidence, GpuError> {
        self.asked.lock().unwrap().push(*nonce);
        let report = [&[0x11, 0xe0, 1, 0xff][..], &nonce.0, &[device.index as u8]].concat();
        let mut evidence = RawEvidence { report, certificates: b"PEM".to_vec() };
        (self.change)(&mut evidence);
        Ok(evidence)
    }

    fn set_ready(&self, _: ReadyPermit) -> Result<(), GpuError> {
        self.set(true)
    }

    fn set_not_ready(&self) -> Result<(), GpuError> {
        self.set(false)
    }
}
