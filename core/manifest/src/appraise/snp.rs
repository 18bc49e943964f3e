//! Is a genuine SEV-SNP report what one entry of the manifest demands? `attestation.md` §3, steps 2 to 4 as far as the
//! manifest decides them, 7, and 9 to 15. Step 8, which workload it is, is the same for all entries and asked by the caller.
//!
//! Semantics of policy and platform bits: an *allow* bit may be set only if the manifest has it, a *require* bit must be set
//! if the manifest has it.

mod bits;
mod id_block;
mod refusal;

use privatemode_attest::snp::{ChipBinding, Evidence, Signer, Tcb, TcbBelow};

pub use bits::{PlatformBit, PolicyBit};
pub use refusal::{SnpRefusal, TcbOf, VectorOf};

use super::step::{Checked, StepReport, Values, walk};
use crate::reference::{SnpReference, SnpTcb};

/// What is held against an entry of the manifest, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// The product line is the entry's.
    ProductAllowed,
    /// The chip's own key signed, unless the entry allows a cloud's.
    SignerAllowed,
    /// The report names its chip, unless the entry allows it not to.
    ChipNamed,
    /// The launch measurement is the entry's.
    Measurement,
    /// The report was asked for by the guest's most privileged level.
    Vmpl,
    /// The guest policy allows no more, and demands no less, than the entry.
    GuestPolicy,
    /// The platform does no more, and protects no less, than the entry says.
    PlatformInfo,
    /// No firmware is older than the entry's minimum.
    MinimumTcb,
    /// The mitigations that the entry wants are there.
    Mitigations,
    /// The chip is on the entry's list.
    ChipAllowed,
    /// The guest was launched with the ID block that measurement and policy imply.
    IdBlock,
}

impl Step {
    /// All steps, in order.
    pub const ALL: &[Self] = &[
        Self::ProductAllowed,
        Self::SignerAllowed,
        Self::ChipNamed,
        Self::Measurement,
        Self::Vmpl,
        Self::GuestPolicy,
        Self::PlatformInfo,
        Self::MinimumTcb,
        Self::Mitigations,
        Self::ChipAllowed,
        Self::IdBlock,
    ];

    /// The number in `attestation.md` §3.
    pub fn number(self) -> u8 {
        match self {
            Self::SignerAllowed => 2,
            Self::ProductAllowed => 3,
            Self::ChipNamed => 4,
            Self::Measurement => 7,
            Self::Vmpl => 9,
            Self::GuestPolicy => 10,
            Self::PlatformInfo => 11,
            Self::MinimumTcb => 12,
            Self::Mitigations => 13,
            Self::ChipAllowed => 14,
            Self::IdBlock => 15,
        }
    }

    /// Name for machines.
    pub fn name(self) -> &'static str {
        match self {
            Self::ProductAllowed => "product_allowed",
            Self::SignerAllowed => "signer_allowed",
            Self::ChipNamed => "chip_named",
            Self::Measurement => "measurement",
            Self::Vmpl => "vmpl",
            Self::GuestPolicy => "guest_policy",
            Self::PlatformInfo => "platform_info",
            Self::MinimumTcb => "minimum_tcb",
            Self::Mitigations => "mitigations",
            Self::ChipAllowed => "chip_allowed",
            Self::IdBlock => "id_block",
        }
    }
}

/// Holds genuine evidence against one entry.
pub(super) fn appraise(evidence: &Evidence, entry: &SnpReference) -> (Vec<StepReport>, Option<SnpRefusal>) {
    let check = |step| match step {
        Step::ProductAllowed => product(evidence, entry),
        Step::SignerAllowed => signer(evidence, entry),
        Step::ChipNamed => chip_named(evidence, entry),
        Step::Measurement => measurement(evidence, entry),
        Step::Vmpl => vmpl(evidence),
        Step::GuestPolicy => bits::guest_policy(evidence.report.policy, &entry.guest_policy),
        Step::PlatformInfo => bits::platform_info(evidence.report.platform_info, &entry.platform_info),
        Step::MinimumTcb => minimum_tcb(evidence, entry),
        Step::Mitigations => mitigations(evidence, entry),
        Step::ChipAllowed => chip_allowed(evidence, entry),
        Step::IdBlock => id_block::check(evidence, entry),
    };
    walk(Step::ALL, |step| (step.number(), step.name()), check)
}

/// Step 3: product of chain, certificate and report agree with the entry. First of all: it tells most entries apart.
fn product(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let got = evidence.product;
    let failure = (entry.product_name != Some(got))
        .then_some(SnpRefusal::Product { expected: entry.product_name, got });
    Checked::required(Values::default().with("product", got), failure)
}

