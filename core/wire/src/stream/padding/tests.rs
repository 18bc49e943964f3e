use proptest::prelude::*;

use super::*;

#[test]
fn vectors() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../testdata/padding.json")).unwrap();
    let vectors = vectors.as_array().unwrap();
    assert_eq!(vectors.len(), 5 * 38);
    for vector in vectors {
        let mode: Padding = vector["mode"].as_str().unwrap().parse().unwrap();
        let number = |name: &str| vector[name].as_u64().unwrap();
        let length = number("length");
        assert_eq!(mode.padded(length), number("padded"), "{vector}");
        assert_eq!(mode.wire_length(length), number("wire"), "{vector}");
        assert_eq!(mode.length_tokens(length), number("tokens"), "{vector}");
    }
}

#[test]
fn modes_have_one_spelling() {
    for text in ["off", "bucket", "constant/256/5", "constant/65536/10000"] {
        assert_eq!(text.parse::<Padding>().unwrap().to_string(), text);
    }
    for (text, error) in [
        ("", PaddingError::Unknown),
        ("Bucket", PaddingError::Unknown),
        ("constant", PaddingError::Unknown),
        ("constant/256", PaddingError::Unknown),
        ("constant/255/50", PaddingError::Size),
        ("constant/65537/50", PaddingError::Size),
        ("constant/0256/50", PaddingError::Size),
        ("constant/+256/50", PaddingError::Size),
        ("constant/256/4", PaddingError::Interval),
        ("constant/256/10001", PaddingError::Interval),
        ("constant/256/50/1", PaddingError::Interval),
        ("constant/256/99999999999999999999", PaddingError::Interval),
    ] {
        assert_eq!(text.parse::<Padding>(), Err(error), "{text}");
    }
}

#[cfg(feature = "cipher")]
#[test]
fn the_constants_agree_with_the_segments() {
    use crate::stream::segment;
    assert_eq!(CAPACITY, segment::CAPACITY as u64);
    assert_eq!(OVERHEAD, segment::OVERHEAD as u64);
}

#[test]
fn few_sizes_are_left() {
    let sizes: std::collections::BTreeSet<u64> = (0..=1 << 20).map(|n| Padding::Bucket.padded(n)).collect();
    // Multiples of 256 up to 4 KiB, 16 sizes an octave up to 64 KiB, then 32.
    assert_eq!(sizes.len(), 16 + 4 * 16 + 4 * 32);
    assert!(sizes.iter().all(|size| size % FLOOR == 0));
}

#[test]
fn one_percent_of_overhead_from_64_kib_on() {
    for length in [64 << 10, 100_000, 1 << 20, 128 << 20] {
        let wire = Padding::Off.wire_length(length) as f64;
        assert!(wire / length as f64 <= 1.0011, "{length}: {wire}");
    }
}

proptest! {
    #[test]
    fn at_most_12_percent_or_one_step_more(length in prop_oneof![0..100_000u64, 0..1u64 << 40]) {
        let padded = Padding::Bucket.padded(length);
        prop_assert!(padded >= length && padded >= FLOOR);
        prop_assert!(padded < length.max(1) + FLOOR || padded * 100 <= length * 112, "{length} {padded}");
        // Buckets are stable: a padded length is its own bucket.
        prop_assert_eq!(Padding::Bucket.padded(padded), padded);
    }

    #[test]
    fn lengths_keep_their_order(a in 0..1u64 << 40, b in 0..1u64 << 40) {
        let (a, b) = (a.min(b), a.max(b));
        for mode in [Padding::Off, Padding::Bucket, Padding::Constant(Records::new(1000, 50).unwrap())] {
            prop_assert!(mode.padded(a) <= mode.padded(b));
            prop_assert!(mode.padded(a) >= a);
        }
    }

    #[test]
    fn no_length_panics(length in any::<u64>()) {
        for mode in [Padding::Off, Padding::Bucket, Padding::Constant(Records::new(1000, 50).unwrap())] {
            mode.wire_length(length);
            mode.length_tokens(length);
        }
    }
}
