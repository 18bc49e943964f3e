//! What CA and leaf of the mesh have in common, beyond what every X.509 certificate has. Checks no names, dates or purposes.

use x509_cert::der::asn1::ObjectIdentifier;

use crate::signature::Scheme;
pub(super) use crate::x509::{BASIC_CONSTRAINTS, KEY_USAGE};
use crate::x509::{Certificate, CertificateError};

pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

/// Parses `der` and refuses what no mesh certificate has. `understood` lists the extensions that the caller looks at.
pub(super) fn parse(der: &[u8], understood: &[ObjectIdentifier]) -> Result<Certificate, CertificateError> {
    let certificate = Certificate::parse_der(der)?;
    // the mesh signs with ECDSA only
    if !matches!(certificate.scheme(), Scheme::EcdsaSha256 | Scheme::EcdsaSha384) {
        return Err(CertificateError::UnsupportedAlgorithm { oid: format!("{:?}", certificate.scheme()) });
    }
    // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension it does not recognize"
    match certificate.unknown_critical(understood) {
        Some(oid) => Err(CertificateError::UnknownCriticalExtension { oid: oid.to_string() }),
        None => Ok(certificate),
    }
}
