//! What `--expect` knows about a TDX quote, and the rows that compare it (`attestation.md` §4 steps 2, 8 and 9).

use privatemode_attest::tdx::Evidence;

use super::super::expect::{Expectations, Field, Rule as Compare};
use super::super::steps::{Refused, Row, Rule, present};
use super::super::verdict::Values;

/// The names of Intel's documents in snake case.
pub(super) static TABLE: &[Field<Evidence>] = &[
    Field {
        name: "min_tcb_evaluation_number",
        step: "evaluation_number",
        rule: Compare::Lowest {
            bits: 32,
            found: |e| vec![("the collateral's number", Some(e.evaluation_number.into()))],
        },
    },
    Field::bytes("report_data", "report_data", 64, |e| e.body.report_data.as_bytes().to_vec().into()),
    word("td_attributes", "td_attributes", |e| e.body.td_attributes.0),
    Field::bytes("mr_td", "measurements", 48, |e| e.body.mr_td.to_vec().into()),
    Field::bytes("rtmr_0", "measurements", 48, |e| e.body.rtmrs[0].to_vec().into()),
    Field::bytes("rtmr_1", "measurements", 48, |e| e.body.rtmrs[1].to_vec().into()),
    Field::bytes("rtmr_2", "measurements", 48, |e| e.body.rtmrs[2].to_vec().into()),
    Field::bytes("rtmr_3", "measurements", 48, |e| e.body.rtmrs[3].to_vec().into()),
    Field::bytes("mr_seam", "tdx_module", 48, |e| e.body.mr_seam.to_vec().into()),
    Field::bytes("mr_signer_seam", "tdx_module", 48, |e| e.body.mr_signer_seam.to_vec().into()),
    word("seam_attributes", "tdx_module", |e| e.body.seam_attributes.0),
    Field::bytes("tee_tcb_svn", "tdx_module", 16, |e| e.body.tee_tcb_svn.to_vec().into()),
    Field::bytes("tee_tcb_svn_2", "tdx_module", 16, |e| {
        e.body.v1_5.as_ref().map(|newer| newer.tee_tcb_svn_2.to_vec())
    }),
    Field {
        name: "min_tee_tcb_svn",
        step: "tdx_module",
        rule: Compare::LowestBytes { len: 16, found: |e| e.body.tee_tcb_svn.to_vec() },
    },
    word("xfam", "xfam", |e| e.body.xfam.0),
    Field::bytes("mr_config_id", "configuration", 48, |e| e.body.mr_config_id.to_vec().into()),
    Field::bytes("mr_owner", "configuration", 48, |e| e.body.mr_owner.to_vec().into()),
    Field::bytes("mr_owner_config", "configuration", 48, |e| e.body.mr_owner_config.to_vec().into()),
    Field::bytes("mr_service_td", "configuration", 48, |e| {
        e.body.v1_5.as_ref().map(|newer| newer.mr_service_td.to_vec())
    }),
    Field::bytes("fmspc", "platform", 6, |e| e.pck.fmspc.to_vec().into()),
    Field::bytes("pce_id", "platform", 2, |e| e.pck.pce_id.to_vec().into()),
    Field::bytes("platform_instance_id", "platform", 16, |e| e.pck.platform_instance.map(|id| id.to_vec())),
];

/// Steps 2 (what it compares), 8 and 9.
pub(super) static ROWS: &[Row<Evidence>] = &[
    Row::new(2, "evaluation_number", |e| {
        Values::default().number("tcb_evaluation_number", e.evaluation_number)
    }),
    Row::new(8, "report_data", |e| Values::default().hex("report_data", e.body.report_data.as_bytes())),
    Row::with(8, "td_attributes", attribute_values, attributes),
    Row::new(8, "measurements", measurement_values),
    Row::with(8, "tdx_module", module_values, module),
    Row::new(8, "xfam", |e| Values::default().hex("xfam", &e.body.xfam.to_bytes())),
    Row::with(8, "configuration", configuration_values, service),
    Row::new(9, "platform", platform_values),
];

const fn word(name: &'static str, step: &'static str, found: fn(&Evidence) -> u64) -> Field<Evidence> {
    Field { name, step, rule: Compare::Word { found } }
}

