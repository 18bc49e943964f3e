//! The extension of a PCK certificate: which platform it is for, and at which security versions.
//!
//! Reads the fields that Intel signed; compares nothing. Intel SGX PCK certificate and CRL profile specification §1.3.5,
//! OID 1.2.840.113741.1.13.1: a sequence of (identifier, value) pairs, each exactly once.

use thiserror::Error;
use x509_cert::der::asn1::{AnyRef, ObjectIdentifier, OctetStringRef};
use x509_cert::der::{Decode, Reader, SliceReader, Tag, Tagged as _};

/// Identifier of the extension in a PCK certificate.
pub(super) const SGX_EXTENSION: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113741.1.13.1");

/// Longest extension that is read; genuine ones have 554 bytes.
const MAX_EXTENSION: usize = 4096;

/// What a PCK certificate says about its platform.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pck {
    /// Encrypted identifier of the platform; constant per machine and quoting key.
    pub ppid: [u8; 16],
    /// Security versions of the sixteen SGX TCB components.
    pub components: [u8; 16],
    /// Security version of the provisioning certification enclave.
    pub pce_svn: u16,
    /// Raw security version of the CPU.
    pub cpu_svn: [u8; 16],
    /// Identity of the provisioning certification enclave, as Intel writes it: `0000`.
    pub pce_id: [u8; 2],
    /// Family, model, stepping, platform and custom SKU.
    pub fmspc: [u8; 6],
    /// Kind of memory protection.
    pub sgx_type: SgxType,
    /// Which machine it is; only certificates of the Platform CA say so.
    pub platform_instance: Option<[u8; 16]>,
    /// Whether packages may be added to the platform later; `None` where the certificate says nothing.
    pub dynamic_platform: Option<bool>,
    /// Whether Intel holds the platform's root keys.
    pub cached_keys: Option<bool>,
    /// Whether simultaneous multithreading is on.
    pub smt_enabled: Option<bool>,
}

/// How the platform protects enclave and trust-domain memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SgxType {
    /// Client parts: integrity and replay protection of a small area.
    Standard,
    /// Server parts: encryption of all memory.
    Scalable,
    /// Server parts with cryptographic integrity.
    ScalableWithIntegrity,
}

/// Why the extension cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum PckExtensionError {
    /// More bytes than the extension has.
    #[error("the SGX extension has {len} bytes, at most {max} are read")]
    TooLong {
        /// Length that came.
        len: usize,
        /// Longest length.
        max: usize,
    },
    /// Not the DER that the profile says.
    #[error("the SGX extension is not a sequence of known identifiers and values in DER")]
    Malformed,
    /// A field is there twice.
    #[error("the SGX extension has its {field} twice")]
    Duplicate {
        /// Its name.
        field: &'static str,
    },
    /// A field is not there.
    #[error("the SGX extension lacks its {field}")]
    Missing {
        /// Its name.
        field: &'static str,
    },
    /// A field's value is out of its range.
    #[error("the SGX extension's {field} is out of range")]
    OutOfRange {
        /// Its name.
        field: &'static str,
    },
}

impl Pck {
    /// Reads the extension's value.
    pub(super) fn parse_extension(der: &[u8]) -> Result<Self, PckExtensionError> {
        if der.len() > MAX_EXTENSION {
            return Err(PckExtensionError::TooLong { len: der.len(), max: MAX_EXTENSION });
        }
        let mut fields = Fields::default();
        for_each_pair(der, SGX_EXTENSION, |arc, value| fields.set(arc, value))?;
        let tcb = fields.tcb;
        let configuration = fields.configuration;
        Ok(Self {
            ppid: need(fields.ppid, "PPID")?,
            components: tcb.components()?,
            pce_svn: need(tcb.pce_svn, "PCE SVN")?,
            cpu_svn: need(tcb.cpu_svn, "CPU SVN")?,
            pce_id: need(fields.pce_id, "PCE ID")?,
            fmspc: need(fields.fmspc, "FMSPC")?,
            sgx_type: need(fields.sgx_type, "SGX type")?,
            platform_instance: fields.platform_instance,
            dynamic_platform: configuration.dynamic_platform,
            cached_keys: configuration.cached_keys,
            smt_enabled: configuration.smt_enabled,
        })
    }

    /// Whether memory has cryptographic integrity.
    pub fn memory_integrity(&self) -> bool {
        self.sgx_type == SgxType::ScalableWithIntegrity
    }
}

#[derive(Default)]
struct Fields {
    ppid: Option<[u8; 16]>,
    seen_tcb: Option<()>,
    tcb: Tcb,
    pce_id: Option<[u8; 2]>,
    fmspc: Option<[u8; 6]>,
    sgx_type: Option<SgxType>,
    platform_instance: Option<[u8; 16]>,
    seen_configuration: Option<()>,
    configuration: Configuration,
}

#[derive(Default)]
struct Tcb {
    components: [Option<u8>; 16],
    pce_svn: Option<u16>,
    cpu_svn: Option<[u8; 16]>,
}

#[derive(Default)]
struct Configuration {
    dynamic_platform: Option<bool>,
    cached_keys: Option<bool>,
    smt_enabled: Option<bool>,
}

