//! Certificate revocation lists (RFC 5280 §5). Complete lists of one issuer only: no deltas, no indirect lists.

use std::fmt;
use std::ops::Range;

use thiserror::Error;
use x509_cert::der::asn1::{BitStringRef, ObjectIdentifier, UintRef};
use x509_cert::der::{self, Decode as _, Tag};

use super::pem::{self, PemError};
use super::span::{element, elements, range, time};
use super::{Certificate, IssueError, algorithm};
use crate::UnixTime;
use crate::signature::Scheme;

/// Longest list that is parsed; the vendors' have 1 to 100 KiB.
pub const MAX_CRL: usize = 1024 * 1024;

/// A list of version 2, with the signed bytes as they came.
#[derive(Clone, PartialEq, Eq)]
pub struct Crl {
    der: Vec<u8>,
    signed: Range<usize>,
    signature: Range<usize>,
    issuer: Range<usize>,
    scheme: Scheme,
    this_update: UnixTime,
    next_update: UnixTime,
    /// Ordered by serial number.
    revoked: Vec<Revoked>,
}

#[derive(Clone, PartialEq, Eq)]
struct Revoked {
    serial: Range<usize>,
    at: UnixTime,
}

/// Why bytes are no list that can be looked at, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CrlError {
    /// More bytes than a list ever has.
    #[error("the revocation list has {len} bytes, at most {max} are allowed")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not a list in strict DER.
    #[error("not an X.509 revocation list in DER")]
    Malformed {
        /// Where and why.
        source: der::Error,
    },
    /// A field that is not there, or not as it should be.
    #[error("the revocation list's {field} is not as RFC 5280 demands")]
    Field {
        /// Which.
        field: &'static str,
    },
    /// The signature algorithm inside the signed part is not the one outside of it.
    #[error("the revocation list names two different signature algorithms")]
    AlgorithmMismatch,
    /// Not an algorithm that is used here.
    #[error("the revocation list is signed with algorithm {oid}, which is not used here in this form")]
    UnsupportedAlgorithm {
        /// The algorithm; with RSA-PSS it may be the parameters that are not used here.
        oid: String,
    },
    /// An extension that must be understood: an indirect, partial or delta list.
    #[error(
        "the revocation list has the critical extension {oid}: only complete lists of one issuer are understood"
    )]
    UnknownCriticalExtension {
        /// The extension.
        oid: String,
    },
    /// The text around the list is not PEM.
    #[error("the revocation list is not in PEM")]
    Pem {
        /// Why.
        source: PemError,
    },
}

fn malformed(source: der::Error) -> CrlError {
    CrlError::Malformed { source }
}

