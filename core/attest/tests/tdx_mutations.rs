//! Genuine quotes and collateral with one thing changed: by the list that comes with the evidence, and bit by bit.
//!
//! Every bit of a quote and of each collateral document counts, but for the ones that `EXCEPTIONS` names. A sample is
//! tried by default, all with `PRIVATEMODE_EXHAUSTIVE=1`.

#![allow(clippy::unwrap_used, reason = "helpers of tests")]

mod tdx_cases;

use std::ops::Range;

use privatemode_attest::UnixTime;
use privatemode_attest::tdx::{
    ChainError, Collateral, CollateralError, CollateralFormatError, Document, DocumentError, PcsDocuments,
    Quote, QuoteError, Roots, Tolerance, VerifiedCollateral, VerifyError, verify,
};
use privatemode_attest::x509::{IssueError, PathError};
use tdx_cases::{Case, VALID, at, folder, read};

fn valid(name: &str) -> Option<(Case, UnixTime)> {
    folder()?;
    let (_, time) = VALID.iter().find(|(known, _)| *known == name).unwrap();
    Some((Case::read(name), at(time)))
}

fn verified(case: &Case, now: UnixTime) -> VerifiedCollateral {
    case.collateral().verify(&Roots::embedded(), now).unwrap()
}

/// The error of a quote that was changed, under its own collateral.
fn error_of(case: &Case, now: UnixTime, change: impl FnOnce(&mut Vec<u8>)) -> VerifyError {
    let mut quote = case.quote.clone();
    change(&mut quote);
    verify(&quote, &verified(case, now), &Tolerance::strict(), now).unwrap_err()
}

#[test]
fn bytes_of_the_quote() {
    for (name, body) in [("emr-b0c06f-uptodate", 48), ("v5-90c06f-uptodate", 54)] {
        let Some((case, now)) = valid(name) else { return };
        let flipped = |place: usize| error_of(&case, now, |quote| quote[place] ^= 1);
        for place in [body + 136, body + 120, body + 520, 40] {
            assert!(matches!(flipped(place), VerifyError::QuoteSignature { .. }), "{name} {place}");
        }
        let signature = body + if body == 48 { 584 } else { 648 } + 4;
        assert!(matches!(flipped(signature), VerifyError::QuoteSignature { .. }));
        assert!(matches!(flipped(signature + 63), VerifyError::QuoteSignature { .. }));
        assert!(matches!(flipped(signature + 64), VerifyError::AttestationKeyBinding));
        let qe_report = signature + 128 + 6;
        for place in [qe_report, qe_report + 128, qe_report + 383, qe_report + 384, qe_report + 447] {
            assert!(matches!(flipped(place), VerifyError::QeReportSignature { .. }), "{name} {place}");
        }
        assert!(matches!(flipped(qe_report + 450), VerifyError::AttestationKeyBinding));
    }
}

#[test]
fn headers_that_are_not_supported() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    let error = |place: usize, byte: u8| match error_of(&case, now, |quote| quote[place] = byte) {
        VerifyError::Quote { source } => source,
        other => panic!("{other:?}"),
    };
    assert_eq!(error(0, 3), QuoteError::Version { version: 3 });
    assert_eq!(error(0, 6), QuoteError::Version { version: 6 });
    assert_eq!(error(2, 3), QuoteError::AttestationKeyType { key_type: 3 });
    assert_eq!(error(4, 0), QuoteError::Sgx { version: 4 });
    for place in 12..28 {
        assert!(matches!(error(place, 0xee), QuoteError::QeVendor { .. }), "{place}");
    }
}

#[test]
fn lengths_and_cuts() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    for length in [0, u32::MAX] {
        let error = error_of(&case, now, |quote| quote[632..636].copy_from_slice(&length.to_le_bytes()));
        let VerifyError::Quote { source } = error else { panic!("{error:?}") };
        assert_eq!(source, QuoteError::Truncated { part: "signature data" });
    }
    let end = case.quote.len() - Quote::parse(&case.quote).unwrap().padding().len();
    for len in 0..end {
        assert!(
            matches!(Quote::parse(&case.quote[..len]), Err(QuoteError::Truncated { .. })),
            "{len} bytes of {end}"
        );
    }
    let error = error_of(&case, now, |quote| quote.push(1));
    assert!(matches!(error, VerifyError::Padding { .. }), "{error:?}");
}

/// Exchanges the chain of a quote, with the lengths around it.
fn with_chain(quote: &[u8], chain: &[u8]) -> Vec<u8> {
    let parsed = Quote::parse(quote).unwrap();
    let data = if parsed.version() == 4 { 632 } else { 702 };
    let inner = data + 4 + 128 + 6 + 448 + 2 + 32;
    let mut out = quote[..inner + 2].to_vec();
    out.extend(u32::try_from(chain.len()).unwrap().to_le_bytes());
    out.extend(chain);
    for (place, from) in [(data, data + 4), (data + 4 + 128 + 2, data + 4 + 128 + 6)] {
        let len = u32::try_from(out.len() - from).unwrap();
        out[place..place + 4].copy_from_slice(&len.to_le_bytes());
    }
    out
}

