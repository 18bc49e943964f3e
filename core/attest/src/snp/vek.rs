//! What a VCEK or VLEK certificate says about the chip: AMD's extensions (publication 57230, "certificate extensions").

use thiserror::Error;
use x509_cert::der::Decode as _;
use x509_cert::der::asn1::{Ia5StringRef, OctetStringRef};

use super::report::Signer;
use super::tcb::Tcb;
use crate::x509::{Certificate, ObjectIdentifier};

const PRODUCT: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.2");
const BOOTLOADER: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.1");
const TEE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.2");
const SNP: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.3");
/// Levels of components that do not exist yet.
const RESERVED: [ObjectIdentifier; 4] = [
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.4"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.5"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.6"),
    ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.7"),
];
const MICROCODE: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.8");
const FMC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.3.9");
const HARDWARE_ID: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.4");
const CLOUD: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.3704.1.5");

/// The claims of a VCEK or VLEK. They count once its issuer's signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct VekClaims {
    /// Product line, perhaps with a stepping: `Milan-B0`.
    pub(super) product: String,
    /// What the key was derived from.
    pub(super) tcb: Tcb,
    /// The chip; a VLEK has none.
    pub(super) hardware_id: Option<Vec<u8>>,
    /// Whom AMD gave the key; a VCEK has none.
    pub(super) cloud: Option<String>,
}

/// Why a VCEK's or VLEK's claims cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum VekError {
    /// A claim is not there.
    #[error("extension {oid} is missing")]
    Missing {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// A claim is not of the type that it should have.
    #[error("extension {oid} is malformed")]
    Malformed {
        /// Which.
        oid: ObjectIdentifier,
    },
    /// A component that this program does not know has a level.
    #[error(
        "extension {oid} has level {level} of a component that is not known here; a newer client may know it"
    )]
    UnknownLevel {
        /// Which.
        oid: ObjectIdentifier,
        /// Its level.
        level: u8,
    },
}

impl VekClaims {
    pub(super) fn read(vek: &Certificate, signer: Signer) -> Result<Self, VekError> {
        for oid in RESERVED {
            // a level that is not compared would be a level that nobody checks
            if let Some(level) = level(vek, oid)?.filter(|level| *level != 0) {
                return Err(VekError::UnknownLevel { oid, level });
            }
        }
        let cloud = text(vek, CLOUD)?;
        if signer == Signer::Vlek && cloud.is_none() {
            return Err(VekError::Missing { oid: CLOUD });
        }
        let required = |oid| level(vek, oid)?.ok_or(VekError::Missing { oid });
        Ok(Self {
            product: text(vek, PRODUCT)?.ok_or(VekError::Missing { oid: PRODUCT })?,
            tcb: Tcb {
                fmc: level(vek, FMC)?,
                bootloader: required(BOOTLOADER)?,
                tee: required(TEE)?,
                snp: required(SNP)?,
                microcode: required(MICROCODE)?,
            },
            hardware_id: hardware_id(vek)?,
            cloud,
        })
    }
}

fn level(vek: &Certificate, oid: ObjectIdentifier) -> Result<Option<u8>, VekError> {
    let Some(content) = vek.extension(oid) else { return Ok(None) };
    u8::from_der(content).map(Some).map_err(|_| VekError::Malformed { oid })
}

fn text(vek: &Certificate, oid: ObjectIdentifier) -> Result<Option<String>, VekError> {
    let Some(content) = vek.extension(oid) else { return Ok(None) };
    let text = Ia5StringRef::from_der(content).map_err(|_| VekError::Malformed { oid })?;
    Ok(Some(text.as_str().to_owned()))
}

/// 64 bytes, or 8 on Turin; as they are in every certificate that is known, or once more in an OCTET STRING, as the
/// publication can be read.
fn hardware_id(vek: &Certificate) -> Result<Option<Vec<u8>>, VekError> {
    let oid = HARDWARE_ID;
    let Some(content) = vek.extension(oid) else { return Ok(None) };
    let id = match content.len() {
        64 | 8 => content,
        66 | 10 => <&OctetStringRef>::from_der(content).map_err(|_| VekError::Malformed { oid })?.as_bytes(),
        _ => return Err(VekError::Malformed { oid }),
    };
    Ok(Some(id.to_vec()))
}

#[cfg(test)]
mod tests;
