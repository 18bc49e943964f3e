//! What a client must ask AMD's key distribution service for; asks nothing itself.
//!
//! Paths: AMD publication 57230, "Key distribution service interface".

use super::product::Product;
use super::report::{Report, Signer};
use super::tcb::Tcb;

/// Where the key distribution service is. It limits requests for each address to about one in ten seconds.
pub const KDS: &str = "https://kdsintf.amd.com";

/// What is needed to verify a report, besides the report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Needs {
    /// The product line.
    pub product: Product,
    /// Which key signed.
    pub signer: Signer,
    /// The chip; `None` if the report hides it, or is not signed by the chip's key.
    pub chip_id: Option<Vec<u8>>,
    /// What the signing key was derived from.
    pub reported_tcb: Tcb,
}

impl Needs {
    /// What an untrusted report needs. Reports of version 2 do not say of which product line they are; the answers are then
    /// both lines that wrote such reports, and only the right one has the chip.
    pub fn of(report: &Report) -> Vec<Self> {
        let products = match report.product() {
            Some(product) => vec![product],
            None => vec![Product::Milan, Product::Genoa],
        };
        products.into_iter().map(|product| Self::with_product(report, product)).collect()
    }

    fn with_product(report: &Report, product: Product) -> Self {
        let named = report.signer == Signer::Vcek && !report.chip_id_is_masked();
        let chip_id = named.then(|| report.chip_id.iter().copied().take(product.chip_id_len()).collect());
        Self { product, signer: report.signer, chip_id, reported_tcb: report.reported_tcb }
    }

    /// Path of the VCEK, in DER. `None` where the service cannot have the certificate: the report names no chip, or is
    /// signed by a VLEK, which only its cloud can get.
    pub fn kds_vcek_path(&self) -> Option<String> {
        let chip = hex::encode(self.chip_id.as_ref()?);
        let Tcb { fmc, bootloader, tee, snp, microcode } = self.reported_tcb;
        let product = self.product;
        let mut path = format!(
            "/vcek/v1/{product}/{chip}?blSPL={bootloader:02}&teeSPL={tee:02}&snpSPL={snp:02}&ucodeSPL={microcode:02}"
        );
        if let Some(fmc) = fmc {
            path.push_str(&format!("&fmcSPL={fmc:02}"));
        }
        Some(path)
    }

    /// Path of ASK or ASVK, and ARK: two certificates in PEM.
    pub fn kds_chain_path(&self) -> String {
        format!("/{}/v1/{}/cert_chain", self.kind(), self.product)
    }

    /// Path of the root's revocation list, in DER.
    pub fn kds_crl_path(&self) -> String {
        format!("/{}/v1/{}/crl", self.kind(), self.product)
    }

    fn kind(&self) -> &'static str {
        match self.signer {
            Signer::Vcek => "vcek",
            Signer::Vlek => "vlek",
        }
    }
}

#[cfg(test)]
mod tests;
