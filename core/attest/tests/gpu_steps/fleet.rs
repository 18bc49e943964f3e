//! Steps 9 and 10: all devices of a machine, the mode, the permit, and the whole in one bundle.

use privatemode_attest::gpu::{
    AppraisedDevice, AppraisedFleet, Architecture, Bundle, BundleError, CcState, DeviceEvidence, Fleet,
    FleetError, MachineError, MultiGpu, Nonce, NonceRule, NotReady, OcspPolicy, ReadyPermit, Step,
};
use privatemode_test_pki::nvidia::{Device, Family, OcspResponse, Opaque};

use crate::set::{NONCE, NOW, Set, driver_rim, policy, responses, roots, switch_rim, vbios_rim};

fn device(family: Family, number: u8) -> Device {
    let mut nonce = NONCE;
    nonce[0] = number;
    Device::new(family, number, nonce)
}

/// A GPU under protected PCIe, linked to switch 9.
fn linked_gpu(number: u8) -> Device {
    let mut gpu = device(Family::Hopper, number);
    gpu.report.set(Opaque::ProtectedPcie, &[0xAA]);
    gpu.report.set(Opaque::SwitchPdi, &[8, 7, 6, 5, 4, 3, 2, 9, 0, 0, 0, 0, 0, 0, 0, 0]);
    gpu
}

fn appraised(device: Device) -> AppraisedDevice {
    let set = if device.chain[0].subject == Device::new(Family::Ls10, 9, NONCE).chain[0].subject {
        Set::of_switch(device)
    } else {
        Set::of(device)
    };
    set.appraise().unwrap()
}

fn check(gpus: usize, switches: usize, devices: Vec<Device>) -> Result<AppraisedFleet, FleetError> {
    let devices = devices.into_iter().map(appraised).collect();
    Fleet { gpus, switches, nonces: NonceRule::Own }.check(devices)
}

const ON: CcState = CcState { feature_on: true, dev_tools: false, multi_gpu: MultiGpu::None, ready: false };

#[test]
fn good_machines_get_a_permit() {
    let fleet = check(2, 0, vec![device(Family::Hopper, 1), device(Family::Hopper, 2)]).unwrap();
    assert!(!ReadyPermit::for_fleet(&fleet, ON).unwrap().already_ready());
    let again = CcState { ready: true, ..ON };
    assert!(ReadyPermit::for_fleet(&fleet, again).unwrap().already_ready());
    let protected = check(2, 1, vec![linked_gpu(1), linked_gpu(2), device(Family::Ls10, 9)]).unwrap();
    assert!(protected.is_protected_pcie());
    let state = CcState { feature_on: false, multi_gpu: MultiGpu::ProtectedPcie, ..ON };
    let _permit = ReadyPermit::for_fleet(&protected, state).unwrap();
    assert_eq!(protected.devices().len(), 3);
}

#[test]
fn step_9_all_devices_once() {
    let error = check(2, 0, vec![device(Family::Hopper, 1)]).unwrap_err();
    assert_eq!(error.step(), Step::Fleet);
    assert_eq!(error, FleetError::Count { kind: "GPUs", found: 1, expected: 2 });
    let error = check(1, 1, vec![linked_gpu(1)]).unwrap_err();
    assert_eq!(error, FleetError::Count { kind: "switches", found: 0, expected: 1 });
    let mut again = device(Family::Hopper, 1);
    again.report.nonce = [1; 32];
    let error = check(2, 0, vec![device(Family::Hopper, 1), again]).unwrap_err();
    assert_eq!(error, FleetError::Duplicate { first: 0, second: 1 });
    // another key under the same serial number
    let mut same_serial = device(Family::Hopper, 2);
    same_serial.chain[0].serial = device(Family::Hopper, 1).chain[0].serial.clone();
    let error = check(2, 0, vec![device(Family::Hopper, 1), same_serial]).unwrap_err();
    assert_eq!(error, FleetError::Duplicate { first: 0, second: 1 });
}

#[test]
fn step_9_nonces_by_the_rule() {
    let mut second = device(Family::Hopper, 2);
    second.report.nonce = device(Family::Hopper, 1).report.nonce;
    let devices = vec![appraised(device(Family::Hopper, 1)), appraised(second)];
    let own = Fleet { gpus: 2, switches: 0, nonces: NonceRule::Own };
    assert_eq!(own.check(devices.clone()).unwrap_err(), FleetError::Nonces { device: 1 });
    let common = Fleet { nonces: NonceRule::Common, ..own };
    common.check(devices).unwrap();
    let devices = vec![appraised(device(Family::Hopper, 1)), appraised(device(Family::Hopper, 2))];
    assert_eq!(common.check(devices).unwrap_err(), FleetError::Nonces { device: 1 });
}

