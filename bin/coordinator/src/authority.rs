//! The certificates: root CA, mesh CA, and one leaf for each workload that proved what it is.
//!
//! ```text
//!  root (system:coordinator:root) ──signs──▶ intermediate ─┐ same name,
//!  mesh CA (self-signed) ──────────────────────────────────┴ same key ──signs──▶ leaf
//! ```
//!
//! So a peer may trust the mesh CA (this manifest only) or the root. Both keys are random and never leave memory; the
//! root's is wiped as soon as it has signed the intermediate. Decides nothing: who gets a leaf is decided in
//! [`crate::coordinator`]. `attestation.md` §2.

use privatemode_attest::UnixTime;
use privatemode_attest::mesh::{LeafError, MeshCa, MeshCaError};
use privatemode_attest::signature::PublicKey;
use privatemode_manifest::PolicyEntry;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SerialNumber,
    SubjectPublicKeyInfo,
};
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::names::{self, NameError};

const ROOT_NAME: &str = "system:coordinator:root";
const MESH_NAME: &str = "system:coordinator:intermediate";
const WORKLOAD_SECRET_ID: [u64; 5] = [1, 3, 9901, 3, 1];

const HOUR: u64 = 3600;
const DAY: u64 = 24 * HOUR;
/// Clocks of other machines may be behind ours.
const BACKDATED: u64 = HOUR;
const CA_LIFETIME: u64 = 3653 * DAY;
/// Longest life of a leaf; workloads renew long before that.
pub const LEAF_LIFETIME: u64 = 30 * DAY;

/// The CA of one deployment.
pub struct Authority {
    root_pem: String,
    intermediate_pem: String,
    mesh_ca: MeshCa,
    mesh_params: CertificateParams,
    mesh_key: Zeroizing<KeyPair>,
}

/// Why the CA could not be made.
#[derive(Debug, Error)]
pub enum AuthorityError {
    /// No key, or no signature.
    #[error("cannot make the certificate authority")]
    Make {
        /// Why.
        source: rcgen::Error,
    },
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
    /// What was made does not pass our own check.
    #[error("the certificate authority that was made is not usable")]
    SelfCheck {
        /// Why.
        source: MeshCaError,
    },
}

/// Why a leaf was not issued.
#[derive(Debug, Error)]
pub enum IssueError {
    /// The manifest's entry has no name.
    #[error("the manifest gives the workload no name")]
    NoName,
    /// One of the names cannot be used.
    #[error("the manifest gives the workload a name that cannot be used")]
    Name {
        /// Why.
        source: NameError,
    },
    /// The key cannot be certified, or signing failed.
    #[error("cannot issue the certificate")]
    Make {
        /// Why.
        source: rcgen::Error,
    },
    /// No random numbers.
    #[error("the operating system gave no random numbers")]
    Random {
        /// Why.
        source: getrandom::Error,
    },
    /// What was issued would be refused by every peer.
    #[error("the certificate that was issued is not valid")]
    SelfCheck {
        /// Why.
        source: LeafError,
    },
}

