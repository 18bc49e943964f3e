use proptest::prelude::*;

use super::*;
use crate::secret::Secret;
use crate::stream::padding::Records;
use crate::stream::reader::SegmentReader;
use crate::test_rng::TestRng;

fn key() -> Key {
    Key::expand(&Secret::from_slice(&[1; 32]).unwrap())
}

fn writer(padding: Padding) -> RunWriter {
    RunWriter::new(SegmentSealer::new(key(), None, &mut TestRng::new(1)), padding)
}

/// One run of `length` bytes, written in pieces.
fn run(padding: Padding, length: usize, piece: usize) -> Vec<u8> {
    let (mut writer, mut out) = (writer(padding), Vec::new());
    for piece in vec![b'x'; length].chunks(piece) {
        writer.write(piece, &mut out).unwrap();
    }
    writer.end_run(Flag::Last, &mut out).unwrap();
    out
}

fn open(mut wire: &[u8]) -> Vec<u8> {
    let (mut reader, mut data) = (SegmentReader::<Key>::new(key(), None), Vec::new());
    while let Some(opened) = reader.next(&mut wire).unwrap() {
        data.extend_from_slice(reader.data(opened.data));
    }
    reader.end().unwrap();
    data
}

fn modes() -> [Padding; 4] {
    let constant = |size| Padding::Constant(Records::new(size, 50).unwrap());
    [Padding::Off, Padding::Bucket, constant(256), constant(40_000)]
}

#[test]
fn the_wire_length_is_what_padding_says() {
    for padding in modes() {
        for length in [0, 1, 254, 255, 256, 257, 65_533, 65_534, 65_535, 66_000, 131_068, 131_069, 1_000_000]
        {
            let wire = run(padding, length, 10_000);
            assert_eq!(wire.len() as u64, padding.wire_length(length as u64), "{padding} {length}");
            assert_eq!(open(&wire).len(), length);
        }
    }
}

#[test]
fn a_run_of_nothing_leaves_nothing_but_at_the_end() {
    let (mut writer, mut out) = (writer(Padding::Bucket), Vec::new());
    writer.end_run(Flag::More, &mut out).unwrap();
    assert_eq!(out, b"");
    writer.end_run(Flag::Last, &mut out).unwrap();
    assert_eq!(out.len(), 256 + OVERHEAD);
}

#[test]
fn full_segments_leave_while_the_run_grows() {
    let (mut writer, mut out) = (writer(Padding::Bucket), Vec::new());
    for _ in 0..100 {
        writer.write(&[1; 10_000], &mut out).unwrap();
        assert!(writer.pending.capacity() <= 2 * (CAPACITY + OVERHEAD), "{}", writer.pending.capacity());
    }
    assert_eq!(out.len(), 15 * (CAPACITY + OVERHEAD));
}

#[test]
fn an_empty_buffer_is_filled_without_a_copy() {
    let mut writer = writer(Padding::Off);
    writer.write(&[1; 1000], &mut Vec::new()).unwrap();
    let at = writer.pending.as_ptr();
    let mut out = Vec::new();
    writer.end_run(Flag::More, &mut out).unwrap();
    assert_eq!(out.as_ptr(), at);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn pieces_do_not_show(length in 0..200_000usize, pieces in (1..70_000usize, 1..300_000usize)) {
        for padding in modes() {
            prop_assert_eq!(run(padding, length, pieces.0), run(padding, length, pieces.1));
        }
    }

    #[test]
    fn equal_buckets_have_equal_lengths(a in 0..200_000usize, delta in 0..4000usize) {
        for padding in modes() {
            let b = a + delta;
            let same_bucket = padding.padded(a as u64) == padding.padded(b as u64);
            let same_wire = run(padding, a, 5000).len() == run(padding, b, 7000).len();
            prop_assert_eq!(same_bucket, same_wire);
        }
    }

    #[test]
    fn runs_do_not_show_in_each_other(lengths in proptest::collection::vec(1..3000usize, 1..6)) {
        for padding in modes() {
            let (mut writer, mut all) = (writer(padding), Vec::new());
            for length in &lengths {
                let before = all.len();
                writer.write(&vec![b'x'; *length], &mut all).unwrap();
                writer.end_run(Flag::More, &mut all).unwrap();
                prop_assert_eq!((all.len() - before) as u64, padding.wire_length(*length as u64));
            }
            writer.end_run(Flag::Last, &mut all).unwrap();
            prop_assert_eq!(open(&all).len(), lengths.iter().sum::<usize>());
        }
    }
}