#[test]
fn chains_of_others() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    let own = Quote::parse(&case.quote).unwrap().pck_chain_pem();
    let error = |chain: &[u8]| {
        let quote = with_chain(&case.quote, chain);
        verify(&quote, &verified(&case, now), &Tolerance::strict(), now).map(|_| ()).unwrap_err()
    };
    let same = with_chain(&case.quote, own);
    assert!(verify(&same, &verified(&case, now), &Tolerance::strict(), now).is_ok());

    let (other, _) = valid("v5-90c06f-uptodate").unwrap();
    let others = error(Quote::parse(&other.quote).unwrap().pck_chain_pem());
    // that platform's certificate is of 2026 and this clock of 2025: an older one reaches the signature
    assert!(matches!(others, VerifyError::PckChain { source: ChainError::Path { .. } }), "{others:?}");
    let (other, _) = valid("gcp-00806f-ccel").unwrap();
    let others = error(Quote::parse(&other.quote).unwrap().pck_chain_pem());
    assert!(matches!(others, VerifyError::QeReportSignature { .. }), "{others:?}");

    let text = std::str::from_utf8(own).unwrap();
    let blocks: Vec<&str> = text.split_inclusive("-----END CERTIFICATE-----\n").collect();
    let without_ca = error([blocks[0], blocks[2]].concat().as_bytes());
    assert!(
        matches!(without_ca, VerifyError::PckChain { source: ChainError::Length { found: 2, .. } }),
        "{without_ca:?}"
    );
    let reordered = error([blocks[1], blocks[0], blocks[2]].concat().as_bytes());
    assert!(
        matches!(
            reordered,
            VerifyError::PckChain {
                source: ChainError::Path {
                    source: PathError::Issue { index: 0, source: IssueError::OtherIssuer }
                }
            }
        ),
        "{reordered:?}"
    );
}

#[test]
fn changed_documents() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    let error = |change: &dyn Fn(&mut Collateral)| {
        let mut collateral = case.collateral().clone();
        change(&mut collateral);
        collateral.verify(&Roots::embedded(), now).map(|_| ()).unwrap_err()
    };
    let signature = |error: &CollateralError, expected: Document| matches!(error, CollateralError::Signature { document, .. } if *document == expected);
    for (what, expected, change) in [
        (
            "digit",
            Document::TcbInfo,
            (&|c: &mut Collateral| c.tcb_info = c.tcb_info.replacen("\"svn\":5", "\"svn\":4", 1))
                as &dyn Fn(&mut Collateral),
        ),
        ("digit", Document::QeIdentity, &|c| {
            c.qe_identity = c.qe_identity.replacen("\"isvsvn\":4", "\"isvsvn\":3", 1);
        }),
        ("spacing", Document::TcbInfo, &|c| c.tcb_info = c.tcb_info.replace(':', ": ")),
        ("exchanged signatures", Document::TcbInfo, &|c| {
            std::mem::swap(&mut c.tcb_info_signature, &mut c.qe_identity_signature);
        }),
    ] {
        let error = error(change);
        assert!(signature(&error, expected), "{what}: {error:?}");
    }
}

#[test]
fn documents_of_others() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    // another FMSPC, of the same weeks
    let (other, _) = valid("gcp-00806f-ccel").unwrap();
    let june = at("2025-06-20T00:00:00Z");
    let collateral = other.collateral().verify(&Roots::embedded(), june).unwrap();
    let error = verify(&case.quote, &collateral, &Tolerance::strict(), june).unwrap_err();
    assert!(matches!(error, VerifyError::Fmspc { .. }), "{error:?}");

    // the SGX quoting enclave's identity, of the same day, and the processor authority's list
    let sgx = Collateral::from_json(&read("not-tdx-sgx-quote/collateral/original.json").unwrap()).unwrap();
    let mut collateral = case.collateral().clone();
    collateral.qe_identity = sgx.qe_identity.clone();
    collateral.qe_identity_signature = sgx.qe_identity_signature;
    let error = collateral.verify(&Roots::embedded(), now).unwrap_err();
    assert!(
        matches!(
            error,
            CollateralError::Content {
                document: Document::QeIdentity,
                source: DocumentError::Kind { expected: "TD_QE", .. }
            }
        ),
        "{error:?}"
    );
    let mut collateral = case.collateral().clone();
    collateral.pck_crl = sgx.pck_crl.clone();
    let error = collateral.verify(&Roots::embedded(), now).unwrap_err();
    assert!(
        matches!(
            error,
            CollateralError::CrlIssuer { document: Document::PckCrl, source: IssueError::OtherIssuer }
        ),
        "{error:?}"
    );
    // with its own chain the list is genuine, but says nothing about this platform
    collateral.pck_crl_issuer_chain = sgx.pck_crl_issuer_chain;
    let collateral = collateral.verify(&Roots::embedded(), now).unwrap();
    let error = verify(&case.quote, &collateral, &Tolerance::strict(), now).unwrap_err();
    assert!(matches!(error, VerifyError::OtherPckCa { .. }), "{error:?}");
}