impl Authority {
    /// Makes all keys and CA certificates.
    pub fn create(now: UnixTime) -> Result<Self, AuthorityError> {
        let make = |source| AuthorityError::Make { source };
        let random = |source| AuthorityError::Random { source };
        let key = || KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).map(Zeroizing::new).map_err(make);
        let (root_key, mesh_key) = (key()?, key()?);
        let root_params = ca_params(ROOT_NAME, BasicConstraints::Unconstrained, now).map_err(random)?;
        let mut mesh_params = ca_params(MESH_NAME, BasicConstraints::Constrained(0), now).map_err(random)?;
        let root = root_params.self_signed(&*root_key).map_err(make)?;
        let intermediate = mesh_params
            .signed_by(&*mesh_key, &Issuer::from_params(&root_params, &*root_key))
            .map_err(make)?;
        mesh_params.serial_number = Some(serial_number().map_err(random)?);
        let mesh = mesh_params.self_signed(&*mesh_key).map_err(make)?;
        let mesh_ca = MeshCa::parse_pem(mesh.pem()).map_err(|source| AuthorityError::SelfCheck { source })?;
        let (root_pem, intermediate_pem) = (root.pem(), intermediate.pem());
        Ok(Self { root_pem, intermediate_pem, mesh_ca, mesh_params, mesh_key })
    }

    /// PEM of the root CA.
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The mesh CA.
    pub fn mesh_ca(&self) -> &MeshCa {
        &self.mesh_ca
    }

    /// Issues a leaf for `key` with the names of `entry`, and returns it with the intermediate as PEM.
    pub fn issue(&self, entry: &PolicyEntry, key: &PublicKey, now: UnixTime) -> Result<String, IssueError> {
        let make = |source| IssueError::Make { source };
        let params = leaf_params(entry, now)?;
        let key = SubjectPublicKeyInfo::from_der(key.spki_der()).map_err(make)?;
        let issuer = Issuer::from_params(&self.mesh_params, &*self.mesh_key);
        let leaf: Certificate = params.signed_by(&key, &issuer).map_err(make)?;
        // What we issue must pass the check that every peer makes; it costs one signature.
        self.mesh_ca.verify_leaf(leaf.der(), now).map_err(|source| IssueError::SelfCheck { source })?;
        Ok(format!("{}{}", leaf.pem(), self.intermediate_pem))
    }
}

fn ca_params(
    name: &str,
    constraints: BasicConstraints,
    now: UnixTime,
) -> Result<CertificateParams, getrandom::Error> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.serial_number = Some(serial_number()?);
    params.is_ca = IsCa::Ca(constraints);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyCertSign];
    params.not_before = date(now.saturating_sub(BACKDATED));
    params.not_after = date(now.saturating_add(CA_LIFETIME));
    Ok(params)
}

fn leaf_params(entry: &PolicyEntry, now: UnixTime) -> Result<CertificateParams, IssueError> {
    let first = entry.sans.first().ok_or(IssueError::NoName)?;
    let sans: Result<_, _> = entry.sans.iter().map(|name| names::classify(name)).collect();
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(first);
    params.subject_alt_names = sans.map_err(|source| IssueError::Name { source })?;
    params.serial_number = Some(serial_number().map_err(|source| IssueError::Random { source })?);
    params.is_ca = IsCa::ExplicitNoCa;
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    params.not_before = date(now.saturating_sub(BACKDATED));
    params.not_after = date(now.saturating_add(LEAF_LIFETIME));
    params.use_authority_key_identifier_extension = true;
    if let Some(id) = &entry.workload_secret_id {
        params
            .custom_extensions
            .push(CustomExtension::from_oid_content(&WORKLOAD_SECRET_ID, octet_string(id.as_bytes())));
    }
    Ok(params)
}

fn common_name(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

/// 16 random bytes: left to itself the library derives the number from the key, and a renewal for the same key would
/// carry the number of its predecessor.
fn serial_number() -> Result<SerialNumber, getrandom::Error> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes)?;
    // RFC 5280 §4.1.2.2: positive, and so not zero
    bytes[0] = (bytes[0] & 0x7f) | 0x40;
    Ok(SerialNumber::from_slice(&bytes))
}

fn date(time: UnixTime) -> OffsetDateTime {
    let seconds = i64::try_from(time.as_secs()).unwrap_or(i64::MAX);
    // X.509 ends with the year 9999, as does this type
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

/// DER of an OCTET STRING.
fn octet_string(content: &[u8]) -> Vec<u8> {
    let length = content.len();
    let mut der = vec![0x04];
    if let Ok(short @ 0..=0x7f) = u8::try_from(length) {
        der.push(short);
    } else {
        let bytes = length.to_be_bytes();
        let significant = bytes.iter().skip_while(|byte| **byte == 0).copied().collect::<Vec<u8>>();
        // at most eight bytes of length
        der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
        der.extend(significant);
    }
    der.extend(content);
    der
}

#[cfg(test)]
mod tests;
