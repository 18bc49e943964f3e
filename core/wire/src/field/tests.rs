//! The vectors of `field.json`, with both AES-GCM backends and in both directions.

use super::*;
use crate::aead::PortableKey;

fn twelve(value: &serde_json::Value) -> [u8; 12] {
    hex::decode(value.as_str().unwrap()).unwrap().try_into().unwrap()
}

fn vectors<K: Aead>() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../testdata/field.json");
    let vectors: Vec<serde_json::Value> =
        serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap();
    assert!(!vectors.is_empty());
    for vector in vectors {
        let secret = Secret::from_slice(&hex::decode(vector["secret"].as_str().unwrap()).unwrap()).unwrap();
        let cipher: FieldCipher<K> =
            FieldCipher::new(&SecretId::parse(vector["secret_id"].as_str().unwrap()).unwrap(), &secret);
        let sequence = u32::try_from(vector["sequence"].as_u64().unwrap()).unwrap();
        let plaintext = vector["plaintext"].as_str().unwrap().as_bytes();
        let expected = vector["sealed"].as_str().unwrap();

        let (mut scratch, mut out) = (Vec::new(), Vec::new());
        let place = (twelve(&vector["nonce"]), sequence, twelve(&vector["iv"]));
        cipher.seal(place, plaintext, &mut scratch, &mut out).unwrap();
        assert_eq!(std::str::from_utf8(&out).unwrap(), expected);
        assert_eq!(out.len(), cipher.sealed_length(plaintext.len()));

        let field = SealedField::parse(expected.as_bytes()).unwrap();
        assert_eq!(field.id, cipher.id().as_str().as_bytes());
        assert_eq!(field.plaintext_length(), plaintext.len());
        cipher.open(&field, field.nonce, sequence, &mut scratch).unwrap();
        assert_eq!(scratch, plaintext);
        assert_eq!(cipher.open(&field, field.nonce, sequence + 1, &mut scratch), Err(OpenFault::Tampered));
        assert_eq!(scratch, b"");
    }
}

#[test]
fn vectors_with_the_native_backend() {
    vectors::<Key>();
}

#[test]
fn vectors_with_the_portable_backend() {
    vectors::<PortableKey>();
}

#[test]
fn one_spelling_only() {
    let tag = "0".repeat(32);
    let twelve = "0".repeat(24);
    let parse = |text: String| SealedField::parse(text.as_bytes()).map(drop).unwrap_err();
    assert!(SealedField::parse(format!("\"id:{twelve}:{twelve}:{tag}\"").as_bytes()).is_ok());
    assert_eq!(parse("7".into()), ParseFault::NotSealed);
    assert_eq!(parse("\"id\"".into()), ParseFault::NotSealed);
    assert_eq!(parse(format!("\"id:{twelve}:{twelve}\"")), ParseFault::NotSealed);
    assert_eq!(parse(format!("\"id:{twelve}:{twelve}:{tag}:\"")), ParseFault::NotSealed);
    assert_eq!(parse(format!("\"id:{}:{twelve}:{tag}\"", "0".repeat(22))), ParseFault::Malformed);
    assert_eq!(parse(format!("\"id:{twelve}:{}:{tag}\"", "A".repeat(24))), ParseFault::Malformed);
    assert_eq!(parse(format!("\"id:{twelve}:{twelve}:{}\"", "0".repeat(30))), ParseFault::Malformed);
    assert_eq!(parse(format!("\"id:{twelve}:{twelve}:0{tag}\"")), ParseFault::Malformed);
}

#[test]
fn the_counter_ends() {
    let mut sequence = Sequence::default();
    sequence.advance(u32::MAX as usize);
    assert_eq!(sequence.at(0), Some(u32::MAX));
    assert_eq!(sequence.at(1), None);
    sequence.advance(1);
    assert_eq!(sequence.at(0), None);
}

/// Every pair of bytes, at every place of a vector register and behind its end.
#[test]
fn hex_is_lower_case_and_nothing_else() {
    for pair in 0..=u16::MAX {
        let text = pair.to_be_bytes();
        let lower = text.iter().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(b));
        let expected = lower.then(|| hex::decode(text).unwrap());
        let mut out = Vec::new();
        let decoded = decode_hex(&text, &mut out).is_ok().then_some(out);
        assert_eq!(decoded, expected, "{text:?}");
    }
    let bytes: Vec<u8> = (0..=255).collect();
    for length in 0..=200 {
        let bytes = &bytes[255 - length..];
        let (mut text, mut back) = (Vec::new(), b"kept".to_vec());
        push_hex(bytes, &mut text);
        assert_eq!(text, hex::encode(bytes).as_bytes());
        decode_hex(&text, &mut back).unwrap();
        assert_eq!(back, [b"kept", bytes].concat());
        for index in 0..text.len() {
            let mut changed = text.clone();
            changed[index] = changed[index].to_ascii_uppercase();
            let same = changed == text;
            assert_eq!(decode_hex(&changed, &mut Vec::new()).is_ok(), same);
        }
        text.push(b'0');
        assert_eq!(decode_hex(&text, &mut Vec::new()), Err(OpenFault::Malformed));
    }
}
