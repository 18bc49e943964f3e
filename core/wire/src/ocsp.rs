//! The client's word on which GPU certificate states it accepts, bound to the exchange by a MAC.
//!
//! Does not ask any OCSP responder. protocol.md, section 6.

use std::fmt;
use std::str::FromStr;

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use crate::secret::Secret;

/// Longest policy that is parsed.
const MAX_POLICY: usize = 256;

/// Which certificate states a client accepts. GOOD always; the others are downgrades.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OcspPolicy {
    /// Accept certificates of which OCSP knows nothing.
    pub allow_unknown: bool,
    /// Accept certificates revoked at or after [`revoked_not_before`](Self::revoked_not_before).
    pub allow_revoked: bool,
    /// Unix seconds. Part of the policy's text even where revoked certificates are not accepted.
    pub revoked_not_before: u64,
}

/// Not a policy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OcspPolicyError {
    /// Longer than any policy is.
    #[error("the OCSP policy is too long")]
    TooLong,
    /// Not `rules=…; revocation-time-not-before=…`.
    #[error("the OCSP policy is malformed")]
    Malformed,
    /// A rule that we do not know.
    #[error("the OCSP policy has an unknown rule")]
    UnknownRule,
    /// Without it nothing would be accepted.
    #[error("the OCSP policy lacks the rule `allow-good`")]
    GoodNotAllowed,
}

impl OcspPolicy {
    /// What holds without headers: only GOOD.
    pub const GOOD_ONLY: OcspPolicy =
        OcspPolicy { allow_unknown: false, allow_revoked: false, revoked_not_before: u64::MAX };

    /// The policy for now: revoked certificates are accepted for `grace_seconds` after their revocation, not at all for 0.
    pub fn new(allow_unknown: bool, grace_seconds: u64, now: u64) -> OcspPolicy {
        OcspPolicy {
            allow_unknown,
            allow_revoked: grace_seconds > 0,
            revoked_not_before: now.saturating_sub(grace_seconds),
        }
    }

    /// The header's text.
    pub fn to_header(&self) -> String {
        self.to_string()
    }

    /// Parses the header's text.
    pub fn parse(text: &str) -> Result<OcspPolicy, OcspPolicyError> {
        if text.len() > MAX_POLICY {
            return Err(OcspPolicyError::TooLong);
        }
        let (rules, time) = text.split_once(';').ok_or(OcspPolicyError::Malformed)?;
        let rules = rules.strip_prefix("rules=").ok_or(OcspPolicyError::Malformed)?;
        let time = time
            .trim_start()
            .strip_prefix("revocation-time-not-before=")
            .ok_or(OcspPolicyError::Malformed)?;
        if !time.bytes().all(|b| b.is_ascii_digit()) {
            return Err(OcspPolicyError::Malformed);
        }
        let mut policy = OcspPolicy {
            allow_unknown: false,
            allow_revoked: false,
            revoked_not_before: time.parse().map_err(|_| OcspPolicyError::Malformed)?,
        };
        let mut allow_good = false;
        for rule in rules.split(',') {
            match rule {
                "allow-good" => allow_good = true,
                "allow-revoked" => policy.allow_revoked = true,
                "allow-unknown" => policy.allow_unknown = true,
                _ => return Err(OcspPolicyError::UnknownRule),
            }
        }
        if allow_good { Ok(policy) } else { Err(OcspPolicyError::GoodNotAllowed) }
    }

    /// Whether every certificate of every GPU is acceptable; otherwise the first that is not.
    pub fn covers(&self, gpus: &[GpuStates]) -> Result<(), Refusal> {
        for (gpu, states) in gpus.iter().enumerate() {
            let GpuStates { gpu: gpu_state, vbios, driver } = *states;
            let components =
                [(Component::Gpu, gpu_state), (Component::Vbios, vbios), (Component::Driver, driver)];
            if let Some((component, state)) = components.into_iter().find(|(_, state)| !self.accepts(*state))
            {
                return Err(Refusal { gpu, component, state });
            }
        }
        Ok(())
    }

    fn accepts(&self, state: CertificateState) -> bool {
        match state {
            CertificateState::Good => true,
            CertificateState::Unknown => self.allow_unknown,
            CertificateState::Revoked { at } => self.allow_revoked && at >= self.revoked_not_before,
        }
    }
}

impl fmt::Display for OcspPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let OcspPolicy { allow_unknown, allow_revoked, revoked_not_before } = self;
        f.write_str("rules=allow-good")?;
        f.write_str(if *allow_revoked { ",allow-revoked" } else { "" })?;
        f.write_str(if *allow_unknown { ",allow-unknown" } else { "" })?;
        write!(f, "; revocation-time-not-before={revoked_not_before}")
    }
}

impl FromStr for OcspPolicy {
    type Err = OcspPolicyError;

    fn from_str(text: &str) -> Result<OcspPolicy, OcspPolicyError> {
        OcspPolicy::parse(text)
    }
}

/// What OCSP says of a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateState {
    /// Valid.
    Good,
    /// OCSP could not be asked, or knows nothing.
    Unknown,
    /// Revoked.
    Revoked {
        /// Unix seconds.
        at: u64,
    },
}

/// The states of one GPU's certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GpuStates {
    /// The GPU's own certificate.
    pub gpu: CertificateState,
    /// The one that signs its VBIOS measurements.
    pub vbios: CertificateState,
    /// The one that signs its driver measurements.
    pub driver: CertificateState,
}

/// Which certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Component {
    /// The GPU's own.
    Gpu,
    /// VBIOS.
    Vbios,
    /// Driver.
    Driver,
}

impl fmt::Display for Component {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Component::Gpu => "GPU",
            Component::Vbios => "VBIOS",
            Component::Driver => "driver",
        })
    }
}

/// A certificate that the policy does not cover.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the OCSP policy does not accept the state of the {component} certificate of GPU {gpu}: {}", describe(.state))]
pub struct Refusal {
    /// Which GPU, from 0.
    pub gpu: usize,
    /// Which of its certificates.
    pub component: Component,
    /// Its state.
    pub state: CertificateState,
}

fn describe(state: &CertificateState) -> String {
    match state {
        CertificateState::Good => "good".to_owned(),
        CertificateState::Unknown => "unknown".to_owned(),
        CertificateState::Revoked { at } => format!("revoked at {at}"),
    }
}

/// The MAC header: hex HMAC-SHA256 under the exchange's secret.
pub fn mac(secret: &Secret, policy: &str) -> String {
    hex::encode(keyed(secret, policy).finalize().into_bytes())
}

/// Checks a MAC header in constant time.
pub fn verify_mac(secret: &Secret, policy: &str, mac: &str) -> bool {
    let Ok(tag) = hex::decode(mac.get(..64).filter(|_| mac.len() == 64).unwrap_or_default()) else {
        return false;
    };
    keyed(secret, policy).verify_slice(&tag).is_ok()
}

fn keyed(secret: &Secret, policy: &str) -> Hmac<Sha256> {
    let mut mac: Hmac<Sha256> =
        KeyInit::new_from_slice(secret.expose()).expect("HMAC takes keys of any length");
    mac.update(policy.as_bytes());
    mac
}

#[cfg(test)]
mod tests;
