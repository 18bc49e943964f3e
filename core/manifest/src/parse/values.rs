//! Reference values out of JSON. Names and lengths: `attestation.md` §1.

use privatemode_attest::tdx::TcbStatus;

use super::objects;
use super::reader::{Object, short, strings};
use crate::json::Json;
use crate::model::ManifestError;
use crate::reference::{
    ReferenceValues, SimulatedReference, SnpGuestPolicy, SnpPlatformInfo, SnpProduct, SnpReference, SnpTcb,
    TdxReference, ToleratedStatus,
};

/// Entries per platform: one for each product line and number of virtual CPUs.
const MAX_ENTRIES: usize = 1024;
/// Statuses other than up to date: there are five that can be tolerated.
const MAX_TOLERATED: usize = 16;
/// Advisories per tolerated status.
const MAX_ADVISORIES: usize = 256;
/// Clouds, or regions of one, per entry.
const MAX_CLOUDS: usize = 256;
/// Chips or platform instances per entry.
const MAX_IDS: usize = 4096;

pub(super) fn reference_values(
    member: Option<(String, &Json)>,
    unknown: &mut Vec<String>,
    missing: &mut Vec<String>,
) -> Result<ReferenceValues, ManifestError> {
    let Some((path, json)) = member else {
        return Ok(ReferenceValues::default());
    };
    let mut object = Object::new(&path, json)?;
    let mut values = ReferenceValues::default();
    for entry in objects(object.take("snp"), MAX_ENTRIES)? {
        values.snp.push(snp(entry, unknown, missing)?);
    }
    for entry in objects(object.take("tdx"), MAX_ENTRIES)? {
        values.tdx.push(tdx(entry, unknown, missing)?);
    }
    for entry in objects(object.take("simulated"), MAX_ENTRIES)? {
        values.simulated.push(simulated(entry, unknown, missing)?);
    }
    object.rest_into(unknown);
    Ok(values)
}

fn snp(
    mut entry: Object<'_>,
    unknown: &mut Vec<String>,
    missing: &mut Vec<String>,
) -> Result<SnpReference, ManifestError> {
    let mut note = Missing { entry: entry.path(""), list: missing };
    let product_path = entry.path("ProductName");
    let product_name = entry.text("ProductName")?.map(|name| product(product_path, name)).transpose()?;
    let allow_vlek = entry.flag("AllowVLEK")?;
    let allowed_clouds = strings(entry.take("AllowedClouds"), MAX_CLOUDS)?;
    if allow_vlek {
        // AMD gives VLEKs to several clouds: without a name, any of them could sign
        note.required("AllowedClouds", allowed_clouds.first());
    }
    let reference = SnpReference {
        product_name: note.required("ProductName", product_name),
        trusted_measurement: note.required("TrustedMeasurement", entry.bytes("TrustedMeasurement")?),
        minimum_tcb: minimum_tcb(nested(&mut entry, "MinimumTCB")?, unknown, &mut note)?,
        guest_policy: guest_policy(nested(&mut entry, "GuestPolicy")?, unknown)?,
        platform_info: platform_info(nested(&mut entry, "PlatformInfo")?, unknown)?,
        minimum_mitigation_vector: entry.number("MinimumMitigationVector")?.unwrap_or(0),
        allowed_chip_ids: entry.byte_list("AllowedChipIDs", MAX_IDS)?,
        allow_vlek,
        allowed_clouds,
        allow_masked_chip_id: entry.flag("AllowMaskedChipID")?,
        require_id_block: entry.flag("RequireIDBlock")?,
        cpus: entry.number("CPUs")?,
        platform: entry.text("Platform")?.map(str::to_owned),
    };
    entry.rest_into(unknown);
    Ok(reference)
}

fn minimum_tcb(
    object: Option<Object<'_>>,
    unknown: &mut Vec<String>,
    note: &mut Missing<'_>,
) -> Result<SnpTcb, ManifestError> {
    let mut tcb = SnpTcb::default();
    if let Some(mut object) = object {
        tcb = SnpTcb {
            fmc: object.number("FMCVersion")?,
            bootloader: object.number("BootloaderVersion")?,
            tee: object.number("TEEVersion")?,
            snp: object.number("SNPVersion")?,
            microcode: object.number("MicrocodeVersion")?,
        };
        object.rest_into(unknown);
    }
    note.required("MinimumTCB.BootloaderVersion", tcb.bootloader);
    note.required("MinimumTCB.TEEVersion", tcb.tee);
    note.required("MinimumTCB.SNPVersion", tcb.snp);
    note.required("MinimumTCB.MicrocodeVersion", tcb.microcode);
    Ok(tcb)
}

fn guest_policy(
    object: Option<Object<'_>>,
    unknown: &mut Vec<String>,
) -> Result<SnpGuestPolicy, ManifestError> {
    let Some(mut object) = object else {
        return Ok(SnpGuestPolicy::default());
    };
    let policy = SnpGuestPolicy {
        abi_minor: object.number("ABIMinor")?.unwrap_or(0),
        abi_major: object.number("ABIMajor")?.unwrap_or(0),
        smt: object.flag("SMT")?,
        migrate_ma: object.flag("MigrateMA")?,
        debug: object.flag("Debug")?,
        single_socket: object.flag("SingleSocket")?,
        cxl_allowed: object.flag("CXLAllowed")?,
        mem_aes256_xts: object.flag("MemAES256XTS")?,
        rapl_dis: object.flag("RAPLDis")?,
        cipher_text_hiding_dram: object.flag("CipherTextHidingDRAM")?,
        page_swap_disable: object.flag("PageSwapDisable")?,
    };
    object.rest_into(unknown);
    Ok(policy)
}

