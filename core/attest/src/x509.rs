//! X.509 certificates and revocation lists (RFC 5280), as strict as the vendors' chains allow.
//!
//! Parses by spans, so that what a signature covers are the bytes as they came. Holds no trust anchors and knows no vendor:
//! whose root is trusted and what a certificate may be used for is the caller's rule. Fetches nothing, reads no clock.

mod algorithm;
mod certificate;
mod crl;
mod path;
mod pem;
mod span;

pub(crate) use certificate::{BASIC_CONSTRAINTS, KEY_USAGE};
pub use certificate::{Certificate, CertificateError, MAX_CERTIFICATE};
pub use crl::{Crl, CrlError, MAX_CRL};
pub use path::{IssueError, PathError, ValidityError, check_path};
pub use pem::PemError;

pub use x509_cert::der::asn1::ObjectIdentifier;

#[cfg(test)]
mod tests;
