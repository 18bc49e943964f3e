//! The states of certificates are asked for again before they are out of date.

use std::sync::Arc;

use privatemode_attest::gpu::{AppraisalError, MachineError, ocsp::CertStatus};
use privatemode_attestation_agent::AdmitError;
use privatemode_service::Shutdown;
use privatemode_test_kit::vendor::{Fault, OCSP_PATH};
use privatemode_test_pki::nvidia::{DAY, OcspResponse, Status};

use crate::{
    machine::{self, NOW},
    world::World,
};

/// Answers end half a day after [`NOW`]; a pause is half of what is left.
const PAUSE: u64 = DAY / 4;
const ASKED: usize = 1 + 2 + 3;

fn publish(world: &World, change: impl Fn(&mut OcspResponse)) {
    for pair in machine::pairs(1) {
        let mut answer = machine::answer(&pair);
        change(&mut answer);
        world.vendor.nvidia_ocsp_for(&machine::request(&pair), &answer.der());
    }
}

fn start(world: &World) -> (tokio::task::JoinHandle<Result<(), AdmitError>>, Shutdown) {
    let shutdown = Shutdown::new();
    let agent = world.agent(|plan| plan.once = false);
    (tokio::spawn(agent.run(shutdown.clone())), shutdown)
}

#[tokio::test(flavor = "multi_thread")]
async fn good_states_are_renewed_in_time() {
    let world = World::new(1).await;
    let (mut running, shutdown) = start(&world);
    world.clock.round_ended(&mut running).await;
    assert_eq!(world.vendor.count(OCSP_PATH), ASKED);
    world.clock.pass(PAUSE);
    publish(&world, |answer| {
        answer.this_update = NOW.0 + PAUSE;
        answer.next_update = Some(NOW.0 + PAUSE + DAY / 2);
    });
    world.clock.begin_round();
    world.clock.round_ended(&mut running).await;
    assert_eq!(world.vendor.count(OCSP_PATH), 2 * ASKED);
    assert!(world.gpus.is_ready());
    shutdown.trigger();
    running.await.unwrap().unwrap();
    // an end that was asked for is no refusal: work goes on
    assert!(world.gpus.is_ready() && !world.tells_nothing());
    let pauses: Vec<u64> = world.clock.pauses.lock().unwrap().iter().map(|pause| pause.as_secs()).collect();
    assert_eq!(pauses, [PAUSE, PAUSE]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revocation_stops_gpus_that_work() {
    let world = World::new(1).await;
    let (mut running, _shutdown) = start(&world);
    world.clock.round_ended(&mut running).await;
    assert!(world.gpus.is_ready());
    world.clock.pass(PAUSE);
    publish(&world, |answer| answer.status = Status::Revoked(NOW.0 + 1));
    world.clock.begin_round();
    let error = running.await.unwrap().unwrap_err();
    let AdmitError::Evidence { source: MachineError::Appraisal { device: 0, source } } = error else {
        panic!("{error:?}")
    };
    let AppraisalError::NotGood { state } = *source else { panic!("{source:?}") };
    assert!(matches!(state.status, CertStatus::Revoked { .. }));
    assert!(!world.gpus.is_ready() && world.tells_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn an_outage_is_survived_for_as_long_as_the_answers_count() {
    let world = Arc::new(World::new(1).await);
    let (mut running, _shutdown) = start(&world);
    world.clock.round_ended(&mut running).await;
    world.vendor.fault(OCSP_PATH, Fault::Reset);
    world.clock.pass(PAUSE);
    world.clock.begin_round();
    world.clock.round_ended(&mut running).await;
    assert!(world.gpus.is_ready());
    // half of what is left
    assert_eq!(world.clock.pauses.lock().unwrap()[1].as_secs(), PAUSE / 2);
    world.clock.pass(PAUSE + 1);
    world.clock.begin_round();
    let error = running.await.unwrap().unwrap_err();
    let text = privatemode_service::Chain(&error).to_string();
    assert_eq!(
        text,
        "the GPUs' evidence is refused; no GPU takes work: device 0 is not acceptable: certificate 1 of the GPU's chain is \
         unknown: the OCSP response is stale since 2026-01-01T12:00:00Z; fetch a new one, which the policy does not accept"
    );
    assert!(!world.gpus.is_ready() && world.tells_nothing());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_was_plugged_meanwhile_stops_all() {
    let world = World::new(1).await;
    let (mut running, _shutdown) = start(&world);
    world.clock.round_ended(&mut running).await;
    world.gpus.devices.lock().unwrap()[0].uuid = "GPU-other".to_owned();
    world.clock.begin_round();
    let error = running.await.unwrap().unwrap_err();
    assert!(matches!(error, AdmitError::Changed), "{error:?}");
    assert!(!world.gpus.is_ready() && world.tells_nothing());
}
