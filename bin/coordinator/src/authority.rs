//! The certificates: root CA, mesh CA, and one leaf for each workload that proved what it is.
//!
//! ```text
//!  root (system:coordinator:root) ──signs──▶ intermediate ─┐ same name,
//!  mesh CA (self-signed) ──────────────────────────────────┴ same key ──signs──▶ leaf
//! ```
//!
//! So a peer may trust the mesh CA (this manifest only) or the root. The root's key follows from the seed and lasts as long
//! as the deployment; the mesh CA's is random, made anew for each manifest, and leaves this memory only to an attested
//! coordinator, together with the certificates: all coordinators of a deployment show the same ones. Decides nothing: who
//! gets a leaf is decided in [`crate::coordinator`]. `attestation.md` §2.

use getrandom::SysRng;
use p384::SecretKey;
use p384::elliptic_curve::Generate as _;
use p384::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _};
use privatemode_attest::UnixTime;
use privatemode_attest::mesh::{LeafError, MeshCa, MeshCaError};
use privatemode_attest::signature::PublicKey;
use privatemode_manifest::PolicyEntry;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CustomExtension, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P384_SHA384, SerialNumber,
    SubjectPublicKeyInfo,
};
use rustls_pki_types::PrivatePkcs8KeyDer;
use thiserror::Error;
use time::OffsetDateTime;
use zeroize::Zeroizing;

use crate::der;
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
    certificates: Certificates,
    intermediate: String,
    mesh_ca: MeshCa,
    mesh_params: CertificateParams,
    mesh_key: Zeroizing<KeyPair>,
    mesh_secret: SecretKey,
}

/// The self-signed CA certificates, as PEM: evidence binds their very bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Certificates {
    /// The root's.
    pub root: String,
    /// The mesh CA's.
    pub mesh: String,
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
    /// A key could not be encoded.
    #[error("a key of the certificate authority cannot be encoded")]
    Encode,
    /// What was made, or what a peer sent, does not pass the check that every client makes.
    #[error("the certificate of the authority is not usable")]
    SelfCheck {
        /// Why.
        source: MeshCaError,
    },
    /// A peer's certificates are not those of its keys.
    #[error("the certificates of the other coordinator do not belong to the keys that it sent")]
    ForeignCertificate,
    /// A peer's mesh CA is not valid now.
    #[error("the mesh CA of the other coordinator is not valid now; are the clocks right?")]
    PeerValidity {
        /// Why.
        source: LeafError,
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
    /// Makes a mesh CA with a new random key, below the root of the deployment.
    pub fn create(root: &SecretKey, now: UnixTime) -> Result<Self, AuthorityError> {
        let mesh = SecretKey::try_generate_from_rng(&mut SysRng);
        Self::with_key(root, mesh.map_err(|source| AuthorityError::Random { source })?, now)
    }

    /// As [`Self::create`], with the key of a peer that sent no certificates.
    pub fn with_key(root: &SecretKey, mesh: SecretKey, now: UnixTime) -> Result<Self, AuthorityError> {
        let make = |source| AuthorityError::Make { source };
        let root_params = ca_params(ROOT_NAME, BasicConstraints::Unconstrained, now)?;
        let mesh_params = ca_params(MESH_NAME, BasicConstraints::Constrained(0), now)?;
        let certificates = Certificates {
            root: root_params.self_signed(&*key_pair(root)?).map_err(make)?.pem(),
            mesh: mesh_params.self_signed(&*key_pair(&mesh)?).map_err(make)?.pem(),
        };
        Self::assemble(root, mesh, certificates, now)
    }

    /// The authority of a peer. What it sent must fit together: its certificates are shown to clients as ours.
    pub fn of_peer(
        root: &SecretKey,
        mesh: SecretKey,
        certificates: Certificates,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let own = Self::assemble(root, mesh, certificates, now)?;
        let sent_root = parse(&own.certificates.root)?;
        if !belongs(own.mesh_ca.public_key(), &own.mesh_secret) || !belongs(sent_root.public_key(), root) {
            return Err(AuthorityError::ForeignCertificate);
        }
        let valid = own.mesh_ca.check_validity(now);
        valid.map_err(|source| AuthorityError::PeerValidity { source })?;
        Ok(own)
    }

    fn assemble(
        root: &SecretKey,
        mesh: SecretKey,
        certificates: Certificates,
        now: UnixTime,
    ) -> Result<Self, AuthorityError> {
        let mesh_ca = parse(&certificates.mesh)?;
        let (root_key, mesh_key) = (key_pair(root)?, key_pair(&mesh)?);
        let root_params = ca_params(ROOT_NAME, BasicConstraints::Unconstrained, now)?;
        let mesh_params = ca_params(MESH_NAME, BasicConstraints::Constrained(0), now)?;
        let intermediate = mesh_params
            .signed_by(&*mesh_key, &Issuer::from_params(&root_params, &*root_key))
            .map_err(|source| AuthorityError::Make { source })?
            .pem();
        Ok(Self { certificates, intermediate, mesh_ca, mesh_params, mesh_key, mesh_secret: mesh })
    }

    /// The CA certificates.
    pub fn certificates(&self) -> &Certificates {
        &self.certificates
    }

    /// PEM of the root CA.
    pub fn root_pem(&self) -> &str {
        &self.certificates.root
    }

    /// The mesh CA.
    pub fn mesh_ca(&self) -> &MeshCa {
        &self.mesh_ca
    }

    /// Key of the mesh CA, for attested coordinators of this deployment.
    pub fn mesh_key(&self) -> &SecretKey {
        &self.mesh_secret
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
        Ok(format!("{}{}", leaf.pem(), self.intermediate))
    }
}

fn key_pair(secret: &SecretKey) -> Result<Zeroizing<KeyPair>, AuthorityError> {
    // wiped when dropped
    let der = secret.to_pkcs8_der().map_err(|_| AuthorityError::Encode)?;
    let pair = KeyPair::from_pkcs8_der_and_sign_algo(
        &PrivatePkcs8KeyDer::from(der.as_bytes()),
        &PKCS_ECDSA_P384_SHA384,
    );
    pair.map(Zeroizing::new).map_err(|source| AuthorityError::Make { source })
}

fn parse(pem: &str) -> Result<MeshCa, AuthorityError> {
    MeshCa::parse_pem(pem).map_err(|source| AuthorityError::SelfCheck { source })
}

fn belongs(found: &PublicKey, key: &SecretKey) -> bool {
    key.public_key().to_public_key_der().is_ok_and(|spki| spki.as_bytes() == found.spki_der())
}

fn ca_params(
    name: &str,
    constraints: BasicConstraints,
    now: UnixTime,
) -> Result<CertificateParams, AuthorityError> {
    let mut params = CertificateParams::default();
    params.distinguished_name = common_name(name);
    params.serial_number = Some(serial_number().map_err(|source| AuthorityError::Random { source })?);
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
        params.custom_extensions.push(CustomExtension::from_oid_content(
            &WORKLOAD_SECRET_ID,
            der::value(der::OCTET_STRING, id.as_bytes()),
        ));
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

#[cfg(test)]
mod tests;
