//! From what `privatemode-attest` read in evidence to the names of documents.
//!
//! The types differ on purpose: there is no order over firmware levels, but keys are sorted in bundles and caches.

use privatemode_attest::snp;

use super::{AmdProduct, AmdSigner, AmdTcb};

impl From<snp::Product> for AmdProduct {
    fn from(product: snp::Product) -> Self {
        match product {
            snp::Product::Milan => Self::Milan,
            snp::Product::Genoa => Self::Genoa,
            snp::Product::Turin => Self::Turin,
        }
    }
}

impl From<snp::Signer> for AmdSigner {
    fn from(signer: snp::Signer) -> Self {
        match signer {
            snp::Signer::Vcek => Self::Vcek,
            snp::Signer::Vlek => Self::Vlek,
        }
    }
}

impl From<snp::Tcb> for AmdTcb {
    fn from(tcb: snp::Tcb) -> Self {
        let snp::Tcb { fmc, bootloader, tee, snp, microcode } = tcb;
        Self { fmc, bootloader, tee, snp, microcode }
    }
}
