//! Steps 10 and 11: bits that allow, and bits that protect.

use std::fmt;

use privatemode_attest::snp::{GuestPolicy, PlatformInfo};

use super::refusal::SnpRefusal;
use crate::appraise::step::{Checked, Values};
use crate::reference::{SnpGuestPolicy, SnpPlatformInfo};

macro_rules! named_bits {
    ($(#[$doc:meta])* $name:ident { $($(#[$bit_doc:meta])* $bit:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$bit_doc])* $bit,)* }

        /// The name of the manifest's member.
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(match self { $(Self::$bit => $text,)* })
            }
        }
    };
}

named_bits! {
    /// A bit of the guest policy.
    PolicyBit {
        /// The host may read the guest's memory.
        Debug = "Debug",
        /// Another guest may take this one elsewhere.
        MigrateMa = "MigrateMA",
        /// Two threads may share a core.
        Smt = "SMT",
        /// Devices behind CXL may be present.
        CxlAllowed = "CXLAllowed",
        /// One socket only.
        SingleSocket = "SingleSocket",
        /// AES-256-XTS for memory.
        MemAes256Xts = "MemAES256XTS",
        /// No power figures.
        RaplDis = "RAPLDis",
        /// Ciphertext hidden from the host.
        CipherTextHidingDram = "CipherTextHidingDRAM",
        /// Pages stay where they are.
        PageSwapDisable = "PageSwapDisable",
    }
}

named_bits! {
    /// A bit of the platform info.
    PlatformBit {
        /// Two threads share a core.
        SmtEnabled = "SMTEnabled",
        /// All memory is encrypted with one key.
        TsmeEnabled = "TSMEEnabled",
        /// Devices may be let into guests' memory.
        TioEnabled = "TIOEnabled",
        /// Memory corrects errors.
        EccEnabled = "ECCEnabled",
        /// No power figures.
        RaplDisabled = "RAPLDisabled",
        /// Ciphertext hidden from the host.
        CiphertextHidingDramEnabled = "CiphertextHidingDRAMEnabled",
        /// No memory aliases were found.
        AliasCheckComplete = "AliasCheckComplete",
    }
}

/// Step 10: debug, migration and every other allow bit only if the manifest allows it; require bits; ABI version; reserved
/// bits as the ABI demands.
pub(super) fn guest_policy(policy: GuestPolicy, expected: &SnpGuestPolicy) -> Checked<SnpRefusal> {
    let SnpGuestPolicy {
        abi_minor,
        abi_major,
        smt,
        migrate_ma,
        debug,
        single_socket,
        cxl_allowed,
        mem_aes256_xts,
        rapl_dis,
        cipher_text_hiding_dram,
        page_swap_disable,
    } = *expected;
    let allow = [
        // debug first: nothing else matters if the host can read the memory
        (PolicyBit::Debug, policy.debug_allowed(), debug),
        (PolicyBit::MigrateMa, policy.migration_agent_allowed(), migrate_ma),
        (PolicyBit::Smt, policy.smt_allowed(), smt),
        (PolicyBit::CxlAllowed, policy.cxl_allowed(), cxl_allowed),
    ];
    let require = [
        (PolicyBit::SingleSocket, policy.single_socket_required(), single_socket),
        (PolicyBit::MemAes256Xts, policy.aes_256_xts_required(), mem_aes256_xts),
        (PolicyBit::RaplDis, policy.rapl_disabled_required(), rapl_dis),
        (PolicyBit::CipherTextHidingDram, policy.ciphertext_hiding_required(), cipher_text_hiding_dram),
        (PolicyBit::PageSwapDisable, policy.page_swap_disabled(), page_swap_disable),
    ];
    let have = (policy.abi_major(), policy.abi_minor());
    let values = Values::default()
        .with("policy", format!("{:#x}", policy.0))
        .with("abi", format!("{}.{}", have.0, have.1))
        .with("set", set(allow.iter().chain(&require)));
    let abi = (have < (abi_major, abi_minor))
        .then_some(SnpRefusal::PolicyAbi { have, need: (abi_major, abi_minor) });
    let reserved = (!policy.reserved_bits_hold()).then_some(SnpRefusal::PolicyReserved { policy: policy.0 });
    let failure = surplus(&allow)
        .map(|bits| SnpRefusal::PolicyAllows { bits })
        .or_else(|| missing(&require).map(|bits| SnpRefusal::PolicyLacks { bits }))
        .or(abi)
        .or(reserved);
    Checked::required(values, failure)
}

/// Step 11: likewise. Bits without a name are shown and not refused: genuine reports set some.
pub(super) fn platform_info(info: PlatformInfo, expected: &SnpPlatformInfo) -> Checked<SnpRefusal> {
    let SnpPlatformInfo {
        smt_enabled,
        tsme_enabled,
        ecc_enabled,
        rapl_disabled,
        ciphertext_hiding_dram_enabled,
        alias_check_complete,
        tio_enabled,
    } = *expected;
    let allow = [
        (PlatformBit::SmtEnabled, info.smt_enabled(), smt_enabled),
        (PlatformBit::TsmeEnabled, info.tsme_enabled(), tsme_enabled),
        (PlatformBit::TioEnabled, info.tio_enabled(), tio_enabled),
    ];
    let hidden = info.ciphertext_hiding_enabled();
    let require = [
        (PlatformBit::EccEnabled, info.ecc_enabled(), ecc_enabled),
        (PlatformBit::RaplDisabled, info.rapl_disabled(), rapl_disabled),
        (PlatformBit::CiphertextHidingDramEnabled, hidden, ciphertext_hiding_dram_enabled),
        (PlatformBit::AliasCheckComplete, info.alias_check_complete(), alias_check_complete),
    ];
    let mut values = Values::default()
        .with("platform_info", format!("{:#x}", info.0))
        .with("set", set(allow.iter().chain(&require)));
    if info.unknown_bits() != 0 {
        values = values.with("unknown_bits", format!("{:#x}", info.unknown_bits()));
    }
    let failure = surplus(&allow)
        .map(|bits| SnpRefusal::PlatformHas { bits })
        .or_else(|| missing(&require).map(|bits| SnpRefusal::PlatformLacks { bits }));
    Checked::required(values, failure)
}

/// What is set without being allowed.
fn surplus<B: Copy>(bits: &[(B, bool, bool)]) -> Option<Vec<B>> {
    some(bits.iter().filter(|(_, has, allowed)| *has && !allowed))
}

/// What is demanded without being set.
fn missing<B: Copy>(bits: &[(B, bool, bool)]) -> Option<Vec<B>> {
    some(bits.iter().filter(|(_, has, demanded)| *demanded && !has))
}

fn some<'a, B: Copy + 'a>(bits: impl Iterator<Item = &'a (B, bool, bool)>) -> Option<Vec<B>> {
    let bits: Vec<B> = bits.map(|(bit, ..)| *bit).collect();
    (!bits.is_empty()).then_some(bits)
}

fn set<'a, B: fmt::Display + 'a>(bits: impl Iterator<Item = &'a (B, bool, bool)>) -> String {
    let names: Vec<String> = bits.filter(|(_, has, _)| *has).map(|(bit, ..)| bit.to_string()).collect();
    names.join(", ")
}
