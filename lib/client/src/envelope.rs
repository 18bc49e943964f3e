//! The gateway's envelope around an attestation (`protocol.md` §8), for every transport. Judges nothing inside it.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Deserialize;

use crate::Nonce;

/// Longest attestation document that is looked at: a history of manifests and policies, in base64 twice.
const MAX_DOCUMENT: usize = 16 << 20;

/// Why an answer holds no attestation document.
#[derive(Debug, thiserror::Error)]
pub enum EnvelopeError {
    /// More bytes than an attestation has.
    #[error("the attestation has {len} bytes, at most {max} are looked at")]
    TooLong {
        /// Length that came.
        len: usize,
        /// The cap.
        max: usize,
    },
    /// Not the JSON object that it should be.
    #[error("the answer to an attestation request is not a JSON object with `AttestationDoc`")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// The document is not base64.
    #[error("`AttestationDoc` is not base64")]
    Base64 {
        /// Where.
        source: base64::DecodeError,
    },
}

#[derive(Deserialize)]
struct Reply {
    #[serde(rename = "AttestationDoc")]
    document: String,
}

/// The body of an attestation request.
#[must_use]
pub fn attest_request(nonce: Nonce) -> String {
    format!(r#"{{"Nonce":"{}"}}"#, STANDARD.encode(nonce.0))
}

/// The attestation document in the gateway's answer.
///
/// # Errors
/// [`EnvelopeError`] says what is malformed.
pub fn parse_attest_reply(body: &[u8]) -> Result<Vec<u8>, EnvelopeError> {
    if body.len() > MAX_DOCUMENT {
        return Err(EnvelopeError::TooLong { len: body.len(), max: MAX_DOCUMENT });
    }
    let reply: Reply = serde_json::from_slice(body).map_err(|source| EnvelopeError::Json { source })?;
    STANDARD.decode(reply.document).map_err(|source| EnvelopeError::Base64 { source })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn request_and_reply() {
        assert_eq!(
            attest_request(Nonce([0; 32])),
            r#"{"Nonce":"AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA="}"#
        );
        assert_eq!(parse_attest_reply(br#"{"AttestationDoc":"e30="}"#).unwrap(), b"{}");
        assert!(matches!(
            parse_attest_reply(br#"{"AttestationDoc":"e3"}"#),
            Err(EnvelopeError::Base64 { .. })
        ));
        assert!(matches!(parse_attest_reply(b"{}"), Err(EnvelopeError::Json { .. })));
    }
}
