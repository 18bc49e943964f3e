//! What `--expect` knows about an SEV-SNP report, and the rows that compare it (`attestation.md` §3 steps 6 to 15).

use privatemode_attest::snp::{Evidence, Tcb};

use super::super::expect::{Expectations, Field, Parts, Rule as Compare};
use super::super::steps::{Refused, Row, Rule, present};
use super::super::verdict::Values;

/// The names of the firmware ABI in snake case.
pub(super) static TABLE: &[Field<Evidence>] = &[
    Field::bytes("report_data", "report_data", 64, |e| e.report.report_data.as_bytes().to_vec().into()),
    Field::bytes("measurement", "measurement", 48, |e| e.report.measurement.to_vec().into()),
    Field::bytes("host_data", "host_data", 32, |e| e.report.host_data.to_vec().into()),
    Field::number("vmpl", "vmpl", 32, |e| Some(e.report.vmpl.into())),
    Field::number("policy", "guest_policy", 64, |e| Some(e.report.policy.0)),
    Field::number("platform_info", "platform_info", 64, |e| Some(e.report.platform_info.0)),
    Field::number("version", "platform_info", 32, |e| Some(e.report.version.into())),
    Field::number("cpuid_fam_id", "platform_info", 8, |e| e.report.cpuid.map(|cpuid| cpuid.family.into())),
    Field::number("cpuid_mod_id", "platform_info", 8, |e| e.report.cpuid.map(|cpuid| cpuid.model.into())),
    Field::number("cpuid_step", "platform_info", 8, |e| e.report.cpuid.map(|cpuid| cpuid.stepping.into())),
    lowest("min_tcb.bootloader", |e| each_tcb(e, |tcb| Some(tcb.bootloader))),
    lowest("min_tcb.tee", |e| each_tcb(e, |tcb| Some(tcb.tee))),
    lowest("min_tcb.snp", |e| each_tcb(e, |tcb| Some(tcb.snp))),
    lowest("min_tcb.microcode", |e| each_tcb(e, |tcb| Some(tcb.microcode))),
    lowest("min_tcb.fmc", |e| each_tcb(e, |tcb| tcb.fmc)),
    Field::bytes("current_tcb", "minimum_tcb", 8, |e| raw(&e.report.current_tcb).into()),
    Field::bytes("reported_tcb", "minimum_tcb", 8, |e| raw(&e.report.reported_tcb).into()),
    Field::bytes("committed_tcb", "minimum_tcb", 8, |e| raw(&e.report.committed_tcb).into()),
    Field::bytes("launch_tcb", "minimum_tcb", 8, |e| raw(&e.report.launch_tcb).into()),
    Field::number("launch_mit_vector", "mitigations", 64, |e| e.report.launch_mitigation_vector),
    Field::number("current_mit_vector", "mitigations", 64, |e| e.report.current_mitigation_vector),
    Field {
        name: "min_mit_vector",
        step: "mitigations",
        rule: Compare::Bits {
            found: |e| {
                vec![
                    ("the launch vector", e.report.launch_mitigation_vector),
                    ("the current vector", e.report.current_mitigation_vector),
                ]
            },
        },
    },
    Field::bytes("chip_id", "chip_id", 64, |e| e.report.chip_id.to_vec().into()),
    Field::bytes("id_key_digest", "id_block", 48, |e| e.report.id_key_digest.to_vec().into()),
    Field::bytes("author_key_digest", "id_block", 48, |e| e.report.author_key_digest.to_vec().into()),
    Field::bytes("family_id", "id_block", 16, |e| e.report.family_id.to_vec().into()),
    Field::bytes("image_id", "id_block", 16, |e| e.report.image_id.to_vec().into()),
    Field::number("guest_svn", "id_block", 32, |e| Some(e.report.guest_svn.into())),
    Field::bytes("report_id", "id_block", 32, |e| e.report.report_id.to_vec().into()),
    Field::bytes("report_id_ma", "id_block", 32, |e| e.report.report_id_ma.to_vec().into()),
];

/// Steps 6 to 15.
pub(super) static ROWS: &[Row<Evidence>] = &[
    Row::new(6, "report_data", |e| Values::default().hex("report_data", e.report.report_data.as_bytes())),
    Row::new(7, "measurement", |e| Values::default().hex("measurement", &e.report.measurement)),
    Row::new(8, "host_data", |e| Values::default().hex("host_data", &e.report.host_data)),
    Row::with(9, "vmpl", |e| Values::default().number("vmpl", e.report.vmpl), vmpl),
    Row::with(10, "guest_policy", policy_values, policy),
    Row::with(11, "platform_info", platform_values, platform),
    Row::with(12, "minimum_tcb", tcb_values, tcb_order),
    Row::new(13, "mitigations", mitigation_values),
    Row::new(14, "chip_id", |e| Values::default().hex("chip_id", &e.report.chip_id)),
    Row::new(15, "id_block", id_values),
];

const fn lowest(name: &'static str, found: fn(&Evidence) -> Parts) -> Field<Evidence> {
    Field { name, step: "minimum_tcb", rule: Compare::Lowest { bits: 8, found } }
}

/// Step 12: each of them must reach the minimum. A VLEK's certificate is another's word on the reported TCB.
fn each_tcb(evidence: &Evidence, part: fn(&Tcb) -> Option<u8>) -> Parts {
    let report = &evidence.report;
    [
        ("the reported TCB's", &report.reported_tcb),
        ("the committed TCB's", &report.committed_tcb),
        ("the launch TCB's", &report.launch_tcb),
        ("the certified TCB's", &evidence.vek_tcb),
    ]
    .map(|(name, tcb)| (name, part(tcb).map(u64::from)))
    .to_vec()
}

