//! Certificate chains up to a pinned root, leaf first, as NVIDIA's devices and RIMs carry them.
//!
//! Does not look at revocation: that is [`super::ocsp`]'s. Specification: `attestation.md` §5 steps 3 and 6.

use std::ops::RangeInclusive;

use crate::UnixTime;
use crate::x509::{Certificate, CertificateError, IssueError, ObjectIdentifier, PathError, check_path};

/// Why a chain was refused. The root is looked at first: a chain to another root is of no other interest.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// Not certificates.
    #[error("the certificate chain cannot be read")]
    Parse(#[source] CertificateError),
    /// Shorter or longer than NVIDIA's chains.
    #[error("the certificate chain has {found} certificates, not {least} to {most}")]
    Length {
        /// How many there are.
        found: usize,
        /// Least.
        least: usize,
        /// Most.
        most: usize,
    },
    /// Its last certificate does not have the pinned root's key.
    #[error("the certificate chain does not end in the pinned root `{pinned}`")]
    Root {
        /// Common name of the root that it should end in.
        pinned: String,
    },
    /// The leaf may sign certificates: then it is not a leaf, and one below it was left out.
    #[error("the chain's first certificate is an authority's")]
    LeafIsAuthority,
    /// Out of date, or not issued by the next one.
    #[error("the certificate chain does not hold")]
    Path(#[source] PathError),
    /// A copy of the root with other bytes that the root's key did not sign.
    #[error("the chain's root is not the pinned one, and not signed by it")]
    RootCopy(#[source] IssueError),
}

/// A chain of which every link holds. Leaf first, root last.
#[derive(Debug, Clone)]
pub struct VerifiedChain(Vec<Certificate>);

impl VerifiedChain {
    pub(super) fn verify(
        certificates: Vec<Certificate>,
        root: &Certificate,
        lengths: &RangeInclusive<usize>,
        understood: &[ObjectIdentifier],
        now: UnixTime,
    ) -> Result<Self, ChainError> {
        if certificates.last().is_none_or(|last| last.spki_der() != root.spki_der()) {
            let pinned = root.common_name().unwrap_or("no name").to_owned();
            return Err(ChainError::Root { pinned });
        }
        let found = certificates.len();
        if !lengths.contains(&found) {
            return Err(ChainError::Length { found, least: *lengths.start(), most: *lengths.end() });
        }
        if certificates.first().is_some_and(Certificate::is_ca) {
            return Err(ChainError::LeafIsAuthority);
        }
        let path: Vec<&Certificate> = certificates.iter().collect();
        check_path(&path, now, understood).map_err(ChainError::Path)?;
        // the pinned root's own bytes need no signature; a copy with other bytes must be signed by the pinned key
        if let Some(copy) = certificates.last().filter(|last| last.der() != root.der()) {
            copy.check_issued_by(root, understood).map_err(ChainError::RootCopy)?;
        }
        Ok(Self(certificates))
    }

    /// Whether every certificate is in date, for a chain that was verified at another time.
    ///
    /// # Errors
    /// [`ChainError::Path`] names the first that is not.
    pub fn check_valid_at(&self, now: UnixTime) -> Result<(), ChainError> {
        for (index, certificate) in self.0.iter().enumerate() {
            certificate
                .check_valid_at(now)
                .map_err(|source| ChainError::Path(PathError::Validity { index, source }))?;
        }
        Ok(())
    }

    /// Leaf first, root last.
    pub fn certificates(&self) -> &[Certificate] {
        &self.0
    }

    /// The certificate at the beginning.
    pub fn leaf(&self) -> Option<&Certificate> {
        self.0.first()
    }

    /// Each certificate with its issuer, from the leaf on; the root is nobody's subject.
    pub fn pairs(&self) -> impl Iterator<Item = (&Certificate, &Certificate)> {
        self.0.iter().zip(self.0.iter().skip(1))
    }
}
