//! The guest policy and the platform information, as words of bits.
//!
//! Names bits; what is acceptable is decided by the manifest. Firmware ABI, tables "Guest policy" and "PLATFORM_INFO".

use std::fmt;

/// What the guest's owner allows and demands, fixed at launch and enforced by the firmware.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct GuestPolicy(pub u64);

/// What the firmware says about the machine.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PlatformInfo(pub u64);

/// Bit 17 must be one.
const POLICY_ONE: u64 = 1 << 17;
/// Bits 26 to 63 must be zero.
const POLICY_ZERO: u64 = !0 << 26;
/// Bits 0 to 5, and 7.
const INFO_KNOWN: u64 = 0b1011_1111;

impl GuestPolicy {
    /// Lowest minor ABI version that may run the guest.
    pub fn abi_minor(self) -> u8 {
        let [minor, ..] = self.0.to_le_bytes();
        minor
    }

    /// Lowest major ABI version that may run the guest.
    pub fn abi_major(self) -> u8 {
        let [_, major, ..] = self.0.to_le_bytes();
        major
    }

    /// Simultaneous multithreading is allowed.
    pub fn smt_allowed(self) -> bool {
        self.bit(16)
    }

    /// A migration agent may be bound to the guest: another guest that can take its memory elsewhere.
    pub fn migration_agent_allowed(self) -> bool {
        self.bit(18)
    }

    /// The host may decrypt the guest's memory.
    pub fn debug_allowed(self) -> bool {
        self.bit(19)
    }

    /// The guest may run on one socket only.
    pub fn single_socket_required(self) -> bool {
        self.bit(20)
    }

    /// Memory or devices behind CXL may be present.
    pub fn cxl_allowed(self) -> bool {
        self.bit(21)
    }

    /// Memory must be encrypted with AES-256-XTS.
    pub fn aes_256_xts_required(self) -> bool {
        self.bit(22)
    }

    /// Running average power limit, which leaks power figures, must be off.
    pub fn rapl_disabled_required(self) -> bool {
        self.bit(23)
    }

    /// Ciphertext of guest memory must be hidden from the host.
    pub fn ciphertext_hiding_required(self) -> bool {
        self.bit(24)
    }

    /// The host may not move or swap pages of the guest.
    pub fn page_swap_disabled(self) -> bool {
        self.bit(25)
    }

    /// Whether the reserved bits are as the ABI demands: bit 17 one, bits 26 to 63 zero. A bit beyond may be a permission
    /// that this version cannot name.
    pub fn reserved_bits_hold(self) -> bool {
        self.0 & POLICY_ONE != 0 && self.0 & POLICY_ZERO == 0
    }

    fn bit(self, number: u32) -> bool {
        bit(self.0, number)
    }
}

impl PlatformInfo {
    /// Simultaneous multithreading is on.
    pub fn smt_enabled(self) -> bool {
        self.bit(0)
    }

    /// Transparent encryption of all memory is on.
    pub fn tsme_enabled(self) -> bool {
        self.bit(1)
    }

    /// Memory has error correction.
    pub fn ecc_enabled(self) -> bool {
        self.bit(2)
    }

    /// Running average power limit is off.
    pub fn rapl_disabled(self) -> bool {
        self.bit(3)
    }

    /// Ciphertext of guest memory is hidden from the host.
    pub fn ciphertext_hiding_enabled(self) -> bool {
        self.bit(4)
    }

    /// The firmware has found no memory aliases since the last reset (CVE-2024-21944).
    pub fn alias_check_complete(self) -> bool {
        self.bit(5)
    }

    /// Trusted IO is on.
    pub fn tio_enabled(self) -> bool {
        self.bit(7)
    }

    /// The bits that this version has no name for; genuine reports have been seen with bit 6.
    pub fn unknown_bits(self) -> u64 {
        self.0 & !INFO_KNOWN
    }

    fn bit(self, number: u32) -> bool {
        bit(self.0, number)
    }
}

fn bit(word: u64, number: u32) -> bool {
    word.checked_shr(number).is_some_and(|rest| rest & 1 == 1)
}

impl fmt::Debug for GuestPolicy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "GuestPolicy({:#x})", self.0)
    }
}

impl fmt::Debug for PlatformInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PlatformInfo({:#x})", self.0)
    }
}

#[cfg(test)]
mod tests;
