//! No bit of genuine evidence can be changed: a sample of all bits, or each one with `PRIVATEMODE_EXHAUSTIVE=1`.

use std::collections::BTreeMap;

use privatemode_attest::snp::{Chain, ChainParts, Roots, Step, VerifyError};

use crate::case::{Case, valid};

/// No divisor of eight: the sample has all eight bits of a byte.
const SAMPLE: usize = 67;

/// Which step refused how many changes.
#[derive(Default)]
struct Tally(BTreeMap<Step, usize>);

impl Tally {
    /// Flips bits of `bytes`, one at a time.
    fn flip<T>(&mut self, name: &str, bytes: &[u8], verdict: impl Fn(&[u8]) -> Result<T, VerifyError>) {
        let every = if exhaustive() { 1 } else { SAMPLE };
        let mut changed = bytes.to_vec();
        for bit in (0..bytes.len() * 8).step_by(every) {
            let (byte, mask) = (bit / 8, 1 << (bit % 8));
            changed[byte] ^= mask;
            match verdict(&changed) {
                Ok(_) => panic!("{name}: bit {bit} was flipped, and nothing was noticed"),
                Err(error) => *self.0.entry(error.step()).or_default() += 1,
            }
            changed[byte] ^= mask;
        }
    }

    #[expect(clippy::print_stderr, reason = "the figures of a run by hand")]
    fn print(&self, name: &str) {
        eprintln!("{name}: {} refused: {:?}", self.0.values().sum::<usize>(), self.0);
    }
}

fn exhaustive() -> bool {
    std::env::var_os("PRIVATEMODE_EXHAUSTIVE").is_some_and(|value| value == "1")
}

fn chain(case: &Case) -> Chain {
    let parts = ChainParts { ask: &case.ask, ark: &case.ark, crl: case.crl.as_deref(), crl_grace: 0 };
    Chain::verify(&parts, &Roots::embedded(), case.at).expect(case.name)
}

/// One case of each distinct file, because many machines have the same chain.
fn distinct(file: impl Fn(&Case) -> Option<Vec<u8>>) -> Vec<Case> {
    let mut cases: BTreeMap<Vec<u8>, Case> = BTreeMap::new();
    for case in valid() {
        if let Some(bytes) = file(&case) {
            cases.entry(bytes).or_insert(case);
        }
    }
    cases.into_values().collect()
}

#[test]
fn no_bit_of_a_report() {
    let mut tally = Tally::default();
    for case in valid() {
        let chain = chain(&case);
        tally.flip(case.name, &case.report, |report| chain.verify_report(report, &case.vek, case.at));
    }
    tally.print("reports");
}

#[test]
fn no_bit_of_an_endorsement_key() {
    let mut tally = Tally::default();
    for case in valid() {
        let chain = chain(&case);
        tally.flip(case.name, &case.vek, |vek| chain.verify_report(&case.report, vek, case.at));
    }
    tally.print("VCEKs and VLEKs");
}

#[test]
fn no_bit_of_a_signing_key() {
    let mut tally = Tally::default();
    for case in distinct(|case| Some(case.ask.clone())) {
        tally.flip(case.name, &case.ask, |ask| case.with(|case| case.ask = ask.to_vec()));
    }
    tally.print("ASKs and ASVKs");
}

#[test]
fn no_bit_of_a_root() {
    let mut tally = Tally::default();
    for case in distinct(|case| Some(case.ark.clone())) {
        tally.flip(case.name, &case.ark, |ark| case.with(|case| case.ark = ark.to_vec()));
    }
    tally.print("ARKs");
}

#[test]
fn no_bit_of_a_revocation_list() {
    let mut tally = Tally::default();
    for case in distinct(|case| case.crl.clone()) {
        let list = case.crl.clone().unwrap_or_default();
        tally.flip(case.name, &list, |list| case.with(|case| case.crl = Some(list.to_vec())));
    }
    tally.print("revocation lists");
}