#[test]
fn step_9_families_go_together() {
    let verify = |device: &Device| crate::set::verify(device).unwrap();
    let (hopper, blackwell, switch) = (
        verify(&device(Family::Hopper, 1)),
        verify(&device(Family::Blackwell, 2)),
        verify(&device(Family::Ls10, 9)),
    );
    let fleet = Fleet { gpus: 2, switches: 0, nonces: NonceRule::Own };
    let mixed = |device, found, expected| FleetError::MixedArchitectures { device, found, expected };
    let error = fleet.check_genuine(&[&hopper, &blackwell]).unwrap_err();
    assert_eq!(error, mixed(1, Architecture::Blackwell, Architecture::Hopper));
    let fleet = Fleet { gpus: 1, switches: 1, ..fleet };
    let error = fleet.check_genuine(&[&switch, &blackwell]).unwrap_err();
    assert_eq!(error, mixed(0, Architecture::Ls10, Architecture::Blackwell));
}

#[test]
fn step_9_protected_pcie_is_everywhere_or_nowhere() {
    let error = check(2, 0, vec![linked_gpu(1), device(Family::Hopper, 2)]).unwrap_err();
    assert_eq!(error, FleetError::MixedProtectedPcie { device: 1 });
    let error = check(1, 0, vec![linked_gpu(1)]).unwrap_err();
    assert_eq!(error, FleetError::Switches { switches: 0 });
    let error = check(1, 1, vec![device(Family::Hopper, 1), device(Family::Ls10, 9)]).unwrap_err();
    assert_eq!(error, FleetError::Switches { switches: 1 });
}

#[test]
fn step_9_gpus_are_linked_to_the_attested_switches() {
    let mut other = linked_gpu(1);
    other.report.set(Opaque::SwitchPdi, &[8, 7, 6, 5, 4, 3, 2, 8]);
    let error = check(1, 1, vec![other, device(Family::Ls10, 9)]).unwrap_err();
    assert_eq!(error, FleetError::Topology { device: 0 });
}

#[test]
fn step_9_links_that_nobody_names_are_refused() {
    // the GPU names no switch
    let mut silent = linked_gpu(1);
    silent.report.set(Opaque::SwitchPdi, &[0; 16]);
    let error = check(1, 1, vec![silent, device(Family::Ls10, 9)]).unwrap_err();
    assert_eq!(error, FleetError::Topology { device: 0 });
    // the switch does not say who it is
    let mut nameless = device(Family::Ls10, 9);
    nameless.report.set(Opaque::SwitchPdi, &[]);
    let error = check(1, 1, vec![linked_gpu(1), nameless]).unwrap_err();
    assert_eq!(error, FleetError::Topology { device: 0 });
}

#[test]
fn step_9_modes_that_are_not_known_are_refused() {
    let mut gpu = device(Family::Hopper, 1);
    gpu.report.opaque.push((36, vec![3, 0]));
    let error = check(1, 0, vec![gpu]).unwrap_err();
    assert_eq!(error, FleetError::UnknownMode { device: 0, mode: 3 });
}

#[test]
fn step_9_the_mode_must_be_on_and_not_for_development() {
    let fleet = check(1, 0, vec![device(Family::Hopper, 1)]).unwrap();
    let refused = |state| ReadyPermit::for_fleet(&fleet, state).unwrap_err();
    assert_eq!(refused(CcState { feature_on: false, ..ON }), NotReady::Off);
    assert_eq!(refused(CcState { dev_tools: true, ..ON }), NotReady::DevTools);
    assert_eq!(refused(CcState { dev_tools: true, feature_on: false, ..ON }), NotReady::DevTools);
    let protected = CcState { multi_gpu: MultiGpu::ProtectedPcie, ..ON };
    assert_eq!(refused(protected), NotReady::ProtectedPcieDiffers);
    assert_eq!(NotReady::Off.step(), Step::Mode);
    let _permit =
        ReadyPermit::for_fleet(&fleet, CcState { multi_gpu: MultiGpu::EncryptedLinks, ..ON }).unwrap();
}

