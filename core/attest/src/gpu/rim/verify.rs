//! Step 6: a RIM is NVIDIA's.
//!
//! Whether it is the one for a device's versions is checked where the device is known ([`crate::gpu::appraise()`]).

use super::signature::{Envelope, RimSignatureError};
use super::swid::{Rim, SwidError};
use super::xml::{self, XmlError};
use crate::UnixTime;
use crate::gpu::chain::{ChainError, VerifiedChain};
use crate::gpu::roots::Roots;
use crate::signature::Scheme;
use crate::x509::Certificate;

/// Signer, two intermediates, root; one more or less is conceivable.
const CHAIN_LENGTHS: std::ops::RangeInclusive<usize> = 3..=5;

/// A RIM whose digest, chain and signature hold. Only [`verify`] makes one; it may be kept and used again.
#[derive(Debug, Clone)]
pub struct VerifiedRim {
    rim: Rim,
    chain: VerifiedChain,
}

impl VerifiedRim {
    /// What it says.
    pub fn rim(&self) -> &Rim {
        &self.rim
    }

    /// Who signed it.
    pub fn chain(&self) -> &VerifiedChain {
        &self.chain
    }
}

/// Why a RIM was refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum RimError {
    /// Not the XML that RIMs are written in.
    #[error("the RIM cannot be read")]
    Xml(#[source] XmlError),
    /// The signature element, or the digest.
    #[error("the RIM's signature is refused")]
    Envelope(#[source] RimSignatureError),
    /// Not signed by NVIDIA.
    #[error("the RIM's signer does not lead to NVIDIA's RIM root")]
    Chain(#[source] ChainError),
    /// Not signed by the certificate that it carries.
    #[error("the RIM's signature value does not verify")]
    Signature,
    /// NVIDIA signed it, and it is not a RIM.
    #[error("the signed document is not a RIM")]
    Swid(#[source] SwidError),
}

/// Verifies a RIM at `now`.
///
/// # Errors
/// [`RimError`] says what is wrong with it.
pub fn verify(xml: &[u8], roots: &Roots, now: UnixTime) -> Result<VerifiedRim, RimError> {
    let root = xml::parse(xml).map_err(RimError::Xml)?;
    let Envelope { signed_info, signature, certificates } =
        Envelope::open(&root).map_err(RimError::Envelope)?;
    let certificates = certificates
        .iter()
        .map(|der| Certificate::parse_der(der))
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| RimError::Chain(ChainError::Parse(error)))?;
    let chain = VerifiedChain::verify(certificates, roots.rim(), &CHAIN_LENGTHS, &[], now)
        .map_err(RimError::Chain)?;
    let signer = chain.leaf().ok_or(RimError::Signature)?;
    signer
        .public_key()
        .verify_fixed(Scheme::EcdsaSha384, &signed_info, &signature)
        .map_err(|_| RimError::Signature)?;
    // read from the elements that the digest covers
    let rim = Rim::read(&root).map_err(RimError::Swid)?;
    Ok(VerifiedRim { rim, chain })
}
