//! NVIDIA GPUs and switches: device chains, SPDM measurement reports, RIMs and OCSP responses.
//!
//! Structure as drivers, the RIM service and the OCSP responder deliver it. A RIM is written in canonical form to begin with, so that
//! nothing here canonicalises XML.

mod device;
mod ocsp;
mod rim;

pub use crate::time::{DAY, NOW};
pub use device::{Device, Family, Opaque, Report};
pub use ocsp::{OcspResponse, Status};
pub use rim::{Golden, Rim};

use aws_lc_rs::digest::{SHA384, digest};

use crate::der;
use crate::key::Key;
use crate::x509::{Certificate, Extension, Name};

/// Common name of the test root in the place of "NVIDIA Device Identity CA".
pub const DEVICE_ROOT: &str = "Test Device Identity CA";
/// Common name of the test root in the place of "NVIDIA CoRIM signing Root CA".
pub const RIM_ROOT: &str = "Test CoRIM signing Root CA";

/// The root of all device chains.
pub fn device_root() -> Certificate {
    authority(DEVICE_ROOT, DEVICE_ROOT)
}

/// The root of all RIM signers.
pub fn rim_root() -> Certificate {
    authority(RIM_ROOT, RIM_ROOT)
}

/// A chain of authorities in PEM, leaf first.
pub fn pem(chain: &[Certificate]) -> Vec<u8> {
    use base64::Engine as _;
    let mut text = String::new();
    for certificate in chain {
        let base64 = base64::engine::general_purpose::STANDARD.encode(certificate.der());
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        for line in base64.as_bytes().chunks(64) {
            text.extend(line.iter().map(|byte| char::from(*byte)));
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text.into_bytes()
}

/// A certificate authority; its key is named as it is.
fn authority(name: &str, issuer: &str) -> Certificate {
    let extensions = vec![Extension::authority(None), Extension::key_usage(&[5, 6])];
    certificate(name, issuer, &Key::p384(name), extensions)
}

fn certificate(subject: &str, issuer: &str, key: &Key, extensions: Vec<Extension>) -> Certificate {
    let signed_by = Key::p384(issuer);
    Certificate {
        serial: sha384(subject.as_bytes()).split_off(32),
        issuer: common_name(issuer),
        subject: common_name(subject),
        not_before: NOW - 1000 * DAY,
        not_after: NOW + 1000 * DAY,
        key: key.clone(),
        extensions,
        algorithm: signed_by.usual_algorithm(),
        signed_by,
    }
}

fn common_name(name: &str) -> Name {
    Name::new(&[("2.5.4.10", der::utf8("NVIDIA Corporation")), ("2.5.4.3", der::utf8(name))])
}

fn sha384(bytes: &[u8]) -> Vec<u8> {
    digest(&SHA384, bytes).as_ref().to_vec()
}
