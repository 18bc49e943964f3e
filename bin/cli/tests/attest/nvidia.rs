//! `attest nvidia` with devices under test roots.

use privatemode_test_pki::Key;
use privatemode_test_pki::nvidia::{
    DAY, Device, Family, Golden, NOW, OcspResponse, Opaque, Rim, Status, device_root, pem, rim_root,
};

use crate::support::{Flags, Folder, step, time, warned};

const NONCE: [u8; 32] = [0x1c; 32];
const DRIVER: &[Golden<'_>] = &[(0, true, &[[1; 48]]), (1, true, &[[0xee; 48], [2; 48]])];
const VBIOS: &[Golden<'_>] = &[(2, true, &[[3; 48]]), (3, false, &[[0; 48]])];

fn gpu() -> Device {
    Device::new(Family::Hopper, 1, NONCE)
}

fn driver_rim() -> Rim {
    Rim::new("GH100", "GPU", "550.90.07", DRIVER)
}

fn vbios_rim() -> Rim {
    Rim::new("GH100", "GPU", "96.00.9F.00.01", VBIOS)
}

/// Report, chain and roots; nothing to compare with.
pub(crate) fn flags(device: &Device) -> Flags {
    let folder = Folder::new();
    let arguments = vec![
        "nvidia".to_owned(),
        format!("--at={}", time(NOW)),
        format!("--nonce={}", hex::encode(NONCE)),
        format!("--evidence={}", folder.file("evidence.bin", &device.evidence())),
        format!("--chain={}", folder.file("chain.pem", &device.chain_pem())),
        format!("--danger-root={}", folder.file("roots.pem", &pem(&[device_root(), rim_root()]))),
    ];
    Flags::new(folder, arguments)
}

/// With both RIMs.
fn with_rims(device: &Device, driver: &Rim, vbios: &Rim) -> Flags {
    let flags = flags(device);
    let driver = flags.folder().file("driver.xml", driver.encode().as_bytes());
    let vbios = flags.folder().file("vbios.xml", vbios.encode().as_bytes());
    flags.with(&format!("--driver-rim={driver}")).with(&format!("--vbios-rim={vbios}"))
}

/// With responses about all certificates that NVIDIA's responder answers for, the first of them changed.
fn with_ocsp(change: impl Fn(&mut OcspResponse)) -> Flags {
    let (device, driver, vbios) = (gpu(), driver_rim(), vbios_rim());
    let flags = with_rims(&device, &driver, &vbios);
    let folder = flags.folder().path().join("ocsp");
    std::fs::create_dir(&folder).unwrap();
    let chains = [&device.chain[1..], &driver.chain, &vbios.chain];
    let pairs = chains.iter().flat_map(|chain| chain.windows(2));
    for (number, pair) in pairs.enumerate() {
        let mut response = OcspResponse::new(&pair[0], &pair[1]);
        if number == 0 {
            change(&mut response);
        }
        std::fs::write(folder.join(format!("{number}.der")), response.der()).unwrap();
    }
    flags.with(&format!("--ocsp={}", folder.display()))
}

#[test]
fn each_family_is_genuine() {
    for (family, name) in
        [(Family::Hopper, "HOPPER"), (Family::Blackwell, "BLACKWELL"), (Family::Ls10, "LS10")]
    {
        let json = flags(&Device::new(family, 1, NONCE)).json().verdict(0);
        assert_eq!(step(&json, "chain")["values"]["architecture"], name);
        assert!(warned(&json, "measurements: NOT COMPARED"));
        assert!(warned(&json, "revocation: NOT CHECKED"));
        for name in ["rims", "measurements", "revocation"] {
            assert_eq!(step(&json, name)["verdict"], "not_compared");
        }
    }
}

#[test]
fn measurements_are_compared_with_the_rims() {
    let json = with_rims(&gpu(), &driver_rim(), &vbios_rim()).json().verdict(0);
    assert_eq!(step(&json, "measurements")["values"]["equal"], 3);
    assert_eq!(step(&json, "rims")["values"]["driver_rim"], "NV_GPU_DRIVER_GH100_550.90.07");
    let mut other = gpu();
    other.report.blocks[2] = [9; 48];
    let json = with_rims(&other, &driver_rim(), &vbios_rim()).json().refused_at("measurements");
    assert!(json["refusal"]["why"][1].as_str().unwrap().starts_with("measurement 2 differs"), "{json:#}");
    let mut forged = driver_rim();
    forged.signed_by = Key::p384("somebody else's");
    with_rims(&gpu(), &forged, &vbios_rim()).json().refused_at("rims");
    let older = Rim::new("GH100", "GPU", "550.90.06", DRIVER);
    with_rims(&gpu(), &older, &vbios_rim()).json().refused_at("rims");
    with_rims(&gpu(), &driver_rim(), &vbios_rim()).without("--driver-rim").json().refused_at("rims");
    with_rims(&gpu(), &driver_rim(), &vbios_rim()).without("--vbios-rim").json().refused_at("rims");
}

#[test]
fn revocation_is_what_is_required() {
    let json = with_ocsp(|_| {}).json().verdict(0);
    assert_eq!(step(&json, "revocation")["verdict"], "passed");
    assert_eq!(json["warnings"], serde_json::json!([]));

    let unknown = || with_ocsp(|response| response.status = Status::Unknown);
    unknown().json().refused_at("revocation");
    unknown().with("--require-ocsp=good").json().refused_at("revocation");
    let json = unknown().with("--require-ocsp=unknown").json().verdict(0);
    assert!(warned(&json, "OCSP: certificate 1 of the GPU's chain is unknown"), "{json:#}");

    let revoked = || with_ocsp(|response| response.status = Status::Revoked(NOW - DAY));
    revoked().with("--require-ocsp=unknown").json().refused_at("revocation");
    revoked().with("--require-ocsp=revoked-grace=23").json().refused_at("revocation");
    let json = revoked().with("--require-ocsp=revoked-grace=25").json().verdict(0);
    assert!(warned(&json, "OCSP: certificate 1 of the GPU's chain is revoked"), "{json:#}");

    with_rims(&gpu(), &driver_rim(), &vbios_rim())
        .with("--require-ocsp=good")
        .json()
        .refused_at("revocation");
    flags(&gpu()).with("--require-ocsp=unknown").json().refused_at("rims");
}

#[test]
fn versions_can_be_expected() {
    let all = "--expect=driver=550.90.07,vbios=96.00.9f.00.01,architecture=hopper";
    assert_eq!(step(&flags(&gpu()).with(all).json().verdict(0), "versions")["verdict"], "passed");
    for expected in ["driver=550.90.08", "vbios=96.00.9F.00.02", "architecture=BLACKWELL"] {
        flags(&gpu()).with(&format!("--expect={expected}")).json().refused_at("versions");
    }
    let switch = Device::new(Family::Ls10, 1, NONCE);
    flags(&switch).with("--expect=driver=550.90.07").json().refused_at("versions");
}

#[test]
fn each_step_of_genuineness_can_refuse() {
    let refused = |change: &dyn Fn(&mut Device), step: &str| {
        let mut device = gpu();
        change(&mut device);
        flags(&device).json().refused_at(step);
    };
    let device = gpu();
    let mut evidence = device.evidence();
    // the response says another version than the request
    evidence[37] = 0x12;
    let given = flags(&device);
    let path = given.folder().file("differs.bin", &evidence);
    given.set("--evidence", &path).json().refused_at("structure");
    refused(&|device| device.report.nonce = [0; 32], "nonce");
    refused(&|device| device.chain[1].signed_by = Key::p384("somebody else's"), "chain");
    refused(&|device| device.report_signed_by = Key::p384("somebody else's"), "signature");
    refused(&|device| device.report.set(Opaque::Fwid, &[0; 48]), "firmware_id");
    flags(&gpu()).without("--danger-root").json().refused_at("chain");
}

#[test]
fn a_test_root_shows_on_every_line() {
    let run = flags(&gpu()).run();
    assert_eq!(run.code, 0, "{}", run.err);
    assert!(run.out.lines().all(|line| line.starts_with("DANGER, TEST ROOT |")), "{}", run.out);
}

#[test]
fn what_is_of_no_form_is_unusable() {
    let mut newer = gpu();
    newer.report.version = 0x13;
    let run = flags(&newer).run();
    assert!(run.unusable().contains("SPDM version 0x13"), "{}", run.err);
    let given = flags(&gpu());
    let evidence = std::fs::read(given.folder().path().join("evidence.bin")).unwrap();
    let file = |name: &str| given.folder().path().join(name).to_str().unwrap().to_owned();
    for (flag, bytes) in [
        ("--evidence", &evidence[..evidence.len() - 1]),
        ("--evidence", b"[{\"arch\":1}]"),
        ("--chain", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"),
        // a certificate in DER where a chain in PEM is needed
        ("--chain", &gpu().chain[0].der()),
        ("--danger-root", b"?"),
    ] {
        let path = given.folder().file("wrong", bytes);
        assert!(flags(&gpu()).set(flag, &path).run().unusable().contains(flag), "{flag}");
    }
    let run = flags(&gpu()).set("--evidence", &file("chain.pem")).run();
    assert!(run.unusable().contains("looks like a certificate in PEM"), "{}", run.err);
    let run = flags(&gpu()).set("--chain", &file("evidence.bin")).run();
    assert!(run.unusable().contains("looks like an NVIDIA measurement report"), "{}", run.err);
    assert!(flags(&gpu()).without("--chain").run().unusable().contains("--chain"));
    let run = flags(&gpu()).with(&format!("--driver-rim={}", file("chain.pem"))).run();
    assert!(run.unusable().contains("--driver-rim"), "{}", run.err);
    for nonce in ["", "00", "zz"] {
        assert!(flags(&gpu()).set("--nonce", nonce).run().unusable().contains("--nonce"));
    }
    for policy in ["bad", "revoked-grace=", "revoked-grace=-1"] {
        let run = flags(&gpu()).with(&format!("--require-ocsp={policy}")).run();
        assert!(run.unusable().contains("--require-ocsp"), "{}", run.err);
    }
    let run = flags(&gpu()).with(&format!("--ocsp={}", file("missing"))).run();
    assert!(run.unusable().contains("--ocsp"), "{}", run.err);
    std::fs::create_dir(given.folder().path().join("nothing")).unwrap();
    let run = flags(&gpu()).with(&format!("--ocsp={}", file("nothing"))).run();
    assert!(run.unusable().contains("--ocsp"), "{}", run.err);
}
