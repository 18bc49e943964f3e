use privatemode_attest::tdx::{
    Freshness, PartStatus, Pck, PckCa, QeReport, SeamAttributes, SgxType, TdReport, TdReport15, Xfam,
};
use privatemode_attest::{ReportData, UnixTime};

use super::*;
use crate::appraise::Verdict;
use crate::reference::ToleratedStatus;

const POLICY: [u8; 32] = [0x40; 32];

fn evidence() -> Evidence {
    let mut mr_config_id = [0; 48];
    mr_config_id[..32].copy_from_slice(&POLICY);
    let part = PartStatus { status: TcbStatus::UpToDate, tcb_date: UnixTime(0), advisories: Vec::new() };
    Evidence {
        quote_version: 4,
        body: TdReport {
            tee_tcb_svn: [3; 16],
            mr_seam: [2; 48],
            mr_signer_seam: [0; 48],
            seam_attributes: SeamAttributes(0),
            td_attributes: TdAttributes::SEPT_VE_DISABLE,
            xfam: Xfam(0x0006_02e7),
            mr_td: [1; 48],
            mr_config_id,
            mr_owner: [0; 48],
            mr_owner_config: [0; 48],
            rtmrs: [[10; 48], [11; 48], [12; 48], [13; 48]],
            report_data: ReportData::from([7; 64]),
            v1_5: None,
        },
        qe_report: QeReport {
            cpu_svn: [0; 16],
            misc_select: 0,
            attributes: [0; 16],
            mr_enclave: [0; 32],
            mr_signer: [0; 32],
            isv_prod_id: 2,
            isv_svn: 1,
            report_data: [0; 64],
        },
        pck: Pck {
            ppid: [0; 16],
            components: [0; 16],
            pce_svn: 11,
            cpu_svn: [0; 16],
            pce_id: [0; 2],
            fmspc: [0xb0, 0xc0, 0x6f, 0, 0, 0],
            sgx_type: SgxType::Scalable,
            platform_instance: Some([9; 16]),
            dynamic_platform: Some(true),
            cached_keys: Some(true),
            smt_enabled: Some(true),
        },
        pck_ca: PckCa::Platform,
        tcb_status: TcbStatus::UpToDate,
        tolerated: false,
        advisories: Vec::new(),
        tcb_date: UnixTime(0),
        evaluation_number: 18,
        platform: part.clone(),
        quoting_enclave: part,
        tdx_module: None,
        freshness: Freshness::Current { until: UnixTime(1) },
    }
}

fn entry() -> TdxReference {
    TdxReference {
        mr_td: Some([1; 48]),
        mr_seam: Some([2; 48]),
        rtmrs: Some([[10; 48], [11; 48], [12; 48], [13; 48]]),
        xfam: Some([0xe7, 2, 6, 0, 0, 0, 0, 0]),
        min_tcb_evaluation_data_number: Some(18),
        allowed_piids: Vec::new(),
        memory_integrity: false,
        smt_disabled: false,
        static_platform: false,
        tolerated_tcb_status: Vec::new(),
        mr_owner: [0; 48],
        mr_owner_config: [0; 48],
        cpus: None,
        platform: None,
    }
}

/// The refusal after one change to evidence or entry; its steps are consistent with it.
fn refusal(change: impl FnOnce(&mut Evidence, &mut TdxReference)) -> TdxRefusal {
    let (mut evidence, mut entry) = (evidence(), entry());
    change(&mut evidence, &mut entry);
    let (steps, refusal) = appraise(&evidence, &entry);
    let refusal = refusal.expect("refused");
    let failed = steps.iter().position(|step| step.verdict == Verdict::Failed).expect("a failed step");
    assert_eq!(Step::ALL[failed], refusal.step());
    assert!(
        steps[..failed].iter().all(|step| matches!(step.verdict, Verdict::Passed | Verdict::NotDemanded))
    );
    assert!(steps[failed + 1..].iter().all(|step| step.verdict == Verdict::NotReached));
    refusal
}

fn accepted(change: impl FnOnce(&mut Evidence, &mut TdxReference)) -> Vec<StepReport> {
    let (mut evidence, mut entry) = (evidence(), entry());
    change(&mut evidence, &mut entry);
    let (steps, refusal) = appraise(&evidence, &entry);
    assert_eq!(refusal, None);
    steps
}

