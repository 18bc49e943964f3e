//! A workload's certificate, verified to the mesh CA. Every check is one numbered step with its own error.

use core::net::IpAddr;

use thiserror::Error;
use x509_cert::der::asn1::{ObjectIdentifier, OctetString};
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::ext::pkix::{ExtendedKeyUsage, SubjectAltName};

use super::ca::MeshCa;
use super::certificate::{self, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, KEY_USAGE, SUBJECT_ALT_NAME};
use crate::UnixTime;
use crate::signature::{PublicKey, SignatureError};
use crate::x509::{Certificate, CertificateError};

/// Extension with the workload secret ID: a DER OCTET STRING that holds the ID as text.
pub const WORKLOAD_SECRET_ID_OID: &str = "1.3.9901.3.1";

const WORKLOAD_SECRET_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap(WORKLOAD_SECRET_ID_OID);
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");

/// A workload's certificate that the mesh CA signed. Only [`MeshCa::verify_leaf`] makes one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VerifiedMeshCertificate {
    key: PublicKey,
    sans: Vec<San>,
    workload_secret_id: Option<String>,
    not_before: UnixTime,
    not_after: UnixTime,
}

/// A subject alternative name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum San {
    /// A DNS name; in the mesh also a workload's plain name.
    Dns(String),
    /// A URI.
    Uri(String),
    /// An address.
    Ip(IpAddr),
}

