use privatemode_test_pki::nvidia::{self, Device, Family, OcspResponse, Rim};

use super::*;
use crate::gpu::{NonceRule, OcspPolicy, Versions};
use crate::signature::checked;
use crate::x509::Certificate;

const NOW: UnixTime = UnixTime(nvidia::NOW);

fn roots() -> Roots {
    let parse =
        |certificate: privatemode_test_pki::Certificate| Certificate::parse_der(&certificate.der()).unwrap();
    Roots::danger_test(parse(nvidia::device_root()), parse(nvidia::rim_root()))
}

/// A machine of so many GPUs with one good response for each certificate.
fn machine(gpus: u8) -> (Bundle, Vec<Nonce>) {
    let devices: Vec<Device> =
        (0..gpus).map(|number| Device::new(Family::Hopper, number, [number; 32])).collect();
    let rims = [
        Rim::new("GH100", "GPU", "550.90.07", &[(0, true, &[[1; 48]])]),
        Rim::new("GH100", "GPU", "96.00.9F.00.01", &[(1, true, &[[2; 48]])]),
    ];
    let chains = devices.iter().map(|device| &device.chain[1..]).chain(rims.iter().map(|rim| &rim.chain[..]));
    let mut ocsp: Vec<Vec<u8>> = Vec::new();
    for pair in chains.flat_map(|chain| chain.windows(2)) {
        let response = OcspResponse::new(&pair[0], &pair[1]);
        // ECDSA signatures differ from call to call: told apart by what they are about
        if !ocsp.iter().any(|known| {
            let certificate =
                |of: &privatemode_test_pki::Certificate| Certificate::parse_der(&of.der()).unwrap();
            crate::gpu::ocsp::answers(known, &certificate(&pair[0]), &certificate(&pair[1]))
        }) {
            ocsp.push(response.der());
        }
    }
    let evidence = |device: &Device| DeviceEvidence {
        architecture: "HOPPER".to_owned(),
        report: device.evidence(),
        chain: device.chain_pem(),
    };
    let bundle = Bundle {
        devices: devices.iter().map(evidence).collect(),
        rims: rims.iter().map(|rim| rim.encode().into_bytes()).collect(),
        ocsp,
    };
    (bundle, (0..gpus).map(|number| Nonce([number; 32])).collect())
}

fn signatures_checked_for(gpus: u8) -> usize {
    let (bundle, nonces) = machine(gpus);
    let policy = Policy { drivers: Versions::Any, vbios: Versions::Any, ocsp: OcspPolicy::REQUIRE_GOOD };
    let fleet = Fleet { gpus: gpus.into(), switches: 0, nonces: NonceRule::Own };
    let before = checked::count();
    bundle.verify(&nonces, &fleet, &policy, &roots(), NOW).unwrap();
    checked::count() - before
}

#[test]
fn a_shared_response_is_verified_once() {
    // its chain (four, and its copy of the root), its report, and the response about its own boot ROM with the responder's
    // certificate
    const OF_ONE_GPU: usize = 5 + 1 + 2;
    let [one, two, eight] = [1, 2, 8].map(signatures_checked_for);
    assert_eq!(two - one, OF_ONE_GPU);
    assert_eq!(eight - one, 7 * OF_ONE_GPU);
}
