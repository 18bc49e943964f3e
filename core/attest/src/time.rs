//! Time as an argument. Reads no clock: the caller says what time it is.

use std::fmt;

use x509_cert::der::DateTime;

/// Seconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UnixTime(pub u64);

impl UnixTime {
    /// The seconds since the epoch.
    pub fn as_secs(self) -> u64 {
        self.0
    }

    /// This time plus `seconds`; stays at the last representable second instead of wrapping.
    #[must_use]
    pub fn saturating_add(self, seconds: u64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// This time minus `seconds`; stays at the epoch instead of wrapping.
    #[must_use]
    pub fn saturating_sub(self, seconds: u64) -> Self {
        Self(self.0.saturating_sub(seconds))
    }
}

impl UnixTime {
    /// Reads a time in the one form that the vendors' documents have, `2026-05-12T00:00:00Z`: UTC, whole seconds.
    pub fn parse_rfc3339(text: &str) -> Option<Self> {
        text.parse::<DateTime>().ok().map(|date| Self(date.unix_duration().as_secs()))
    }
}

/// As RFC 3339: `2026-05-12T00:00:00Z`. Beyond the year 9999, which no document of ours reaches, the seconds.
impl fmt::Display for UnixTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match DateTime::from_unix_duration(core::time::Duration::from_secs(self.0)) {
            Ok(date) => write!(f, "{date}"),
            Err(_) => write!(f, "{} s after 1970-01-01T00:00:00Z", self.0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_written_alike() {
        for (text, seconds) in [
            ("1970-01-01T00:00:00Z", 0),
            ("2000-02-29T23:59:59Z", 951_868_799),
            ("2024-02-29T23:59:59Z", 1_709_251_199),
            ("2025-06-19T10:16:03Z", 1_750_328_163),
            ("2026-05-12T00:00:00Z", 1_778_544_000),
            ("2049-12-31T23:59:59Z", 2_524_607_999),
            ("9999-12-31T23:59:59Z", 253_402_300_799),
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), Some(UnixTime(seconds)));
            assert_eq!(UnixTime(seconds).to_string(), text);
        }
        assert_eq!(UnixTime(u64::MAX).to_string(), "18446744073709551615 s after 1970-01-01T00:00:00Z");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "2026-05-12",
            "2026-05-12T00:00:00",
            "2026-05-12T00:00:00+00:00",
            "2026-02-30T00:00:00Z",
            "2026-05-12t00:00:00z",
            "2025-06-19t10:16:03Z",
            "2025-06-19T10:16:03z",
            "2025-06-19 10:16:03Z",
            "2025-06-19T10:16:03.0Z",
            "2025-6-19T010:16:03Z",
            "+025-06-19T10:16:03Z",
            "1969-12-31T23:59:59Z",
            "2025-00-19T10:16:03Z",
            "2025-13-19T10:16:03Z",
            "2025-06-00T10:16:03Z",
            "2025-06-31T10:16:03Z",
            "2023-02-29T10:16:03Z",
            "2100-02-29T10:16:03Z",
            "2025-06-19T24:00:00Z",
            "2025-06-19T10:60:03Z",
            "2025-06-19T10:16:60Z",
            "2025-06-19T10:16:0٣Z",
        ] {
            assert_eq!(UnixTime::parse_rfc3339(text), None, "{text}");
        }
    }
}
