//! Reference values for SEV-SNP as a manifest writes them (`attestation.md` §1).

use serde_json::{Map, Value, json};

use crate::reference::{SnpGuestPolicy, SnpPlatformInfo, SnpReference, SnpTcb};

/// One entry of `ReferenceValues.snp`. A bit that is not set is written too, so that a reader sees what was decided.
pub(super) fn json(reference: &SnpReference) -> Value {
    let SnpReference {
        product_name,
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
    } = reference;
    let chips: Vec<String> = allowed_chip_ids.iter().map(hex::encode).collect();
    let members = [
        ("ProductName", product_name.map(|product| json!(product.name()))),
        ("TrustedMeasurement", trusted_measurement.map(|measurement| json!(hex::encode(measurement)))),
        ("MinimumTCB", Some(tcb(minimum_tcb))),
        ("GuestPolicy", Some(policy(guest_policy))),
        ("PlatformInfo", Some(info(platform_info))),
        ("MinimumMitigationVector", Some(json!(minimum_mitigation_vector))),
        ("AllowedChipIDs", (!chips.is_empty()).then(|| json!(chips))),
        ("AllowVLEK", allow_vlek.then(|| json!(true))),
        ("AllowedClouds", (!allowed_clouds.is_empty()).then(|| json!(allowed_clouds))),
        ("AllowMaskedChipID", allow_masked_chip_id.then(|| json!(true))),
        ("RequireIDBlock", require_id_block.then(|| json!(true))),
        ("CPUs", cpus.map(|cpus| json!(cpus))),
        ("Platform", platform.as_ref().map(|platform| json!(platform))),
    ];
    present(members)
}

fn tcb(minimum: &SnpTcb) -> Value {
    let SnpTcb { fmc, bootloader, tee, snp, microcode } = *minimum;
    let members = [
        ("FMCVersion", fmc),
        ("BootloaderVersion", bootloader),
        ("TEEVersion", tee),
        ("SNPVersion", snp),
        ("MicrocodeVersion", microcode),
    ];
    present(members.map(|(name, version)| (name, version.map(|version| json!(version)))))
}

fn policy(policy: &SnpGuestPolicy) -> Value {
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
    json!({
        "ABIMinor": abi_minor,
        "ABIMajor": abi_major,
        "SMT": smt,
        "MigrateMA": migrate_ma,
        "Debug": debug,
        "SingleSocket": single_socket,
        "CXLAllowed": cxl_allowed,
        "MemAES256XTS": mem_aes256_xts,
        "RAPLDis": rapl_dis,
        "CipherTextHidingDRAM": cipher_text_hiding_dram,
        "PageSwapDisable": page_swap_disable,
    })
}

fn info(info: &SnpPlatformInfo) -> Value {
    let SnpPlatformInfo {
        smt_enabled,
        tsme_enabled,
        ecc_enabled,
        rapl_disabled,
        ciphertext_hiding_dram_enabled,
        alias_check_complete,
        tio_enabled,
    } = *info;
    json!({
        "SMTEnabled": smt_enabled,
        "TSMEEnabled": tsme_enabled,
        "ECCEnabled": ecc_enabled,
        "RAPLDisabled": rapl_disabled,
        "CiphertextHidingDRAMEnabled": ciphertext_hiding_dram_enabled,
        "AliasCheckComplete": alias_check_complete,
        "TIOEnabled": tio_enabled,
    })
}

pub(super) fn present<const N: usize>(members: [(&str, Option<Value>); N]) -> Value {
    let there = members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    Value::Object(there.collect::<Map<_, _>>())
}
