//! Steps 5 to 8: a genuine device runs what NVIDIA published and nobody revoked.
//!
//! Takes verified RIMs, so that they can be verified once and used for all devices and until they expire. Specification:
//! `attestation.md` §5.

mod revocation;

pub(super) use revocation::Responses;
pub use revocation::{Component, ComponentState, Unanswered, answered_for};

use super::chain::{ChainError, VerifiedChain};
use super::measurements::{self, Compared, MeasurementError, RimRole};
use super::ocsp::GenuineResponse;
use super::policy::Policy;
use super::rim::{RimKind, VerifiedRim};
use super::rim_id::RimId;
use super::step::Step;
use super::verify::VerifiedDevice;
use crate::UnixTime;

/// What a device is compared with.
#[derive(Debug, Clone, Copy)]
pub struct Collateral<'a> {
    /// The driver's RIM. Switches need none.
    pub driver: Option<&'a VerifiedRim>,
    /// The RIM of the VBIOS, or of a switch's firmware.
    pub vbios: Option<&'a VerifiedRim>,
    /// OCSP responses in DER, in any order, also about other certificates.
    pub ocsp: &'a [Vec<u8>],
}

/// A device that passed steps 1 to 8. Only [`appraise`] makes one.
#[derive(Debug, Clone)]
pub struct AppraisedDevice {
    device: VerifiedDevice,
    compared: Compared,
    states: Vec<ComponentState>,
}

impl AppraisedDevice {
    /// The device.
    pub fn device(&self) -> &VerifiedDevice {
        &self.device
    }

    /// What was equal.
    pub fn compared(&self) -> &Compared {
        &self.compared
    }

    /// The states of the certificates of GPU, driver and VBIOS, as far as the device has them.
    pub fn states(&self) -> &[ComponentState] {
        &self.states
    }
}

/// Why a genuine device is not acceptable.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum AppraisalError {
    /// Step 5.
    #[error("{role} version {version} is not in the allow list")]
    VersionNotAllowed {
        /// Driver or VBIOS.
        role: RimRole,
        /// What the device reports.
        version: String,
    },
    /// Step 5. Without its version there is nothing to compare with.
    #[error("the report lacks the {role} version, or a part of its board's name")]
    VersionMissing {
        /// Driver or VBIOS.
        role: RimRole,
    },
    /// Step 6. Fetch it, or ask NVIDIA where it is not published.
    #[error("reference values are missing: no RIM `{id}`")]
    RimMissing {
        /// Its name at the RIM service.
        id: RimId,
    },
    /// Step 6. The RIM of another version, of another chip, or of the other component.
    #[error(
        "the {role} RIM is for {product} version {version}, but the device needs `{needed}` ({needed_version})"
    )]
    OtherRim {
        /// Driver or VBIOS.
        role: RimRole,
        /// What the RIM is for.
        product: String,
        /// What the RIM is for.
        version: String,
        /// The one that the device needs.
        needed: RimId,
        /// The version that the device reports.
        needed_version: String,
    },
    /// Step 6. It was verified earlier, and its signer has expired since.
    #[error("the signer of the {role} RIM is out of date")]
    RimOutOfDate {
        /// Driver or VBIOS.
        role: RimRole,
        /// Which certificate.
        source: ChainError,
    },
    /// Step 7.
    #[error("the device's measurements are not NVIDIA's")]
    Measurement(#[source] MeasurementError),
    /// Step 8. A response that is about the right certificate and is not genuine.
    #[error("certificate {position} of the {component}'s chain has no genuine OCSP response")]
    Ocsp {
        /// Whose chain.
        component: Component,
        /// Which certificate, 0 is the leaf.
        position: usize,
        /// Why.
        source: super::ocsp::OcspError,
    },
    /// Step 8. Genuine, and not what the policy accepts.
    #[error("{state}, which the policy does not accept")]
    NotGood {
        /// Whose certificate is in which state.
        state: ComponentState,
    },
}

impl AppraisalError {
    /// The step that failed.
    pub fn step(&self) -> Step {
        match self {
            Self::VersionNotAllowed { .. } | Self::VersionMissing { .. } => Step::Versions,
            Self::RimMissing { .. } | Self::OtherRim { .. } | Self::RimOutOfDate { .. } => Step::Rims,
            Self::Measurement(_) => Step::Measurements,
            Self::Ocsp { .. } | Self::NotGood { .. } => Step::Revocation,
        }
    }
}

/// Steps 5 to 8 for one device.
///
/// # Errors
/// [`AppraisalError`] names the first step that fails. [`AppraisalError::RimMissing`] says that the evidence is good as far as it could
/// be looked at.
pub fn appraise(
    device: VerifiedDevice,
    collateral: &Collateral<'_>,
    policy: &Policy,
    now: UnixTime,
) -> Result<AppraisedDevice, AppraisalError> {
    let Collateral { driver, vbios, ocsp } = *collateral;
    appraise_sharing(device, driver, vbios, &mut Responses::new(ocsp), policy, now)
}

/// The same for one of several devices, with the responses that were verified for the others.
pub(super) fn appraise_sharing(
    device: VerifiedDevice,
    driver: Option<&VerifiedRim>,
    vbios: Option<&VerifiedRim>,
    responses: &mut Responses<'_>,
    policy: &Policy,
    now: UnixTime,
) -> Result<AppraisedDevice, AppraisalError> {
    let reference = Reference::check(&device, driver, vbios, policy, now)?;
    responses.verify(&reference.chains(&device))?;
    reference.finish(device, responses.genuine(), policy, now)
}