/// Step 2: a VLEK only if the manifest says so, and names its cloud. Its owner can sign for any machine of its cloud.
fn signer(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let mut values = Values::default().with("signer", evidence.signer);
    if let Some(cloud) = &evidence.cloud {
        values = values.with("cloud", cloud);
    }
    let cloud = || evidence.cloud.clone();
    let refusal = match evidence.signer {
        Signer::Vcek => None,
        Signer::Vlek if !entry.allow_vlek => Some(SnpRefusal::VlekNotAllowed { cloud: cloud() }),
        // the certificate says whom AMD gave the key: another cloud's owner proves nothing about this one
        Signer::Vlek => {
            let named = evidence.cloud.as_ref().is_some_and(|cloud| entry.allowed_clouds.contains(cloud));
            (!named).then(|| SnpRefusal::CloudNotAllowed { cloud: cloud() })
        }
    };
    Checked::required(values, refusal)
}

/// Step 4: the chip is hidden only if the manifest says so.
fn chip_named(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let (text, masked) = match evidence.chip {
        ChipBinding::Certified => ("certified", false),
        ChipBinding::Masked => ("masked", true),
        ChipBinding::CloudKey => ("cloud key", false),
    };
    let refused = masked && !entry.allow_masked_chip_id;
    Checked::required(Values::default().with("chip_binding", text), refused.then_some(SnpRefusal::ChipMasked))
}

/// Step 7.
fn measurement(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let got = evidence.report.measurement;
    let failure = (entry.trusted_measurement != Some(got)).then(|| SnpRefusal::Measurement {
        expected: entry.trusted_measurement.map(Box::new),
        got: Box::new(got),
    });
    Checked::required(Values::default().with("measurement", hex::encode(got)), failure)
}

/// Step 9: anything below VMPL 0 is under a paravisor that the measurement may not cover.
fn vmpl(evidence: &Evidence) -> Checked<SnpRefusal> {
    let got = evidence.report.vmpl;
    Checked::required(Values::default().with("vmpl", got), (got != 0).then_some(SnpRefusal::Vmpl { got }))
}

/// Step 12: reported, committed and launch TCB at least the minimum, and so the certificate's, which a VLEK's holder
/// cannot choose; current at least committed.
fn minimum_tcb(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let report = &evidence.report;
    let values = Values::default()
        .with("reported_tcb", report.reported_tcb)
        .with("committed_tcb", report.committed_tcb)
        .with("launch_tcb", report.launch_tcb)
        .with("current_tcb", report.current_tcb);
    let Some(minimum) = minimum_of(&entry.minimum_tcb) else {
        return Checked::required(values, Some(SnpRefusal::MinimumMissing));
    };
    let values = values.with("minimum_tcb", minimum);
    let all = [
        (TcbOf::Certificate, evidence.vek_tcb),
        (TcbOf::Reported, report.reported_tcb),
        (TcbOf::Committed, report.committed_tcb),
        (TcbOf::Launch, report.launch_tcb),
    ];
    let below = all.into_iter().find_map(|(of, tcb)| {
        let TcbBelow { part, have, need } = tcb.check_at_least(&minimum).err()?;
        Some(SnpRefusal::TcbBelow { of, part, have, need })
    });
    let rolled_back = || {
        let TcbBelow { part, have, need } = report.current_tcb.check_at_least(&report.committed_tcb).err()?;
        Some(SnpRefusal::CurrentBelowCommitted { part, have, need })
    };
    Checked::required(values, below.or_else(rolled_back))
}

fn minimum_of(minimum: &SnpTcb) -> Option<Tcb> {
    let SnpTcb { fmc, bootloader, tee, snp, microcode } = *minimum;
    Some(Tcb { fmc, bootloader: bootloader?, tee: tee?, snp: snp?, microcode: microcode? })
}

/// Step 13: launch and current vector both cover the minimum.
fn mitigations(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let need = entry.minimum_mitigation_vector;
    let vectors = [
        (VectorOf::Launch, evidence.report.launch_mitigation_vector),
        (VectorOf::Current, evidence.report.current_mitigation_vector),
    ];
    let values = vectors.iter().fold(Values::default(), |values, (of, vector)| {
        values.with(of.name(), vector.map_or("not reported".to_owned(), |vector| format!("{vector:#x}")))
    });
    let version = evidence.report.version;
    Checked::optional(values, need != 0, || {
        vectors.into_iter().find_map(|(of, vector)| match vector {
            None => Some(SnpRefusal::MitigationsNotReported { need, version }),
            Some(have) if have & need != need => Some(SnpRefusal::MitigationsMissing { of, have, need }),
            Some(_) => None,
        })
    })
}

/// Step 14.
fn chip_allowed(evidence: &Evidence, entry: &SnpReference) -> Checked<SnpRefusal> {
    let chip = evidence.report.chip_id;
    let values = Values::default().with("chip_id", hex::encode(chip));
    Checked::optional(values, !entry.allowed_chip_ids.is_empty(), || {
        let listed = entry.allowed_chip_ids.contains(&chip);
        (!listed).then(|| SnpRefusal::ChipNotAllowed { chip: Box::new(chip) })
    })
}

#[cfg(test)]
mod tests;
