//! When everything here is good.

/// The middle of every validity here: 2026-01-01T00:00:00Z, in seconds since the Unix epoch.
pub const NOW: u64 = 1_767_225_600;
/// Seconds.
pub const DAY: u64 = 86_400;