/// The RIMs that a device needs, for who fetches them. Step 5 comes first: nobody is asked about versions that are refused.
///
/// # Errors
/// [`AppraisalError::VersionNotAllowed`], [`AppraisalError::VersionMissing`].
pub fn required_rims(device: &VerifiedDevice, policy: &Policy) -> Result<Vec<RimId>, AppraisalError> {
    let Needed { driver, vbios } = Needed::by(device, policy)?;
    Ok(driver.into_iter().chain([vbios]).map(|needed| needed.id).collect())
}

/// The same with OCSP responses that were verified before: for many devices, or again and again, without a signature to check.
/// `responses` are from [`verify_signature`](super::ocsp::verify_signature), in any order.
///
/// # Errors
/// As [`appraise`].
pub fn appraise_with(
    device: VerifiedDevice,
    driver: Option<&VerifiedRim>,
    vbios: Option<&VerifiedRim>,
    responses: &[GenuineResponse],
    policy: &Policy,
    now: UnixTime,
) -> Result<AppraisedDevice, AppraisalError> {
    Reference::check(&device, driver, vbios, policy, now)?.finish(device, responses, policy, now)
}

/// What a device passed steps 5 to 7 with.
struct Reference<'a> {
    driver: Option<&'a VerifiedRim>,
    vbios: &'a VerifiedRim,
    compared: Compared,
}

impl<'a> Reference<'a> {
    fn check(
        device: &VerifiedDevice,
        driver: Option<&'a VerifiedRim>,
        vbios: Option<&'a VerifiedRim>,
        policy: &Policy,
        now: UnixTime,
    ) -> Result<Self, AppraisalError> {
        // step 5: versions are allowed
        let needed = Needed::by(device, policy)?;
        // step 6: the RIMs are those for the versions
        let driver = match &needed.driver {
            Some(needed) => Some(needed.matching(driver, now)?),
            None => None,
        };
        let vbios = needed.vbios.matching(vbios, now)?;
        // step 7: every active golden measurement is the device's
        let compared = measurements::compare(device, driver, vbios).map_err(AppraisalError::Measurement)?;
        Ok(Self { driver, vbios, compared })
    }

    /// All chains that the verdict rests on.
    fn chains<'c>(&self, device: &'c VerifiedDevice) -> Vec<(Component, &'c VerifiedChain)>
    where
        'a: 'c,
    {
        let mut chains = vec![(Component::Gpu, device.chain()), (Component::Vbios, self.vbios.chain())];
        chains.extend(self.driver.map(|driver| (Component::Driver, driver.chain())));
        chains
    }

    fn finish(
        self,
        device: VerifiedDevice,
        responses: &[GenuineResponse],
        policy: &Policy,
        now: UnixTime,
    ) -> Result<AppraisedDevice, AppraisalError> {
        // step 8: nobody revoked the device's certificates, nor those of the RIMs' signers
        let states = revocation::states(&self.chains(&device), responses, policy.ocsp, now)?;
        Ok(AppraisedDevice { device, compared: self.compared, states })
    }
}

/// The RIMs that a device needs.
struct Needed {
    driver: Option<NeededRim>,
    vbios: NeededRim,
}

struct NeededRim {
    role: RimRole,
    id: RimId,
    version: String,
    /// The certificate's name of the chip, and the one that the report gives where both are in use.
    chips: [String; 2],
    kind: RimKind,
}

impl Needed {
    fn by(device: &VerifiedDevice, policy: &Policy) -> Result<Self, AppraisalError> {
        let fields = device.report().opaque();
        // a RIM calls the switch LS10, its certificate LS_10
        let chips = [device.chip().replace('_', ""), device.driver_chip().replace('_', "")];
        let kind = if device.architecture().is_switch() { RimKind::Switch } else { RimKind::Gpu };
        let needed = |role, version: Option<&str>, id: Option<RimId>, allowed: &super::policy::Versions| {
            let missing = AppraisalError::VersionMissing { role };
            let (Some(version), Some(id)) = (version.map(str::to_owned), id) else { return Err(missing) };
            if !allowed.allow(&version) {
                return Err(AppraisalError::VersionNotAllowed { role, version });
            }
            Ok(NeededRim { role, id, version, chips: chips.clone(), kind })
        };
        let driver = match kind {
            RimKind::Switch => None,
            RimKind::Gpu => {
                let version = fields.driver_version.as_deref();
                Some(needed(RimRole::Driver, version, device.driver_rim_id(), &policy.drivers)?)
            }
        };
        let version = fields.vbios_version.as_deref();
        let vbios = needed(RimRole::Vbios, version, device.vbios_rim_id(), &policy.vbios)?;
        Ok(Self { driver, vbios })
    }
}

impl NeededRim {
    fn matching<'a>(
        &self,
        rim: Option<&'a VerifiedRim>,
        now: UnixTime,
    ) -> Result<&'a VerifiedRim, AppraisalError> {
        let verified = rim.ok_or_else(|| AppraisalError::RimMissing { id: self.id.clone() })?;
        let rim = verified.rim();
        let same = rim.kind == self.kind
            && self.chips.contains(&rim.product)
            && rim.version.eq_ignore_ascii_case(&self.version);
        if !same {
            return Err(AppraisalError::OtherRim {
                role: self.role,
                product: rim.product.clone(),
                version: rim.version.clone(),
                needed: self.id.clone(),
                needed_version: self.version.clone(),
            });
        }
        let out_of_date = |source| AppraisalError::RimOutOfDate { role: self.role, source };
        verified.chain().check_valid_at(now).map_err(out_of_date)?;
        Ok(verified)
    }
}