/// Step 8, as far as it needs no manifest: the host must not be able to read the trust domain or to move it.
fn attributes(evidence: &Evidence, expectations: &Expectations<Evidence>) -> Rule {
    let attributes = evidence.body.td_attributes;
    let faults = [
        (attributes.debug(), "the trust domain is in debug mode: the host can read and change it (bit 0)"),
        (
            attributes.under_debug() && !attributes.debug(),
            "the trust domain has an attribute that takes its protection away (bits 1 to 7)",
        ),
        (attributes.migratable(), "the trust domain may be moved to another machine (bit 29)"),
    ];
    let named = expectations.names("td_attributes");
    if let Some(faults) = present(faults) {
        return if named {
            Rule::Warns(format!(
                "TD attributes: {faults}. --expect names exactly these attributes, and so does not refuse them"
            ))
        } else {
            let bytes = hex::encode(attributes.to_bytes());
            Rule::Refuses(Refused(format!("{faults} [td_attributes {bytes}]")))
        };
    }
    if !attributes.sept_ve_disable() && !named {
        return Rule::Warns(
            "TD attributes: SEPT_VE_DISABLE (bit 28) is not set: the host can interrupt the guest at chosen pages"
                .to_owned(),
        );
    }
    Rule::Holds
}

/// Step 8: Intel's own module has no signer and no attributes.
fn module(evidence: &Evidence, expectations: &Expectations<Evidence>) -> Rule {
    let body = &evidence.body;
    let foreign = body.mr_signer_seam.iter().any(|byte| *byte != 0) && !expectations.names("mr_signer_seam");
    let attributes = body.seam_attributes.0 != 0 && !expectations.names("seam_attributes");
    match (foreign, attributes) {
        (false, false) => Rule::Silent,
        (true, _) => {
            Rule::Refuses(Refused("the TDX module is not Intel's: mr_signer_seam is not zero".to_owned()))
        }
        (_, true) => {
            Rule::Refuses(Refused("the TDX module has attributes: seam_attributes is not zero".to_owned()))
        }
    }
}

/// Step 8: another trust domain that may move this one.
fn service(evidence: &Evidence, expectations: &Expectations<Evidence>) -> Rule {
    let bound =
        evidence.body.v1_5.as_ref().is_some_and(|newer| newer.mr_service_td.iter().any(|byte| *byte != 0));
    if bound && !expectations.names("mr_service_td") {
        Rule::Warns(
            "service TD: another trust domain is bound to this one, and may migrate it (mr_service_td)"
                .to_owned(),
        )
    } else {
        Rule::Silent
    }
}

fn attribute_values(evidence: &Evidence) -> Values {
    let attributes = evidence.body.td_attributes;
    Values::default()
        .hex("td_attributes", &attributes.to_bytes())
        .flag("debug", attributes.debug())
        .flag("migratable", attributes.migratable())
        .flag("sept_ve_disable", attributes.sept_ve_disable())
        .flag("protection_keys", attributes.protection_keys())
        .flag("key_locker", attributes.key_locker())
        .flag("performance_monitoring", attributes.performance_monitoring())
}

fn measurement_values(evidence: &Evidence) -> Values {
    let [first, second, third, fourth] = &evidence.body.rtmrs;
    Values::default()
        .hex("mr_td", &evidence.body.mr_td)
        .hex("rtmr_0", first)
        .hex("rtmr_1", second)
        .hex("rtmr_2", third)
        .hex("rtmr_3", fourth)
}

fn module_values(evidence: &Evidence) -> Values {
    let body = &evidence.body;
    Values::default()
        .hex("mr_seam", &body.mr_seam)
        .hex("mr_signer_seam", &body.mr_signer_seam)
        .hex("seam_attributes", &body.seam_attributes.to_bytes())
        .hex("tee_tcb_svn", &body.tee_tcb_svn)
        .optional(body.v1_5.as_ref(), |values, newer| values.hex("tee_tcb_svn_2", &newer.tee_tcb_svn_2))
}

fn configuration_values(evidence: &Evidence) -> Values {
    let body = &evidence.body;
    Values::default()
        .hex("mr_config_id", &body.mr_config_id)
        .hex("mr_owner", &body.mr_owner)
        .hex("mr_owner_config", &body.mr_owner_config)
        .optional(body.v1_5.as_ref(), |values, newer| values.hex("mr_service_td", &newer.mr_service_td))
}

fn platform_values(evidence: &Evidence) -> Values {
    let pck = &evidence.pck;
    Values::default()
        .hex("fmspc", &pck.fmspc)
        .hex("pce_id", &pck.pce_id)
        .optional(pck.platform_instance, |values, id| values.hex("platform_instance_id", &id))
        .optional(pck.dynamic_platform, |values, flag| values.flag("dynamic_platform", flag))
        .optional(pck.cached_keys, |values, flag| values.flag("cached_keys", flag))
        .optional(pck.smt_enabled, |values, flag| values.flag("smt_enabled", flag))
        .flag("memory_integrity", pck.memory_integrity())
}