#[test]
fn steps_are_those_of_the_specification() {
    let steps = accepted(|_, _| ());
    let numbers: Vec<u8> = steps.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [2, 7, 8, 8, 8, 8, 8, 8, 8, 8, 8, 9, 9, 9, 9]);
    let undemanded = steps.iter().filter(|step| step.verdict == Verdict::NotDemanded);
    assert_eq!(undemanded.map(|step| step.number).collect::<Vec<_>>(), [9, 9, 9, 9]);
}

#[test]
fn step_2_evaluation_number() {
    let refused = refusal(|_, entry| entry.min_tcb_evaluation_data_number = Some(21));
    assert_eq!(refused, TdxRefusal::EvaluationNumber { got: 18, need: 21 });
    let refused = refusal(|_, entry| entry.min_tcb_evaluation_data_number = None);
    assert_eq!(refused, TdxRefusal::EvaluationNumberMissing { got: 18 });
    accepted(|_, entry| entry.min_tcb_evaluation_data_number = Some(0));
}

fn hardening(advisories: &[&str]) -> ToleratedStatus {
    let advisories = advisories.iter().map(|advisory| (*advisory).to_owned()).collect();
    ToleratedStatus { status: TcbStatus::SwHardeningNeeded, advisories }
}

#[test]
fn step_7_exactly_what_the_entry_tolerates() {
    let behind = |evidence: &mut Evidence| {
        evidence.tcb_status = TcbStatus::SwHardeningNeeded;
        evidence.advisories = vec!["INTEL-SA-1".to_owned(), "INTEL-SA-2".to_owned()];
    };
    let status = TcbStatus::SwHardeningNeeded;
    assert_eq!(refusal(|evidence, _| behind(evidence)), TdxRefusal::TcbStatus { status });
    let refused = refusal(|evidence, entry| {
        behind(evidence);
        entry.tolerated_tcb_status = vec![hardening(&["INTEL-SA-1"])];
    });
    assert_eq!(refused, TdxRefusal::AdvisoryNotListed { status, advisory: "INTEL-SA-2".to_owned() });
    let refused = refusal(|evidence, entry| {
        behind(evidence);
        let status = TcbStatus::OutOfDate;
        entry.tolerated_tcb_status =
            vec![ToleratedStatus { status, ..hardening(&["INTEL-SA-1", "INTEL-SA-2"]) }];
    });
    assert_eq!(refused, TdxRefusal::TcbStatus { status });
    accepted(|evidence, entry| {
        behind(evidence);
        entry.tolerated_tcb_status = vec![hardening(&["INTEL-SA-1"]), hardening(&["INTEL-SA-2"])];
    });
}

#[test]
fn step_7_the_verification_tolerates_what_any_entry_does() {
    let mut tolerant = entry();
    tolerant.tolerated_tcb_status = vec![hardening(&["INTEL-SA-1"])];
    assert!(tolerance(&[entry()]).unwrap().is_strict());
    let both = tolerance(&[entry(), tolerant]).unwrap();
    let listed = Advisories::Listed(vec!["INTEL-SA-1".to_owned()]);
    assert_eq!(both.entries(), [(TcbStatus::SwHardeningNeeded, listed)]);
}

#[test]
fn step_8_attributes() {
    let with = |got| {
        move |evidence: &mut Evidence, _: &mut TdxReference| {
            evidence.body.td_attributes = TdAttributes(got);
        }
    };
    for got in [0x1000_0001, 0x1000_0080] {
        assert_eq!(refusal(with(got)), TdxRefusal::Debug { got });
    }
    for got in [0, 0x4000_0000, 0x3000_0000, 1 << 63 | 1 << 28] {
        assert_eq!(refusal(with(got)), TdxRefusal::TdAttributes { got });
    }
}

#[test]
fn step_8_each_register() {
    type Change = fn(&mut Evidence) -> &mut [u8; 48];
    let all: [(Register, Change); 8] = [
        (Register::MrTd, |evidence| &mut evidence.body.mr_td),
        (Register::MrSeam, |evidence| &mut evidence.body.mr_seam),
        (Register::Rtmr0, |evidence| &mut evidence.body.rtmrs[0]),
        (Register::Rtmr1, |evidence| &mut evidence.body.rtmrs[1]),
        (Register::Rtmr2, |evidence| &mut evidence.body.rtmrs[2]),
        (Register::Rtmr3, |evidence| &mut evidence.body.rtmrs[3]),
        (Register::MrOwner, |evidence| &mut evidence.body.mr_owner),
        (Register::MrOwnerConfig, |evidence| &mut evidence.body.mr_owner_config),
    ];
    for (register, value) in all {
        let mut before = None;
        let refused = refusal(|evidence, _| {
            before = Some(Box::new(*value(evidence)));
            value(evidence)[47] ^= 0x80;
        });
        let mut got = before.clone().unwrap();
        got[47] ^= 0x80;
        assert_eq!(refused, TdxRefusal::Register { of: register, expected: before, got });
    }
}

