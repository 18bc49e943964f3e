//! The whole flow over a fake driver, NVIDIA evidence under test roots, and a vendor's server that misbehaves.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod binary;
mod machine;
mod refused;
mod renewal;
mod signed;
mod world;

use privatemode_attest::gpu::{Bundle, Fleet, Nonce, NonceRule, nonce};
use privatemode_test_kit::vendor::OCSP_PATH;
use serde_json::json;

use machine::{RIMS, question};
use world::World;

#[tokio::test(flavor = "multi_thread")]
async fn gpus_are_set_ready_once_all_of_them_were_verified() {
    let world = World::new(2).await;
    assert!(world.run(|plan| plan.gpus = Some(2)).await.is_ok());

    assert!(world.gpus.is_ready());
    let good = json!({"GPU": {"Value": "GOOD"}, "VBIOS": {"Value": "GOOD"}, "Driver": {"Value": "GOOD"}});
    assert_eq!(world.status(), json!([good, good]));
    // one reference manifest of each kind, and each certificate once however many chains it is in:
    // two boot ROMs, provisioner, identity, three of the RIMs' signers
    assert_eq!(RIMS.map(|(id, _)| world.vendor.count(&format!("/v1/rim/{id}"))), [1, 1]);
    assert_eq!(world.vendor.count(OCSP_PATH), 2 + 2 + 3);

    // whoever reads the file can verify it again
    let bundle = Bundle::parse(&std::fs::read(&world.tell().evidence).unwrap()).unwrap();
    let nonces: Vec<Nonce> = (0..2).map(|index| nonce::derive(&question(), index)).collect();
    let fleet = Fleet { gpus: 2, switches: 0, nonces: NonceRule::Own };
    bundle.verify(&nonces, &fleet, &machine::policy(), &machine::roots(), machine::NOW).unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_kept_serves_the_next_start_while_nvidia_is_down() {
    let mut world = World::new(1).await;
    world.run(|_| ()).await.unwrap();
    world.vendor.stop().await;
    world.gpus.set(false);
    world.run(|_| ()).await.unwrap();
    assert!(world.gpus.is_ready());
}

#[tokio::test(flavor = "multi_thread")]
async fn leniency_is_as_wide_as_it_was_asked_for() {
    let world = World::new(1).await;
    world.vendor.fault(OCSP_PATH, privatemode_test_kit::vendor::Fault::Reset);
    world.run(|plan| plan.policy.ocsp.allow_unknown = true).await.unwrap();
    assert!(world.gpus.is_ready());
    let unknown =
        json!({"GPU": {"Value": "UNKNOWN"}, "VBIOS": {"Value": "UNKNOWN"}, "Driver": {"Value": "UNKNOWN"}});
    assert_eq!(world.status(), json!([unknown]));
}
