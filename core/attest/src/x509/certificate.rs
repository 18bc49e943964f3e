//! One certificate in parts. Believes nothing: see `path` for what makes it count.

use std::fmt;
use std::ops::Range;

use thiserror::Error;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use x509_cert::der::{self, Decode as _, Tag};
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::name::Name;

use super::pem::{self, PemError};
use super::span::{element, elements, range, time};
use super::{algorithm, path};
use crate::UnixTime;
use crate::signature::{PublicKey, PublicKeyError, Scheme, SignatureError};

/// Longest certificate that is parsed. With all claims of a hardware report one has about 4 KiB.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

pub(crate) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(crate) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");

/// RFC 5280 §4.1.2.2: at most 20 octets; one more for the sign.
const MAX_SERIAL: usize = 21;

/// A certificate of version 3, with the signed bytes as they came. Equal when all bytes are.
#[derive(Clone)]
pub struct Certificate {
    der: Vec<u8>,
    signed: Range<usize>,
    signature: Range<usize>,
    serial: Range<usize>,
    issuer: Range<usize>,
    subject: Range<usize>,
    not_before: UnixTime,
    not_after: UnixTime,
    scheme: Scheme,
    key: PublicKey,
    common_name: Option<String>,
    extensions: Vec<Extension>,
    authority: Option<Authority>,
    key_usage: Option<KeyUsage>,
}

#[derive(Clone)]
struct Extension {
    oid: ObjectIdentifier,
    critical: bool,
    content: Range<usize>,
}

/// What a CA may issue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Authority {
    pub(super) path_length: Option<u8>,
}

/// Why bytes are no certificate that can be looked at, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// More bytes than a certificate ever has.
    #[error("the certificate has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not one X.509 certificate in strict DER.
    #[error("not an X.509 certificate in DER")]
    Malformed {
        /// Where and why.
        source: der::Error,
    },
    /// A field that is not there, too much, or longer than allowed.
    #[error("the certificate's {field} is not as RFC 5280 demands")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// Not version 3, which alone has extensions.
    #[error("the certificate is not of version 3")]
    Version,
    /// The signature algorithm inside the signed part is not the one outside of it.
    #[error("the certificate names two different signature algorithms")]
    AlgorithmMismatch,
    /// Not an algorithm that is used here.
    #[error("the certificate is signed with algorithm {oid}, which is not used here in this form")]
    UnsupportedAlgorithm {
        /// The algorithm; with RSA-PSS it may be the parameters that are not used here.
        oid: String,
    },
    /// An extension is there twice.
    #[error("the certificate has extension {oid} twice")]
    DuplicateExtension {
        /// The extension.
        oid: String,
    },
    /// An extension that must be understood, and is not.
    #[error("the certificate has the critical extension {oid}, which is not understood here")]
    UnknownCriticalExtension {
        /// The extension.
        oid: String,
    },
    /// A known extension whose content is not what it should be.
    #[error("extension {oid} of the certificate is malformed")]
    MalformedExtension {
        /// The extension.
        oid: String,
        /// Where and why.
        source: der::Error,
    },
    /// The subject's key is of no use.
    #[error("the certificate's key cannot be used")]
    PublicKey {
        /// Why.
        source: PublicKeyError,
    },
    /// The text around the certificate is not PEM.
    #[error("the certificate is not in PEM")]
    Pem {
        /// Why.
        source: PemError,
    },
}

fn malformed(source: der::Error) -> CertificateError {
    CertificateError::Malformed { source }
}

