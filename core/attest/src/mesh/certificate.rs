//! What CA and leaf have in common: DER, algorithms, extensions. Checks no names, dates or purposes.

use thiserror::Error;
use x509_cert::certificate::{Certificate, Version};
use x509_cert::der::{self, Decode, Reader as _, SliceReader, asn1::ObjectIdentifier};
use x509_cert::ext::Extension;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage};
use x509_cert::spki::AlgorithmIdentifierOwned;

use crate::UnixTime;
use crate::ecdsa::{Hash, PublicKey, PublicKeyError, SignatureError};

/// Longest certificate that is parsed. With all claims of a hardware report one has about 4 KiB.
pub const MAX_CERTIFICATE: usize = 16 * 1024;

pub(super) const KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.15");
pub(super) const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");
pub(super) const BASIC_CONSTRAINTS: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.19");
pub(super) const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");

const ECDSA_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const ECDSA_SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.3");

/// Why bytes are no certificate that the mesh uses, whoever signed it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum CertificateError {
    /// More bytes than a mesh certificate ever has.
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
    /// Not version 3, which alone has extensions.
    #[error("the certificate is not of version 3")]
    Version,
    /// The signature algorithm inside the signed part is not the one outside of it.
    #[error("the certificate names two different signature algorithms")]
    AlgorithmMismatch,
    /// Not ECDSA with SHA-256 or SHA-384.
    #[error(
        "the certificate is signed with algorithm {oid}, the mesh uses ECDSA with SHA-256 or SHA-384 only"
    )]
    UnsupportedAlgorithm {
        /// The algorithm.
        oid: String,
    },
    /// An extension is there twice.
    #[error("the certificate has extension {oid} twice")]
    DuplicateExtension {
        /// The extension.
        oid: String,
    },
    /// An extension that must be understood, and is not.
    #[error("the certificate has the critical extension {oid}, which this version does not understand")]
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
}

/// A certificate in parts, with the signed bytes as they came.
pub(super) struct Parsed<'a> {
    pub(super) certificate: Certificate,
    pub(super) key: PublicKey,
    /// The bytes that the signature covers, as they came: encoding the parsed value again could give other bytes.
    tbs: &'a [u8],
    hash: Hash,
}

impl<'a> Parsed<'a> {
    /// Parses `der` and refuses everything that no mesh certificate has. `understood` lists the extensions that the
    /// caller looks at.
    pub(super) fn parse(der: &'a [u8], understood: &[ObjectIdentifier]) -> Result<Self, CertificateError> {
        if der.len() > MAX_CERTIFICATE {
            return Err(CertificateError::TooLong { len: der.len(), max: MAX_CERTIFICATE });
        }
        let malformed = |source| CertificateError::Malformed { source };
        let certificate = Certificate::from_der(der).map_err(malformed)?;
        let (tbs, spki) = signed_parts(der).map_err(malformed)?;
        let signed = certificate.tbs_certificate();
        if signed.version() != Version::V3 {
            return Err(CertificateError::Version);
        }
        // RFC 5280 §4.1.1.2: "This field MUST contain the same algorithm identifier as the signature field in the sequence tbsCertificate"
        if signed.signature() != certificate.signature_algorithm() {
            return Err(CertificateError::AlgorithmMismatch);
        }
        let hash = hash_of(certificate.signature_algorithm())?;
        check_extensions(signed.extensions().map_or(&[], Vec::as_slice), understood)?;
        let key = PublicKey::parse_spki(spki).map_err(|source| CertificateError::PublicKey { source })?;
        Ok(Self { certificate, key, tbs, hash })
    }

    /// Checks this certificate's signature with the issuer's key.
    pub(super) fn verify_signature(&self, issuer: &PublicKey) -> Result<(), SignatureError> {
        let signature = self.certificate.signature().as_bytes().ok_or(SignatureError::Malformed)?;
        issuer.verify_message(self.hash, self.tbs, signature)
    }

    /// The content of an extension.
    pub(super) fn extension<T: for<'d> Decode<'d, Error = der::Error>>(
        &self,
        oid: ObjectIdentifier,
    ) -> Result<Option<T>, CertificateError> {
        let extensions = self.certificate.tbs_certificate().extensions();
        let found = extensions.and_then(|list| list.iter().find(|extension| extension.extn_id == oid));
        found
            .map(|extension| T::from_der(extension.extn_value.as_bytes()))
            .transpose()
            .map_err(|source| CertificateError::MalformedExtension { oid: oid.to_string(), source })
    }

    pub(super) fn is_ca(&self) -> Result<bool, CertificateError> {
        let constraints = self.extension::<BasicConstraints>(BASIC_CONSTRAINTS)?;
        Ok(constraints.is_some_and(|constraints| constraints.ca))
    }

    pub(super) fn key_usage(&self) -> Result<Option<KeyUsage>, CertificateError> {
        self.extension(KEY_USAGE)
    }

    /// First and last second of the validity.
    pub(super) fn validity(&self) -> (UnixTime, UnixTime) {
        let validity = self.certificate.tbs_certificate().validity();
        let seconds = |time: x509_cert::time::Time| UnixTime(time.to_unix_duration().as_secs());
        (seconds(validity.not_before), seconds(validity.not_after))
    }
}

/// The raw TBSCertificate and, in it, the raw SubjectPublicKeyInfo.
fn signed_parts(der: &[u8]) -> Result<(&[u8], &[u8]), der::Error> {
    let tbs = SliceReader::new(der)?.sequence(|outer| {
        let tbs = outer.tlv_bytes()?;
        outer.tlv_bytes()?; // signatureAlgorithm
        outer.tlv_bytes()?; // signatureValue
        Ok::<_, der::Error>(tbs)
    })?;
    let spki = SliceReader::new(tbs)?.sequence(|inner| {
        // version, serialNumber, signature, issuer, validity, subject: version is there, or the parser said V1
        for _ in 0..6 {
            inner.tlv_bytes()?;
        }
        let spki = inner.tlv_bytes()?;
        while !inner.is_finished() {
            inner.tlv_bytes()?;
        }
        Ok::<_, der::Error>(spki)
    })?;
    Ok((tbs, spki))
}

fn hash_of(algorithm: &AlgorithmIdentifierOwned) -> Result<Hash, CertificateError> {
    // RFC 5758 §3.2: "the encoding MUST omit the parameters field"
    match algorithm.oid {
        ECDSA_SHA256 if algorithm.parameters.is_none() => Ok(Hash::Sha256),
        ECDSA_SHA384 if algorithm.parameters.is_none() => Ok(Hash::Sha384),
        oid => Err(CertificateError::UnsupportedAlgorithm { oid: oid.to_string() }),
    }
}

fn check_extensions(
    extensions: &[Extension],
    understood: &[ObjectIdentifier],
) -> Result<(), CertificateError> {
    for (place, extension) in extensions.iter().enumerate() {
        let oid = extension.extn_id;
        // RFC 5280 §4.2: "A certificate MUST NOT include more than one instance of a particular extension."
        if extensions.iter().take(place).any(|earlier| earlier.extn_id == oid) {
            return Err(CertificateError::DuplicateExtension { oid: oid.to_string() });
        }
        // RFC 5280 §4.2: "A certificate-using system MUST reject the certificate if it encounters a critical extension it does not recognize"
        if extension.critical && !understood.contains(&oid) {
            return Err(CertificateError::UnknownCriticalExtension { oid: oid.to_string() });
        }
    }
    Ok(())
}