/// Bits that may be flipped without effect: none.
const EXCEPTIONS: [(&str, Range<usize>); 0] = [];

fn exhaustive() -> bool {
    std::env::var_os("PRIVATEMODE_EXHAUSTIVE").is_some_and(|value| value == "1")
}

/// Flips each bit, or a sample of them that reaches every region, and counts; panics where the result is accepted.
fn flip_bits(what: &str, bytes: &[u8], accepted: impl Fn(&[u8]) -> bool) -> usize {
    assert!(accepted(bytes), "{what} is valid before anything is flipped");
    let step = if exhaustive() { 1 } else { (bytes.len() * 8 / 300).max(1) | 1 };
    let mut flipped = bytes.to_vec();
    let mut count = 0;
    for bit in (0..bytes.len() * 8).step_by(step) {
        let (place, mask) = (bit / 8, 1 << (bit % 8));
        if EXCEPTIONS.iter().any(|(name, range)| what.ends_with(name) && range.contains(&place)) {
            continue;
        }
        flipped[place] ^= mask;
        assert!(!accepted(&flipped), "{what}: byte {place}, mask {mask:#04x} is accepted");
        flipped[place] ^= mask;
        count += 1;
    }
    count
}

#[test]
fn every_bit_counts_emr() {
    every_bit_counts("emr-b0c06f-uptodate");
}

#[test]
fn every_bit_counts_azure() {
    every_bit_counts("azure-90c06f-2026-06");
}

#[test]
fn every_bit_counts_gcp_ccel() {
    every_bit_counts("gcp-00806f-ccel");
}

#[test]
fn every_bit_counts_gcp() {
    every_bit_counts("gcp-00806f-2025-12");
}

#[test]
fn every_bit_counts_v5() {
    every_bit_counts("v5-90c06f-uptodate");
}

fn every_bit_counts(name: &str) {
    let roots = Roots::embedded();
    let Some((case, now)) = valid(name) else { return };
    let collateral = verified(&case, now);
    let quote = |quote: &[u8]| verify(quote, &collateral, &Tolerance::strict(), now).is_ok();
    let mut counts = vec![("quote", flip_bits(&format!("{name} quote"), &case.quote, quote))];
    type Field = for<'c> fn(&mut PcsDocuments<'c>, &'c [u8]);
    let documents: [(&str, &[u8], Field); 7] = [
        ("TCB info", &case.tcb_info, |documents, bytes| documents.tcb_info = bytes),
        ("QE identity", &case.qe_identity, |documents, bytes| documents.qe_identity = bytes),
        ("TCB info chain", &case.signing_chain, |documents, bytes| {
            documents.tcb_info_issuer_chain = bytes;
        }),
        ("QE identity chain", &case.signing_chain, |documents, bytes| {
            documents.qe_identity_issuer_chain = bytes;
        }),
        ("PCK CRL", &case.pck_crl, |documents, bytes| documents.pck_crl = bytes),
        ("PCK CRL chain", &case.pck_crl_chain, |documents, bytes| documents.pck_crl_issuer_chain = bytes),
        ("root CRL", &case.root_crl, |documents, bytes| documents.root_ca_crl = bytes),
    ];
    for (document, original, field) in documents {
        let accepted = |bytes: &[u8]| {
            let mut documents = case.documents();
            field(&mut documents, bytes);
            Collateral::assemble(&documents).is_ok_and(|collateral| collateral.verify(&roots, now).is_ok())
        };
        counts.push((document, flip_bits(&format!("{name} {document}"), original, accepted)));
    }
    report(name, &counts);
}

#[test]
fn every_bit_of_the_collateral_file_counts() {
    let Some((case, now)) = valid("emr-b0c06f-uptodate") else { return };
    let file = read("emr-b0c06f-uptodate/collateral/original.json").unwrap();
    let roots = Roots::embedded();
    let accepted = |bytes: &[u8]| {
        Collateral::from_json(bytes).is_ok_and(|collateral| collateral.verify(&roots, now).is_ok())
    };
    let count = flip_bits("collateral file", &file, accepted);
    report(&case.name, &[("collateral file", count)]);
    let upper = String::from_utf8(file).unwrap().replacen("30820a63", "30820A63", 1);
    assert!(matches!(
        Collateral::from_json(upper.as_bytes()),
        Err(CollateralFormatError::Hex { member: "pck_crl" })
    ));
}

#[expect(clippy::print_stderr, reason = "the figures of a run by hand")]
fn report(name: &str, counts: &[(&str, usize)]) {
    eprintln!("{name}: flips refused: {counts:?}");
}
