//! Product lines: each has a root of its own, and Turin another layout of the TCB and of the chip ID.

use std::fmt;

/// A line of processors, as AMD's key distribution service names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Product {
    /// EPYC 7003.
    Milan,
    /// EPYC 9004 and 8004: Genoa, and Bergamo and Siena, which share its root.
    Genoa,
    /// EPYC 9005.
    Turin,
}

/// What CPUID says about the processor, in reports of version 3 and later.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Cpuid {
    /// Family and extended family, added.
    pub family: u8,
    /// Model and extended model, combined.
    pub model: u8,
    /// Stepping.
    pub stepping: u8,
}

impl Product {
    /// All lines that this version can verify.
    pub const ALL: [Self; 3] = [Self::Milan, Self::Genoa, Self::Turin];

    /// The name in certificates, manifests and addresses of the key distribution service.
    pub fn name(self) -> &'static str {
        match self {
            Self::Milan => "Milan",
            Self::Genoa => "Genoa",
            Self::Turin => "Turin",
        }
    }

    /// The line with exactly this name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|product| product.name() == name)
    }

    /// The line that a VCEK or VLEK names: `Genoa` or, with a stepping, `Milan-B0`. Bergamo and Siena are of the Genoa
    /// line; the signature of Genoa's ASK is what proves it.
    pub(crate) fn from_certificate_text(text: &str) -> Option<Self> {
        match text.split_once('-').map_or(text, |(name, _stepping)| name) {
            "Bergamo" | "Siena" => Some(Self::Genoa),
            name => Self::from_name(name),
        }
    }

    /// The line of a processor. Models are blocks of sixteen.
    pub fn from_cpuid(cpuid: Cpuid) -> Option<Self> {
        match (cpuid.family, cpuid.model) {
            (0x19, 0x00..=0x0f) => Some(Self::Milan),
            (0x19, 0x10..=0x1f | 0xa0..=0xaf) => Some(Self::Genoa),
            (0x1a, 0x00..=0x1f) => Some(Self::Turin),
            _ => None,
        }
    }

    /// How many bytes of the chip ID a VCEK names; the rest is zero in the report.
    pub(crate) fn chip_id_len(self) -> usize {
        match self {
            Self::Milan | Self::Genoa => 64,
            Self::Turin => 8,
        }
    }
}

impl fmt::Display for Product {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl fmt::Display for Cpuid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "family {:#04x}, model {:#04x}, stepping {}", self.family, self.model, self.stepping)
    }
}

#[cfg(test)]
mod tests;