/// Why a certificate is not one of this mesh.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum LeafError {
    /// No certificate that the mesh uses.
    #[error("the mesh certificate cannot be used")]
    Certificate {
        /// Why.
        source: CertificateError,
    },
    /// Another CA's name stands in it.
    #[error(
        "the mesh certificate names another issuer than the attested mesh CA: it belongs to another deployment"
    )]
    Issuer,
    /// The attested CA did not sign it.
    #[error("the attested mesh CA did not sign this certificate")]
    Signature {
        /// Why.
        source: SignatureError,
    },
    /// The CA itself is not valid yet.
    #[error("the mesh CA is valid from {not_before}, and now is {now}: check this machine's clock")]
    CaNotYetValid {
        /// First second of validity.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The CA itself is not valid any more.
    #[error("the mesh CA was valid until {not_after}, and now is {now}: attest the deployment again")]
    CaExpired {
        /// Last second of validity.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Not valid yet.
    #[error("the mesh certificate is valid from {not_before}, and now is {now}: check this machine's clock")]
    NotYetValid {
        /// First second of validity.
        not_before: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// Not valid any more.
    #[error("the mesh certificate was valid until {not_after}, and now is {now}: the workload must renew it")]
    Expired {
        /// Last second of validity.
        not_after: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// It is a CA's certificate.
    #[error("a CA's certificate was presented where a workload's is expected")]
    IsCa,
    /// Key usage does not allow signatures.
    #[error("the mesh certificate's key usage does not allow signatures")]
    KeyUsage,
    /// Extended key usage lacks client or server use.
    #[error("the mesh certificate is not for both client and server use")]
    ExtendedKeyUsage,
    /// It names nobody.
    #[error("the mesh certificate has no subject alternative name, so it identifies no workload")]
    NoName,
    /// A name of a kind that the mesh never issues, or malformed.
    #[error("the mesh certificate has a subject alternative name that is no DNS name, URI or address")]
    UnsupportedName,
    /// The workload secret ID is not text.
    #[error("the mesh certificate's workload secret ID is not text")]
    WorkloadSecretId,
}

pub(super) fn verify(
    ca: &MeshCa,
    leaf_der: &[u8],
    now: UnixTime,
) -> Result<VerifiedMeshCertificate, LeafError> {
    let unusable = |source| LeafError::Certificate { source };
    // step 1: size, DER, version, algorithms, no critical extension that is not understood
    let understood = [KEY_USAGE, SUBJECT_ALT_NAME, BASIC_CONSTRAINTS, EXTENDED_KEY_USAGE, WORKLOAD_SECRET_ID];
    let leaf = certificate::parse(leaf_der, &understood).map_err(unusable)?;
    // step 2: issued by our CA, by name; tells "another deployment" from "forged"
    if leaf.issuer_der() != ca.certificate.subject_der() {
        return Err(LeafError::Issuer);
    }
    // step 3: signed by our CA; everything below is the CA's word
    leaf.verify_signature(ca.public_key()).map_err(|source| LeafError::Signature { source })?;
    // step 4: RFC 5280 §6.1.3(a)(2): "The certificate validity period includes the current time."
    let (not_before, not_after) = check_time(ca, &leaf, now)?;
    // step 5: a workload, not a CA below ours
    if leaf.is_ca() {
        return Err(LeafError::IsCa);
    }
    // step 6: made for signatures, as client and as server
    if leaf.key_usage().is_some_and(|usage| !usage.digital_signature()) {
        return Err(LeafError::KeyUsage);
    }
    let purposes = leaf.typed_extension::<ExtendedKeyUsage>(EXTENDED_KEY_USAGE).map_err(unusable)?;
    if !purposes
        .is_some_and(|ExtendedKeyUsage(list)| list.contains(&SERVER_AUTH) && list.contains(&CLIENT_AUTH))
    {
        return Err(LeafError::ExtendedKeyUsage);
    }
    // step 7: who it is
    let sans = names(&leaf)?;
    let workload_secret_id = secret_id(&leaf)?;
    Ok(VerifiedMeshCertificate {
        key: leaf.public_key().clone(),
        sans,
        workload_secret_id,
        not_before,
        not_after,
    })
}

impl VerifiedMeshCertificate {
    /// The subject alternative names, in the certificate's order.
    pub fn sans(&self) -> &[San] {
        &self.sans
    }

    /// Whether one of the names is exactly `name`. Wildcards are not expanded: a `*` in a certificate names nobody.
    pub fn has_name(&self, name: &str) -> bool {
        self.sans.iter().any(|san| match san {
            San::Dns(dns) => dns.eq_ignore_ascii_case(name),
            San::Uri(uri) => uri == name,
            San::Ip(ip) => name.parse::<IpAddr>().is_ok_and(|address| address == *ip),
        })
    }

    /// The workload secret ID, if the manifest gives this workload one.
    pub fn workload_secret_id(&self) -> Option<&str> {
        self.workload_secret_id.as_deref()
    }

    /// The workload's key.
    pub fn public_key(&self) -> &PublicKey {
        &self.key
    }

    /// First second of validity.
    pub fn not_before(&self) -> UnixTime {
        self.not_before
    }

    /// Last second of validity.
    pub fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Checks the workload's ASN.1 signature over a SHA-256 digest.
    pub fn verify_prehash(&self, digest: &[u8; 32], signature: &[u8]) -> Result<(), SignatureError> {
        self.key.verify_prehash(digest, signature)
    }
}

fn check_time(ca: &MeshCa, leaf: &Certificate, now: UnixTime) -> Result<(UnixTime, UnixTime), LeafError> {
    ca.check_validity(now)?;
    let (not_before, not_after) = (leaf.not_before(), leaf.not_after());
    if now < not_before {
        return Err(LeafError::NotYetValid { not_before, now });
    }
    if now > not_after {
        return Err(LeafError::Expired { not_after, now });
    }
    Ok((not_before, not_after))
}

fn names(leaf: &Certificate) -> Result<Vec<San>, LeafError> {
    let names = leaf
        .typed_extension::<SubjectAltName>(SUBJECT_ALT_NAME)
        .map_err(|source| LeafError::Certificate { source })?;
    let SubjectAltName(names) = names.ok_or(LeafError::NoName)?;
    if names.is_empty() {
        return Err(LeafError::NoName);
    }
    names.iter().map(san).collect()
}

fn san(name: &GeneralName) -> Result<San, LeafError> {
    match name {
        GeneralName::DnsName(dns) => Ok(San::Dns(dns.as_str().to_owned())),
        GeneralName::UniformResourceIdentifier(uri) => Ok(San::Uri(uri.as_str().to_owned())),
        GeneralName::IpAddress(octets) => address(octets.as_bytes()).map(San::Ip),
        _ => Err(LeafError::UnsupportedName),
    }
}

fn address(octets: &[u8]) -> Result<IpAddr, LeafError> {
    if let Ok(v4) = <[u8; 4]>::try_from(octets) {
        return Ok(v4.into());
    }
    <[u8; 16]>::try_from(octets).map(IpAddr::from).map_err(|_| LeafError::UnsupportedName)
}

fn secret_id(leaf: &Certificate) -> Result<Option<String>, LeafError> {
    let id = leaf
        .typed_extension::<OctetString>(WORKLOAD_SECRET_ID)
        .map_err(|source| LeafError::Certificate { source })?;
    id.map(|octets| String::from_utf8(octets.into_bytes().into()))
        .transpose()
        .map_err(|_| LeafError::WorkloadSecretId)
}
