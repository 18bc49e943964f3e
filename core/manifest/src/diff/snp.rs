//! Reference values for SEV-SNP.

use super::bits::{self, Bit::Allows, Bit::Demands};
use super::{Changes, differing, pairs};
use crate::reference::{SnpGuestPolicy, SnpPlatformInfo, SnpReference, SnpTcb};

pub(super) fn compare(old: &[SnpReference], new: &[SnpReference], changes: &mut Changes) {
    let (mut removed, mut added) = differing(old, new);
    // the same guest on the same product line, under other conditions; else the only entry for its line and size
    let mut same = pairs(&mut removed, &mut added, |entry| {
        Some((entry.product_name?, entry.trusted_measurement?, entry.cpus, entry.platform.clone()))
    });
    same.extend(pairs(&mut removed, &mut added, |entry| {
        Some((entry.product_name?, entry.trusted_measurement?))
    }));
    same.extend(pairs(&mut removed, &mut added, |entry| Some((entry.product_name, entry.cpus))));
    for (old, new) in same {
        fields(old, new, changes);
    }
    for entry in added {
        changes.weaker(&exact_place(entry), "one more platform is accepted");
    }
    for entry in removed {
        changes.stronger(&exact_place(entry), "this platform is no longer accepted");
    }
}

fn place(entry: &SnpReference) -> String {
    let product = entry.product_name.map_or("any product", |product| product.name());
    let cpus = entry.cpus.map(|cpus| format!(", {cpus} CPUs")).unwrap_or_default();
    format!("ReferenceValues.snp[{product}{cpus}]")
}

fn exact_place(entry: &SnpReference) -> String {
    let measurement = entry.trusted_measurement.map(hex::encode).unwrap_or_default();
    format!("{}.{measurement}", place(entry))
}

fn fields(old: &SnpReference, new: &SnpReference, changes: &mut Changes) {
    // one list of all members: a new one does not compile without its comparison
    let SnpReference {
        product_name: _, // of a pair it is the same
        trusted_measurement,
        minimum_tcb,
        guest_policy,
        platform_info,
        minimum_mitigation_vector,
        allowed_chip_ids,
        allow_vlek,
        allowed_clouds,
        allow_masked_chip_id,
        require_id_block,
        cpus,
        platform,
    } = old;
    // CPUs may differ within a pair: the place must be the same in both directions
    let product = old.product_name.map_or("any product", |product| product.name());
    let place = if old.cpus == new.cpus { place(old) } else { format!("ReferenceValues.snp[{product}]") };
    let at = |member: &str| format!("{place}.{member}");
    let hex = |measurement: &Option<[u8; 48]>| measurement.map(hex::encode);
    changes.value(
        &at("TrustedMeasurement"),
        "the measurement",
        hex(trusted_measurement),
        hex(&new.trusted_measurement),
    );
    tcb(&at("MinimumTCB"), minimum_tcb, &new.minimum_tcb, changes);
    guest(&at("GuestPolicy"), guest_policy, &new.guest_policy, changes);
    info(&at("PlatformInfo"), platform_info, &new.platform_info, changes);
    vector(
        &at("MinimumMitigationVector"),
        *minimum_mitigation_vector,
        new.minimum_mitigation_vector,
        changes,
    );
    let chips = |list: &[[u8; 64]]| list.iter().map(hex::encode).collect::<Vec<_>>();
    changes.allow_list(
        &at("AllowedChipIDs"),
        "chip",
        &chips(allowed_chip_ids),
        &chips(&new.allowed_chip_ids),
    );
    changes.set(&at("AllowedClouds"), "the VLEK of cloud", allowed_clouds, &new.allowed_clouds);
    let switches = [
        ("AllowVLEK", Allows, *allow_vlek, new.allow_vlek),
        ("AllowMaskedChipID", Allows, *allow_masked_chip_id, new.allow_masked_chip_id),
        ("RequireIDBlock", Demands, *require_id_block, new.require_id_block),
    ];
    bits::compare(&place, &switches, changes);
    let number = |cpus: Option<u64>| cpus.map(|cpus| cpus.to_string());
    changes.note(&at("CPUs"), number(*cpus).as_deref(), number(new.cpus).as_deref());
    changes.note(&at("Platform"), platform.as_deref(), new.platform.as_deref());
}

