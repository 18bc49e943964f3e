//! Which collateral a quote needs, and where Intel's service has it. Makes paths; fetches nothing.
//!
//! Intel SGX and TDX provisioning certification service, API version 4. A caching service has the same paths.

use thiserror::Error;

use super::chain::{self, ChainError};
use super::evidence::PckCa;
use super::pck::{Pck, PckExtensionError, SGX_EXTENSION};
use super::quote::{Quote, QuoteError};
use crate::x509::Certificate;

/// Host of Intel's service.
pub const PCS_HOST: &str = "api.trustedservices.intel.com";
/// Host of Intel's root certificate and its revocation list.
pub const CERTIFICATES_HOST: &str = "certificates.trustedservices.intel.com";
/// Path of the TDX quoting enclave's identity.
pub const QE_IDENTITY_PATH: &str = "/tdx/certification/v4/qe/identity";
/// Path of the root revocation list in DER, at [`CERTIFICATES_HOST`].
pub const ROOT_CRL_PATH: &str = "/IntelSGXRootCA.der";
/// Path of the root revocation list at a caching service, in hexadecimal.
pub const CACHED_ROOT_CRL_PATH: &str = "/sgx/certification/v4/rootcacrl";
/// Header with the issuer chain of TCB info.
pub const TCB_INFO_CHAIN_HEADER: &str = "TCB-Info-Issuer-Chain";
/// Header with the issuer chain of the quoting enclave's identity.
pub const QE_IDENTITY_CHAIN_HEADER: &str = "SGX-Enclave-Identity-Issuer-Chain";
/// Header with the issuer chain of the PCK revocation list.
pub const PCK_CRL_CHAIN_HEADER: &str = "SGX-PCK-CRL-Issuer-Chain";

/// What tells a quote's collateral from others'. Unverified: good for fetching, for nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Needs {
    /// Family, model, stepping, platform and custom SKU.
    pub fmspc: [u8; 6],
    /// Who certified the platform.
    pub pck_ca: PckCa,
}

/// Why a quote does not say what it needs.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum NeedsError {
    /// Not a TDX quote.
    #[error("the quote cannot be read")]
    Quote {
        /// Why.
        source: QuoteError,
    },
    /// No chain of three certificates in it.
    #[error("the quote's PCK chain cannot be read")]
    Chain {
        /// Why.
        source: ChainError,
    },
    /// Issued by neither of the two.
    #[error(
        "the quote's PCK certificate is from {found:?}, not from Intel's processor or platform authority"
    )]
    PckCa {
        /// Common name of the issuer.
        found: Option<String>,
    },
    /// No SGX extension.
    #[error("the quote's PCK certificate has no SGX extension, so that its platform is unknown")]
    NoExtension,
    /// An unreadable one.
    #[error("the quote's PCK certificate does not describe its platform as it should")]
    Extension {
        /// Why.
        source: PckExtensionError,
    },
}

impl Needs {
    /// Reads it from a quote whose signatures nobody has checked.
    ///
    /// # Errors
    /// [`NeedsError`].
    pub fn of_unverified_quote(quote: &[u8]) -> Result<Self, NeedsError> {
        let quote = Quote::parse(quote).map_err(|source| NeedsError::Quote { source })?;
        let chain: [Certificate; 3] =
            chain::parse(quote.pck_chain_pem).map_err(|source| NeedsError::Chain { source })?;
        let [pck, ca, _root] = &chain;
        let pck_ca = PckCa::from_common_name(ca.common_name())
            .ok_or_else(|| NeedsError::PckCa { found: ca.common_name().map(str::to_owned) })?;
        let extension = pck.extension(SGX_EXTENSION).ok_or(NeedsError::NoExtension)?;
        let pck = Pck::parse_extension(extension).map_err(|source| NeedsError::Extension { source })?;
        Ok(Self { fmspc: pck.fmspc, pck_ca })
    }

    /// Path and query of the TCB info.
    pub fn tcb_info_path(&self) -> String {
        format!("/tdx/certification/v4/tcb?fmspc={}", hex::encode_upper(self.fmspc))
    }

    /// Path and query of the PCK revocation list, in DER.
    pub fn pck_crl_path(&self) -> String {
        format!("/sgx/certification/v4/pckcrl?ca={}&encoding=der", self.pck_ca.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_those_of_version_4() {
        let needs = Needs { fmspc: [0xb0, 0xc0, 0x6f, 0, 0, 0], pck_ca: PckCa::Platform };
        assert_eq!(needs.tcb_info_path(), "/tdx/certification/v4/tcb?fmspc=B0C06F000000");
        assert_eq!(needs.pck_crl_path(), "/sgx/certification/v4/pckcrl?ca=platform&encoding=der");
        let needs = Needs { pck_ca: PckCa::Processor, ..needs };
        assert_eq!(needs.pck_crl_path(), "/sgx/certification/v4/pckcrl?ca=processor&encoding=der");
    }

    #[test]
    fn not_a_quote_needs_nothing() {
        assert_eq!(
            Needs::of_unverified_quote(&[]),
            Err(NeedsError::Quote { source: QuoteError::Truncated { part: "header" } })
        );
    }
}
