use std::{fs, path::PathBuf};

use privatemode_attest::gpu::{Bundle, DeviceEvidence, MultiGpu, Nonce, NonceRule, OcspPolicy, Versions};

use super::*;
use crate::fake::FakeGpus;

const FLEET: Fleet = Fleet { gpus: 1, switches: 0, nonces: NonceRule::Own };

fn admit_with(gpus: &FakeGpus, collected: &Collected) -> Result<AppraisedFleet, AdmitError> {
    let policy = Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp: OcspPolicy::ALLOW_UNKNOWN };
    let requirements = Requirements { fleet: &FLEET, policy: &policy, roots: &Roots::embedded() };
    admit(gpus, collected, &requirements, UnixTime::parse_rfc3339("2025-09-01T00:00:00Z").unwrap())
}

/// The evidence of a real H100 with its reference values.
fn real() -> Option<Collected> {
    let folder = PathBuf::from(concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../shared/evidence/nvidia/h100-550.90.07-complete"
    ));
    if !folder.is_dir() {
        eprintln!("SKIPPED: there is no real evidence at {}", folder.display());
        return None;
    }
    let file = |name: &str| fs::read(folder.join(name)).unwrap();
    let report = file("evidence.bin");
    let nonce = Nonce(report[4..36].try_into().unwrap());
    let device =
        DeviceEvidence { architecture: "HOPPER".to_owned(), report, chain: file("device_chain.pem") };
    let rims = ["NV_GPU_DRIVER_GH100_550.90.07.xml", "NV_GPU_VBIOS_1010_0200_882_96009F0001.xml"];
    let bundle = Bundle {
        devices: vec![device],
        rims: rims.iter().map(|name| file(&format!("rims/{name}"))).collect(),
        ocsp: Vec::new(),
    };
    let gpus = FakeGpus::new(1);
    let (devices, state) = (gpus.devices().unwrap(), gpus.system().unwrap().state);
    Some(Collected { bundle, nonces: vec![nonce], devices, state })
}

fn is_ready(gpus: &FakeGpus) -> bool {
    *gpus.ready.lock().unwrap()
}

#[test]
fn verified_gpus_are_set_ready() {
    let Some(collected) = real() else { return };
    let gpus = FakeGpus::new(1);
    let fleet = admit_with(&gpus, &collected).unwrap();
    assert_eq!(fleet.devices().len(), 1);
    assert!(is_ready(&gpus));
}

#[test]
fn refused_gpus_are_stopped_even_if_they_were_ready() {
    let Some(good) = real() else { return };
    let mut changed = good.clone();
    // a measurement
    changed.bundle.devices[0].report[60] ^= 1;
    let mut other_nonce = good.clone();
    other_nonce.nonces[0].0[0] ^= 1;
    let mut no_rim = good.clone();
    no_rim.bundle.rims.pop();
    for collected in [changed, other_nonce, no_rim] {
        let gpus = FakeGpus::new(1);
        *gpus.ready.lock().unwrap() = true;
        let error = admit_with(&gpus, &collected).unwrap_err();
        assert!(matches!(error, AdmitError::Evidence { .. }), "{error:?}");
        assert!(!is_ready(&gpus));
    }
    for (dev_tools, multi_gpu, expected) in [
        (true, MultiGpu::None, NotReady::DevTools),
        (false, MultiGpu::ProtectedPcie, NotReady::ProtectedPcieDiffers),
    ] {
        let mut collected = good.clone();
        (collected.state.dev_tools, collected.state.multi_gpu) = (dev_tools, multi_gpu);
        let gpus = FakeGpus::new(1);
        *gpus.ready.lock().unwrap() = true;
        let error = admit_with(&gpus, &collected).unwrap_err();
        assert!(matches!(&error, AdmitError::Mode { source } if *source == expected), "{error:?}");
        assert!(!is_ready(&gpus));
    }
}

#[test]
fn gpus_that_nobody_attested_are_stopped() {
    let empty = Collected {
        bundle: Bundle::default(),
        nonces: Vec::new(),
        devices: Vec::new(),
        state: FakeGpus::new(1).system().unwrap().state,
    };
    let gpus = FakeGpus::new(1);
    *gpus.ready.lock().unwrap() = true;
    let error = admit_with(&gpus, &empty).unwrap_err();
    assert!(matches!(error, AdmitError::Evidence { source: MachineError::Fleet(_) }), "{error:?}");
    assert!(!is_ready(&gpus));

    let stuck = FakeGpus { stuck: true, ..FakeGpus::new(1) };
    let error = admit_with(&stuck, &empty).unwrap_err();
    let AdmitError::StillReady { refused, source: GpuError::Permission { .. } } = error else {
        panic!("{error:?}")
    };
    assert!(matches!(*refused, AdmitError::Evidence { .. }), "{refused:?}");
}

#[test]
fn gpus_that_cannot_be_set_ready_are_reported() {
    let Some(collected) = real() else { return };
    let stuck = FakeGpus { stuck: true, ..FakeGpus::new(1) };
    let error = admit_with(&stuck, &collected).unwrap_err();
    let AdmitError::StillReady { refused, .. } = error else { panic!("{error:?}") };
    assert!(matches!(*refused, AdmitError::SetReady { source: GpuError::Permission { .. } }), "{refused:?}");
}

#[test]
fn what_changed_after_the_evidence_is_not_set_ready() {
    let Some(collected) = real() else { return };
    // the host plugs a second GPU, or another in the place of the first
    let mut other = FakeGpus::new(1);
    other.devices[0].uuid = "GPU-other".to_owned();
    for gpus in [FakeGpus::new(2), FakeGpus::new(0), other] {
        *gpus.ready.lock().unwrap() = true;
        let error = admit_with(&gpus, &collected).unwrap_err();
        assert!(matches!(error, AdmitError::Changed), "{error:?}");
        assert!(!is_ready(&gpus));
    }
    let mut developing = FakeGpus::new(1);
    developing.state.dev_tools = true;
    let error = admit_with(&developing, &collected).unwrap_err();
    assert!(matches!(error, AdmitError::Mode { source: NotReady::DevTools }), "{error:?}");
    assert!(!is_ready(&developing));
}
