//! Chains of Intel's certificates: of fixed length, of fixed names, ending at the pinned key.

use thiserror::Error;

use super::pck::SGX_EXTENSION;
use super::roots::Roots;
use crate::UnixTime;
use crate::x509::{Certificate, CertificateError, Crl, IssueError, PathError, check_path};

/// Why a chain of certificates does not count.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum ChainError {
    /// Something else than the lines of certificates in PEM.
    #[error("the chain is not text in PEM, or something stands between its certificates")]
    Text,
    /// Not certificates.
    #[error("the chain holds something that is no certificate")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// More or fewer certificates than it needs.
    #[error("the chain has {found} certificates, it needs {expected}: leaf first, root last")]
    Length {
        /// Certificates that came.
        found: usize,
        /// Certificates needed.
        expected: usize,
    },
    /// It ends elsewhere than at the pinned root.
    #[error("the chain ends at another key than that of Intel's SGX Root CA, whatever it calls itself")]
    OtherRoot,
    /// The root certificate in it is damaged or made up around the right key.
    #[error("the chain's root certificate is not signed by its own key")]
    RootSignature {
        /// Why.
        source: IssueError,
    },
    /// Not valid, or not issued by each other.
    #[error("the chain does not hold")]
    Path {
        /// Where and why.
        source: PathError,
    },
    /// A certificate for another purpose.
    #[error("the chain's {place} is not the one for this purpose: it is named {found:?}")]
    Name {
        /// Which: leaf or issuer.
        place: &'static str,
        /// Its common name.
        found: Option<String>,
    },
    /// Withdrawn by its issuer.
    #[error("the chain's {place} is revoked since {since}")]
    Revoked {
        /// Which: leaf or issuer.
        place: &'static str,
        /// Since when.
        since: UnixTime,
    },
}

/// Reads a chain of exactly `N` certificates.
pub(super) fn parse<const N: usize>(pem: &[u8]) -> Result<[Certificate; N], ChainError> {
    // blanks and other white space would be a second spelling of the same chain
    if !pem.split(|byte| *byte == b'\n').all(is_line) {
        return Err(ChainError::Text);
    }
    // one more than needed is read, to tell its length
    let certificates = Certificate::parse_pem_chain(pem, N.saturating_add(1))
        .map_err(|source| ChainError::Certificate { source })?;
    let found = certificates.len();
    certificates.try_into().map_err(|_| ChainError::Length { found, expected: N })
}

fn is_line(line: &[u8]) -> bool {
    let line = line.strip_suffix(b"\r").unwrap_or(line);
    matches!(line, b"-----BEGIN CERTIFICATE-----" | b"-----END CERTIFICATE-----")
        || line.iter().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'='))
}

/// Checks that a chain ends at the pinned root, is valid and holds.
pub(super) fn verify(chain: &[&Certificate], roots: &Roots, now: UnixTime) -> Result<(), ChainError> {
    let root = chain.last().ok_or(ChainError::Length { found: 0, expected: 1 })?;
    if root.spki_der() != roots.root().spki_der() {
        return Err(ChainError::OtherRoot);
    }
    if root.der() != roots.root().der() {
        root.check_issued_by(root, &[]).map_err(|source| ChainError::RootSignature { source })?;
    }
    check_path(chain, now, &[SGX_EXTENSION]).map_err(|source| ChainError::Path { source })
}

/// Checks a leaf alone, below an authority that was verified before.
pub(super) fn verify_leaf(leaf: &Certificate, issuer: &Certificate, now: UnixTime) -> Result<(), ChainError> {
    check_path(&[leaf, issuer], now, &[SGX_EXTENSION]).map_err(|source| ChainError::Path { source })
}

pub(super) fn not_revoked(
    place: &'static str,
    certificate: &Certificate,
    list: &Crl,
) -> Result<(), ChainError> {
    match list.revocation_of(certificate.serial()) {
        None => Ok(()),
        Some(since) => Err(ChainError::Revoked { place, since }),
    }
}

pub(super) fn misnamed(place: &'static str, certificate: &Certificate) -> ChainError {
    ChainError::Name { place, found: certificate.common_name().map(str::to_owned) }
}
