use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeySize, PublicKeyComponents};
use aws_lc_rs::signature::{
    KeyPair as _, RSA_PKCS1_SHA256, RSA_PKCS1_SHA384, RSA_PSS_SHA256, RSA_PSS_SHA384, RsaEncoding, RsaKeyPair,
};
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::signature::hazmat::PrehashSigner as _;
use rcgen::{KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PublicKeyData as _};
use sha2::{Digest as _, Sha256};

use super::backend::{Curve, PortableKey, Verifier as _};
use super::*;

const ECDSA: [Scheme; 2] = [Scheme::EcdsaSha256, Scheme::EcdsaSha384];
const RSA: [Scheme; 3] = [Scheme::RsaPssSha384, Scheme::RsaPkcs1Sha256, Scheme::RsaPkcs1Sha384];

fn spki() -> Vec<u8> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap().subject_public_key_info()
}

/// One P-256 key as both libraries see it.
fn p256_pair() -> (p256::ecdsa::SigningKey, PublicKey, PortableKey) {
    let secret = p256::ecdsa::SigningKey::from_slice(&[7; 32]).unwrap();
    let point = secret.verifying_key().to_sec1_point(false);
    let portable = PortableKey::elliptic(Curve::P256, point.as_bytes(), &[]).unwrap();
    let xy: [u8; 64] = point.as_bytes()[1..].try_into().unwrap();
    (secret, PublicKey::from_p256_xy(&xy).unwrap(), portable)
}

fn p384_pair() -> (p384::ecdsa::SigningKey, PublicKey, PortableKey) {
    let secret = p384::ecdsa::SigningKey::from_slice(&[7; 48]).unwrap();
    let point = secret.verifying_key().to_sec1_point(false);
    let portable = PortableKey::elliptic(Curve::P384, point.as_bytes(), &[]).unwrap();
    let mut spki = hex::decode("3076301006072a8648ce3d020106052b81040022036200").unwrap();
    spki.extend_from_slice(point.as_bytes());
    (secret, PublicKey::parse_spki(&spki).unwrap(), portable)
}

fn rsa_pair() -> (RsaKeyPair, PublicKey, PortableKey) {
    let secret = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let numbers: PublicKeyComponents<Vec<u8>> = secret.public_key().into();
    let spki =
        aws_lc_rs::encoding::AsDer::<aws_lc_rs::encoding::PublicKeyX509Der<'_>>::as_der(secret.public_key());
    let spki = spki.unwrap().as_ref().to_vec();
    let portable = PortableKey::rsa(&numbers.n, &numbers.e, &[]).unwrap();
    (secret, PublicKey::parse_spki(&spki).unwrap(), portable)
}

fn sign(secret: &RsaKeyPair, encoding: &'static dyn RsaEncoding, message: &[u8]) -> Vec<u8> {
    let mut signature = vec![0; secret.public_modulus_len()];
    secret.sign(encoding, &SystemRandom::new(), message, &mut signature).unwrap();
    signature
}

/// Asks both libraries; they must agree.
fn ask(
    key: &PublicKey,
    portable: &PortableKey,
    scheme: Scheme,
    message: &[u8],
    signature: &[u8],
) -> Result<(), SignatureError> {
    let verdict = key.verify(scheme, message, signature);
    assert_eq!(
        verdict,
        portable.verify(scheme, message, signature),
        "the libraries disagree about {scheme:?}"
    );
    verdict
}

#[test]
fn both_curves_are_read_and_kept_as_they_came() {
    for algorithm in [&PKCS_ECDSA_P256_SHA256, &PKCS_ECDSA_P384_SHA384] {
        let spki = KeyPair::generate_for(algorithm).unwrap().subject_public_key_info();
        assert_eq!(PublicKey::parse_spki(&spki).unwrap().spki_der(), spki);
    }
}

#[test]
fn not_a_public_key() {
    let longer = [spki(), vec![0]].concat();
    for bad in [&b""[..], b"nonsense", &longer, &spki()[1..], &[0x30; 2000]] {
        assert_eq!(PublicKey::parse_spki(bad), Err(PublicKeyError::Malformed));
    }
}

#[test]
fn another_kind_of_key() {
    let ed25519 = KeyPair::generate_for(&rcgen::PKCS_ED25519).unwrap().subject_public_key_info();
    assert_eq!(PublicKey::parse_spki(&ed25519), Err(PublicKeyError::Unsupported));
}

