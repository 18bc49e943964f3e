//! Intel's SGX Root CA: the one key that everything about TDX ends at.
//!
//! Pinned by key, so that the root certificate may be renewed and no other certificate with its name counts.

use crate::x509::{Certificate, CertificateError};

/// As Intel publishes it at `certificates.trustedservices.intel.com`.
const INTEL_SGX_ROOT_CA: &[u8] = include_bytes!("../../roots/intel/sgx_root_ca.pem");

/// Whose signatures count.
#[derive(Debug, Clone)]
pub struct Roots {
    root: Certificate,
    production: bool,
}

impl Roots {
    /// Intel's production root.
    pub fn embedded() -> Self {
        #[expect(clippy::expect_used, reason = "a constant; the tests parse it")]
        let root = Certificate::parse(INTEL_SGX_ROOT_CA).expect("the embedded root is a certificate");
        Self { root, production: true }
    }

    /// Another root in Intel's place: **whoever holds its key can make any evidence**. Only tests and development tools call
    /// this.
    ///
    /// # Errors
    /// [`CertificateError`] when the bytes are no certificate in DER.
    pub fn danger_test(root_der: &[u8]) -> Result<Self, CertificateError> {
        Ok(Self { root: Certificate::parse_der(root_der)?, production: false })
    }

    /// Whether this is Intel's root. Reports must say when it is not.
    pub fn is_production(&self) -> bool {
        self.production
    }

    pub(super) fn root(&self) -> &Certificate {
        &self.root
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_embedded_root_is_intels() {
        let roots = Roots::embedded();
        assert!(roots.is_production());
        assert_eq!(roots.root().common_name(), Some("Intel SGX Root CA"));
        // the key as Intel's documentation prints it
        let key = hex::encode(roots.root().spki_der());
        assert!(key.ends_with(concat!(
            "040ba9c4c0c0c86193a3fe23d6b02cda10a8bbd4e88e48b4458561a36e705525f5",
            "67918e2edc88e40d860bd0cc4ee26aacc988e505a953558c453f6b0904ae7394"
        )));
    }

    #[test]
    fn a_test_root_says_so() {
        let der = Roots::embedded().root().der().to_vec();
        assert!(!Roots::danger_test(&der).unwrap().is_production());
    }
}
