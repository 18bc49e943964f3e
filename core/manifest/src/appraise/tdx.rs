//! Is a genuine TDX quote what one entry of the manifest demands? `attestation.md` §4, steps 2 and 7 as far as the manifest
//! decides them, 8 and 9. Which workload it is, by MRCONFIGID, is the same for all entries and asked by the caller.

mod refusal;

use privatemode_attest::tdx::{Advisories, Evidence, NotTolerable, TcbStatus, TdAttributes, Tolerance};

pub use refusal::{Register, TdxRefusal};

use super::step::{Checked, StepReport, Values, walk};
use crate::reference::TdxReference;

/// What is held against an entry of the manifest, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// Intel's documents are not older than the entry wants.
    EvaluationNumber,
    /// The TCB status is up to date, or tolerated by this very entry.
    TcbTolerated,
    /// Debug is off, and the attributes are the ones that all our trust domains have.
    TdAttributes,
    /// The initial contents are the entry's.
    MrTd,
    /// The TDX module is the entry's.
    MrSeam,
    /// It is signed by Intel, which zeros stand for, and has no attributes.
    SeamSigner,
    /// The run-time measurements are the entry's.
    Rtmrs,
    /// The CPU features are the entry's.
    Xfam,
    /// MRCONFIGID is a policy hash followed by zeros.
    MrConfigId,
    /// The owner is the entry's, usually nobody.
    MrOwner,
    /// No service trust domain, which could migrate this one, is bound.
    ServiceTd,
    /// The platform instance is on the entry's list.
    PlatformInstance,
    /// No package can be added to the platform, where the entry demands that.
    StaticPlatform,
    /// Simultaneous multithreading is off, where the entry demands that.
    SmtDisabled,
    /// Memory has cryptographic integrity, where the entry demands that.
    MemoryIntegrity,
}

impl Step {
    /// All steps, in order.
    pub const ALL: &[Self] = &[
        Self::EvaluationNumber,
        Self::TcbTolerated,
        Self::TdAttributes,
        Self::MrTd,
        Self::MrSeam,
        Self::SeamSigner,
        Self::Rtmrs,
        Self::Xfam,
        Self::MrConfigId,
        Self::MrOwner,
        Self::ServiceTd,
        Self::PlatformInstance,
        Self::StaticPlatform,
        Self::SmtDisabled,
        Self::MemoryIntegrity,
    ];

    /// The number in `attestation.md` §4.
    pub fn number(self) -> u8 {
        match self {
            Self::EvaluationNumber => 2,
            Self::TcbTolerated => 7,
            Self::TdAttributes
            | Self::MrTd
            | Self::MrSeam
            | Self::SeamSigner
            | Self::Rtmrs
            | Self::Xfam
            | Self::MrConfigId
            | Self::MrOwner
            | Self::ServiceTd => 8,
            Self::PlatformInstance | Self::StaticPlatform | Self::SmtDisabled | Self::MemoryIntegrity => 9,
        }
    }

    /// Name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::EvaluationNumber => "evaluation_number",
            Self::TcbTolerated => "tcb_tolerated",
            Self::TdAttributes => "td_attributes",
            Self::MrTd => "mr_td",
            Self::MrSeam => "mr_seam",
            Self::SeamSigner => "seam_signer",
            Self::Rtmrs => "rtmrs",
            Self::Xfam => "xfam",
            Self::MrConfigId => "mr_config_id",
            Self::MrOwner => "mr_owner",
            Self::ServiceTd => "service_td",
            Self::PlatformInstance => "platform_instance",
            Self::StaticPlatform => "static_platform",
            Self::SmtDisabled => "smt_disabled",
            Self::MemoryIntegrity => "memory_integrity",
        }
    }
}

/// What any of the entries tolerates: the argument of the verification. Each entry judges again for itself.
///
/// # Errors
/// If a status is one that nobody can tolerate.
pub fn tolerance(entries: &[TdxReference]) -> Result<Tolerance, NotTolerable> {
    entries
        .iter()
        .flat_map(|entry| &entry.tolerated_tcb_status)
        .try_fold(Tolerance::strict(), |all, tolerated| {
            all.and(tolerated.status, Advisories::Listed(tolerated.advisories.clone()))
        })
}

/// The policy hash in MRCONFIGID, if zeros follow it.
pub(super) fn policy_hash(mr_config_id: &[u8; 48]) -> Option<[u8; 32]> {
    let (hash, rest) = mr_config_id.split_first_chunk::<32>()?;
    rest.iter().all(|byte| *byte == 0).then_some(*hash)
}

