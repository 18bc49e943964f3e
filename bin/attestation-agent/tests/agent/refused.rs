//! What must not be set ready: each time the exact reason, GPUs that were ready before are stopped, files are taken back.

use privatemode_attest::{
    UnixTime,
    gpu::{
        AppraisalError, Component, FleetError, MachineError, Unanswered, VerifyError, Versions,
        ocsp::{CertStatus, OcspError},
        rim::RimError,
    },
};
use privatemode_attestation_agent::{AdmitError, GpuError, Plan};
use privatemode_collateral::FetchError;
use privatemode_service::Chain;
use privatemode_test_kit::vendor::{Fault, OCSP_PATH};
use privatemode_test_pki::nvidia::{DAY, OcspResponse, Status};

use crate::{
    machine::{self, NOW, Pair, RIMS},
    world::World,
};

impl World {
    async fn refused(&self, change: impl FnOnce(&mut Plan)) -> AdmitError {
        // as left by an earlier run
        std::fs::write(self.tell().status, "[]").unwrap();
        self.gpus.set(true);
        let error = self.run(change).await.unwrap_err();
        assert!(!self.gpus.is_ready(), "{error:?}");
        assert!(self.tells_nothing(), "{error:?}");
        error
    }

    fn answer(&self, pair: &Pair, change: impl FnOnce(&mut OcspResponse)) {
        let mut answer = machine::answer(pair);
        change(&mut answer);
        self.vendor.nvidia_ocsp_for(&machine::request(pair), &answer.der());
    }
}

fn appraisal(error: AdmitError) -> AppraisalError {
    match error {
        AdmitError::Evidence { source: MachineError::Appraisal { device: 0, source } } => *source,
        other => panic!("{other:?}"),
    }
}