impl Crl {
    /// Reads a list from DER.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn parse_der(der: &[u8]) -> Result<Self, CrlError> {
        if der.len() > MAX_CRL {
            return Err(CrlError::TooLong { len: der.len(), max: MAX_CRL });
        }
        let [signed, outer_algorithm, signature] = elements(der).map_err(malformed)?[..] else {
            return Err(CrlError::Field { field: "structure" });
        };
        let parts = elements(signed).map_err(malformed)?;
        let [version, algorithm, issuer, this_update, next_update, rest @ ..] = &parts[..] else {
            return Err(CrlError::Field { field: "list of fields" });
        };
        if *version != [2, 1, 1] {
            return Err(CrlError::Field { field: "version" });
        }
        if *algorithm != outer_algorithm {
            return Err(CrlError::AlgorithmMismatch);
        }
        let scheme = algorithm::scheme(algorithm)
            .ok_or_else(|| CrlError::UnsupportedAlgorithm { oid: algorithm::name(algorithm) })?;
        let (revoked, extensions) = split_rest(rest)?;
        if let Some(extensions) = extensions {
            refuse_critical(extensions)?;
        }
        let signature = BitStringRef::from_der(signature).map_err(malformed)?;
        let signature = signature.as_bytes().ok_or(CrlError::Field { field: "signature" })?;
        Ok(Self {
            signed: range(der, signed),
            signature: range(der, signature),
            issuer: range(der, issuer),
            scheme,
            this_update: time(this_update).map_err(malformed)?,
            // RFC 5280 §5.1.2.5: "conforming CRL issuers MUST include the nextUpdate field in all CRLs"
            next_update: time(next_update).map_err(|_| CrlError::Field { field: "next update" })?,
            revoked: read_revoked(der, revoked)?,
            der: der.to_vec(),
        })
    }

    /// Reads a list, in DER or in PEM.
    ///
    /// # Errors
    /// [`CrlError`].
    pub fn parse(der_or_pem: &[u8]) -> Result<Self, CrlError> {
        if der_or_pem.first() == Some(&0x30) {
            return Self::parse_der(der_or_pem);
        }
        let blocks =
            pem::blocks(der_or_pem, "X509 CRL", 1, MAX_CRL).map_err(|source| CrlError::Pem { source })?;
        Self::parse_der(blocks.first().map(Vec::as_slice).unwrap_or_default())
    }

    /// All bytes.
    pub fn der(&self) -> &[u8] {
        &self.der
    }

    /// The issuer's Name in DER.
    pub fn issuer_der(&self) -> &[u8] {
        self.part(&self.issuer)
    }

    /// When it was issued.
    pub fn this_update(&self) -> UnixTime {
        self.this_update
    }

    /// When the next one is issued at the latest.
    pub fn next_update(&self) -> UnixTime {
        self.next_update
    }

    /// Number of revoked certificates.
    pub fn revoked(&self) -> usize {
        self.revoked.len()
    }

    /// Checks that `issuer` signed this list and may do so. Says nothing about whether `issuer` is trusted, or about time.
    ///
    /// # Errors
    /// [`IssueError`].
    pub fn check_issued_by(&self, issuer: &Certificate) -> Result<(), IssueError> {
        if self.issuer_der() != issuer.subject_der() {
            return Err(IssueError::OtherIssuer);
        }
        if !issuer.is_ca() {
            return Err(IssueError::NotAuthority);
        }
        if issuer.key_usage().is_some_and(|usage| !usage.crl_sign()) {
            return Err(IssueError::KeyUsage);
        }
        issuer
            .public_key()
            .verify(self.scheme, self.part(&self.signed), self.part(&self.signature))
            .map_err(|source| IssueError::Signature { source })
    }

    /// Since when the certificate with this serial number is revoked, if it is.
    pub fn revocation_of(&self, serial: &[u8]) -> Option<UnixTime> {
        let place = self.revoked.binary_search_by(|entry| self.part(&entry.serial).cmp(serial)).ok()?;
        self.revoked.get(place).map(|entry| entry.at)
    }

    fn part(&self, range: &Range<usize>) -> &[u8] {
        self.der.get(range.clone()).unwrap_or_default()
    }
}

/// The revoked certificates and the extensions, both optional.
type Rest<'a> = (Option<&'a [u8]>, Option<&'a [u8]>);

fn split_rest<'a>(rest: &[&'a [u8]]) -> Result<Rest<'a>, CrlError> {
    match rest {
        [] => Ok((None, None)),
        [one] if one.first() == Some(&0xa0) => Ok((None, Some(one))),
        [one] => Ok((Some(one), None)),
        [revoked, extensions] if extensions.first() == Some(&0xa0) => Ok((Some(revoked), Some(extensions))),
        _ => Err(CrlError::Field { field: "list of fields" }),
    }
}

fn refuse_critical(tlv: &[u8]) -> Result<(), CrlError> {
    let (_, list) = element(tlv).map_err(malformed)?;
    refuse_critical_in(list)
}

fn refuse_critical_in(list: &[u8]) -> Result<(), CrlError> {
    for each in elements(list).map_err(malformed)? {
        if let [oid, critical, _] = elements(each).map_err(malformed)?[..]
            && bool::from_der(critical).map_err(malformed)?
        {
            let oid: ObjectIdentifier = ObjectIdentifier::from_der(oid).map_err(malformed)?;
            return Err(CrlError::UnknownCriticalExtension { oid: oid.to_string() });
        }
    }
    Ok(())
}

fn read_revoked(der: &[u8], list: Option<&[u8]>) -> Result<Vec<Revoked>, CrlError> {
    let Some(list) = list else { return Ok(Vec::new()) };
    let mut revoked = Vec::new();
    for entry in elements(list).map_err(malformed)? {
        let fields = elements(entry).map_err(malformed)?;
        let [serial, at, extensions @ ..] = &fields[..] else {
            return Err(CrlError::Field { field: "entry" });
        };
        match extensions {
            [] => {}
            [list] if element(list).map_err(malformed)?.0 == Tag::Sequence => refuse_critical_in(list)?,
            _ => return Err(CrlError::Field { field: "entry" }),
        }
        let serial = UintRef::from_der(serial).map_err(malformed)?.as_bytes();
        revoked.push(Revoked { serial: range(der, serial), at: time(at).map_err(malformed)? });
    }
    let serial = |entry: &Revoked| der.get(entry.serial.clone()).unwrap_or_default();
    revoked.sort_by(|one, other| serial(one).cmp(serial(other)));
    Ok(revoked)
}

impl fmt::Debug for Crl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Crl")
            .field("this_update", &self.this_update)
            .field("next_update", &self.next_update)
            .field("revoked", &self.revoked.len())
            .finish_non_exhaustive()
    }
}