impl Certificate {
    /// Reads one certificate from DER.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse_der(der: &[u8]) -> Result<Self, CertificateError> {
        Self::parse_der_within(der, MAX_CERTIFICATE)
    }

    /// As [`Self::parse_der`], with another cap: evidence in an extension may be longer than all else.
    pub(crate) fn parse_der_within(der: &[u8], max: usize) -> Result<Self, CertificateError> {
        if der.len() > max {
            return Err(CertificateError::TooLong { len: der.len(), max });
        }
        let [signed, outer_algorithm, signature] = elements(der).map_err(malformed)?[..] else {
            return Err(CertificateError::Field { field: "structure" });
        };
        let parts = elements(signed).map_err(malformed)?;
        // RFC 5280 §4.1: version [0] first, extensions [3] last; the unique identifiers between are obsolete
        let [version, serial, algorithm, issuer, validity, subject, spki, ref rest @ ..] = parts[..] else {
            return Err(match parts.first() {
                Some([0xa0, ..]) => CertificateError::Field { field: "list of fields" },
                _ => CertificateError::Version,
            });
        };
        if version != [0xa0, 3, 2, 1, 2] {
            return Err(CertificateError::Version);
        }
        // RFC 5280 §4.1.1.2: "This field MUST contain the same algorithm identifier as the signature field in the sequence tbsCertificate"
        if algorithm != outer_algorithm {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let scheme = algorithm::scheme(algorithm)
            .ok_or_else(|| CertificateError::UnsupportedAlgorithm { oid: algorithm::name(algorithm) })?;
        let signature = BitStringRef::from_der(signature).map_err(malformed)?;
        let signature = signature.as_bytes().ok_or(CertificateError::Field { field: "signature" })?;
        let (not_before, not_after) = read_validity(validity)?;
        let extensions = match rest {
            [] => Vec::new(),
            [extensions] => read_extensions(der, extensions)?,
            _ => return Err(CertificateError::Field { field: "list of fields" }),
        };
        Ok(Self {
            signed: range(der, signed),
            signature: range(der, signature),
            serial: range(der, read_serial(serial)?),
            issuer: range(der, issuer),
            subject: range(der, subject),
            not_before,
            not_after,
            scheme,
            key: PublicKey::parse_spki(spki).map_err(|source| CertificateError::PublicKey { source })?,
            common_name: read_common_name(subject)?,
            authority: read_authority(der, &extensions)?,
            key_usage: typed_extension(der, &extensions, KEY_USAGE)?,
            extensions,
            der: der.to_vec(),
        })
    }

    /// Reads one certificate, in DER or in PEM.
    ///
    /// # Errors
    /// [`CertificateError`].
    pub fn parse(der_or_pem: &[u8]) -> Result<Self, CertificateError> {
        if der_or_pem.first() == Some(&0x30) {
            return Self::parse_der(der_or_pem);
        }
        let mut chain = Self::parse_pem_chain(der_or_pem, 1)?;
        chain.pop().ok_or(CertificateError::Pem { source: PemError::Empty })
    }

    /// Reads one to `max` certificates in PEM, in the order in which they stand.
    ///
    /// # Errors
    /// [`CertificateError`]; more than `max` are refused.
    pub fn parse_pem_chain(text: &[u8], max: usize) -> Result<Vec<Self>, CertificateError> {
        let blocks = pem::blocks(text, "CERTIFICATE", max, MAX_CERTIFICATE)
            .map_err(|source| CertificateError::Pem { source })?;
        blocks.iter().map(|der| Self::parse_der(der)).collect()
    }

    /// All bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The subject's Name in DER.
    pub fn subject_der(&self) -> &[u8] {
        self.part(&self.subject)
    }

    /// The issuer's Name in DER.
    pub fn issuer_der(&self) -> &[u8] {
        self.part(&self.issuer)
    }

    /// The serial number, big-endian, without leading zeros but for zero itself.
    pub fn serial(&self) -> &[u8] {
        self.part(&self.serial)
    }

    /// The subject's common name, if it has one.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// First second of the validity.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last second of the validity.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// The subject's key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// The subject's key as SubjectPublicKeyInfo in DER.
    pub fn spki_der(&self) -> &[u8] {
        self.key.spki_der()
    }

    /// The content of an extension.
    pub fn extension(&self, oid: ObjectIdentifier) -> Option<&[u8]> {
        let found = self.extensions.iter().find(|extension| extension.oid == oid)?;
        Some(self.part(&found.content))
    }

    /// The extensions, in their order: identifier, whether critical, content.
    pub fn extensions(&self) -> impl Iterator<Item = (ObjectIdentifier, bool, &[u8])> {
        self.extensions.iter().map(|each| (each.oid, each.critical, self.part(&each.content)))
    }

    /// The content of an extension as a type of `x509-cert`.
    pub(crate) fn typed_extension<T: for<'d> der::Decode<'d, Error = der::Error>>(
        &self,
        oid: ObjectIdentifier,
    ) -> Result<Option<T>, CertificateError> {
        typed_extension(&self.der, &self.extensions, oid)
    }

    /// The first critical extension that is not among `understood`.
    pub(crate) fn unknown_critical(&self, understood: &[ObjectIdentifier]) -> Option<ObjectIdentifier> {
        self.extensions()
            .find(|(oid, critical, _)| *critical && !understood.contains(oid))
            .map(|(oid, ..)| oid)
    }

    /// The algorithm of its issuer's signature.
    pub fn scheme(&self) -> Scheme {
        self.scheme
    }

    /// Whether it says that it is a CA.
    pub fn is_ca(&self) -> bool {
        self.authority.is_some()
    }

    /// Whether subject and issuer have the same name.
    pub fn is_self_issued(&self) -> bool {
        self.subject_der() == self.issuer_der()
    }

    /// Checks that `now` is in the validity.
    ///
    /// # Errors
    /// [`path::ValidityError`].
    pub fn check_valid_at(&self, now: UnixTime) -> Result<(), path::ValidityError> {
        path::check_valid_at(self, now)
    }

    /// Checks that `issuer` issued this certificate and may issue certificates; `understood` names the critical extensions
    /// that the caller looks at. Says nothing about whether `issuer` is trusted, or valid at any time.
    ///
    /// # Errors
    /// [`path::IssueError`].
    pub fn check_issued_by(
        &self,
        issuer: &Self,
        understood: &[ObjectIdentifier],
    ) -> Result<(), path::IssueError> {
        path::check_issued_by(self, issuer, understood)
    }

    /// Checks this certificate's signature with a key.
    pub(crate) fn verify_signature(&self, key: &PublicKey) -> Result<(), SignatureError> {
        key.verify(self.scheme, self.part(&self.signed), self.part(&self.signature))
    }

    pub(super) fn authority(&self) -> Option<Authority> {
        self.authority
    }

    pub(crate) fn key_usage(&self) -> Option<KeyUsage> {
        self.key_usage
    }

    /// Ranges were taken from these very bytes.
    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or_default()
    }
}

