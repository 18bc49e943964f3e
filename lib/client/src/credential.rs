//! A secret with its age and the proof behind it.

use std::{fmt, sync::Arc};

use privatemode_attest::UnixTime;
use privatemode_wire::secret::{Secret, SecretId};

use crate::Verification;

/// Seconds for which the secret service keeps a secret.
pub const LIFETIME: u64 = 3600;
/// Seconds before that end at which it is renewed.
pub const RENEW_BEFORE: u64 = 900;

/// A secret that the attested secret service shares with us. Only a session makes one, after every check.
pub struct Credential {
    pub(crate) id: SecretId,
    pub(crate) secret: Arc<Secret>,
    pub(crate) obtained: UnixTime,
    pub(crate) verification: Arc<Verification>,
}

impl Credential {
    /// The secret's public name.
    #[must_use]
    pub fn id(&self) -> &SecretId {
        &self.id
    }

    /// The secret.
    #[must_use]
    pub fn secret(&self) -> &Arc<Secret> {
        &self.secret
    }

    /// What was verified before the secret was exchanged.
    #[must_use]
    pub fn verification(&self) -> &Arc<Verification> {
        &self.verification
    }

    /// When it is renewed.
    #[must_use]
    pub fn renew_at(&self) -> UnixTime {
        self.obtained.saturating_add(LIFETIME - RENEW_BEFORE)
    }

    /// When the service forgets it.
    #[must_use]
    pub fn expires_at(&self) -> UnixTime {
        self.obtained.saturating_add(LIFETIME)
    }

    /// Whether it should be renewed. A clock that was set back hides the age: renew then, too.
    pub(crate) fn is_due(&self, now: UnixTime) -> bool {
        now >= self.renew_at() || now < self.obtained
    }

    /// Whether the service has forgotten it.
    pub(crate) fn is_expired(&self, now: UnixTime) -> bool {
        now >= self.expires_at()
    }
}

impl fmt::Debug for Credential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Credential")
            .field("id", &self.id.as_str())
            .field("obtained", &self.obtained)
            .finish_non_exhaustive()
    }
}
