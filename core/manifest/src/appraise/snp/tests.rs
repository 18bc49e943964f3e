use privatemode_attest::UnixTime;
use privatemode_attest::snp::{CrlState, GuestPolicy, PlatformInfo, Product, Report, TcbPart, id_key_digest};
use privatemode_test_pki::amd;

use super::*;
use crate::appraise::Verdict;
use crate::reference::{SnpGuestPolicy, SnpPlatformInfo};

fn evidence(product: Product) -> Evidence {
    let (pki, product) = match product {
        Product::Milan => (amd::Product::Milan, product),
        Product::Genoa => (amd::Product::Genoa, product),
        Product::Turin => (amd::Product::Turin, product),
    };
    let report = Report::parse(&amd::Evidence::new(pki, amd::Signer::Vcek).report).unwrap();
    Evidence {
        product,
        signer: report.signer,
        vek_tcb: report.reported_tcb,
        chip: ChipBinding::Certified,
        cloud: None,
        crl: CrlState::NotGiven,
        valid_until: UnixTime(u64::MAX),
        report,
    }
}

/// What accepts the test PKI's reports, and demands all that they have.
fn entry(product: Product) -> SnpReference {
    SnpReference {
        product_name: Some(product),
        trusted_measurement: Some([0x3e; 48]),
        minimum_tcb: SnpTcb {
            fmc: None,
            bootloader: Some(4),
            tee: Some(1),
            snp: Some(24),
            microcode: Some(219),
        },
        guest_policy: SnpGuestPolicy { abi_minor: 0x1f, smt: true, ..SnpGuestPolicy::default() },
        platform_info: SnpPlatformInfo {
            smt_enabled: true,
            ecc_enabled: true,
            alias_check_complete: true,
            ..SnpPlatformInfo::default()
        },
        ..SnpReference::default()
    }
}