impl Fields {
    fn set(&mut self, arc: u32, value: AnyRef<'_>) -> Result<(), PckExtensionError> {
        match arc {
            1 => once(&mut self.ppid, octets(value, "PPID")?, "PPID"),
            2 => {
                once(&mut self.seen_tcb, (), "TCB")?;
                let tcb = &mut self.tcb;
                for_each_nested(value, child(2)?, |arc, value| tcb.set(arc, value))
            }
            3 => once(&mut self.pce_id, octets(value, "PCE ID")?, "PCE ID"),
            4 => once(&mut self.fmspc, octets(value, "FMSPC")?, "FMSPC"),
            5 => once(&mut self.sgx_type, sgx_type(value)?, "SGX type"),
            6 => once(&mut self.platform_instance, octets(value, "platform instance")?, "platform instance"),
            7 => {
                once(&mut self.seen_configuration, (), "configuration")?;
                let configuration = &mut self.configuration;
                for_each_nested(value, child(7)?, |arc, value| configuration.set(arc, value))
            }
            _ => Err(PckExtensionError::Malformed),
        }
    }
}

impl Tcb {
    fn set(&mut self, arc: u32, value: AnyRef<'_>) -> Result<(), PckExtensionError> {
        match arc {
            17 => once(&mut self.pce_svn, unsigned(value, "PCE SVN")?, "PCE SVN"),
            18 => once(&mut self.cpu_svn, octets(value, "CPU SVN")?, "CPU SVN"),
            _ => {
                let index = usize::try_from(arc).ok().and_then(|arc| arc.checked_sub(1));
                let slot = index.and_then(|index| self.components.get_mut(index));
                let slot = slot.ok_or(PckExtensionError::Malformed)?;
                let svn = u8::try_from(unsigned(value, "TCB component")?)
                    .map_err(|_| PckExtensionError::OutOfRange { field: "TCB component" })?;
                once(slot, svn, "TCB component")
            }
        }
    }

    fn components(&self) -> Result<[u8; 16], PckExtensionError> {
        let mut components = [0; 16];
        for (component, read) in components.iter_mut().zip(self.components) {
            *component = need(read, "TCB component")?;
        }
        Ok(components)
    }
}

impl Configuration {
    fn set(&mut self, arc: u32, value: AnyRef<'_>) -> Result<(), PckExtensionError> {
        match arc {
            1 => once(&mut self.dynamic_platform, boolean(value)?, "dynamic platform flag"),
            2 => once(&mut self.cached_keys, boolean(value)?, "cached keys flag"),
            3 => once(&mut self.smt_enabled, boolean(value)?, "SMT flag"),
            _ => Err(PckExtensionError::Malformed),
        }
    }
}

type Set<'f> = dyn FnMut(u32, AnyRef<'_>) -> Result<(), PckExtensionError> + 'f;

/// Calls `set` with the last arc and the value of each pair in a sequence under `parent`.
fn for_each_pair(
    der: &[u8],
    parent: ObjectIdentifier,
    mut set: impl FnMut(u32, AnyRef<'_>) -> Result<(), PckExtensionError>,
) -> Result<(), PckExtensionError> {
    let sequence = AnyRef::from_der(der).map_err(|_| PckExtensionError::Malformed)?;
    for_each_nested(sequence, parent, &mut set)
}

fn for_each_nested(
    sequence: AnyRef<'_>,
    parent: ObjectIdentifier,
    mut set: impl FnMut(u32, AnyRef<'_>) -> Result<(), PckExtensionError>,
) -> Result<(), PckExtensionError> {
    let set: &mut Set<'_> = &mut set;
    if sequence.tag() != Tag::Sequence {
        return Err(PckExtensionError::Malformed);
    }
    let mut reader = SliceReader::new(sequence.value()).map_err(|_| PckExtensionError::Malformed)?;
    while !reader.is_finished() {
        let (oid, value) = reader
            .sequence(|pair| {
                Ok::<_, x509_cert::der::Error>((ObjectIdentifier::decode(pair)?, AnyRef::decode(pair)?))
            })
            .map_err(|_| PckExtensionError::Malformed)?;
        if oid.parent() != Some(parent) {
            return Err(PckExtensionError::Malformed);
        }
        set(oid.arcs().last().ok_or(PckExtensionError::Malformed)?, value)?;
    }
    Ok(())
}

fn child(arc: u32) -> Result<ObjectIdentifier, PckExtensionError> {
    SGX_EXTENSION.push_arc(arc).map_err(|_| PckExtensionError::Malformed)
}

fn once<T>(slot: &mut Option<T>, value: T, field: &'static str) -> Result<(), PckExtensionError> {
    match slot.replace(value) {
        None => Ok(()),
        Some(_) => Err(PckExtensionError::Duplicate { field }),
    }
}

fn need<T>(value: Option<T>, field: &'static str) -> Result<T, PckExtensionError> {
    value.ok_or(PckExtensionError::Missing { field })
}

fn octets<const N: usize>(value: AnyRef<'_>, field: &'static str) -> Result<[u8; N], PckExtensionError> {
    let octets = value.decode_as::<&OctetStringRef>().map_err(|_| PckExtensionError::OutOfRange { field })?;
    octets.as_bytes().try_into().map_err(|_| PckExtensionError::OutOfRange { field })
}

fn unsigned(value: AnyRef<'_>, field: &'static str) -> Result<u16, PckExtensionError> {
    value.decode_as::<u16>().map_err(|_| PckExtensionError::OutOfRange { field })
}

fn boolean(value: AnyRef<'_>) -> Result<bool, PckExtensionError> {
    value.decode_as::<bool>().map_err(|_| PckExtensionError::OutOfRange { field: "configuration flag" })
}

fn sgx_type(value: AnyRef<'_>) -> Result<SgxType, PckExtensionError> {
    match (value.tag(), value.value()) {
        (Tag::Enumerated, [0]) => Ok(SgxType::Standard),
        (Tag::Enumerated, [1]) => Ok(SgxType::Scalable),
        (Tag::Enumerated, [2]) => Ok(SgxType::ScalableWithIntegrity),
        _ => Err(PckExtensionError::OutOfRange { field: "SGX type" }),
    }
}

#[cfg(test)]
mod tests;
