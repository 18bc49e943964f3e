//! GPU evidence as files: NVIDIA's list, and our bundle that clients verify again.
//!
//! Both carry untrusted bytes; [`Bundle::verify`] does all steps with them. Specification: `attestation.md` §5.

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{Deserialize, Serialize};

use super::appraise::{AppraisalError, Responses, appraise_sharing};
use super::fleet::{AppraisedFleet, Fleet, FleetError};
use super::policy::Policy;
use super::rim::{self, RimError, VerifiedRim};
use super::roots::Roots;
use super::spdm::Nonce;
use super::step::Step;
use super::verify::{VerifiedDevice, VerifyError, verify_device};
use crate::UnixTime;

/// Largest file that is read.
pub const MAX_BUNDLE: usize = 8 * 1024 * 1024;
/// No machine has more GPUs and switches.
const MAX_DEVICES: usize = 64;
const MAX_RIMS: usize = 64;
const MAX_RESPONSES: usize = 512;

/// One device's evidence.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceEvidence {
    /// Family, as the file says; checked against the certificate.
    pub architecture: String,
    /// SPDM request and response.
    pub report: Vec<u8>,
    /// PEM, leaf first.
    pub chain: Vec<u8>,
}

/// All that is needed to verify a machine's GPUs again.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Bundle {
    /// GPUs and switches.
    pub devices: Vec<DeviceEvidence>,
    /// RIMs in XML.
    pub rims: Vec<Vec<u8>>,
    /// OCSP responses in DER.
    pub ocsp: Vec<Vec<u8>>,
}

/// Why a file is not GPU evidence.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// More than 8 MiB.
    #[error("the GPU evidence has {len} bytes, more than {MAX_BUNDLE}")]
    TooLong {
        /// Its length.
        len: usize,
    },
    /// Not the expected JSON.
    #[error("the GPU evidence is not the expected JSON")]
    Json(#[source] serde_json::Error),
    /// More devices, RIMs or responses than any machine needs.
    #[error("the GPU evidence has {found} {what}, more than {most}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many.
        found: usize,
        /// Most.
        most: usize,
    },
    /// Not base64.
    #[error("`{member}` of the GPU evidence is not base64")]
    Base64 {
        /// Which member.
        member: &'static str,
        /// Where.
        source: base64::DecodeError,
    },
    /// Another version of our form.
    #[error("GPU evidence of version {version} is not supported")]
    Version {
        /// Its version.
        version: u32,
    },
}

/// Why a machine's GPUs were refused. Devices are named by their place, from 0.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MachineError {
    /// There is not one nonce for each device.
    #[error("{devices} devices answered, but {nonces} nonces were asked with")]
    Nonces {
        /// Number of devices.
        devices: usize,
        /// Number of nonces.
        nonces: usize,
    },
    /// Steps 1 to 4.
    #[error("device {device} is not genuine")]
    Verify {
        /// Which device.
        device: usize,
        /// Why.
        source: VerifyError,
    },
    /// Step 3: the file names another family than the certificate.
    #[error("device {device} is said to be {claimed}, but its certificate says otherwise")]
    Architecture {
        /// Which device.
        device: usize,
        /// What the file says.
        claimed: String,
    },
    /// Step 6: a RIM of the bundle is not NVIDIA's.
    #[error("RIM {rim} is refused")]
    Rim {
        /// Which one, from 0.
        rim: usize,
        /// Why.
        source: RimError,
    },
    /// Steps 5 to 8.
    #[error("device {device} is not acceptable")]
    Appraisal {
        /// Which device.
        device: usize,
        /// Why.
        source: Box<AppraisalError>,
    },
    /// Step 9.
    #[error("the devices are not those of one machine as it is expected")]
    Fleet(#[source] FleetError),
}

impl MachineError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::Nonces { .. } => Step::Nonce,
            Self::Verify { source, .. } => source.step(),
            Self::Architecture { .. } => Step::Chain,
            Self::Rim { .. } => Step::Rims,
            Self::Appraisal { source, .. } => source.step(),
            Self::Fleet(error) => error.step(),
        }
    }
}

/// One entry of NVIDIA's list. Other members (nonce, versions) repeat what the report says, and are not read.
#[derive(Deserialize)]
struct NvidiaEntry {
    arch: String,
    evidence: String,
    certificate: String,
}

#[derive(Serialize, Deserialize)]
struct File {
    version: u32,
    devices: Vec<FileDevice>,
    rims: Vec<String>,
    ocsp: Vec<String>,
}

#[derive(Serialize, Deserialize)]
struct FileDevice {
    architecture: String,
    report: String,
    chain: String,
}

impl Bundle {
    /// Version of our form.
    pub const VERSION: u32 = 1;