/// Holds genuine evidence against one entry.
pub(super) fn appraise(evidence: &Evidence, entry: &TdxReference) -> (Vec<StepReport>, Option<TdxRefusal>) {
    let body = &evidence.body;
    let register = |of, got, expected| register(of, got, Some(expected));
    let check = |step| match step {
        Step::EvaluationNumber => evaluation_number(evidence, entry),
        Step::TcbTolerated => tcb_tolerated(evidence, entry),
        Step::TdAttributes => td_attributes(evidence),
        // step 8: MRTD, MRSEAM
        Step::MrTd => self::register(Register::MrTd, &body.mr_td, entry.mr_td.as_ref()),
        Step::MrSeam => self::register(Register::MrSeam, &body.mr_seam, entry.mr_seam.as_ref()),
        Step::SeamSigner => seam_signer(evidence),
        Step::Rtmrs => rtmrs(evidence, entry),
        Step::Xfam => xfam(evidence, entry),
        Step::MrConfigId => mr_config_id(evidence),
        // step 8: MROWNER as expected
        Step::MrOwner if body.mr_owner == entry.mr_owner => {
            register(Register::MrOwnerConfig, &body.mr_owner_config, &entry.mr_owner_config)
        }
        Step::MrOwner => register(Register::MrOwner, &body.mr_owner, &entry.mr_owner),
        Step::ServiceTd => service_td(evidence),
        Step::PlatformInstance => platform_instance(evidence, entry),
        // step 9: flags, demanded only if the manifest says so; a certificate that says nothing proves nothing
        Step::StaticPlatform => {
            let got = evidence.pck.dynamic_platform;
            flag("dynamic_platform", entry.static_platform, got, TdxRefusal::DynamicPlatform { got })
        }
        Step::SmtDisabled => {
            let got = evidence.pck.smt_enabled;
            flag("smt_enabled", entry.smt_disabled, got, TdxRefusal::SmtEnabled { got })
        }
        Step::MemoryIntegrity => memory_integrity(evidence, entry),
    };
    walk(Step::ALL, |step| (step.number(), step.name()), check)
}

/// Step 2: evaluation number at least the manifest's: it says which of Intel's publications judged the platform.
fn evaluation_number(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    let got = evidence.evaluation_number;
    let values = Values::default().with("evaluation_number", got);
    let failure = match entry.min_tcb_evaluation_data_number {
        // absent is not "any": whoever wants that writes 0
        None => Some(TdxRefusal::EvaluationNumberMissing { got }),
        Some(need) => (got < need).then_some(TdxRefusal::EvaluationNumber { got, need }),
    };
    Checked::required(values, failure)
}

/// Step 7: the verification tolerated what any entry tolerates; this entry must tolerate it, too.
fn tcb_tolerated(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    let status = evidence.tcb_status;
    let mut values = Values::default().with("tcb_status", status).with("tcb_date", evidence.tcb_date);
    if !evidence.advisories.is_empty() {
        values = values.with("advisories", evidence.advisories.join(", "));
    }
    if status == TcbStatus::UpToDate {
        return Checked::required(values, None);
    }
    let listed = |advisory: &String| {
        let mut same = entry.tolerated_tcb_status.iter().filter(|tolerated| tolerated.status == status);
        same.any(|tolerated| tolerated.advisories.contains(advisory))
    };
    let tolerated = entry.tolerated_tcb_status.iter().any(|tolerated| tolerated.status == status);
    let failure = if tolerated {
        let unlisted = evidence.advisories.iter().find(|advisory| !listed(advisory));
        unlisted.map(|advisory| TdxRefusal::AdvisoryNotListed { status, advisory: advisory.clone() })
    } else {
        Some(TdxRefusal::TcbStatus { status })
    };
    Checked::required(values, failure)
}

/// Step 8: TD attributes, debug off. Fixed: no manifest may allow others.
fn td_attributes(evidence: &Evidence) -> Checked<TdxRefusal> {
    let got = evidence.body.td_attributes;
    let values = Values::default().with("td_attributes", format!("{:#x}", got.0)).with("debug", got.debug());
    let failure = if got.under_debug() {
        Some(TdxRefusal::Debug { got: got.0 })
    } else {
        (got != TdAttributes::SEPT_VE_DISABLE).then_some(TdxRefusal::TdAttributes { got: got.0 })
    };
    Checked::required(values, failure)
}