fn platform_info(
    object: Option<Object<'_>>,
    unknown: &mut Vec<String>,
) -> Result<SnpPlatformInfo, ManifestError> {
    let Some(mut object) = object else {
        return Ok(SnpPlatformInfo::default());
    };
    let info = SnpPlatformInfo {
        smt_enabled: object.flag("SMTEnabled")?,
        tsme_enabled: object.flag("TSMEEnabled")?,
        ecc_enabled: object.flag("ECCEnabled")?,
        rapl_disabled: object.flag("RAPLDisabled")?,
        ciphertext_hiding_dram_enabled: object.flag("CiphertextHidingDRAMEnabled")?,
        alias_check_complete: object.flag("AliasCheckComplete")?,
        tio_enabled: object.flag("TIOEnabled")?,
    };
    object.rest_into(unknown);
    Ok(info)
}

fn tdx(
    mut entry: Object<'_>,
    unknown: &mut Vec<String>,
    missing: &mut Vec<String>,
) -> Result<TdxReference, ManifestError> {
    let mut note = Missing { entry: entry.path(""), list: missing };
    let reference = TdxReference {
        mr_td: note.required("MrTd", entry.bytes("MrTd")?),
        mr_seam: note.required("MrSeam", entry.bytes("MrSeam")?),
        rtmrs: note.required("Rtmrs", rtmrs(&mut entry)?),
        xfam: note.required("Xfam", entry.bytes("Xfam")?),
        min_tcb_evaluation_data_number: note
            .required("MinTCBEvaluationDataNumber", entry.number("MinTCBEvaluationDataNumber")?),
        allowed_piids: entry.byte_list("AllowedPIIDs", MAX_IDS)?,
        memory_integrity: entry.flag("MemoryIntegrity")?,
        smt_disabled: entry.flag("SMTDisabled")?,
        static_platform: entry.flag("StaticPlatform")?,
        tolerated_tcb_status: tolerated(&mut entry, unknown)?,
        mr_owner: entry.bytes("MrOwner")?.unwrap_or([0; 48]),
        mr_owner_config: entry.bytes("MrOwnerConfig")?.unwrap_or([0; 48]),
        cpus: entry.number("CPUs")?,
        platform: entry.text("Platform")?.map(str::to_owned),
    };
    entry.rest_into(unknown);
    Ok(reference)
}

fn tolerated(
    entry: &mut Object<'_>,
    unknown: &mut Vec<String>,
) -> Result<Vec<ToleratedStatus>, ManifestError> {
    let mut list = Vec::new();
    for mut object in objects(entry.take("ToleratedTCBStatus"), MAX_TOLERATED)? {
        let path = object.path("Status");
        let name = object.text("Status")?.unwrap_or_default();
        // a revoked platform's keys are in foreign hands: no manifest can make that acceptable
        let status = TcbStatus::from_name(name).filter(|status| *status != TcbStatus::Revoked);
        let status = status.ok_or_else(|| ManifestError::UnknownValue {
            path,
            value: short(name),
            allowed: TOLERABLE,
        })?;
        let advisories = strings(object.take("Advisories"), MAX_ADVISORIES)?;
        object.rest_into(unknown);
        list.push(ToleratedStatus { status, advisories });
    }
    Ok(list)
}

fn rtmrs(entry: &mut Object<'_>) -> Result<Option<[[u8; 48]; 4]>, ManifestError> {
    let path = entry.path("Rtmrs");
    let list = entry.byte_list::<48>("Rtmrs", 4)?;
    if list.is_empty() {
        return Ok(None);
    }
    let expected = "an array of four measurements";
    <[[u8; 48]; 4]>::try_from(list).map(Some).map_err(|_| ManifestError::WrongType { path, expected })
}

fn simulated(
    mut entry: Object<'_>,
    unknown: &mut Vec<String>,
    missing: &mut Vec<String>,
) -> Result<SimulatedReference, ManifestError> {
    let mut note = Missing { entry: entry.path(""), list: missing };
    let reference = SimulatedReference { host_data: note.required("HostData", entry.bytes("HostData")?) };
    entry.rest_into(unknown);
    Ok(reference)
}

fn nested<'a>(entry: &mut Object<'a>, name: &str) -> Result<Option<Object<'a>>, ManifestError> {
    entry.take(name).map(|(path, json)| Object::new(&path, json)).transpose()
}

/// What a manifest may tolerate, in Intel's spelling.
const TOLERABLE: &str = "`SWHardeningNeeded`, `ConfigurationNeeded`, `ConfigurationAndSWHardeningNeeded`, `OutOfDate`, `OutOfDateConfigurationNeeded`";

fn product(path: String, name: &str) -> Result<SnpProduct, ManifestError> {
    SnpProduct::from_name(name).ok_or_else(|| ManifestError::UnknownValue {
        path,
        value: short(name),
        allowed: "`Milan`, `Genoa`, `Turin`",
    })
}

/// Collects the names of required values that are absent.
struct Missing<'a> {
    /// Path of the entry, with its final dot.
    entry: String,
    list: &'a mut Vec<String>,
}

impl Missing<'_> {
    fn required<T>(&mut self, name: &str, value: Option<T>) -> Option<T> {
        if value.is_none() {
            self.list.push(format!("{}{name}", self.entry));
        }
        value
    }
}
