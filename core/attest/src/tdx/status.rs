//! TCB status: how far behind a platform is, and which of that its user accepts.
//!
//! Intel publishes a status for each level; several parts of one platform have one each, and the worst counts.

use std::fmt;

use thiserror::Error;

/// Status of a TCB level, as Intel names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TcbStatus {
    /// All updates are there.
    UpToDate,
    /// Software inside the trust domain must harden itself.
    SwHardeningNeeded,
    /// The platform's configuration may need a change.
    ConfigurationNeeded,
    /// Both of the former.
    ConfigurationAndSwHardeningNeeded,
    /// Updates are missing.
    OutOfDate,
    /// Updates are missing, and the configuration may need a change.
    OutOfDateConfigurationNeeded,
    /// Keys of this level are known to be compromised.
    Revoked,
}

impl TcbStatus {
    /// All of them, the best first.
    pub const ALL: [Self; 7] = [
        Self::UpToDate,
        Self::SwHardeningNeeded,
        Self::ConfigurationNeeded,
        Self::ConfigurationAndSwHardeningNeeded,
        Self::OutOfDate,
        Self::OutOfDateConfigurationNeeded,
        Self::Revoked,
    ];

    /// Intel's spelling, as in TCB info: `SWHardeningNeeded`.
    pub fn name(self) -> &'static str {
        match self {
            Self::UpToDate => "UpToDate",
            Self::SwHardeningNeeded => "SWHardeningNeeded",
            Self::ConfigurationNeeded => "ConfigurationNeeded",
            Self::ConfigurationAndSwHardeningNeeded => "ConfigurationAndSWHardeningNeeded",
            Self::OutOfDate => "OutOfDate",
            Self::OutOfDateConfigurationNeeded => "OutOfDateConfigurationNeeded",
            Self::Revoked => "Revoked",
        }
    }

    /// The status with this name in Intel's exact spelling.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|status| status.name() == name)
    }

    /// The status of two parts together: what either of them lacks, the whole lacks.
    #[must_use]
    pub fn worst(self, other: Self) -> Self {
        let is = |accept: fn(Self) -> bool| accept(self) || accept(other);
        let revoked = is(|status| status == Self::Revoked);
        let out_of_date = is(|status| matches!(status, Self::OutOfDate | Self::OutOfDateConfigurationNeeded));
        let configuration = is(|status| {
            matches!(
                status,
                Self::ConfigurationNeeded
                    | Self::ConfigurationAndSwHardeningNeeded
                    | Self::OutOfDateConfigurationNeeded
            )
        });
        let hardening =
            is(|status| matches!(status, Self::SwHardeningNeeded | Self::ConfigurationAndSwHardeningNeeded));
        match (revoked, out_of_date, configuration, hardening) {
            (true, ..) => Self::Revoked,
            (_, true, true, _) => Self::OutOfDateConfigurationNeeded,
            // no status says "out of date and needs hardening": the former is the worse
            (_, true, false, _) => Self::OutOfDate,
            (_, _, true, true) => Self::ConfigurationAndSwHardeningNeeded,
            (_, _, true, false) => Self::ConfigurationNeeded,
            (_, _, false, true) => Self::SwHardeningNeeded,
            (false, false, false, false) => Self::UpToDate,
        }
    }
}

impl fmt::Display for TcbStatus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Which advisories a tolerated status may come with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Advisories {
    /// Whatever Intel lists, now or later.
    Any,
    /// Only these, `INTEL-SA-01036`; one more is refused.
    Listed(Vec<String>),
}

/// Which statuses other than up to date are accepted. The default accepts none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Tolerance {
    entries: Vec<(TcbStatus, Advisories)>,
}

/// A status that no tolerance can name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("a platform whose TCB is {status} cannot be tolerated: its keys are known to be compromised")]
pub struct NotTolerable {
    /// The status.
    pub status: TcbStatus,
}

impl Tolerance {
    /// Up to date, nothing else.
    pub const fn strict() -> Self {
        Self { entries: Vec::new() }
    }

    /// Accepts exactly this status with these advisories, beside what is accepted already; for a status that was named
    /// before, the advisories of both are accepted.
    pub fn and(mut self, status: TcbStatus, advisories: Advisories) -> Result<Self, NotTolerable> {
        if status == TcbStatus::Revoked {
            return Err(NotTolerable { status });
        }
        match self.entries.iter_mut().find(|(known, _)| *known == status) {
            Some((_, known)) => known.extend(advisories),
            None => self.entries.push((status, advisories)),
        }
        Ok(self)
    }

    /// The accepted statuses, as they were given.
    pub fn entries(&self) -> &[(TcbStatus, Advisories)] {
        &self.entries
    }

    /// Whether nothing but up to date is accepted.
    pub fn is_strict(&self) -> bool {
        self.entries.iter().all(|(status, _)| *status == TcbStatus::UpToDate)
    }

    pub(super) fn judge(&self, status: TcbStatus, advisories: &[String]) -> Judgement {
        match status {
            TcbStatus::UpToDate => return Judgement::UpToDate,
            TcbStatus::Revoked => return Judgement::Refused,
            _ => {}
        }
        let Some((_, allowed)) = self.entries.iter().find(|(tolerated, _)| *tolerated == status) else {
            return Judgement::Refused;
        };
        let unlisted = match allowed {
            Advisories::Any => None,
            Advisories::Listed(listed) => advisories.iter().find(|advisory| !listed.contains(advisory)),
        };
        unlisted.map_or(Judgement::Tolerated, |advisory| Judgement::AdvisoryNotListed(advisory.clone()))
    }
}

impl Advisories {
    fn extend(&mut self, more: Self) {
        match (&mut *self, more) {
            (Self::Any, _) => {}
            (_, Self::Any) => *self = Self::Any,
            (Self::Listed(known), Self::Listed(more)) => known.extend(more),
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Judgement {
    UpToDate,
    Tolerated,
    Refused,
    AdvisoryNotListed(String),
}

#[cfg(test)]
mod tests;