fn tcb(place: &str, old: &SnpTcb, new: &SnpTcb, changes: &mut Changes) {
    let SnpTcb { fmc, bootloader, tee, snp, microcode } = *old;
    changes.floor(&format!("{place}.FMCVersion"), fmc, new.fmc, false);
    changes.floor(&format!("{place}.BootloaderVersion"), bootloader, new.bootloader, true);
    changes.floor(&format!("{place}.TEEVersion"), tee, new.tee, true);
    changes.floor(&format!("{place}.SNPVersion"), snp, new.snp, true);
    changes.floor(&format!("{place}.MicrocodeVersion"), microcode, new.microcode, true);
}

fn guest(place: &str, old: &SnpGuestPolicy, new: &SnpGuestPolicy, changes: &mut Changes) {
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
    } = *old;
    let abi = |major: u8, minor: u8| Some(u16::from_be_bytes([major, minor]));
    if (abi_major, abi_minor) != (new.abi_major, new.abi_minor) {
        let (from, to) = (abi(abi_major, abi_minor), abi(new.abi_major, new.abi_minor));
        changes.floor(&format!("{place}.ABI"), from, to, true);
    }
    let switches = [
        ("SMT", Allows, smt, new.smt),
        ("MigrateMA", Allows, migrate_ma, new.migrate_ma),
        ("Debug", Allows, debug, new.debug),
        ("SingleSocket", Demands, single_socket, new.single_socket),
        ("CXLAllowed", Allows, cxl_allowed, new.cxl_allowed),
        ("MemAES256XTS", Demands, mem_aes256_xts, new.mem_aes256_xts),
        ("RAPLDis", Demands, rapl_dis, new.rapl_dis),
        ("CipherTextHidingDRAM", Demands, cipher_text_hiding_dram, new.cipher_text_hiding_dram),
        ("PageSwapDisable", Demands, page_swap_disable, new.page_swap_disable),
    ];
    bits::compare(place, &switches, changes);
}

fn info(place: &str, old: &SnpPlatformInfo, new: &SnpPlatformInfo, changes: &mut Changes) {
    let SnpPlatformInfo {
        smt_enabled,
        tsme_enabled,
        ecc_enabled,
        rapl_disabled,
        ciphertext_hiding_dram_enabled,
        alias_check_complete,
        tio_enabled,
    } = *old;
    let switches = [
        ("SMTEnabled", Allows, smt_enabled, new.smt_enabled),
        ("TSMEEnabled", Allows, tsme_enabled, new.tsme_enabled),
        ("ECCEnabled", Demands, ecc_enabled, new.ecc_enabled),
        ("RAPLDisabled", Demands, rapl_disabled, new.rapl_disabled),
        (
            "CiphertextHidingDRAMEnabled",
            Demands,
            ciphertext_hiding_dram_enabled,
            new.ciphertext_hiding_dram_enabled,
        ),
        ("AliasCheckComplete", Demands, alias_check_complete, new.alias_check_complete),
        ("TIOEnabled", Allows, tio_enabled, new.tio_enabled),
    ];
    bits::compare(place, &switches, changes);
}

/// Each bit is a mitigation that must be in place.
fn vector(place: &str, old: u64, new: u64, changes: &mut Changes) {
    if new & !old != 0 {
        changes.stronger(place, &format!("more mitigations are demanded: {:#x}", new & !old));
    }
    if old & !new != 0 {
        changes.weaker(place, &format!("mitigations are no longer demanded: {:#x}", old & !new));
    }
}