    /// Reads the list that NVIDIA's tools write: devices only.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn from_nvidia_list(json: &[u8]) -> Result<Self, BundleError> {
        let entries: Vec<NvidiaEntry> = read(json)?;
        cap("devices", entries.len(), MAX_DEVICES)?;
        let device = |NvidiaEntry { arch, evidence, certificate }: NvidiaEntry| {
            Ok(DeviceEvidence {
                architecture: arch,
                report: decode("evidence", &evidence)?,
                chain: decode("certificate", &certificate)?,
            })
        };
        let devices = entries.into_iter().map(device).collect::<Result<_, BundleError>>()?;
        Ok(Self { devices, ..Self::default() })
    }

    /// Reads our form.
    ///
    /// # Errors
    /// [`BundleError`].
    pub fn parse(json: &[u8]) -> Result<Self, BundleError> {
        let File { version, devices, rims, ocsp } = read(json)?;
        if version != Self::VERSION {
            return Err(BundleError::Version { version });
        }
        cap("devices", devices.len(), MAX_DEVICES)?;
        cap("RIMs", rims.len(), MAX_RIMS)?;
        cap("OCSP responses", ocsp.len(), MAX_RESPONSES)?;
        let device = |FileDevice { architecture, report, chain }: FileDevice| {
            Ok(DeviceEvidence {
                architecture,
                report: decode("report", &report)?,
                chain: decode("chain", &chain)?,
            })
        };
        Ok(Self {
            devices: devices.into_iter().map(device).collect::<Result<_, BundleError>>()?,
            rims: rims.iter().map(|rim| decode("rims", rim)).collect::<Result<_, _>>()?,
            ocsp: ocsp.iter().map(|response| decode("ocsp", response)).collect::<Result<_, _>>()?,
        })
    }

    /// Writes our form.
    pub fn to_json(&self) -> String {
        let Self { devices, rims, ocsp } = self;
        let device = |DeviceEvidence { architecture, report, chain }: &DeviceEvidence| {
            serde_json::json!({
                "architecture": architecture,
                "report": STANDARD.encode(report),
                "chain": STANDARD.encode(chain),
            })
        };
        let encode_all = |all: &[Vec<u8>]| all.iter().map(|each| STANDARD.encode(each)).collect::<Vec<_>>();
        serde_json::json!({
            "version": Self::VERSION,
            "devices": devices.iter().map(device).collect::<Vec<_>>(),
            "rims": encode_all(rims),
            "ocsp": encode_all(ocsp),
        })
        .to_string()
    }

    /// Steps 1 to 9 for all devices: genuine, acceptable, complete. `nonces` are those that were asked with, in the devices' order.
    ///
    /// # Errors
    /// [`MachineError`] names device and step.
    pub fn verify(
        &self,
        nonces: &[Nonce],
        fleet: &Fleet,
        policy: &Policy,
        roots: &Roots,
        now: UnixTime,
    ) -> Result<AppraisedFleet, MachineError> {
        let devices = self.verify_devices(nonces, roots, now)?;
        let verify_rim = |(rim, xml): (usize, &Vec<u8>)| {
            rim::verify(xml, roots, now).map_err(|source| MachineError::Rim { rim, source })
        };
        let rims: Vec<VerifiedRim> =
            self.rims.iter().enumerate().map(verify_rim).collect::<Result<_, _>>()?;
        let mut responses = Responses::new(&self.ocsp);
        let mut appraised = Vec::with_capacity(devices.len());
        for (device, verified) in devices.into_iter().enumerate() {
            let fields = verified.report().opaque();
            let pick = |version: Option<&str>| {
                let same = |rim: &&VerifiedRim| {
                    version.is_some_and(|version| rim.rim().version.eq_ignore_ascii_case(version))
                };
                rims.iter().find(same)
            };
            let (driver, vbios) =
                (pick(fields.driver_version.as_deref()), pick(fields.vbios_version.as_deref()));
            let done = appraise_sharing(verified, driver, vbios, &mut responses, policy, now)
                .map_err(|source| MachineError::Appraisal { device, source: Box::new(source) })?;
            appraised.push(done);
        }
        fleet.check(appraised).map_err(MachineError::Fleet)
    }

    /// Steps 1 to 4 for all devices.
    ///
    /// # Errors
    /// [`MachineError`] names device and step.
    pub fn verify_devices(
        &self,
        nonces: &[Nonce],
        roots: &Roots,
        now: UnixTime,
    ) -> Result<Vec<VerifiedDevice>, MachineError> {
        if nonces.len() != self.devices.len() {
            return Err(MachineError::Nonces { devices: self.devices.len(), nonces: nonces.len() });
        }
        let verify = |(device, (evidence, nonce)): (usize, (&DeviceEvidence, &Nonce))| {
            let DeviceEvidence { architecture, report, chain } = evidence;
            let verified = verify_device(report, chain, roots, nonce, now)
                .map_err(|source| MachineError::Verify { device, source })?;
            if !architecture.eq_ignore_ascii_case(verified.architecture().name()) {
                return Err(MachineError::Architecture { device, claimed: architecture.clone() });
            }
            Ok(verified)
        };
        self.devices.iter().zip(nonces).enumerate().map(verify).collect()
    }
}

fn read<'a, T: Deserialize<'a>>(json: &'a [u8]) -> Result<T, BundleError> {
    if json.len() > MAX_BUNDLE {
        return Err(BundleError::TooLong { len: json.len() });
    }
    serde_json::from_slice(json).map_err(BundleError::Json)
}

fn cap(what: &'static str, found: usize, most: usize) -> Result<(), BundleError> {
    if found > most { Err(BundleError::TooMany { what, found, most }) } else { Ok(()) }
}

fn decode(member: &'static str, text: &str) -> Result<Vec<u8>, BundleError> {
    STANDARD.decode(text).map_err(|source| BundleError::Base64 { member, source })
}

#[cfg(test)]
mod tests;
