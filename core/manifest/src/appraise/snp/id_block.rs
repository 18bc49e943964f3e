//! Step 15: the ID block that measurement and policy imply.

use privatemode_attest::snp::{Evidence, GuestPolicy, id_key_digest};

use super::refusal::SnpRefusal;
use crate::appraise::step::{Checked, Values};
use crate::reference::{SnpGuestPolicy, SnpReference};

/// Step 15, where the entry demands it.
pub(super) fn check(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let report = &evidence.report;
    let values = Values::default()
        .with("id_key_digest", hex::encode(report.id_key_digest))
        .with("author_key", report.author_key_enabled)
        .with("guest_svn", report.guest_svn);
    Checked::optional(values, entry.require_id_block, || {
        let policy = policy_of(&entry.guest_policy);
        let expected = entry.trusted_measurement.and_then(|measurement| id_key_digest(&measurement, policy));
        let Some(expected) = expected else { return Some(SnpRefusal::NoIdBlock) };
        if report.id_key_digest != expected {
            let (expected, got) = (Box::new(expected), Box::new(report.id_key_digest));
            return Some(SnpRefusal::IdKey { expected, got });
        }
        report.author_key_enabled.then_some(SnpRefusal::AuthorKey)
    })
}

/// The policy as the entry has it, bit by bit.
fn policy_of(policy: &SnpGuestPolicy) -> GuestPolicy {
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
    } = *policy;
    let bits = [
        (16, smt),
        (17, true), // reserved, must be one
        (18, migrate_ma),
        (19, debug),
        (20, single_socket),
        (21, cxl_allowed),
        (22, mem_aes256_xts),
        (23, rapl_dis),
        (24, cipher_text_hiding_dram),
        (25, page_swap_disable),
    ];
    let abi = u64::from(u16::from_le_bytes([abi_minor, abi_major]));
    GuestPolicy(bits.into_iter().fold(abi, |word, (bit, set)| word | u64::from(set) << bit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_entrys_policy_is_the_word_that_the_firmware_has() {
        let policy = SnpGuestPolicy {
            abi_minor: 0x1f,
            smt: true,
            page_swap_disable: true,
            ..SnpGuestPolicy::default()
        };
        assert_eq!(policy_of(&policy), GuestPolicy(0x0203_001f));
    }
}
