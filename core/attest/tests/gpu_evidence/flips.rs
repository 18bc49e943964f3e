//! Any flipped bit of what is signed, or of what it is verified with, is refused.
//!
//! Every 97th bit by default, all of them with `PRIVATEMODE_EXHAUSTIVE=1`.

use privatemode_attest::gpu::ocsp::{self, SentNonce};

use crate::case::{Case, DRIVER_RIM, SWITCH_RIM, SWITCH_TIME, VBIOS_RIM, WITHOUT_OCSP, at, verify_rim};

/// Calls `accepts` with every sampled flip, and panics at the first that it accepts.
fn all_refused(what: &str, bytes: &[u8], accepts: impl Fn(&[u8]) -> bool) {
    assert!(accepts(bytes), "{what} must be good to begin with");
    let exhaustive = std::env::var_os("PRIVATEMODE_EXHAUSTIVE").is_some();
    // a prime, so that all bits of a byte have their turn
    let step = if exhaustive { 1 } else { 97 };
    let mut flips = 0;
    for bit in (0..bytes.len() * 8).step_by(step) {
        let mut flipped = bytes.to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(!accepts(&flipped), "{what}: bit {} of byte {} is not noticed", bit % 8, bit / 8);
        flips += 1;
    }
    eprintln!("{what}: {flips} flips of {} bits refused", bytes.len() * 8);
}

#[test]
fn reports() {
    for (case, now) in [(Case::complete(), WITHOUT_OCSP), (Case::switch(), SWITCH_TIME)] {
        let Some(case) = case else { return };
        all_refused("report", &case.evidence, |evidence| {
            Case { evidence: evidence.to_vec(), ..case.clone() }.verify(now).is_ok()
        });
    }
}

#[test]
fn device_certificates() {
    let Some(case) = Case::complete() else { return };
    let device = case.verify(WITHOUT_OCSP).unwrap();
    let ders: Vec<Vec<u8>> =
        device.chain().certificates().iter().map(|certificate| certificate.der().to_vec()).collect();
    for changed in 0..ders.len() {
        all_refused(&format!("device certificate {changed}"), &ders[changed], |der| {
            let mut chain = String::new();
            for (place, original) in ders.iter().enumerate() {
                chain += &pem(if place == changed { der } else { original });
            }
            Case { chain: chain.into_bytes(), ..case.clone() }.verify(WITHOUT_OCSP).is_ok()
        });
    }
}

#[test]
fn rims() {
    let Some(case) = Case::complete() else { return };
    all_refused("driver RIM", &case.read(DRIVER_RIM), |xml| verify_rim(xml, WITHOUT_OCSP).is_ok());
    all_refused("VBIOS RIM", &case.read(VBIOS_RIM), |xml| verify_rim(xml, WITHOUT_OCSP).is_ok());
    let switch = Case::switch().unwrap();
    all_refused("switch RIM", &switch.read(SWITCH_RIM), |xml| verify_rim(xml, SWITCH_TIME).is_ok());
}

#[test]
fn ocsp_responses() {
    let Some(case) = Case::complete() else { return };
    let now = at("2025-08-21T12:00:00Z");
    let device = case.verify(WITHOUT_OCSP).unwrap();
    for (level, (subject, issuer)) in [4, 3, 2].into_iter().zip(device.chain().pairs().skip(1)) {
        let response = case.read(&format!("ocsp/gpu_certificate_l{level}.der"));
        all_refused(&format!("OCSP response {level}"), &response, |response| {
            ocsp::verify(response, subject, issuer, SentNonce::None, 0, now).is_ok()
        });
    }
}

fn pem(der: &[u8]) -> String {
    use base64::Engine as _;
    let text = base64::engine::general_purpose::STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", lines.join("\n"))
}
