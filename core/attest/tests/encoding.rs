//! Every real report and quote goes into its message and comes back byte for byte.

#![allow(clippy::unwrap_used, reason = "a test says what is wrong by failing")]

use std::{fs, path::PathBuf};

use privatemode_attest::encoding::{EncodeError, sevsnp, tdx};

/// The folder of real evidence, if it is here.
fn evidence() -> Option<PathBuf> {
    let folder = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../shared/evidence"));
    if folder.is_dir() {
        return Some(folder);
    }
    #[expect(clippy::print_stderr, reason = "a test that was left out has to be seen")]
    {
        eprintln!("SKIPPED: there is no real evidence at {}", folder.display());
    }
    None
}

/// The files of this name in the cases of a platform.
fn files(folder: &str, name: &str) -> Vec<(String, Vec<u8>)> {
    let Some(root) = evidence() else { return Vec::new() };
    let mut found: Vec<(String, Vec<u8>)> = fs::read_dir(root.join(folder))
        .unwrap()
        .map(|case| case.unwrap().path())
        .filter_map(|case| Some((case.display().to_string(), fs::read(case.join(name)).ok()?)))
        .collect();
    found.sort();
    assert!(!found.is_empty(), "no {name} in any case of {folder}");
    found
}

#[test]
fn real_reports_come_back() {
    for (case, report) in files("snp", "report.bin") {
        let mut evidence = sevsnp::SnpEvidence::of_report(report.try_into().unwrap());
        evidence.vcek = fs::read(format!("{case}/vcek.der")).ok();
        evidence.vlek = fs::read(format!("{case}/vlek.der")).ok();
        evidence.crl = fs::read(format!("{case}/amd_crl.der")).ok();
        let message = sevsnp::encode(&evidence).unwrap();
        assert_eq!(sevsnp::decode(&message), Ok(evidence), "{case}");
    }
}

#[test]
fn real_quotes_come_back() {
    for (case, quote) in files("tdx", "quote.bin") {
        if case.ends_with("not-tdx-sgx-quote") {
            assert_eq!(tdx::encode(&quote), Err(EncodeError::QuoteVersion { version: 3 }));
            continue;
        }
        let message = tdx::encode(&quote).unwrap();
        assert_eq!(tdx::decode(&message), Ok(quote), "{case}");
    }
}

#[test]
fn a_quote_that_is_cut_off_anywhere_is_not_encoded() {
    for (case, quote) in files("tdx", "quote.bin") {
        let Ok(message) = tdx::encode(&quote) else { continue };
        // what follows the signature data may be cut: nobody signs it
        let extra = extra(&quote);
        for len in (0..quote.len() - extra).step_by(7) {
            assert!(tdx::encode(&quote[..len]).is_err(), "{case}, {len} bytes");
        }
        for len in (0..message.len() - extra - 8).step_by(7) {
            assert!(tdx::decode(&message[..len]).is_err(), "{case}, message of {len} bytes");
        }
    }
}

/// Bytes behind the signature data.
fn extra(quote: &[u8]) -> usize {
    let at = match quote[0] {
        4 => 632,
        _ => 48 + 6 + u32::from_le_bytes(quote[50..54].try_into().unwrap()) as usize,
    };
    let signed = u32::from_le_bytes(quote[at..at + 4].try_into().unwrap()) as usize;
    quote.len() - at - 4 - signed
}