#[test]
fn not_on_the_curve() {
    let mut moved = spki();
    *moved.last_mut().unwrap() ^= 1;
    assert_eq!(PublicKey::parse_spki(&moved), Err(PublicKeyError::NotOnCurve));
    let mut other_form = spki();
    let form = other_form.len() - 65;
    other_form[form] = 6;
    assert_eq!(PublicKey::parse_spki(&other_form), Err(PublicKeyError::NotOnCurve));
    assert_eq!(PublicKey::from_p256_xy(&[1; 64]), Err(PublicKeyError::NotOnCurve));
}

#[test]
fn an_rsa_key_of_another_size_or_exponent() {
    let (_, key, _) = rsa_pair();
    // the last three bytes are the exponent
    let mut small_exponent = key.spki_der().to_vec();
    *small_exponent.last_mut().unwrap() = 3;
    assert_eq!(PublicKey::parse_spki(&small_exponent), Err(PublicKeyError::RsaParameters { bits: 2048 }));
    let secret = rsa::RsaPublicKey::new(
        rsa::BigUint::from_bytes_be(&[0xff; 128]),
        rsa::BigUint::from_bytes_be(&[1, 0, 1]),
    )
    .unwrap();
    let small = rsa::pkcs8::EncodePublicKey::to_public_key_der(&secret).unwrap();
    assert_eq!(PublicKey::parse_spki(small.as_bytes()), Err(PublicKeyError::RsaParameters { bits: 1024 }));
}

#[test]
fn p256_with_both_hashes() {
    let (secret, key, portable) = p256_pair();
    let sha256: p256::ecdsa::DerSignature = secret.sign(b"message");
    assert_eq!(ask(&key, &portable, Scheme::EcdsaSha256, b"message", sha256.as_bytes()), Ok(()));
    assert_eq!(
        ask(&key, &portable, Scheme::EcdsaSha256, b"massage", sha256.as_bytes()),
        Err(SignatureError::Wrong)
    );
    assert_eq!(
        ask(&key, &portable, Scheme::EcdsaSha384, b"message", sha256.as_bytes()),
        Err(SignatureError::Wrong)
    );
    let sha384: p256::ecdsa::DerSignature = secret.sign_prehash(&sha2::Sha384::digest(b"message")).unwrap();
    assert_eq!(ask(&key, &portable, Scheme::EcdsaSha384, b"message", sha384.as_bytes()), Ok(()));
}

#[test]
fn p384_with_both_hashes() {
    let (secret, key, portable) = p384_pair();
    let sha384: p384::ecdsa::DerSignature = secret.sign(b"message");
    assert_eq!(ask(&key, &portable, Scheme::EcdsaSha384, b"message", sha384.as_bytes()), Ok(()));
    let sha256: p384::ecdsa::DerSignature = secret.sign_prehash(&Sha256::digest(b"message")).unwrap();
    assert_eq!(ask(&key, &portable, Scheme::EcdsaSha256, b"message", sha256.as_bytes()), Ok(()));
    assert_eq!(
        ask(&key, &portable, Scheme::EcdsaSha384, b"message", sha256.as_bytes()),
        Err(SignatureError::Wrong)
    );
}

#[test]
fn a_digest_is_verified_as_its_message() {
    let (secret, key, portable) = p384_pair();
    let digest: [u8; 32] = Sha256::digest(b"message").into();
    let signature: p384::ecdsa::DerSignature = secret.sign_prehash(&digest).unwrap();
    for verdict in [
        key.verify_prehash(&digest, signature.as_bytes()),
        portable.verify_sha256_digest(&digest, signature.as_bytes()),
    ] {
        assert_eq!(verdict, Ok(()));
    }
    for verdict in [
        key.verify_prehash(&[0; 32], signature.as_bytes()),
        portable.verify_sha256_digest(&[0; 32], signature.as_bytes()),
    ] {
        assert_eq!(verdict, Err(SignatureError::Wrong));
    }
}

#[test]
fn every_bit_of_an_ecdsa_signature_counts() {
    let (secret, key, portable) = p256_pair();
    let signature: p256::ecdsa::DerSignature = secret.sign(b"message");
    for bit in 0..signature.as_bytes().len() * 8 {
        let mut flipped = signature.as_bytes().to_vec();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(ask(&key, &portable, Scheme::EcdsaSha256, b"message", &flipped).is_err(), "bit {bit}");
    }
}