/// A machine with two GPUs and a switch, as a bundle.
fn bundle() -> (Bundle, Vec<Nonce>) {
    let devices = [linked_gpu(1), linked_gpu(2), device(Family::Ls10, 9)];
    let (driver, vbios, switch) = (driver_rim(), vbios_rim(), switch_rim());
    let evidence = |device: &Device, architecture: &str| DeviceEvidence {
        architecture: architecture.to_owned(),
        report: device.evidence(),
        chain: device.chain_pem(),
    };
    let ocsp = devices
        .iter()
        .flat_map(|device| responses(device, &[&driver, &vbios, &switch]))
        .map(|response: OcspResponse| response.der())
        .collect();
    let bundle = Bundle {
        devices: devices
            .iter()
            .zip(["HOPPER", "HOPPER", "LS10"])
            .map(|(device, architecture)| evidence(device, architecture))
            .collect(),
        rims: [driver, vbios, switch].iter().map(|rim| rim.encode().into_bytes()).collect(),
        ocsp,
    };
    (bundle, devices.iter().map(|device| Nonce(device.report.nonce)).collect())
}

const MACHINE: Fleet = Fleet { gpus: 2, switches: 1, nonces: NonceRule::Own };

#[test]
fn a_bundle_verifies_again_from_its_file() {
    let (bundle, nonces) = bundle();
    let again = Bundle::parse(bundle.to_json().as_bytes()).unwrap();
    assert_eq!(again, bundle);
    let fleet = again.verify(&nonces, &MACHINE, &policy(), &roots(), NOW).unwrap();
    assert!(fleet.is_protected_pcie());
}

#[test]
fn a_bundles_faults_are_named() {
    let (good, nonces) = bundle();
    let refused = |break_it: &dyn Fn(&mut Bundle)| {
        let mut bundle = good.clone();
        break_it(&mut bundle);
        bundle.verify(&nonces, &MACHINE, &policy(), &roots(), NOW).unwrap_err()
    };
    let error = refused(&|bundle| bundle.rims[1][0] = b'x');
    assert!(matches!(error, MachineError::Rim { rim: 1, .. }), "{error:?}");
    let error = refused(&|bundle| drop(bundle.rims.remove(2)));
    assert!(matches!(error, MachineError::Appraisal { device: 2, .. }), "{error:?}");
    assert_eq!(error.step(), Step::Rims);
    let error = refused(&|bundle| bundle.devices.swap(0, 1));
    assert!(matches!(error, MachineError::Verify { device: 0, .. }), "{error:?}");
    let error = refused(&|bundle| drop(bundle.devices.pop()));
    assert_eq!(error, MachineError::Nonces { devices: 2, nonces: 3 });
    let error = refused(&|bundle| bundle.devices[2].architecture = "HOPPER".to_owned());
    assert_eq!(error.step(), Step::Chain);
    let mut lenient = policy();
    lenient.ocsp = OcspPolicy::ALLOW_UNKNOWN;
    let fleet = Fleet { gpus: 3, ..MACHINE };
    let error = good.verify(&nonces, &fleet, &lenient, &roots(), NOW).unwrap_err();
    assert_eq!(error, MachineError::Fleet(FleetError::Count { kind: "GPUs", found: 2, expected: 3 }));
}

#[test]
fn bundle_files_are_bounded() {
    assert!(matches!(Bundle::parse(b"{}"), Err(BundleError::Json(_))));
    let version = br#"{"version":2,"devices":[],"rims":[],"ocsp":[]}"#;
    assert!(matches!(Bundle::parse(version), Err(BundleError::Version { version: 2 })));
    let base64 = br#"{"version":1,"devices":[],"rims":["*"],"ocsp":[]}"#;
    assert!(matches!(Bundle::parse(base64), Err(BundleError::Base64 { member: "rims", .. })));
    let many = format!(r#"{{"version":1,"devices":[],"rims":[{}""],"ocsp":[]}}"#, "\"\",".repeat(64));
    assert!(matches!(
        Bundle::parse(many.as_bytes()),
        Err(BundleError::TooMany { what: "RIMs", found: 65, most: 64 })
    ));
    let long = vec![b' '; privatemode_attest::gpu::MAX_BUNDLE + 1];
    assert!(matches!(Bundle::parse(&long), Err(BundleError::TooLong { .. })));
    assert!(matches!(Bundle::from_nvidia_list(b"{}"), Err(BundleError::Json(_))));
}