/// The eight bytes as they stand in the report.
fn raw(tcb: &Tcb) -> Vec<u8> {
    let Tcb { fmc, bootloader, tee, snp, microcode } = *tcb;
    match fmc {
        None => vec![bootloader, tee, 0, 0, 0, 0, snp, microcode],
        Some(fmc) => vec![fmc, bootloader, tee, snp, 0, 0, 0, microcode],
    }
}

/// Step 9. Refused only where it is expected to be 0: some clouds run their own code at 0 and the guest at 1.
fn vmpl(evidence: &Evidence, expectations: &Expectations<Evidence>) -> Rule {
    match evidence.report.vmpl {
        0 => Rule::Silent,
        _ if expectations.names("vmpl") => Rule::Silent,
        u32::MAX => Rule::Warns("VMPL: the host asked for this report, not the guest".to_owned()),
        level => Rule::Warns(format!(
            "VMPL: the report is from privilege level {level}, and not 0: whatever runs above it can read the guest"
        )),
    }
}

/// Step 10, as far as it needs no manifest: the host must not be able to read the guest or to move it.
fn policy(evidence: &Evidence, expectations: &Expectations<Evidence>) -> Rule {
    let policy = evidence.report.policy;
    let faults = [
        (
            policy.debug_allowed(),
            "the guest may be debugged: the host can read all of its memory (policy bit 19)",
        ),
        (policy.migration_agent_allowed(), "a migration agent may take the guest elsewhere (policy bit 18)"),
        (!policy.reserved_bits_hold(), "reserved bits of the policy are not as the firmware ABI demands"),
    ];
    let Some(faults) = present(faults) else { return Rule::Holds };
    if expectations.names("policy") {
        Rule::Warns(format!(
            "guest policy: {faults}. --expect names exactly this policy, and so does not refuse it"
        ))
    } else {
        Rule::Refuses(Refused(format!("{faults} [policy {:#x}]", policy.0)))
    }
}

fn platform(evidence: &Evidence, _: &Expectations<Evidence>) -> Rule {
    match evidence.report.platform_info.unknown_bits() {
        0 => Rule::Silent,
        bits => {
            Rule::Warns(format!("platform info: bits {bits:#x} are set, which this version has no name for"))
        }
    }
}

/// Step 12, as far as it needs no minimum.
fn tcb_order(evidence: &Evidence, _: &Expectations<Evidence>) -> Rule {
    match evidence.report.current_tcb.check_at_least(&evidence.report.committed_tcb) {
        Ok(()) => Rule::Silent,
        Err(below) => Rule::Refuses(Refused(format!("the current TCB is below the committed one: {below}"))),
    }
}

fn policy_values(evidence: &Evidence) -> Values {
    let policy = evidence.report.policy;
    Values::default()
        .word("policy", policy.0)
        .flag("debug_allowed", policy.debug_allowed())
        .flag("migration_agent_allowed", policy.migration_agent_allowed())
        .flag("smt_allowed", policy.smt_allowed())
        .flag("single_socket_required", policy.single_socket_required())
        .flag("cxl_allowed", policy.cxl_allowed())
        .flag("aes_256_xts_required", policy.aes_256_xts_required())
        .flag("rapl_disabled_required", policy.rapl_disabled_required())
        .flag("ciphertext_hiding_required", policy.ciphertext_hiding_required())
        .flag("page_swap_disabled", policy.page_swap_disabled())
        .text("abi", &format!("{}.{}", policy.abi_major(), policy.abi_minor()))
}

fn platform_values(evidence: &Evidence) -> Values {
    let info = evidence.report.platform_info;
    Values::default()
        .word("platform_info", info.0)
        .flag("smt_enabled", info.smt_enabled())
        .flag("tsme_enabled", info.tsme_enabled())
        .flag("ecc_enabled", info.ecc_enabled())
        .flag("rapl_disabled", info.rapl_disabled())
        .flag("ciphertext_hiding_enabled", info.ciphertext_hiding_enabled())
        .flag("alias_check_complete", info.alias_check_complete())
        .flag("tio_enabled", info.tio_enabled())
}

fn tcb_values(evidence: &Evidence) -> Values {
    let report = &evidence.report;
    Values::default()
        .text("current_tcb", &report.current_tcb)
        .text("reported_tcb", &report.reported_tcb)
        .text("committed_tcb", &report.committed_tcb)
        .text("launch_tcb", &report.launch_tcb)
}

fn mitigation_values(evidence: &Evidence) -> Values {
    Values::default()
        .optional(evidence.report.launch_mitigation_vector, |values, vector| {
            values.word("launch_mit_vector", vector)
        })
        .optional(evidence.report.current_mitigation_vector, |values, vector| {
            values.word("current_mit_vector", vector)
        })
}

fn id_values(evidence: &Evidence) -> Values {
    let report = &evidence.report;
    Values::default()
        .hex("id_key_digest", &report.id_key_digest)
        .hex("author_key_digest", &report.author_key_digest)
        .hex("family_id", &report.family_id)
        .hex("image_id", &report.image_id)
        .number("guest_svn", report.guest_svn)
        .hex("report_id", &report.report_id)
        .hex("report_id_ma", &report.report_id_ma)
}
