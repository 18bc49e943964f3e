//! Every case, and 10,000 mutated ones, by this project and by a second implementation.
//!
//! We may be stricter, and then the printed table says where; what we accept and they refuse is a finding.

#![allow(clippy::unwrap_used, clippy::print_stderr, reason = "helpers of tests, and what they found")]

use std::collections::BTreeMap;

use bench_evidence::{SnpCase, TdxCase, dcap_qvl, sev, snp_cases, tdx_cases};

const MUTATIONS: usize = 10_000;

/// Numbers of a fixed sequence (xorshift), so that a failure can be repeated.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % end as u64) as usize
    }

    fn flip(&mut self, bytes: &mut [u8]) {
        let bit = self.below(bytes.len() * 8);
        bytes[bit / 8] ^= 1 << (bit % 8);
    }

    /// One bit of an ASCII byte, so that it stays text.
    fn flip_text(&mut self, text: &mut String) {
        let at = self.below(text.len());
        let mut bytes = std::mem::take(text).into_bytes();
        bytes[at] ^= 1 << self.below(7);
        *text = String::from_utf8(bytes).expect("ASCII stays ASCII");
    }
}

/// Verdicts by the part that was changed.
#[derive(Default)]
struct Tally(BTreeMap<&'static str, [usize; 3]>);

impl Tally {
    fn count(&mut self, part: &'static str, ours: bool, theirs: bool) {
        let counts = self.0.entry(part).or_default();
        match (ours, theirs) {
            (true, true) => counts[0] += 1,
            (false, true) => counts[1] += 1,
            _ => counts[2] += 1,
        }
    }

    fn show(&self, peer: &str) {
        eprintln!("changed part: accepted by both / refused by us alone / refused by both ({peer})");
        for (part, [both, stricter, neither]) in &self.0 {
            eprintln!("  {part}: {both} / {stricter} / {neither}");
        }
    }

    fn accepted_by_both(&self) -> usize {
        self.0.values().map(|counts| counts[0]).sum()
    }
}

fn skipped(empty: bool) -> bool {
    if empty {
        eprintln!("SKIPPED: no evidence lies beside the repository, agreement was NOT tested");
    }
    empty
}

#[test]
fn snp_cases_agree() {
    let cases = snp_cases().unwrap();
    if skipped(cases.is_empty()) {
        return;
    }
    for case in &cases {
        assert!(case.ours() && sev(case), "{}", case.name);
    }
}

#[test]
fn mutated_snp_cases_agree() {
    let cases = snp_cases().unwrap();
    if skipped(cases.is_empty()) {
        return;
    }
    let mut numbers = Numbers(0x5eed);
    let mut tally = Tally::default();
    for round in 0..MUTATIONS {
        let mut case = cases[numbers.below(cases.len())].clone();
        let part = mutate_snp(&mut case, &mut numbers);
        let (ours, theirs) = (case.ours(), sev(&case));
        assert!(!ours || theirs, "round {round}: {} with another {part} is accepted by us alone", case.name);
        tally.count(part, ours, theirs);
    }
    tally.show("sev");
    assert_eq!(tally.accepted_by_both(), 0, "every byte of a report and of a certificate counts");
}

fn mutate_snp(case: &mut SnpCase, numbers: &mut Numbers) -> &'static str {
    match numbers.below(2) {
        0 => {
            numbers.flip(&mut case.report);
            "report"
        }
        _ => {
            numbers.flip(&mut case.vek);
            "certificate"
        }
    }
}

#[test]
fn tdx_cases_agree() {
    let cases = tdx_cases().unwrap();
    if skipped(cases.is_empty()) {
        return;
    }
    for case in &cases {
        assert_eq!((case.ours(), dcap_qvl(case)), (case.valid, case.valid), "{} at {}", case.name, case.at);
    }
}

#[test]
fn mutated_tdx_cases_agree() {
    let cases: Vec<TdxCase> = tdx_cases().unwrap().into_iter().filter(|case| case.valid).collect();
    if skipped(cases.is_empty()) {
        return;
    }
    let mut numbers = Numbers(0x7d8);
    let mut tally = Tally::default();
    for round in 0..MUTATIONS {
        let mut case = cases[numbers.below(cases.len())].clone();
        let part = mutate_tdx(&mut case, &mut numbers);
        let (ours, theirs) = (case.ours(), dcap_qvl(&case));
        assert!(!ours || theirs, "round {round}: {} with another {part} is accepted by us alone", case.name);
        tally.count(part, ours, theirs);
    }
    tally.show("dcap-qvl");
    // what may be written in two ways without a change of what it says: the case of hexadecimal and PEM's white space are
    // looked at by hand; a quote and a list have one form only
    for part in ["quote", "PCK list", "root list"] {
        assert_eq!(tally.0[part][0], 0, "{part}");
    }
}

fn mutate_tdx(case: &mut TdxCase, numbers: &mut Numbers) -> &'static str {
    let collateral = &mut case.collateral;
    match numbers.below(8) {
        0 => {
            numbers.flip(&mut case.quote);
            "quote"
        }
        1 => {
            numbers.flip_text(&mut collateral.tcb_info);
            "TCB info"
        }
        2 => {
            numbers.flip_text(&mut collateral.qe_identity);
            "QE identity"
        }
        3 => {
            numbers.flip(&mut collateral.pck_crl);
            "PCK list"
        }
        4 => {
            numbers.flip(&mut collateral.root_ca_crl);
            "root list"
        }
        5 => {
            numbers.flip_text(&mut collateral.tcb_info_issuer_chain);
            "TCB chain"
        }
        6 => {
            numbers.flip_text(&mut collateral.qe_identity_issuer_chain);
            "QE chain"
        }
        _ => {
            numbers.flip_text(&mut collateral.pck_crl_issuer_chain);
            "list chain"
        }
    }
}
