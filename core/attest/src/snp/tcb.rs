//! Versions of the trusted computing base: firmware and microcode, component by component.

use std::fmt;

use thiserror::Error;

/// Versions of everything that the guest must trust below it.
///
/// There is no order over these: a higher microcode does not make up for a lower boot loader.
/// [`Tcb::check_at_least`] compares each component.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tcb {
    /// Fuse controller firmware; Turin and later.
    pub fmc: Option<u8>,
    /// Boot loader of the secure processor.
    pub bootloader: u8,
    /// Operating system of the secure processor.
    pub tee: u8,
    /// SNP firmware.
    pub snp: u8,
    /// Microcode: the lowest patch level of all cores.
    pub microcode: u8,
}

/// A component of a [`Tcb`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TcbPart {
    /// See [`Tcb::fmc`].
    Fmc,
    /// See [`Tcb::bootloader`].
    Bootloader,
    /// See [`Tcb::tee`].
    Tee,
    /// See [`Tcb::snp`].
    Snp,
    /// See [`Tcb::microcode`].
    Microcode,
}

/// A component is older than it must be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("the {part} has version {have}, at least {need} is needed; the machine needs a firmware update")]
pub struct TcbBelow {
    /// Which one, the first in the order of [`TcbPart`].
    pub part: TcbPart,
    /// What the machine has.
    pub have: u8,
    /// What it must have.
    pub need: u8,
}

/// Where the components are in the eight bytes of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum TcbLayout {
    /// Milan and Genoa: boot loader, TEE, four reserved, SNP, microcode.
    Classic,
    /// Turin: FMC, boot loader, TEE, SNP, three reserved, microcode.
    Turin,
}

impl Tcb {
    /// Reads the eight bytes of a report; `None` if a reserved byte is not zero: that may be the version of a component
    /// that this program does not know.
    pub(crate) fn parse(bytes: [u8; 8], layout: TcbLayout) -> Option<Self> {
        match (layout, bytes) {
            (TcbLayout::Classic, [bootloader, tee, 0, 0, 0, 0, snp, microcode]) => {
                Some(Self { fmc: None, bootloader, tee, snp, microcode })
            }
            (TcbLayout::Turin, [fmc, bootloader, tee, snp, 0, 0, 0, microcode]) => {
                Some(Self { fmc: Some(fmc), bootloader, tee, snp, microcode })
            }
            _ => None,
        }
    }

    /// Checks that each component is at least `minimum`'s. A component that only `minimum` has counts as version 0 here.
    pub fn check_at_least(&self, minimum: &Self) -> Result<(), TcbBelow> {
        let Self { fmc, bootloader, tee, snp, microcode } = *minimum;
        let pairs = [
            (TcbPart::Fmc, self.fmc.unwrap_or(0), fmc.unwrap_or(0)),
            (TcbPart::Bootloader, self.bootloader, bootloader),
            (TcbPart::Tee, self.tee, tee),
            (TcbPart::Snp, self.snp, snp),
            (TcbPart::Microcode, self.microcode, microcode),
        ];
        match pairs.into_iter().find(|(_, have, need)| have < need) {
            Some((part, have, need)) => Err(TcbBelow { part, have, need }),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Tcb {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { fmc, bootloader, tee, snp, microcode } = self;
        if let Some(fmc) = fmc {
            write!(f, "FMC {fmc}, ")?;
        }
        write!(f, "bootloader {bootloader}, TEE {tee}, SNP {snp}, microcode {microcode}")
    }
}

impl fmt::Display for TcbPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Fmc => "FMC",
            Self::Bootloader => "bootloader",
            Self::Tee => "TEE",
            Self::Snp => "SNP firmware",
            Self::Microcode => "microcode",
        })
    }
}

#[cfg(test)]
mod tests;