/// The refusal after one change to evidence or entry; its steps are consistent with it.
fn refusal(change: impl FnOnce(&mut Evidence, &mut SnpReference)) -> SnpRefusal {
    let (mut evidence, mut entry) = (evidence(Product::Genoa), entry(Product::Genoa));
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

fn accepted(change: impl FnOnce(&mut Evidence, &mut SnpReference)) -> Vec<StepReport> {
    let (mut evidence, mut entry) = (evidence(Product::Genoa), entry(Product::Genoa));
    change(&mut evidence, &mut entry);
    let (steps, refusal) = appraise(&evidence, &entry);
    assert_eq!(refusal, None);
    steps
}

#[test]
fn each_line_is_accepted_by_its_entry() {
    for product in Product::ALL {
        assert_eq!(appraise(&evidence(product), &entry(product)).1, None, "{product}");
    }
}

#[test]
fn steps_are_those_of_the_specification_with_their_values() {
    let steps = accepted(|_, _| ());
    let numbers: Vec<u8> = steps.iter().map(|step| step.number).collect();
    assert_eq!(numbers, [3, 2, 4, 7, 9, 10, 11, 12, 13, 14, 15]);
    let demanded = steps.iter().filter(|step| step.verdict == Verdict::NotDemanded);
    assert_eq!(demanded.map(|step| step.number).collect::<Vec<_>>(), [13, 14, 15]);
    assert_eq!(steps[3].values.value("measurement"), Some("3e".repeat(48).as_str()));
    assert_eq!(steps[5].values.value("set"), Some("SMT"));
    let json = serde_json::to_value(&steps[4]).unwrap();
    let expected =
        serde_json::json!({"number": 9, "name": "vmpl", "verdict": "passed", "values": {"vmpl": "0"}});
    assert_eq!(json, expected);
}

#[test]
fn step_3_another_product_line() {
    let refused = refusal(|_, entry| entry.product_name = Some(Product::Milan));
    assert_eq!(refused, SnpRefusal::Product { expected: Some(Product::Milan), got: Product::Genoa });
}

#[test]
fn step_2_a_cloud_key_only_if_the_manifest_says_so() {
    let by_vlek = |evidence: &mut Evidence| {
        evidence.signer = Signer::Vlek;
        evidence.chip = ChipBinding::CloudKey;
        evidence.cloud = Some("CN=cc-test.example.com".to_owned());
    };
    let refused = refusal(|evidence, _| by_vlek(evidence));
    assert_eq!(refused, SnpRefusal::VlekNotAllowed { cloud: Some("CN=cc-test.example.com".to_owned()) });
    for clouds in
        [&[][..], &["CN=cc-other.example.com"], &["cn=cc-test.example.com"], &["CN=cc-test.example.co"]]
    {
        let refused = refusal(|evidence, entry| {
            by_vlek(evidence);
            entry.allow_vlek = true;
            entry.allowed_clouds = clouds.iter().map(|cloud| (*cloud).to_owned()).collect();
        });
        let cloud = Some("CN=cc-test.example.com".to_owned());
        assert_eq!(refused, SnpRefusal::CloudNotAllowed { cloud }, "{clouds:?}");
    }
    let refused = refusal(|evidence, entry| {
        by_vlek(evidence);
        entry.allowed_clouds = vec!["CN=cc-test.example.com".to_owned()];
    });
    assert!(matches!(refused, SnpRefusal::VlekNotAllowed { .. }), "naming clouds alone allows nothing");
    accepted(|evidence, entry| {
        by_vlek(evidence);
        entry.allow_vlek = true;
        entry.allowed_clouds = vec!["CN=other".to_owned(), "CN=cc-test.example.com".to_owned()];
    });
}

#[test]
fn step_4_a_hidden_chip_only_if_the_manifest_says_so() {
    let refused = refusal(|evidence, _| evidence.chip = ChipBinding::Masked);
    assert_eq!(refused, SnpRefusal::ChipMasked);
    accepted(|evidence, entry| {
        evidence.chip = ChipBinding::Masked;
        entry.allow_masked_chip_id = true;
    });
}

#[test]
fn step_7_every_byte_of_the_measurement() {
    for place in [0, 20, 47] {
        let refused = refusal(|evidence, _| evidence.report.measurement[place] ^= 1);
        let mut got = [0x3e; 48];
        got[place] ^= 1;
        let expected = Some(Box::new([0x3e; 48]));
        assert_eq!(refused, SnpRefusal::Measurement { expected, got: Box::new(got) });
    }
    let text = refusal(|evidence, _| evidence.report.measurement = [0xab; 48]).to_string();
    assert!(text.starts_with("the launch measurement is abababababababab…, not 3e3e3e3e3e3e3e3e…"), "{text}");
}

#[test]
fn step_7_a_measurement_that_is_missing_is_not_any() {
    let refused = refusal(|_, entry| entry.trusted_measurement = None);
    assert!(matches!(refused, SnpRefusal::Measurement { expected: None, .. }));
}

#[test]
fn step_9_vmpl() {
    for got in [1, 3, u32::MAX] {
        assert_eq!(refusal(|evidence, _| evidence.report.vmpl = got), SnpRefusal::Vmpl { got });
    }
}

/// Sets bits of the guest policy beside the usual ones.
fn policy(bits: u64) -> impl FnOnce(&mut Evidence, &mut SnpReference) {
    move |evidence, _| evidence.report.policy = GuestPolicy(0x3_001f | bits)
}

#[test]
fn step_10_allow_bits_by_name() {
    for (bit, name) in [(19, PolicyBit::Debug), (18, PolicyBit::MigrateMa), (21, PolicyBit::CxlAllowed)] {
        assert_eq!(refusal(policy(1 << bit)), SnpRefusal::PolicyAllows { bits: vec![name] });
    }
    let refused = refusal(|_, entry| entry.guest_policy.smt = false);
    assert_eq!(refused, SnpRefusal::PolicyAllows { bits: vec![PolicyBit::Smt] });
    let both = refusal(policy(1 << 19 | 1 << 18));
    assert_eq!(both, SnpRefusal::PolicyAllows { bits: vec![PolicyBit::Debug, PolicyBit::MigrateMa] });
    assert!(both.to_string().contains("Debug, MigrateMA") && both.to_string().contains("read all"));
}

#[test]
fn step_10_allow_bits_that_the_manifest_allows() {
    accepted(|evidence, entry| {
        evidence.report.policy = GuestPolicy(0x3_001f | 1 << 18 | 1 << 19 | 1 << 21);
        entry.guest_policy =
            SnpGuestPolicy { migrate_ma: true, debug: true, cxl_allowed: true, ..entry.guest_policy };
    });
}

#[test]
fn step_10_require_bits_by_name() {
    type Demand = fn(&mut SnpGuestPolicy);
    let all: [(u32, PolicyBit, Demand); 5] = [
        (20, PolicyBit::SingleSocket, |policy| policy.single_socket = true),
        (22, PolicyBit::MemAes256Xts, |policy| policy.mem_aes256_xts = true),
        (23, PolicyBit::RaplDis, |policy| policy.rapl_dis = true),
        (24, PolicyBit::CipherTextHidingDram, |policy| policy.cipher_text_hiding_dram = true),
        (25, PolicyBit::PageSwapDisable, |policy| policy.page_swap_disable = true),
    ];
    for (bit, name, demand) in all {
        let refused = refusal(|_, entry| demand(&mut entry.guest_policy));
        assert_eq!(refused, SnpRefusal::PolicyLacks { bits: vec![name] });
        accepted(|evidence, entry| {
            evidence.report.policy = GuestPolicy(0x3_001f | 1 << bit);
            demand(&mut entry.guest_policy);
        });
        // stricter than the manifest is fine
        accepted(policy(1 << bit));
    }
}

#[test]
fn step_10_abi() {
    let refused = refusal(|_, entry| entry.guest_policy.abi_minor = 0x20);
    assert_eq!(refused, SnpRefusal::PolicyAbi { have: (0, 0x1f), need: (0, 0x20) });
    let refused = refusal(|_, entry| {
        entry.guest_policy.abi_major = 1;
        entry.guest_policy.abi_minor = 0;
    });
    assert_eq!(refused, SnpRefusal::PolicyAbi { have: (0, 0x1f), need: (1, 0) });
}

#[test]
fn step_10_reserved_bits() {
    for bit in [26, 40, 63] {
        let word = 0x3_001f | 1 << bit;
        assert_eq!(refusal(policy(1 << bit)), SnpRefusal::PolicyReserved { policy: word });
    }
    let refused = refusal(|evidence, _| evidence.report.policy = GuestPolicy(0x1_001f));
    assert_eq!(refused, SnpRefusal::PolicyReserved { policy: 0x1_001f });
}

#[test]
fn step_11_allow_bits_by_name() {
    let with = |bit: u32| {
        move |evidence: &mut Evidence, _: &mut SnpReference| {
            evidence.report.platform_info = PlatformInfo(0x25 | 1 << bit);
        }
    };
    assert_eq!(refusal(with(1)), SnpRefusal::PlatformHas { bits: vec![PlatformBit::TsmeEnabled] });
    assert_eq!(refusal(with(7)), SnpRefusal::PlatformHas { bits: vec![PlatformBit::TioEnabled] });
    let refused = refusal(|_, entry| entry.platform_info.smt_enabled = false);
    assert_eq!(refused, SnpRefusal::PlatformHas { bits: vec![PlatformBit::SmtEnabled] });
    accepted(|evidence, entry| {
        evidence.report.platform_info = PlatformInfo(0xa7);
        entry.platform_info.tsme_enabled = true;
        entry.platform_info.tio_enabled = true;
    });
}

#[test]
fn step_11_require_bits_by_name() {
    type Demand = fn(&mut SnpPlatformInfo);
    let all: [(u64, PlatformBit, Demand); 4] = [
        (0x21, PlatformBit::EccEnabled, |info| info.ecc_enabled = true),
        (0x25, PlatformBit::RaplDisabled, |info| info.rapl_disabled = true),
        (0x25, PlatformBit::CiphertextHidingDramEnabled, |info| info.ciphertext_hiding_dram_enabled = true),
        (0x05, PlatformBit::AliasCheckComplete, |info| info.alias_check_complete = true),
    ];
    for (word, name, demand) in all {
        let refused = refusal(|evidence, entry| {
            evidence.report.platform_info = PlatformInfo(word);
            demand(&mut entry.platform_info);
        });
        assert_eq!(refused, SnpRefusal::PlatformLacks { bits: vec![name] });
    }
}

#[test]
fn step_11_unknown_bits_are_shown_and_not_refused() {
    let steps = accepted(|evidence, _| evidence.report.platform_info = PlatformInfo(0x25 | 1 << 6 | 1 << 40));
    assert_eq!(steps[6].values.value("unknown_bits"), Some("0x10000000040"));
}

#[test]
fn step_12_each_tcb_and_each_component() {
    type Lower = fn(&mut Evidence) -> &mut Tcb;
    let all: [(TcbOf, Lower); 4] = [
        (TcbOf::Certificate, |evidence| &mut evidence.vek_tcb),
        (TcbOf::Reported, |evidence| &mut evidence.report.reported_tcb),
        (TcbOf::Committed, |evidence| &mut evidence.report.committed_tcb),
        (TcbOf::Launch, |evidence| &mut evidence.report.launch_tcb),
    ];
    for (of, tcb) in all {
        let refused = refusal(|evidence, _| tcb(evidence).snp = 23);
        assert_eq!(refused, SnpRefusal::TcbBelow { of, part: TcbPart::Snp, have: 23, need: 24 });
    }
    type Raise = fn(&mut SnpTcb);
    let parts: [(TcbPart, u8, Raise); 4] = [
        (TcbPart::Bootloader, 4, |tcb| tcb.bootloader = Some(5)),
        (TcbPart::Tee, 1, |tcb| tcb.tee = Some(2)),
        (TcbPart::Snp, 24, |tcb| tcb.snp = Some(25)),
        (TcbPart::Microcode, 219, |tcb| tcb.microcode = Some(220)),
    ];
    for (part, have, raise) in parts {
        let refused = refusal(|_, entry| raise(&mut entry.minimum_tcb));
        assert_eq!(refused, SnpRefusal::TcbBelow { of: TcbOf::Certificate, part, have, need: have + 1 });
    }
}

#[test]
fn step_12_the_message_says_what_is_too_old() {
    let text = refusal(|evidence, entry| {
        evidence.vek_tcb.snp = 28;
        entry.minimum_tcb.snp = Some(28);
    });
    let text = text.to_string();
    assert!(text.starts_with("SNP firmware 24 of the reported TCB is below 28"), "{text}");
}

#[test]
fn step_12_turins_fuse_controller() {
    let (mut entry, evidence) = (entry(Product::Turin), evidence(Product::Turin));
    entry.minimum_tcb.fmc = Some(2);
    assert_eq!(appraise(&evidence, &entry).1, None);
    entry.minimum_tcb.fmc = Some(3);
    let expected = SnpRefusal::TcbBelow { of: TcbOf::Certificate, part: TcbPart::Fmc, have: 2, need: 3 };
    assert_eq!(appraise(&evidence, &entry).1, Some(expected));
}

#[test]
fn step_12_a_minimum_that_is_missing_is_not_zero() {
    assert_eq!(refusal(|_, entry| entry.minimum_tcb.tee = None), SnpRefusal::MinimumMissing);
}

#[test]
fn step_12_current_below_committed() {
    let refused = refusal(|evidence, _| evidence.report.current_tcb.microcode = 218);
    let expected = SnpRefusal::CurrentBelowCommitted { part: TcbPart::Microcode, have: 218, need: 219 };
    assert_eq!(refused, expected);
}

#[test]
fn step_13_mitigations() {
    let refused = refusal(|_, entry| entry.minimum_mitigation_vector = 1);
    assert_eq!(refused, SnpRefusal::MitigationsNotReported { need: 1, version: 3 });
    // the test PKI's Turin has launch 3, current 7
    let judge = |need| {
        let mut entry = entry(Product::Turin);
        entry.minimum_mitigation_vector = need;
        appraise(&evidence(Product::Turin), &entry).1
    };
    assert_eq!(judge(3), None);
    let launch = SnpRefusal::MitigationsMissing { of: VectorOf::Launch, have: 3, need: 7 };
    assert_eq!(judge(7), Some(launch));
    let mut turin = evidence(Product::Turin);
    turin.report.current_mitigation_vector = Some(1);
    let mut entry = entry(Product::Turin);
    entry.minimum_mitigation_vector = 3;
    let current = SnpRefusal::MitigationsMissing { of: VectorOf::Current, have: 1, need: 3 };
    assert_eq!(appraise(&turin, &entry).1, Some(current));
}

#[test]
fn step_14_chips() {
    let chip = Box::new([0xc5; 64]);
    let refused = refusal(|_, entry| entry.allowed_chip_ids = vec![[1; 64], [2; 64]]);
    assert_eq!(refused, SnpRefusal::ChipNotAllowed { chip: chip.clone() });
    accepted(|_, entry| entry.allowed_chip_ids = vec![[1; 64], *chip]);
    // a hidden chip is none of the list, even where hiding is allowed
    let refused = refusal(|evidence, entry| {
        evidence.chip = ChipBinding::Masked;
        evidence.report.chip_id = [0; 64];
        entry.allow_masked_chip_id = true;
        entry.allowed_chip_ids = vec![*chip];
    });
    assert_eq!(refused, SnpRefusal::ChipNotAllowed { chip: Box::new([0; 64]) });
}

#[test]
fn step_15_the_id_block_that_measurement_and_policy_imply() {
    let expected = id_key_digest(&[0x3e; 48], GuestPolicy(0x3_001f)).unwrap();
    let refused = refusal(|_, entry| entry.require_id_block = true);
    let (expected_box, got) = (Box::new(expected), Box::new([0; 48]));
    assert_eq!(refused, SnpRefusal::IdKey { expected: expected_box, got });
    accepted(|evidence, entry| {
        evidence.report.id_key_digest = expected;
        entry.require_id_block = true;
    });
    let refused = refusal(|evidence, entry| {
        evidence.report.id_key_digest = expected;
        evidence.report.author_key_enabled = true;
        entry.require_id_block = true;
    });
    assert_eq!(refused, SnpRefusal::AuthorKey);
}
