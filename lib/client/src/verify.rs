//! An attestation document against the expected manifest. The steps themselves are `privatemode_manifest::verify`'s.

use privatemode_attest::UnixTime;
use privatemode_manifest::{
    AttestationDocument, DocumentError, Manifest,
    verify::{VerifiedDeployment, VerifyError, VerifyOptions, verify_deployment},
};

use crate::{Negotiated, Nonce, ProtocolChoice, ProtocolError, negotiate};

/// Why an attestation proves nothing.
#[derive(Debug, thiserror::Error)]
pub enum AttestationError {
    /// Not an attestation document.
    #[error("the attestation document is malformed")]
    Document {
        /// Where and why.
        source: DocumentError,
    },
    /// A step of the verification failed; the source names it.
    #[error("this deployment is not the expected one, or cannot prove that it is")]
    Verify {
        /// The step and what was wrong.
        source: VerifyError,
    },
    /// The attested manifest names no protocol that we may use.
    #[error("there is no common protocol")]
    Protocol {
        /// What either side has.
        source: ProtocolError,
    },
}

/// Verifies a document that answers to `nonce` against `expected`, and picks the protocol.
///
/// # Errors
/// [`AttestationError`] names the step.
pub fn verify(
    document: &[u8],
    nonce: Nonce,
    expected: &Manifest,
    options: &VerifyOptions,
    choice: ProtocolChoice,
    now: UnixTime,
) -> Result<(VerifiedDeployment, Negotiated), AttestationError> {
    verify_document(&parse(document)?, nonce, expected, options, choice, now)
}

pub(crate) fn parse(document: &[u8]) -> Result<AttestationDocument, AttestationError> {
    AttestationDocument::parse(document).map_err(|source| AttestationError::Document { source })
}

/// As [`verify()`], for a document that was parsed already.
pub(crate) fn verify_document(
    document: &AttestationDocument,
    nonce: Nonce,
    expected: &Manifest,
    options: &VerifyOptions,
    choice: ProtocolChoice,
    now: UnixTime,
) -> Result<(VerifiedDeployment, Negotiated), AttestationError> {
    let deployment = verify_deployment(document, &nonce.0, expected, options, now)
        .map_err(|source| AttestationError::Verify { source })?;
    // Only after the manifest is attested: an unattested list could talk the client down (protocol.md §9).
    let negotiated = negotiate(choice, expected).map_err(|source| AttestationError::Protocol { source })?;
    Ok((deployment, negotiated))
}
