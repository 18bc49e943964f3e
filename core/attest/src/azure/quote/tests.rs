use proptest::prelude::*;

use super::*;
use crate::azure::fake;

#[test]
fn quotes_are_taken_apart() {
    let bytes = fake::quote(b"nonce", [1, 0, 0x80], &[7; 32]);
    let quote = Quote { extra_data: b"nonce", selection: [1, 0, 0x80], pcr_digest: &[7; 32] };
    assert_eq!(Quote::parse(&bytes), Ok(quote));
}

#[test]
fn every_cut_and_everything_after_the_end_is_refused() {
    let bytes = fake::quote(b"nonce", [0xff; 3], &[7; 32]);
    for len in 0..bytes.len() {
        assert_eq!(Quote::parse(&bytes[..len]), Err(QuoteError::Truncated), "{len}");
    }
    assert_eq!(Quote::parse(&[&bytes[..], &[0]].concat()), Err(QuoteError::Trailing));
    let len = MAX_QUOTE + 1;
    assert_eq!(Quote::parse(&vec![0; len]), Err(QuoteError::TooLong { len, max: MAX_QUOTE }));
}

#[test]
fn only_a_quote_that_a_tpm_made_is_read() {
    let bytes = fake::quote(b"nonce", [0xff; 3], &[7; 32]);
    let mut wrong = bytes.clone();
    wrong[0] = 0;
    assert_eq!(Quote::parse(&wrong), Err(QuoteError::Magic { value: 0x0054_4347 }));
    // TPM_ST_ATTEST_CERTIFY
    let mut wrong = bytes;
    wrong[5] = 0x17;
    assert_eq!(Quote::parse(&wrong), Err(QuoteError::Type { value: 0x8017 }));
}

#[test]
fn the_selection_is_one_bank_of_sha256() {
    let bytes = fake::quote(b"", [0xff; 3], &[7; 32]);
    // behind header, signer (34), nonce (0), clock and firmware
    let at = 6 + 2 + 34 + 2 + 25;
    for (offset, byte) in [(at + 3, 2), (at + 5, 0x0c), (at + 6, 2)] {
        let mut wrong = bytes.clone();
        wrong[offset] = byte;
        assert_eq!(Quote::parse(&wrong), Err(QuoteError::Selection));
    }
    assert_eq!(Quote::parse(&fake::quote(b"", [0; 3], &[7; 32])), Err(QuoteError::Selection));
    assert_eq!(Quote::parse(&fake::quote(b"", [1; 3], &[7; 48])), Err(QuoteError::PcrDigest { len: 48 }));
}

proptest! {
    #[test]
    fn no_damage_panics(at in any::<prop::sample::Index>(), byte in any::<u8>()) {
        let mut bytes = fake::quote(b"nonce", [0xff; 3], &[7; 32]);
        let place = at.index(bytes.len());
        bytes[place] = byte;
        let _ = Quote::parse(&bytes);
    }
}
