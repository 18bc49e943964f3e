use super::*;

/// A named bit of a word.
type Bit<T> = (u32, fn(T) -> bool);

#[test]
fn each_policy_bit_has_one_name() {
    let names: [Bit<GuestPolicy>; 9] = [
        (16, GuestPolicy::smt_allowed),
        (18, GuestPolicy::migration_agent_allowed),
        (19, GuestPolicy::debug_allowed),
        (20, GuestPolicy::single_socket_required),
        (21, GuestPolicy::cxl_allowed),
        (22, GuestPolicy::aes_256_xts_required),
        (23, GuestPolicy::rapl_disabled_required),
        (24, GuestPolicy::ciphertext_hiding_required),
        (25, GuestPolicy::page_swap_disabled),
    ];
    for (number, name) in names {
        assert!(name(GuestPolicy(1 << number)), "bit {number}");
        assert!(!name(GuestPolicy(!(1 << number))), "all but bit {number}");
    }
}

#[test]
fn the_abi_version_is_in_the_two_lowest_bytes() {
    let policy = GuestPolicy(0x3_0137);
    assert_eq!((policy.abi_major(), policy.abi_minor()), (1, 0x37));
}

#[test]
fn reserved_policy_bits() {
    assert!(GuestPolicy(0x3_001f).reserved_bits_hold());
    assert!(GuestPolicy(0x3ff_ffff).reserved_bits_hold());
    assert!(!GuestPolicy(0x1_001f).reserved_bits_hold(), "bit 17 is zero");
    for number in 26..64 {
        assert!(!GuestPolicy(0x3_001f | 1 << number).reserved_bits_hold(), "bit {number}");
    }
}

#[test]
fn each_platform_bit_has_one_name_or_is_unknown() {
    let names: [Bit<PlatformInfo>; 7] = [
        (0, PlatformInfo::smt_enabled),
        (1, PlatformInfo::tsme_enabled),
        (2, PlatformInfo::ecc_enabled),
        (3, PlatformInfo::rapl_disabled),
        (4, PlatformInfo::ciphertext_hiding_enabled),
        (5, PlatformInfo::alias_check_complete),
        (7, PlatformInfo::tio_enabled),
    ];
    for (number, name) in names {
        assert!(name(PlatformInfo(1 << number)), "bit {number}");
        assert!(!name(PlatformInfo(!(1 << number))), "all but bit {number}");
        assert_eq!(PlatformInfo(1 << number).unknown_bits(), 0, "bit {number}");
    }
    assert_eq!(PlatformInfo(u64::MAX).unknown_bits(), !0xbf);
}
