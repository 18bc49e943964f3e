//! Both backends against the same published cases and against each other.

use super::{Aead, native, portable};
use crate::secret::Secret;

fn unhex(text: &str) -> Vec<u8> {
    hex::decode(text).unwrap()
}

/// Test cases 4 (AES-128), 10 (AES-192) and 16 (AES-256) of the GCM specification (McGrew and Viega).
const CASES: [(&str, &str, &str); 3] = [
    (
        "feffe9928665731c6d6a8f9467308308",
        "42831ec2217774244b7221b784d0d49ce3aa212f2c02a4e035c17e2329aca12e21d514b25466931c7d8f6a5aac84aa051ba30b396a0aac973d58e091",
        "5bc94fbc3221a5db94fae95ae7121a47",
    ),
    (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c",
        "3980ca0b3c00e841eb06fac4872a2757859e1ceaa6efd984628593b40ca1e19c7d773d00c144c525ac619d18c84a3f4718e2448b2fe324d9ccda2710",
        "2519498e80f1478f37ba55bd6d27618c",
    ),
    (
        "feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308",
        "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662",
        "76fc6ece0f4e1768cddf8853bb2d551b",
    ),
];
const PLAIN: &str = "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a721c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39";
const AAD: &str = "feedfacedeadbeeffeedfacedeadbeefabaddad2";
const IV: &str = "cafebabefacedbaddecaf888";

fn known_answers<K: Aead>() {
    for (key, ciphertext, tag) in CASES {
        let key = K::expand(&Secret::from_slice(&unhex(key)).unwrap());
        let iv = unhex(IV).try_into().unwrap();
        let mut text = unhex(PLAIN);
        key.seal(iv, &unhex(AAD), &mut text).unwrap();
        assert_eq!(hex::encode(&text), format!("{ciphertext}{tag}"));
        key.open(iv, &unhex(AAD), &mut text).unwrap();
        assert_eq!(hex::encode(&text), PLAIN);
    }
}

fn refuses_every_flipped_byte<K: Aead>() {
    let key = K::expand(&Secret::from_slice(&[7; 32]).unwrap());
    let mut sealed = b"text".to_vec();
    key.seal([1; 12], b"aad", &mut sealed).unwrap();
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(key.open([1; 12], b"aad", &mut changed).is_err());
    }
    assert!(key.open([2; 12], b"aad", &mut sealed.clone()).is_err());
    assert!(key.open([1; 12], b"AAD", &mut sealed.clone()).is_err());
    assert!(key.open([1; 12], b"aad", &mut sealed[..15].to_vec()).is_err());
    assert!(key.open([1; 12], b"aad", &mut Vec::new()).is_err());
}

/// From one buffer into another, with what stands behind the text, and never with lengths that do not fit.
fn out_of_place_is_the_same<K: Aead>() {
    let key = K::expand(&Secret::from_slice(&[7; 32]).unwrap());
    let mut expected = b"a text, and its end".to_vec();
    key.seal([1; 12], b"aad", &mut expected).unwrap();
    let (text, end) = (b"a text, ".as_slice(), b"and its end".as_slice());
    let mut sealed = vec![0xee; expected.len()];
    key.seal_into([1; 12], b"aad", text, end, &mut sealed).unwrap();
    assert_eq!(sealed, expected);
    for length in [0, text.len(), expected.len() - 1, expected.len() + 1] {
        assert!(key.seal_into([1; 12], b"aad", text, end, &mut vec![0; length]).is_err(), "{length}");
    }

    let mut opened = vec![0xee; text.len() + end.len()];
    key.open_into([1; 12], b"aad", &sealed, &mut opened).unwrap();
    assert_eq!(opened, b"a text, and its end");
    for length in [0, opened.len() - 1, opened.len() + 1] {
        assert!(key.open_into([1; 12], b"aad", &sealed, &mut vec![0; length]).is_err(), "{length}");
    }
    for index in 0..sealed.len() {
        let mut changed = sealed.clone();
        changed[index] ^= 1;
        assert!(key.open_into([1; 12], b"aad", &changed, &mut opened).is_err());
    }
    assert!(key.open_into([1; 12], b"aad", &sealed[..15], &mut opened).is_err());
}

#[test]
fn native_known_answers() {
    known_answers::<native::Key>();
    refuses_every_flipped_byte::<native::Key>();
    out_of_place_is_the_same::<native::Key>();
}

#[test]
fn portable_known_answers() {
    known_answers::<portable::Key>();
    refuses_every_flipped_byte::<portable::Key>();
    out_of_place_is_the_same::<portable::Key>();
}