#[test]
fn step_8_values_that_are_missing_are_not_any() {
    let refused = refusal(|_, entry| entry.mr_td = None);
    assert!(matches!(refused, TdxRefusal::Register { of: Register::MrTd, expected: None, .. }));
    let refused = refusal(|_, entry| entry.mr_seam = None);
    assert!(matches!(refused, TdxRefusal::Register { of: Register::MrSeam, expected: None, .. }));
    assert_eq!(refusal(|_, entry| entry.rtmrs = None), TdxRefusal::RtmrsMissing);
    assert!(matches!(refusal(|_, entry| entry.xfam = None), TdxRefusal::Xfam { expected: None, .. }));
}

#[test]
fn step_8_an_owner_that_the_manifest_expects() {
    accepted(|evidence, entry| {
        evidence.body.mr_owner = [5; 48];
        entry.mr_owner = [5; 48];
    });
}

#[test]
fn step_8_the_module() {
    let refused = refusal(|evidence, _| evidence.body.mr_signer_seam[0] = 1);
    assert!(matches!(refused, TdxRefusal::SeamSigner { got } if got[0] == 1));
    let refused = refusal(|evidence, _| evidence.body.seam_attributes = SeamAttributes(2));
    assert_eq!(refused, TdxRefusal::SeamAttributes { got: 2 });
}

#[test]
fn step_8_xfam() {
    let refused = refusal(|evidence, _| evidence.body.xfam = Xfam(0x0006_42e7));
    let (expected, got) = (Some([0xe7, 2, 6, 0, 0, 0, 0, 0]), [0xe7, 0x42, 6, 0, 0, 0, 0, 0]);
    assert_eq!(refused, TdxRefusal::Xfam { expected, got });
}

#[test]
fn step_8_zeros_behind_the_policy_hash() {
    assert_eq!(policy_hash(&evidence().body.mr_config_id), Some(POLICY));
    for place in [32, 47] {
        let refused = refusal(|evidence, _| evidence.body.mr_config_id[place] = 1);
        assert!(matches!(refused, TdxRefusal::ConfigId { .. }));
    }
}

#[test]
fn step_8_a_service_domain() {
    let bind = |mr_service_td| {
        move |evidence: &mut Evidence, _: &mut TdxReference| {
            evidence.body.v1_5 = Some(TdReport15 { tee_tcb_svn_2: [3; 16], mr_service_td });
        }
    };
    accepted(bind([0; 48]));
    assert_eq!(refusal(bind([1; 48])), TdxRefusal::ServiceTd { got: Box::new([1; 48]) });
}

#[test]
fn step_9_platforms() {
    let refused = refusal(|_, entry| entry.allowed_piids = vec![[8; 16]]);
    assert_eq!(refused, TdxRefusal::PlatformNotAllowed { got: Some([9; 16]) });
    accepted(|_, entry| entry.allowed_piids = vec![[8; 16], [9; 16]]);
    let refused = refusal(|evidence, entry| {
        entry.allowed_piids = vec![[9; 16]];
        evidence.pck.platform_instance = None;
    });
    assert_eq!(refused, TdxRefusal::PlatformNotAllowed { got: None });
}

#[test]
fn step_9_flags_that_are_demanded() {
    for got in [Some(true), None] {
        let refused = refusal(|evidence, entry| {
            entry.static_platform = true;
            evidence.pck.dynamic_platform = got;
        });
        assert_eq!(refused, TdxRefusal::DynamicPlatform { got });
        let refused = refusal(|evidence, entry| {
            entry.smt_disabled = true;
            evidence.pck.smt_enabled = got;
        });
        assert_eq!(refused, TdxRefusal::SmtEnabled { got });
    }
    assert_eq!(refusal(|_, entry| entry.memory_integrity = true), TdxRefusal::NoMemoryIntegrity);
    accepted(|evidence, entry| {
        (entry.static_platform, entry.smt_disabled, entry.memory_integrity) = (true, true, true);
        evidence.pck.dynamic_platform = Some(false);
        evidence.pck.smt_enabled = Some(false);
        evidence.pck.sgx_type = SgxType::ScalableWithIntegrity;
    });
}
