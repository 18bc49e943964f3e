use super::*;
use crate::aead::PortableKey;
use crate::secret::Secret;
use crate::test_rng::TestRng;

fn key<K: Aead>(byte: u8) -> K {
    K::expand(&Secret::from_slice(&[byte; 32]).unwrap())
}

/// Segments as the vectors have them, below padding and framing: flag ‖ nonce ‖ ciphertext ‖ tag.
fn vectors_with<K: Aead>() {
    let vectors: serde_json::Value =
        serde_json::from_str(include_str!("../../../../../testdata/stream.json")).unwrap();
    let bytes = |value: &serde_json::Value| hex::decode(value.as_str().unwrap()).unwrap();
    let mut seen = 0;
    for vector in vectors.as_array().unwrap() {
        for direction in ["request", "response"] {
            let key = K::expand(&Secret::from_slice(&bytes(&vector[format!("{direction}_key")])).unwrap());
            for (number, segment) in vector[direction].as_array().unwrap().iter().enumerate() {
                let flag = if segment["final"].as_bool().unwrap() { Flag::Last } else { Flag::More };
                let nonce: [u8; 12] = bytes(&segment["nonce"]).try_into().unwrap();
                let length = segment["length"].as_u64().unwrap() as usize;
                let pattern = bytes(&segment["plaintext_byte"]);
                let mut text: Vec<u8> = pattern.into_iter().cycle().take(length).collect();
                assert_eq!(hex::encode(Sha256::digest(&text)), segment["plaintext_sha256"].as_str().unwrap());
                let tag = key.seal_slice(nonce, &aad(number as u32, flag), &mut text).unwrap();
                let sealed = [&[flag as u8][..], &nonce, &text, &tag].concat();
                assert_eq!(hex::encode(Sha256::digest(&sealed)), segment["sealed_sha256"].as_str().unwrap());
                if let Some(expected) = segment["sealed"].as_str() {
                    assert_eq!(hex::encode(&sealed), expected);
                }
                seen += 1;
            }
        }
    }
    assert_eq!(seen, 16);
}

#[test]
fn vectors_by_both_backends() {
    vectors_with::<Key>();
    vectors_with::<PortableKey>();
}

#[test]
fn both_backends_seal_alike() {
    let seal = |mut buffer: Vec<u8>, native: bool| {
        if native {
            SegmentSealer::<Key>::at(key(1), 0, [7; 12]).seal(&mut buffer, 3, 5, Flag::Last).unwrap();
        } else {
            SegmentSealer::<PortableKey>::at(key(1), 0, [7; 12]).seal(&mut buffer, 3, 5, Flag::Last).unwrap();
        }
        buffer
    };
    let buffer = [&b"abc"[..], &[0; FRAME], b"text"].concat();
    let sealed = seal(buffer.clone(), true);
    assert_eq!(sealed, seal(buffer, false));
    // What stands before is left alone; data 4, padding 5.
    assert_eq!(sealed[..3], *b"abc");
    assert_eq!(sealed.len(), 3 + OVERHEAD + 9);
}

#[test]
fn nonces_differ() {
    let mut sealer = SegmentSealer::<Key>::new(key(1), None, &mut TestRng::new(1));
    let mut nonces = std::collections::HashSet::new();
    for _ in 0..600 {
        let mut buffer = vec![0; FRAME];
        sealer.seal(&mut buffer, 0, 0, Flag::More).unwrap();
        nonces.insert(buffer[5..17].to_vec());
    }
    assert_eq!(nonces.len(), 600);
}

#[test]
fn numbers_end() {
    let last = u64::from(u32::MAX);
    let mut sealer = SegmentSealer::<Key>::at(key(1), last, [0; 12]);
    sealer.seal(&mut vec![0; FRAME], 0, 0, Flag::More).unwrap();
    assert_eq!(sealer.seal(&mut vec![0; FRAME], 0, 0, Flag::More), Err(WriteError::TooManySegments));
    assert_eq!(sealer.seal(&mut vec![0; FRAME], 0, 0, Flag::Last), Err(WriteError::TooManySegments));
}

#[test]
fn longest_segment() {
    let mut sealer = SegmentSealer::<Key>::at(key(1), 0, [0; 12]);
    let mut buffer = vec![0; FRAME + CAPACITY];
    sealer.seal(&mut buffer, 0, 0, Flag::More).unwrap();
    assert_eq!(buffer.len(), LENGTH + MAX_SEGMENT);
    assert_eq!(
        sealer.seal(&mut vec![0; FRAME + CAPACITY + 1], 0, 0, Flag::More),
        Err(WriteError::SegmentTooLong)
    );
    assert_eq!(sealer.seal(&mut vec![0; FRAME], 0, 65_536, Flag::More), Err(WriteError::SegmentTooLong));
}
