//! An attestation document against the expected manifest. The steps themselves are `privatemode_manifest::verify`'s.

use privatemode_attest::UnixTime;
use privatemode_manifest::{
    AttestationDocument, DocumentError, Manifest,
    verify::{VerifiedDeployment, VerifyError, VerifyOptions, verify_deployment},
};

use crate::Nonce;

/// The wire protocol this client speaks (`protocol.md` §3).
pub const PROTOCOL: &str = "fields/1";

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
    /// The attested manifest names protocols, and ours is not among them.
    #[error("the deployment speaks {offered}, this client speaks {PROTOCOL}; update the client")]
    Protocol {
        /// The manifest's list.
        offered: String,
    },
}

/// Verifies a document that answers to `nonce` against `expected`.
///
/// # Errors
/// [`AttestationError`] names the step.
pub fn verify(
    document: &[u8],
    nonce: Nonce,
    expected: &Manifest,
    options: &VerifyOptions,
    now: UnixTime,
) -> Result<VerifiedDeployment, AttestationError> {
    let document =
        AttestationDocument::parse(document).map_err(|source| AttestationError::Document { source })?;
    let deployment = verify_deployment(&document, &nonce.0, expected, options, now)
        .map_err(|source| AttestationError::Verify { source })?;
    // Only after the manifest is attested: an unattested list could talk the client down (protocol.md §9).
    let offered = expected.protocols();
    if !offered.is_empty() && !expected.speaks(PROTOCOL) {
        return Err(AttestationError::Protocol { offered: offered.join(", ") });
    }
    Ok(deployment)
}
