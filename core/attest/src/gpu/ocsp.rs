//! OCSP (RFC 6960) as NVIDIA's responder speaks it: SHA-384 certificate identifiers, one certificate a response.
//!
//! Builds requests and verifies responses; sends nothing. A response counts if the issuer of the certificate, or a responder that the
//! issuer named, signed it, and if it is fresh. Specification: `attestation.md` §5 step 8.

mod cert_id;
mod request;
mod response;
mod verify;

pub use request::request;
pub use response::{CertStatus, MAX_RESPONSE, ResponseError};
pub use verify::{
    Freshness, GenuineResponse, OcspError, SentNonce, VerifiedStatus, answers, verify, verify_signature,
};
