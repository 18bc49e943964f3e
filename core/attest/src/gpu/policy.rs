//! What a deployment accepts: versions, and states of certificates.

use super::ocsp::CertStatus;
use crate::UnixTime;

/// Which versions of a component are accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Versions {
    /// Every version for which NVIDIA publishes reference values.
    Any,
    /// Only these.
    OneOf(Vec<String>),
}

impl Versions {
    pub(super) fn allow(&self, version: &str) -> bool {
        match self {
            Self::Any => true,
            Self::OneOf(list) => list.iter().any(|allowed| allowed.eq_ignore_ascii_case(version)),
        }
    }
}

/// Which states of certificates are accepted. GOOD always; the others are downgrades.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OcspPolicy {
    /// Accept certificates of which nothing is known: no response, no fresh response, or one that says so.
    pub allow_unknown: bool,
    /// Accept certificates that were revoked at most this many seconds ago.
    pub revoked_grace: Option<u64>,
    /// Seconds for which a response counts after its next update.
    pub response_grace: u64,
}

impl OcspPolicy {
    /// Only GOOD, and only fresh responses.
    pub const REQUIRE_GOOD: Self = Self { allow_unknown: false, revoked_grace: None, response_grace: 0 };
    /// GOOD and unknown: revocation counts only where it is known.
    pub const ALLOW_UNKNOWN: Self = Self { allow_unknown: true, revoked_grace: None, response_grace: 0 };

    /// GOOD, and revoked for at most `hours`.
    pub const fn allow_revoked(hours: u32) -> Self {
        // u32 hours are less than 2^44 seconds
        let seconds = (hours as u64).saturating_mul(3600);
        Self { allow_unknown: false, revoked_grace: Some(seconds), response_grace: 0 }
    }

    pub(super) fn accepts(&self, status: CertStatus, now: UnixTime) -> bool {
        match status {
            CertStatus::Good => true,
            CertStatus::Unknown => self.allow_unknown,
            CertStatus::Revoked { at } => {
                self.revoked_grace.is_some_and(|grace| now <= at.saturating_add(grace))
            }
        }
    }
}

/// What is accepted of one device.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Policy {
    /// Driver versions; switches have none.
    pub drivers: Versions,
    /// VBIOS versions of GPUs and firmware versions of switches.
    pub vbios: Versions,
    /// States of certificates.
    pub ocsp: OcspPolicy,
}