/// The boot ROM of the only GPU.
fn boot_rom() -> Pair {
    machine::pairs(1)[0].clone()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_vendor_that_is_down() {
    let world = World::new(1).await;
    world.vendor.fault(OCSP_PATH, Fault::Reset);
    let error = world.refused(|_| ()).await;
    let AdmitError::Fetch { source: FetchError::Unavailable { .. } } = &error else { panic!("{error:?}") };
    let text = Chain(&error).to_string();
    let start = "what NVIDIA publishes about these GPUs cannot be had; no GPU takes work: cannot get the ";
    assert!(text.starts_with(start), "{text}");
    assert!(text.contains(&world.vendor.host()), "{text}");

    let world = World::new(1).await;
    let path = format!("/v1/rim/{}", RIMS[0].0);
    world.vendor.fault(&path, Fault::Status(404));
    let error = world.refused(|_| ()).await;
    let AdmitError::Fetch { source: FetchError::NotFound { key, .. } } = &error else { panic!("{error:?}") };
    assert_eq!(key.identity(), RIMS[0].0);
    world.vendor.heal();
    world.run(|_| ()).await.unwrap();
    assert!(world.gpus.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn certificates_that_are_not_good() {
    let world = World::new(1).await;
    let pairs = machine::pairs(1);
    // GPU: boot ROM; RIM signer: of both RIMs, of which the VBIOS's is looked at first
    for (pair, component, position) in [(&pairs[0], Component::Gpu, 1), (&pairs[3], Component::Vbios, 0)] {
        world.answer(pair, |answer| answer.status = Status::Revoked(NOW.0 - DAY));
        let AppraisalError::NotGood { state } = appraisal(world.refused(|_| ()).await) else { panic!() };
        assert_eq!((state.component, state.position), (component, Some(position)));
        assert_eq!(state.status, CertStatus::Revoked { at: UnixTime(NOW.0 - DAY) });

        world.answer(pair, |answer| answer.status = Status::Unknown);
        let AppraisalError::NotGood { state } = appraisal(world.refused(|_| ()).await) else { panic!() };
        assert_eq!((state.component, state.status), (component, CertStatus::Unknown));
        assert_eq!(state.unanswered, None);

        let ended = UnixTime(NOW.0 - 1);
        world.answer(pair, |answer| answer.next_update = Some(ended.0));
        let AppraisalError::NotGood { state } = appraisal(world.refused(|_| ()).await) else { panic!() };
        let stale = Unanswered::OutOfTime(OcspError::Stale { since: ended });
        assert_eq!((state.component, state.unanswered), (component, Some(stale)));
        world.answer(pair, |_| ());
    }
    world.answer(&boot_rom(), |answer| answer.status = Status::Revoked(NOW.0 - DAY));
    let text = Chain(&world.refused(|_| ()).await).to_string();
    assert_eq!(
        text,
        "the GPUs' evidence is refused; no GPU takes work: device 0 is not acceptable: certificate 1 of the GPU's chain is \
         revoked since 2025-12-31T00:00:00Z, which the policy does not accept"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_are_forged() {
    let world = World::new(1).await;
    let pair = boot_rom();
    world.answer(&pair, |answer| answer.signed_by = privatemode_test_pki::Key::p384("somebody else"));
    // not even where unknown states are accepted: silence is no forgery
    let error = appraisal(world.refused(|plan| plan.policy.ocsp.allow_unknown = true).await);
    let expected =
        AppraisalError::Ocsp { component: Component::Gpu, position: 1, source: OcspError::Signature };
    assert_eq!(error, expected);

    // about another certificate: as if there were none
    world.vendor.nvidia_ocsp_for(&machine::request(&pair), &machine::answer(&machine::pairs(1)[1]).der());
    let AppraisalError::NotGood { state } = appraisal(world.refused(|_| ()).await) else { panic!() };
    assert_eq!((state.component, state.unanswered), (Component::Gpu, Some(Unanswered::NoResponse)));

    // the next start asks again, and finds the right one
    world.answer(&pair, |_| ());
    world.run(|_| ()).await.unwrap();
    assert!(world.gpus.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn reference_values_that_are_not_nvidias() {
    let world = World::new(1).await;
    let (id, version) = RIMS[0];
    let mut forged = machine::rim(version);
    forged.signed_by = privatemode_test_pki::Key::p384("somebody else");
    world.vendor.nvidia_rim(id, forged.encode().as_bytes());
    let error = world.refused(|_| ()).await;
    let AdmitError::Evidence { source: MachineError::Rim { rim: 0, source } } = error else {
        panic!("{error:?}")
    };
    assert_eq!(source, RimError::Signature);
    assert_eq!(world.vendor.count(OCSP_PATH), 0, "nobody is asked about a stranger's certificates");

    // the same name, another version
    world.vendor.nvidia_rim(id, machine::rim("550.90.08").encode().as_bytes());
    let AppraisalError::RimMissing { id: missing } = appraisal(world.refused(|_| ()).await) else { panic!() };
    assert_eq!(missing.as_str(), id);
}

#[tokio::test(flavor = "multi_thread")]
async fn versions_that_are_not_allowed_are_nobodys_business() {
    let world = World::new(1).await;
    let only = |version: &str| Versions::OneOf(vec![version.to_owned()]);
    let error = appraisal(world.refused(|plan| plan.policy.drivers = only("550.90.08")).await);
    assert_eq!(error.to_string(), "driver version 550.90.07 is not in the allow list");
    let error = appraisal(world.refused(|plan| plan.policy.vbios = only("96.00.00.00.00")).await);
    assert_eq!(error.to_string(), "VBIOS version 96.00.9F.00.01 is not in the allow list");
    assert!(world.vendor.requests().is_empty());
    world.run(|plan| plan.policy.drivers = only("550.90.07")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn devices_that_are_not_genuine_or_not_as_they_should_be() {
    let world = World::new(2).await;
    let gpus = &world.gpus;
    *gpus.change.lock().unwrap() = |device| device.report_signed_by = privatemode_test_pki::Key::p384("me");
    let error = world.refused(|_| ()).await;
    let source = VerifyError::Signature;
    assert!(
        matches!(&error, AdmitError::Evidence { source: MachineError::Verify { device: 0, source: found } } if *found == source),
        "{error:?}"
    );
    assert!(world.vendor.requests().is_empty(), "nobody is asked about what is not genuine");

    *gpus.change.lock().unwrap() = |device| device.report.blocks[0] = [0xEE; 48];
    assert!(matches!(appraisal(world.refused(|_| ()).await), AppraisalError::Measurement(_)));

    // one GPU answers for both
    *gpus.change.lock().unwrap() = |device| {
        let nonce = device.report.nonce;
        *device =
            privatemode_test_pki::nvidia::Device::new(privatemode_test_pki::nvidia::Family::Hopper, 0, nonce);
    };
    let error = world.refused(|_| ()).await;
    let AdmitError::Evidence { source: MachineError::Fleet(source) } = error else { panic!("{error:?}") };
    assert_eq!(source, FleetError::Duplicate { first: 0, second: 1 });
    *gpus.change.lock().unwrap() = |_| ();

    let error = world.refused(|plan| plan.gpus = Some(3)).await;
    let AdmitError::Collect { source: GpuError::Count { have: 2, want: 3 } } = error else {
        panic!("{error:?}")
    };
    *gpus.dev_tools.lock().unwrap() = true;
    let error = world.refused(|_| ()).await;
    assert!(matches!(error, AdmitError::Collect { source: GpuError::DevTools }), "{error:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_be_told_gets_no_gpus() {
    let world = World::new(1).await;
    let error = world.refused(|plan| plan.tell.evidence = world.folder.path().join("no/evidence.json")).await;
    assert!(matches!(&error, AdmitError::Tell { .. }), "{error:?}");
    let states = world.gpus.states.lock().unwrap();
    assert_eq!(states[states.len() - 2..], [true, false], "ready, and stopped again");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refusal_is_the_processs_failure() {
    let world = World::new(1).await;
    let code = |code: u8| format!("{:?}", std::process::ExitCode::from(code));
    assert_eq!(format!("{:?}", world.exit_code().await), code(0));
    assert!(world.gpus.is_ready());
    world.answer(&boot_rom(), |answer| answer.status = Status::Revoked(NOW.0 - DAY));
    // what was kept from before counts no longer
    std::fs::remove_dir_all(world.folder.path().join("collateral")).unwrap();
    assert_eq!(format!("{:?}", world.exit_code().await), code(1));
    assert!(!world.gpus.is_ready());
}
