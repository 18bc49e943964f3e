//! The runtime data: a JSON document with the vTPM's keys (RFC 7517) and a few settings of the machine.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::Deserialize;
use thiserror::Error;
use x509_cert::der::{
    self, AnyRef, Encode as _,
    asn1::{BitStringRef, ObjectIdentifier, UintRef},
};
use x509_cert::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};

use crate::signature::{PublicKey, PublicKeyError};

const RSA_ENCRYPTION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The attestation key's name.
const AK: &str = "HCLAkPub";
/// The most keys that are read; there are two.
const MAX_KEYS: usize = 8;

/// Why there is no attestation key in runtime data.
#[derive(Debug, Error)]
pub enum KeyError {
    /// Not the JSON document that it should be.
    #[error("the HCL's runtime data is not the JSON document that it should be")]
    Json {
        /// Where and why.
        source: serde_json::Error,
    },
    /// More keys than anybody has.
    #[error("the HCL's runtime data names {count} keys, more than {max}")]
    TooManyKeys {
        /// How many.
        count: usize,
        /// The most.
        max: usize,
    },
    /// No attestation key, or several.
    #[error("the HCL's runtime data names {count} keys `HCLAkPub` instead of one")]
    Count {
        /// How many.
        count: usize,
    },
    /// Not a signing key of the one kind that vTPMs have.
    #[error("the attestation key `HCLAkPub` is not an RSA key for signing with exponent 65537")]
    Kind,
    /// A modulus that is not base64url.
    #[error("the attestation key's modulus is not base64url")]
    Modulus {
        /// Where and why.
        source: base64::DecodeError,
    },
    /// A key that nothing may be verified with.
    #[error("the attestation key cannot be used")]
    Key {
        /// Why.
        source: PublicKeyError,
    },
    /// User data that is not 64 bytes in hexadecimal.
    #[error("the user data in the HCL's runtime data is not 64 bytes in hexadecimal")]
    UserData,
}

/// The document. It may have other members: all of it is under the hardware's signature.
#[derive(Deserialize)]
pub(super) struct RuntimeData {
    keys: Vec<Jwk>,
    #[serde(rename = "vm-configuration", default)]
    pub(super) vm_configuration: Settings,
    #[serde(rename = "user-data", default)]
    user_data: Option<String>,
}

/// What the host says about the machine's settings; not all paravisors say all.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Settings {
    pub(super) secure_boot: Option<bool>,
    pub(super) console_enabled: Option<bool>,
    #[serde(rename = "vmUniqueId")]
    pub(super) vm_unique_id: Option<String>,
}

#[derive(Deserialize)]
struct Jwk {
    kid: String,
    kty: String,
    #[serde(default)]
    key_ops: Vec<String>,
    #[serde(default)]
    e: String,
    #[serde(default)]
    n: String,
}

impl RuntimeData {
    pub(super) fn parse(bytes: &[u8]) -> Result<Self, KeyError> {
        let data: Self = serde_json::from_slice(bytes).map_err(|source| KeyError::Json { source })?;
        let count = data.keys.len();
        if count > MAX_KEYS {
            return Err(KeyError::TooManyKeys { count, max: MAX_KEYS });
        }
        Ok(data)
    }

    /// The key that the vTPM signs quotes with.
    pub(super) fn attestation_key(&self) -> Result<PublicKey, KeyError> {
        let mut named = self.keys.iter().filter(|key| key.kid == AK);
        let (Some(key), None) = (named.next(), named.next()) else {
            return Err(KeyError::Count { count: self.keys.iter().filter(|key| key.kid == AK).count() });
        };
        // exponent 65537, as RFC 7518 §6.3.1.2 writes it
        if key.kty != "RSA" || key.e != "AQAB" || !key.key_ops.iter().any(|use_| use_ == "sign") {
            return Err(KeyError::Kind);
        }
        let modulus = URL_SAFE_NO_PAD.decode(&key.n).map_err(|source| KeyError::Modulus { source })?;
        let spki = rsa_spki(&modulus).map_err(|_| KeyError::Key { source: PublicKeyError::Malformed })?;
        PublicKey::parse_spki(&spki).map_err(|source| KeyError::Key { source })
    }

    /// The bytes that the machine's owner had put in.
    pub(super) fn user_data(&self) -> Result<Option<[u8; 64]>, KeyError> {
        let Some(text) = &self.user_data else { return Ok(None) };
        let mut bytes = [0; 64];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| KeyError::UserData)?;
        Ok(Some(bytes))
    }
}

/// SubjectPublicKeyInfo of an RSA key with exponent 65537.
fn rsa_spki(modulus: &[u8]) -> Result<Vec<u8>, der::Error> {
    let numbers = vec![UintRef::new(modulus)?, UintRef::new(&[1, 0, 1])?].to_der()?;
    SubjectPublicKeyInfoRef {
        algorithm: AlgorithmIdentifierRef { oid: RSA_ENCRYPTION, parameters: Some(AnyRef::NULL) },
        subject_public_key: BitStringRef::from_bytes(&numbers)?,
    }
    .to_der()
}