#[test]
fn encodings_that_are_not_strict() {
    let (secret, key, portable) = p256_pair();
    let signature: p256::ecdsa::DerSignature = secret.sign(b"message");
    let trailing = [signature.as_bytes(), &[0]].concat();
    for bad in
        [&b""[..], b"nonsense", &trailing, &signature.as_bytes()[1..], &[0x30, 0x80, 0, 0], &[0x30; 500]]
    {
        assert_eq!(
            ask(&key, &portable, Scheme::EcdsaSha256, b"message", bad),
            Err(SignatureError::Malformed)
        );
    }
}

#[test]
fn fixed_width_signatures() {
    let (secret, key, portable) = p384_pair();
    let signature: p384::ecdsa::Signature = secret.sign(b"message");
    let bytes = signature.to_bytes();
    let both = |scheme, r_and_s: &[u8]| {
        let verdict = key.verify_fixed(scheme, b"message", r_and_s);
        assert_eq!(verdict, portable.verify_fixed(scheme, b"message", r_and_s));
        verdict
    };
    assert_eq!(both(Scheme::EcdsaSha384, &bytes), Ok(()));
    assert_eq!(both(Scheme::EcdsaSha256, &bytes), Err(SignatureError::OtherAlgorithm));
    assert_eq!(both(Scheme::EcdsaSha384, &bytes[1..]), Err(SignatureError::Malformed));
    assert_eq!(both(Scheme::EcdsaSha384, &[0; 96]), Err(SignatureError::Wrong));
    assert_eq!(both(Scheme::EcdsaSha384, &[0xff; 96]), Err(SignatureError::Wrong));
    let (secret, key, _) = p256_pair();
    let signature: p256::ecdsa::Signature = secret.sign(b"message");
    assert_eq!(key.verify_fixed(Scheme::EcdsaSha256, b"message", &signature.to_bytes()), Ok(()));
    let xy: [u8; 64] = key.spki_der()[27..].try_into().unwrap();
    assert_eq!(PublicKey::from_p256_xy(&xy), Ok(key));
}

#[test]
fn rsa_with_each_padding() {
    let (secret, key, portable) = rsa_pair();
    let cases: [(Scheme, &'static dyn RsaEncoding); 3] = [
        (Scheme::RsaPssSha384, &RSA_PSS_SHA384),
        (Scheme::RsaPkcs1Sha256, &RSA_PKCS1_SHA256),
        (Scheme::RsaPkcs1Sha384, &RSA_PKCS1_SHA384),
    ];
    for (scheme, encoding) in cases {
        let signature = sign(&secret, encoding, b"message");
        for asked in RSA {
            let expected = if asked == scheme { Ok(()) } else { Err(SignatureError::Wrong) };
            assert_eq!(ask(&key, &portable, asked, b"message", &signature), expected);
        }
        assert_eq!(ask(&key, &portable, scheme, b"massage", &signature), Err(SignatureError::Wrong));
        assert_eq!(ask(&key, &portable, scheme, b"message", &signature[1..]), Err(SignatureError::Malformed));
        let leading = [&[0], &signature[..]].concat();
        assert_eq!(ask(&key, &portable, scheme, b"message", &leading), Err(SignatureError::Malformed));
    }
    // another hash function, and with it another length of salt
    let weaker = sign(&secret, &RSA_PSS_SHA256, b"message");
    assert_eq!(ask(&key, &portable, Scheme::RsaPssSha384, b"message", &weaker), Err(SignatureError::Wrong));
}

#[test]
fn a_scheme_of_another_kind_of_key() {
    let (_, elliptic, portable_elliptic) = p256_pair();
    for scheme in RSA {
        let verdict = ask(&elliptic, &portable_elliptic, scheme, b"", &[0; 256]);
        assert_eq!(verdict, Err(SignatureError::OtherAlgorithm));
    }
    let (_, rsa, portable_rsa) = rsa_pair();
    for scheme in ECDSA {
        assert_eq!(ask(&rsa, &portable_rsa, scheme, b"", &[0; 64]), Err(SignatureError::OtherAlgorithm));
    }
    assert_eq!(rsa.verify_prehash(&[0; 32], &[0; 64]), Err(SignatureError::OtherAlgorithm));
}
