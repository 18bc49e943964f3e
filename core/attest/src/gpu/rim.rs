//! NVIDIA's reference integrity manifests (RIMs): SWID tags in XML with an enveloped signature.
//!
//! Our own reader for exactly what NVIDIA publishes, and nothing more of XML, C14N or XML-DSig: what is not used cannot be abused.
//! The digest is computed over the very elements that the values are read from, so that there is no second copy to swap in.
//! Fetches nothing. Specification: `attestation.md` §5 step 6.

mod c14n;
mod signature;
mod swid;
mod verify;
mod xml;

pub use signature::RimSignatureError;
pub use swid::{Golden, Rim, RimKind, SwidError};
pub use verify::{RimError, VerifiedRim, verify};
pub use xml::XmlError;
