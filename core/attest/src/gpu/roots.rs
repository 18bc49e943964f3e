//! NVIDIA's two roots, pinned by key.

use crate::x509::Certificate;

const DEVICE_IDENTITY_CA: &[u8] = include_bytes!("../../roots/nvidia/device_identity_ca.pem");
const RIM_SIGNING_ROOT_CA: &[u8] = include_bytes!("../../roots/nvidia/rim_signing_root_ca.pem");

/// Whom we believe about devices and about reference values.
#[derive(Debug, Clone)]
pub struct Roots {
    device: Certificate,
    rim: Certificate,
    of_test: bool,
}

impl Roots {
    /// NVIDIA's own: "NVIDIA Device Identity CA" and "NVIDIA CoRIM signing Root CA".
    pub fn embedded() -> Self {
        Self { device: embedded(DEVICE_IDENTITY_CA), rim: embedded(RIM_SIGNING_ROOT_CA), of_test: false }
    }

    /// Other roots in NVIDIA's place: **the verdict then says nothing about hardware**.
    pub fn danger_test(device: Certificate, rim: Certificate) -> Self {
        Self { device, rim, of_test: true }
    }

    /// Whether these are not NVIDIA's roots.
    pub fn are_of_test(&self) -> bool {
        self.of_test
    }

    /// The root of device certificates.
    pub fn device(&self) -> &Certificate {
        &self.device
    }

    /// The root of RIM signers.
    pub fn rim(&self) -> &Certificate {
        &self.rim
    }
}

#[expect(clippy::expect_used, reason = "the embedded files are constants, and a test parses them")]
fn embedded(pem: &[u8]) -> Certificate {
    let mut chain = Certificate::parse_pem_chain(pem, 1).expect("an embedded root is a certificate");
    chain.pop().expect("an embedded root is one certificate")
}
