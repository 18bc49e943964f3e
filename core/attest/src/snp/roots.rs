//! AMD's roots (ARK), one for each product line, and the signing keys (ASK, ASVK) below them.
//!
//! What is trusted are the roots' *keys*. The signing keys are here only so that nobody needs to fetch them; one that comes
//! with the evidence counts as much, if the root signed it.

use std::sync::{Arc, LazyLock};

use super::product::Product;
use super::report::Signer;
use crate::x509::{Certificate, CertificateError};

/// The roots that count. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Roots {
    lines: Arc<[Line]>,
}

/// One product line.
#[derive(Debug, Clone)]
struct Line {
    product: Product,
    ark: Certificate,
    signing: Vec<(Signer, Certificate)>,
}

/// Product line and its ARK, ASK and ASVK, as AMD's key distribution service gives them.
const EMBEDDED: [(Product, [&[u8]; 3]); 3] = [
    (
        Product::Milan,
        [
            include_bytes!("../../roots/amd/milan_ark.pem"),
            include_bytes!("../../roots/amd/milan_ask.pem"),
            include_bytes!("../../roots/amd/milan_asvk.pem"),
        ],
    ),
    (
        Product::Genoa,
        [
            include_bytes!("../../roots/amd/genoa_ark.pem"),
            include_bytes!("../../roots/amd/genoa_ask.pem"),
            include_bytes!("../../roots/amd/genoa_asvk.pem"),
        ],
    ),
    (
        Product::Turin,
        [
            include_bytes!("../../roots/amd/turin_ark.pem"),
            include_bytes!("../../roots/amd/turin_ask.pem"),
            include_bytes!("../../roots/amd/turin_asvk.pem"),
        ],
    ),
];

impl Roots {
    /// AMD's roots; read once, shared from then on.
    pub fn embedded() -> Self {
        static ROOTS: LazyLock<Roots> = LazyLock::new(Roots::read_embedded);
        ROOTS.clone()
    }

    fn read_embedded() -> Self {
        let read = |bytes: &[u8]| Certificate::parse(bytes);
        let line = |(product, [ark, ask, asvk]): (Product, [&[u8]; 3])| {
            Ok::<_, CertificateError>(Line {
                product,
                ark: read(ark)?,
                signing: vec![(Signer::Vcek, read(ask)?), (Signer::Vlek, read(asvk)?)],
            })
        };
        // a root that could not be read would be missing, and its evidence refused; a test reads them all
        Self { lines: EMBEDDED.into_iter().filter_map(|each| line(each).ok()).collect() }
    }

    /// Another root for a product line, and no other line: evidence under it proves nothing about AMD's hardware. For tests.
    ///
    /// # Errors
    /// If `ark` is no certificate, in DER or in PEM.
    pub fn danger_test(product: Product, ark: &[u8]) -> Result<Self, CertificateError> {
        let ark = Certificate::parse(ark)?;
        Ok(Self { lines: Arc::new([Line { product, ark, signing: Vec::new() }]) })
    }

    /// The line whose root has the key of `ark`.
    pub(super) fn line_of_key(&self, ark: &Certificate) -> Option<Product> {
        self.lines.iter().find(|line| line.ark.spki_der() == ark.spki_der()).map(|line| line.product)
    }

    /// The line and root that `certificate` names as its issuer. Names prove nothing yet.
    pub(super) fn line_of_issuer(&self, certificate: &Certificate) -> Option<(Product, &Certificate)> {
        self.lines
            .iter()
            .find(|line| line.ark.subject_der() == certificate.issuer_der())
            .map(|line| (line.product, &line.ark))
    }

    /// The ASK, or the ASVK for [`Signer::Vlek`], of a product line.
    pub fn signing_key(&self, product: Product, signer: Signer) -> Option<&Certificate> {
        let line = self.lines.iter().find(|line| line.product == product)?;
        line.signing.iter().find(|(role, _)| *role == signer).map(|(_, certificate)| certificate)
    }

    /// The ASK or ASVK that `vek` names as its issuer. Names prove nothing yet.
    pub(super) fn signing_key_named_by(&self, vek: &Certificate) -> Option<&Certificate> {
        let all = self.lines.iter().flat_map(|line| &line.signing);
        all.map(|(_, key)| key).find(|key| key.subject_der() == vek.issuer_der())
    }
}

#[cfg(test)]
mod tests;