fn read_serial(tlv: &[u8]) -> Result<&[u8], CertificateError> {
    let (_, content) = element(tlv).map_err(malformed)?;
    if content.len() > MAX_SERIAL {
        return Err(CertificateError::Field { field: "serial number" });
    }
    // RFC 5280 §4.1.2.2: non-negative; `UintRef` refuses the others and what is not the shortest form
    Ok(UintRef::from_der(tlv).map_err(malformed)?.as_bytes())
}

fn read_validity(tlv: &[u8]) -> Result<(UnixTime, UnixTime), CertificateError> {
    let [not_before, not_after] = elements(tlv).map_err(malformed)?[..] else {
        return Err(CertificateError::Field { field: "validity" });
    };
    Ok((time(not_before).map_err(malformed)?, time(not_after).map_err(malformed)?))
}

fn read_common_name(tlv: &[u8]) -> Result<Option<String>, CertificateError> {
    let name = Name::from_der(tlv).map_err(malformed)?;
    let common_name = name.common_name().map_err(malformed)?;
    Ok(common_name.map(|text| text.value().into_owned()))
}

fn read_extensions(der: &[u8], tlv: &[u8]) -> Result<Vec<Extension>, CertificateError> {
    let (tag, list) = element(tlv).map_err(malformed)?;
    if tag != (Tag::ContextSpecific { constructed: true, number: der::TagNumber(3) }) {
        return Err(CertificateError::Field { field: "extensions" });
    }
    let mut extensions: Vec<Extension> = Vec::new();
    for each in elements(list).map_err(malformed)? {
        let (oid, critical, content) = match elements(each).map_err(malformed)?[..] {
            [oid, content] => (oid, false, content),
            [oid, critical, content] => (oid, bool::from_der(critical).map_err(malformed)?, content),
            _ => return Err(CertificateError::Field { field: "extensions" }),
        };
        let oid: ObjectIdentifier = ObjectIdentifier::from_der(oid).map_err(malformed)?;
        let (tag, content) = element(content).map_err(malformed)?;
        if tag != Tag::OctetString {
            return Err(CertificateError::Field { field: "extensions" });
        }
        // RFC 5280 §4.2: "A certificate MUST NOT include more than one instance of a particular extension."
        if extensions.iter().any(|earlier| earlier.oid == oid) {
            return Err(CertificateError::DuplicateExtension { oid: oid.to_string() });
        }
        extensions.push(Extension { oid, critical, content: range(der, content) });
    }
    Ok(extensions)
}

fn read_authority(der: &[u8], extensions: &[Extension]) -> Result<Option<Authority>, CertificateError> {
    let constraints: Option<BasicConstraints> = typed_extension(der, extensions, BASIC_CONSTRAINTS)?;
    Ok(constraints
        .filter(|constraints| constraints.ca)
        .map(|constraints| Authority { path_length: constraints.path_len_constraint }))
}

fn typed_extension<T: for<'d> der::Decode<'d, Error = der::Error>>(
    der: &[u8],
    extensions: &[Extension],
    oid: ObjectIdentifier,
) -> Result<Option<T>, CertificateError> {
    let found = extensions.iter().find(|extension| extension.oid == oid);
    found
        .map(|extension| T::from_der(der.get(extension.content.clone()).unwrap_or_default()))
        .transpose()
        .map_err(|source| CertificateError::MalformedExtension { oid: oid.to_string(), source })
}

impl PartialEq for Certificate {
    fn eq(&self, other: &Self) -> bool {
        self.der == other.der
    }
}

impl Eq for Certificate {}

impl fmt::Debug for Certificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Certificate")
            .field("common_name", &self.common_name)
            .field("serial", &hex::encode(self.serial()))
            .finish_non_exhaustive()
    }
}
