//! The machine with eight GPUs and four switches under protected PCIe.

use privatemode_attest::gpu::{
    Bundle, Fleet, FleetError, MachineError, Nonce, NonceRule, OcspPolicy, Roots, Step, VerifiedDevice,
    VerifyError,
};

use crate::case::{Case, SAMPLE_NONCE, at, folder, nonce, policy};

const NOW: &str = "2026-01-01T00:00:00Z";
const MACHINE: Fleet = Fleet { gpus: 8, switches: 4, nonces: NonceRule::Common };

fn machine_nonce() -> Nonce {
    nonce("4760e30534a0621357d458b1a7936551b5dc4cd1e69718adf7ed9fb0252a537e")
}

fn bundle() -> Option<Bundle> {
    let folder = folder()?;
    let read = |name: &str| {
        Bundle::from_nvidia_list(&std::fs::read(folder.join(name).join("evidence.json")).unwrap()).unwrap()
    };
    let mut all = read("h100-590.12-eight-ppcie");
    all.devices.extend(read("ls10-switch-four").devices);
    Some(all)
}

fn verified(bundle: &Bundle) -> Vec<VerifiedDevice> {
    let nonces = vec![machine_nonce(); bundle.devices.len()];
    bundle.verify_devices(&nonces, &Roots::embedded(), at(NOW)).unwrap()
}

fn check(fleet: Fleet, devices: &[VerifiedDevice]) -> Result<(), FleetError> {
    fleet.check_genuine(&devices.iter().collect::<Vec<_>>())
}

#[test]
fn the_machine_is_complete_and_its_links_fit() {
    let Some(bundle) = bundle() else { return };
    let devices = verified(&bundle);
    check(MACHINE, &devices).unwrap();
    let gpu = devices[0].report().opaque();
    assert!(gpu.is_protected_pcie());
    assert_eq!(gpu.linked_switches().len(), 4);
}

#[test]
fn missing_and_double_devices_are_refused() {
    let Some(bundle) = bundle() else { return };
    let all = verified(&bundle);
    let mut one_less = all.clone();
    one_less.remove(3);
    let count = FleetError::Count { kind: "GPUs", found: 7, expected: 8 };
    assert_eq!(check(MACHINE, &one_less).unwrap_err(), count);
    let mut no_switch = all.clone();
    no_switch.pop();
    let count = FleetError::Count { kind: "switches", found: 3, expected: 4 };
    assert_eq!(check(MACHINE, &no_switch).unwrap_err(), count);
    let mut double = all.clone();
    double[5] = all[2].clone();
    assert_eq!(check(MACHINE, &double).unwrap_err(), FleetError::Duplicate { first: 2, second: 5 });
}

#[test]
fn gpus_under_protected_pcie_need_their_switches() {
    let Some(bundle) = bundle() else { return };
    let all = verified(&bundle);
    let (gpus, switches) = all.split_at(8);
    let alone = Fleet { switches: 0, ..MACHINE };
    assert_eq!(check(alone, gpus).unwrap_err(), FleetError::Switches { switches: 0 });
    // three of the four: they are linked to one that is not attested
    let three = Fleet { switches: 3, ..MACHINE };
    let some = [gpus, &switches[..3]].concat();
    assert_eq!(check(three, &some).unwrap_err(), FleetError::Topology { device: 0 });
}

#[test]
fn nonces_must_be_as_they_were_asked() {
    let Some(bundle) = bundle() else { return };
    let devices = verified(&bundle);
    let own = Fleet { nonces: NonceRule::Own, ..MACHINE };
    assert_eq!(check(own, &devices).unwrap_err(), FleetError::Nonces { device: 1 });
    // a device of another session among them
    let other = Case::switch().unwrap().verify(NOW).unwrap();
    let mut mixed = devices;
    mixed[11] = other;
    assert_eq!(check(MACHINE, &mixed).unwrap_err(), FleetError::Nonces { device: 11 });
    let mut nonces = vec![machine_nonce(); 12];
    nonces[4] = Nonce([0; 32]);
    let refused = bundle.verify_devices(&nonces, &Roots::embedded(), at(NOW)).unwrap_err();
    assert!(matches!(refused, MachineError::Verify { device: 4, source: VerifyError::Nonce { .. } }));
    let refused = bundle.verify_devices(&nonces[1..], &Roots::embedded(), at(NOW)).unwrap_err();
    assert_eq!(refused, MachineError::Nonces { devices: 12, nonces: 11 });
}

#[test]
fn families_are_not_mixed() {
    let Some(bundle) = bundle() else { return };
    let mut devices = verified(&bundle);
    devices[7] = Case::open("blackwell-575.32", SAMPLE_NONCE).unwrap().verify(NOW).unwrap();
    assert!(matches!(check(MACHINE, &devices), Err(FleetError::MixedArchitectures { device: 7, .. })));
    // and a GPU of the same family without protected PCIe
    devices[7] = Case::complete().unwrap().verify(NOW).unwrap();
    let own = FleetError::Nonces { device: 7 };
    assert_eq!(check(MACHINE, &devices).unwrap_err(), own);
}

#[test]
fn the_file_may_not_name_another_family() {
    let Some(mut bundle) = bundle() else { return };
    bundle.devices[1].architecture = "BLACKWELL".to_owned();
    let nonces = vec![machine_nonce(); 12];
    let refused = bundle.verify_devices(&nonces, &Roots::embedded(), at(NOW)).unwrap_err();
    assert_eq!(refused, MachineError::Architecture { device: 1, claimed: "BLACKWELL".to_owned() });
}

#[test]
fn the_whole_machine_lacks_only_reference_values() {
    let Some(bundle) = bundle() else { return };
    let policy = policy(OcspPolicy::ALLOW_UNKNOWN);
    let nonces = vec![machine_nonce(); 12];
    let refused = bundle.verify(&nonces, &MACHINE, &policy, &Roots::embedded(), at(NOW)).unwrap_err();
    assert_eq!(refused.step(), Step::Rims);
    let MachineError::Appraisal { device: 0, source } = refused else { panic!("{refused:?}") };
    assert!(source.to_string().contains("NV_GPU_DRIVER_GH100_590.12"), "{source}");
}
