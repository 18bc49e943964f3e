//! GPU evidence that a workload of the deployment collected and verified, signed with its mesh key.
//!
//! The devices, NVIDIA's RIMs and its OCSP responses are signed by themselves; what is not is that they belong to *this*
//! deployment. The signature says that: an attested workload asked these GPUs, with nonces derived from the report data of
//! its CPU evidence. Signs nothing itself. Specification: `attestation.md` §5.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::evidence::{Bundle, BundleError, MAX_BUNDLE, MachineError};
use super::fleet::{AppraisedFleet, Fleet};
use super::nonce;
use super::policy::Policy;
use super::roots::Roots;
use super::spdm::Nonce;
use crate::mesh::{LeafError, MeshCa};
use crate::signature::SignatureError;
use crate::{ReportData, UnixTime};

/// Separates this use of the mesh key from TLS and from all others.
const LABEL: &[u8] = b"privatemode gpu evidence v1\0";
/// The bundle within twice in base64, and what stands around it.
const MAX_FILE: usize = 2 * MAX_BUNDLE;

/// What the workload says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The report data of its CPU evidence, from which the devices' nonces are derived.
    pub report_data: ReportData,
    /// When it verified the evidence and set the GPUs ready.
    pub verified_at: UnixTime,
    /// The evidence, with reference values and certificates' states.
    pub bundle: Bundle,
}

/// A statement with its signature, which is not checked yet: [`SignedBundle::open`] does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedBundle {
    statement: Vec<u8>,
    certificate: Vec<u8>,
    signature: Vec<u8>,
}

/// Why a signed bundle does not count.
#[derive(Debug, thiserror::Error)]
pub enum SignedBundleError {
    /// Longer than any.
    #[error("the signed GPU evidence has {len} bytes, more than {MAX_FILE}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not the expected JSON.
    #[error("the signed GPU evidence is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// Another version of the form.
    #[error("signed GPU evidence of version {version} is not supported")]
    Version {
        /// Its version.
        version: u32,
    },
    /// Not base64.
    #[error("`{member}` of the signed GPU evidence is not base64")]
    Base64 {
        /// Which member.
        member: &'static str,
        /// Where.
        source: base64::DecodeError,
    },
    /// Not signed by a workload of this deployment.
    #[error("the signer of the GPU evidence is not a workload of this deployment")]
    Signer(#[source] LeafError),
    /// A workload of the deployment, but not the one that speaks for the GPUs.
    #[error("the signer of the GPU evidence is not named {expected}")]
    Name {
        /// The name it should have.
        expected: String,
    },
    /// Changed, or not the signer's.
    #[error("the signature over the GPU evidence does not verify with its signer's certificate")]
    Signature(#[source] SignatureError),
    /// The workload signed something else than GPU evidence.
    #[error("what was signed holds no GPU evidence")]
    Bundle(#[source] BundleError),
    /// The report data are not 64 bytes.
    #[error("the report data in the signed GPU evidence are not 64 bytes in hexadecimal")]
    ReportData,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    statement: String,
    certificate: String,
    signature: String,
}

#[derive(Serialize, Deserialize)]
struct Signed {
    version: u32,
    report_data: String,
    verified_at: u64,
    bundle: String,
}

impl Statement {
    /// The bytes that travel.
    pub fn encode(&self) -> Vec<u8> {
        let Self { report_data, verified_at, bundle } = self;
        serde_json::json!({
            "version": SignedBundle::VERSION,
            "report_data": hex::encode(report_data.as_bytes()),
            "verified_at": verified_at.as_secs(),
            "bundle": bundle.to_json(),
        })
        .to_string()
        .into_bytes()
    }

    /// The SHA-256 digest that the workload signs for these bytes.
    pub fn digest(encoded: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(LABEL).chain_update(encoded).finalize().into()
    }

    /// Verifies the evidence again (steps 1 to 9), with the nonces that follow from the report data.
    ///
    /// # Errors
    /// [`MachineError`] names device and step.
    pub fn verify(
        &self,
        fleet: &Fleet,
        policy: &Policy,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<AppraisedFleet, MachineError> {
        let devices = (0..).zip(&self.bundle.devices);
        let nonces: Vec<Nonce> = devices.map(|(index, _)| nonce::derive(&self.report_data, index)).collect();
        self.bundle.verify(&nonces, fleet, policy, roots, now)
    }

    fn parse(encoded: &[u8]) -> Result<Self, SignedBundleError> {
        let Signed { version, report_data, verified_at, bundle } =
            serde_json::from_slice(encoded).map_err(SignedBundleError::Json)?;
        if version != SignedBundle::VERSION {
            return Err(SignedBundleError::Version { version });
        }
        let report_data = hex::decode(report_data).map_err(|_| SignedBundleError::ReportData)?;
        Ok(Self {
            report_data: ReportData::try_from(&report_data[..]).map_err(|_| SignedBundleError::ReportData)?,
            verified_at: UnixTime(verified_at),
            bundle: Bundle::parse(bundle.as_bytes()).map_err(SignedBundleError::Bundle)?,
        })
    }
}

impl SignedBundle {
    /// Version of the form.
    pub const VERSION: u32 = 1;

    /// Puts together what was signed: a [`Statement::encode`]d statement, the signer's certificate in DER, and the ASN.1
    /// ECDSA signature over [`Statement::digest`].
    pub fn new(statement: Vec<u8>, certificate: Vec<u8>, signature: Vec<u8>) -> Self {
        Self { statement, certificate, signature }
    }

    /// Reads the file.
    ///
    /// # Errors
    /// [`SignedBundleError`].
    pub fn parse(json: &[u8]) -> Result<Self, SignedBundleError> {
        if json.len() > MAX_FILE {
            return Err(SignedBundleError::TooLong { len: json.len() });
        }
        let File { version, statement, certificate, signature } =
            serde_json::from_slice(json).map_err(SignedBundleError::Json)?;
        if version != Self::VERSION {
            return Err(SignedBundleError::Version { version });
        }
        let decode = |member, text: &str| {
            STANDARD.decode(text).map_err(|source| SignedBundleError::Base64 { member, source })
        };
        Ok(Self {
            statement: decode("statement", &statement)?,
            certificate: decode("certificate", &certificate)?,
            signature: decode("signature", &signature)?,
        })
    }

    /// Writes the file.
    pub fn to_json(&self) -> String {
        let Self { statement, certificate, signature } = self;
        serde_json::json!({
            "version": Self::VERSION,
            "statement": STANDARD.encode(statement),
            "certificate": STANDARD.encode(certificate),
            "signature": STANDARD.encode(signature),
        })
        .to_string()
    }

    /// What the workload called `name` says, if `ca` issued its certificate. Another workload of the deployment does not
    /// speak for GPUs. The evidence itself is not verified: [`Statement::verify`] does.
    ///
    /// # Errors
    /// [`SignedBundleError`].
    pub fn open(&self, ca: &MeshCa, name: &str, now: UnixTime) -> Result<Statement, SignedBundleError> {
        let signer = ca.verify_leaf(&self.certificate, now).map_err(SignedBundleError::Signer)?;
        if !signer.has_name(name) {
            return Err(SignedBundleError::Name { expected: name.to_owned() });
        }
        signer
            .verify_prehash(&Statement::digest(&self.statement), &self.signature)
            .map_err(SignedBundleError::Signature)?;
        Statement::parse(&self.statement)
    }
}

#[cfg(test)]
mod tests;