fn register(of: Register, got: &[u8; 48], expected: Option<&[u8; 48]>) -> Checked<TdxRefusal> {
    let failure = (expected != Some(got)).then(|| TdxRefusal::Register {
        of,
        expected: expected.map(|expected| Box::new(*expected)),
        got: Box::new(*got),
    });
    Checked::required(Values::default().with(of.value_name(), hex::encode(got)), failure)
}

/// Step 8: MRSIGNERSEAM zero for Intel's module, SEAM attributes zero.
fn seam_signer(evidence: &Evidence) -> Checked<TdxRefusal> {
    let body = &evidence.body;
    let values = Values::default()
        .with("mr_signer_seam", hex::encode(body.mr_signer_seam))
        .with("seam_attributes", format!("{:#x}", body.seam_attributes.0));
    let failure = if body.mr_signer_seam != [0; 48] {
        Some(TdxRefusal::SeamSigner { got: Box::new(body.mr_signer_seam) })
    } else {
        (body.seam_attributes.0 != 0).then_some(TdxRefusal::SeamAttributes { got: body.seam_attributes.0 })
    };
    Checked::required(values, failure)
}

/// Step 8: RTMRs.
fn rtmrs(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    const ALL: [Register; 4] = [Register::Rtmr0, Register::Rtmr1, Register::Rtmr2, Register::Rtmr3];
    let got = &evidence.body.rtmrs;
    let values = ALL
        .iter()
        .zip(got)
        .fold(Values::default(), |values, (of, value)| values.with(of.value_name(), hex::encode(value)));
    let Some(expected) = &entry.rtmrs else {
        return Checked::required(values, Some(TdxRefusal::RtmrsMissing));
    };
    let differing = ALL.iter().zip(got.iter().zip(expected)).find(|(_, (got, expected))| got != expected);
    let failure = differing.map(|(&of, (got, expected))| TdxRefusal::Register {
        of,
        expected: Some(Box::new(*expected)),
        got: Box::new(*got),
    });
    Checked::required(values, failure)
}

/// Step 8: XFAM.
fn xfam(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    let got = evidence.body.xfam.to_bytes();
    let failure = (entry.xfam != Some(got)).then_some(TdxRefusal::Xfam { expected: entry.xfam, got });
    Checked::required(Values::default().with("xfam", hex::encode(got)), failure)
}

/// Step 8: MRCONFIGID = policy hash ‖ zeros.
fn mr_config_id(evidence: &Evidence) -> Checked<TdxRefusal> {
    let got = evidence.body.mr_config_id;
    let failure = policy_hash(&got).is_none().then(|| TdxRefusal::ConfigId { got: Box::new(got) });
    Checked::required(Values::default().with("mr_config_id", hex::encode(got)), failure)
}

/// Step 8: TDX 1.5 can bind a service trust domain, which may move this one to another machine.
fn service_td(evidence: &Evidence) -> Checked<TdxRefusal> {
    let bound = evidence.body.v1_5.as_ref().map(|more| more.mr_service_td).filter(|mr| *mr != [0; 48]);
    let text = bound.map_or_else(|| "none".to_owned(), hex::encode);
    let failure = bound.map(|got| TdxRefusal::ServiceTd { got: Box::new(got) });
    Checked::required(Values::default().with("mr_service_td", text), failure)
}

/// Step 9: platform instance in the allow list.
fn platform_instance(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    let got = evidence.pck.platform_instance;
    let text = got.map_or_else(|| "not named".to_owned(), hex::encode);
    let values =
        Values::default().with("platform_instance", text).with("fmspc", hex::encode(evidence.pck.fmspc));
    Checked::optional(values, !entry.allowed_piids.is_empty(), || match got {
        Some(got) if entry.allowed_piids.contains(&got) => None,
        got => Some(TdxRefusal::PlatformNotAllowed { got }),
    })
}

fn flag(name: &'static str, demanded: bool, got: Option<bool>, refusal: TdxRefusal) -> Checked<TdxRefusal> {
    let text = got.map_or_else(|| "not named".to_owned(), |flag| flag.to_string());
    let values = Values::default().with(name, text);
    Checked::optional(values, demanded, || (got != Some(false)).then_some(refusal))
}

/// Step 9.
fn memory_integrity(evidence: &Evidence, entry: &TdxReference) -> Checked<TdxRefusal> {
    let got = evidence.pck.memory_integrity();
    let values = Values::default().with("memory_integrity", got);
    Checked::optional(values, entry.memory_integrity, || (!got).then_some(TdxRefusal::NoMemoryIntegrity))
}

#[cfg(test)]
mod tests;
