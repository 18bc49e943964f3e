use super::*;
use crate::secret::Secret;
use crate::stream::segment::SegmentSealer;

fn key() -> Key {
    Key::expand(&Secret::from_slice(&[1; 32]).unwrap())
}

fn reader() -> SegmentReader {
    SegmentReader::new(key(), None)
}

/// A segment with a text that is not padded by the rules.
fn raw(text: &[u8], number: u32, flag: u8) -> Vec<u8> {
    let mut text = text.to_vec();
    let [a, b, c, d] = number.to_be_bytes();
    let tag = key().seal_slice([9; 12], &[a, b, c, d, flag], &mut text).unwrap();
    let segment = [&[flag][..], &[9; 12], &text, &tag].concat();
    [&u32::try_from(segment.len()).unwrap().to_be_bytes()[..], &segment].concat()
}

#[test]
fn lengths_are_refused_before_anything_is_held() {
    for length in [0u32, 1, 30, 65_566, 1 << 24, u32::MAX] {
        let mut reader = reader();
        let mut input = &length.to_be_bytes()[..];
        assert_eq!(reader.next(&mut input), Err(ReadError::SegmentLength { length }));
        assert_eq!(reader.buffer.capacity(), 0, "nothing is held after an error");
        // Final.
        assert_eq!(reader.next(&mut &raw(b"\0\0", 0, 1)[..]), Err(ReadError::SegmentLength { length }));
        assert_eq!(reader.end(), Err(ReadError::SegmentLength { length }));
    }
    for length in [31u32, 65_565] {
        assert_eq!(reader().next(&mut &length.to_be_bytes()[..]), Ok(None));
    }
}

#[test]
fn flags() {
    assert_eq!(reader().next(&mut &raw(b"\0\0", 0, 2)[..]), Err(ReadError::Flag { segment: 0, flag: 2 }));
    let opened = reader().next(&mut &raw(b"a\0\0", 0, 1)[..]).unwrap().unwrap();
    assert_eq!((opened.data.len(), opened.last), (1, true));
}

#[test]
fn padding() {
    for (text, data) in
        [(&b"ab\0\0"[..], Some(2)), (b"ab\0\x01", Some(1)), (b"ab\0\x02", Some(0)), (b"ab\0\x03", None)]
    {
        let expected = data.ok_or(ReadError::Padding { segment: 0 });
        let opened = reader().next(&mut &raw(text, 0, 0)[..]).map(|opened| opened.unwrap().data.len());
        assert_eq!(opened, expected, "{text:?}");
    }
}

#[test]
fn the_end() {
    let mut reader = reader();
    assert_eq!(reader.end(), Err(ReadError::Truncated));
    reader.next(&mut &raw(b"\0\0", 0, 0)[..]).unwrap();
    assert_eq!(reader.end(), Err(ReadError::Truncated));
    let last = raw(b"\0\0", 1, 1);
    let mut input = &[&last[..], b"x"].concat()[..];
    assert!(reader.next(&mut input).unwrap().unwrap().last);
    assert_eq!(reader.end(), Ok(()));
    assert_eq!(reader.next(&mut input), Err(ReadError::AfterLast));
    assert_eq!(reader.end(), Err(ReadError::AfterLast));
}

#[test]
fn numbers_end() {
    let mut reader = reader();
    reader.numbers = SegmentNumbers::starting_at(u64::from(u32::MAX));
    reader.next(&mut &raw(b"\0\0", u32::MAX, 0)[..]).unwrap().unwrap();
    assert_eq!(reader.next(&mut &raw(b"\0\0", 0, 0)[..]), Err(ReadError::TooManySegments));
}

#[test]
fn holds_one_segment_at_most() {
    let mut sealer = SegmentSealer::<Key>::at(key(), 0, [1; 12]);
    let (mut wire, mut reader) = (Vec::new(), reader());
    for _ in 0..20 {
        let mut segment = vec![7; FRAME + 60_000];
        sealer.seal(&mut segment, 0, 0, Flag::More).unwrap();
        wire.extend_from_slice(&segment);
    }
    for mut piece in wire.chunks(50_000) {
        while reader.next(&mut piece).unwrap().is_some() {}
        assert!(reader.buffer.capacity() <= 2 * (LENGTH + MAX_SEGMENT));
        assert!(reader.buffer.len() <= LENGTH + MAX_SEGMENT);
    }
}
