//! What a workload and the coordinator say to each other on the mesh port. The coordinator's side uses these types too,
//! so that both ends agree. Binary values are standard base64 with padding.
//!
//! `POST /mesh/v1/challenge` `{}` → [`Challenge`]; `POST /mesh/v1/join` [`JoinRequest`] → [`JoinReply`].

use serde::{Deserialize, Serialize};

/// Where a challenge is asked for.
pub const CHALLENGE_PATH: &str = "/mesh/v1/challenge";
/// Where a certificate is asked for.
pub const JOIN_PATH: &str = "/mesh/v1/join";
/// Where the coordinator proves itself, on its other port.
pub const ATTEST_PATH: &str = "/attest";

/// A nonce: 32 bytes as base64. The request to attest has this form, and the answer to a challenge request.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct Challenge {
    /// 32 random bytes.
    pub nonce: String,
}

/// Asks for a certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinRequest {
    /// The nonce of the challenge; good once.
    pub nonce: String,
    /// SubjectPublicKeyInfo DER of the workload's key.
    pub public_key: String,
    /// OID of the evidence, as an array of integers like `attestation_type` in `protocol.md` §8.
    pub evidence_type: Vec<u64>,
    /// Evidence over SHA-512(SubjectPublicKeyInfo ‖ nonce).
    pub evidence: String,
}

/// The certificate.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct JoinReply {
    /// PEM, leaf first.
    pub cert_chain: String,
}
